"""What the MDM system reports of a device, applied to it (rule 4.7); `webapp.services.mdm` says which reports count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from webapp import emails
from webapp.domain.deadlines import DAY
from webapp.domain.lifecycle import DEVICE_TRANSITIONS, AccountStatus, DeviceStatus, SeedStatus
from webapp.extensions import db
from webapp.models import Device
from webapp.services import audit, outbox
from webapp.services.device_removal import take_out
from webapp.services.errors import NotFound
from webapp.services.held import hold
from webapp.services.held_devices import lock_device

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.domain.mdm import Report
    from webapp.domain.policy import Policy
    from webapp.models import Account

CHANGED, LATE, IGNORED = "changed", "late", "ignored"
"""What became of a report: it changed the device; its clock is not later than the last one's; it leads nowhere."""


def apply(report: Report, now: datetime, policy: Policy) -> str:
    """What the MDM system reports of a live device (rule 4.7): `CHANGED`, `LATE` or `IGNORED`. No commit.

    Raises `NotFound` for a device that is not registered, or removed.
    """
    found = db.session.execute(
        select(Device.id, Device.account_id).where(
            Device.intune_device_id == report.intune_device_id, Device.status != DeviceStatus.REMOVED
        )
    ).one_or_none()
    account = hold(found.account_id) if found else None
    if found is None or account is None:
        db.session.rollback()
        raise NotFound
    device = lock_device(account, found.id, now)
    if report.reported_at <= device.reported_at:
        return LATE
    # Also by what leads nowhere: what was said before it is overtaken by it.
    device.reported_at = report.reported_at
    if report.status is DeviceStatus.FAILED and device.status is DeviceStatus.FAILED:
        return _fail_anew(account, device, report.reason, now)
    if report.status not in DEVICE_TRANSITIONS[device.status]:
        return IGNORED
    if report.status is DeviceStatus.REMOVED:
        take_out(account, device, "mdm", audit.SYSTEM, now, policy, source="mdm")
        return CHANGED
    remove_at = None
    if report.status is DeviceStatus.SOFTWARE_INSTALLED:
        # The time is that of the whole try, not of each step; after a failure this is a new one.
        remove_at = device.remove_at or now + policy.device_pending_days * DAY
    device.move(report.status, now, remove_at=remove_at)
    device.reason = report.reason
    audit.record(
        "device.status", account.id, audit.SYSTEM, now, device=device.id, status=str(report.status), source="mdm"
    )
    if report.status is DeviceStatus.ONBOARDED and account.seed_status is SeedStatus.INVITED:
        account.move_seed(SeedStatus.ONBOARDED, now)
    # While the account is disabled nobody can reach SGTS with the device, or open its page to choose Retry.
    if account.status is AccountStatus.ACTIVE:
        if report.status is DeviceStatus.ONBOARDED:
            outbox.post(emails.device_onboarded(account, device, now))
        elif report.status is DeviceStatus.FAILED:
            outbox.post(emails.device_failed(account, device, now))
    return CHANGED


def _fail_anew(account: Account, device: Device, reason: str, now: datetime) -> str:
    """What failed has failed again: the page tells the reason that holds now. One mail was enough."""
    if reason == device.reason:
        return IGNORED
    device.status_at, device.reason = now, reason
    audit.record("device.status", account.id, audit.SYSTEM, now, device=device.id, status="failed", source="mdm")
    return CHANGED
