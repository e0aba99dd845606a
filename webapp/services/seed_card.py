"""How SEED stands: one state, since when, and what the one next step needs to know (section 4). It changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from webapp.domain.deadlines import is_expired
from webapp.domain.lifecycle import DeviceStatus, InvitationKind, RequestKind, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Device, Request
from webapp.services.invitations import latest_invitation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class SeedCard:
    """SEED in exactly one state, and what the one next step needs to know."""

    status: SeedStatus
    since: datetime
    due_on: date | None = None
    """Requested: by the end of which day an admin's decision and the email are promised (rule 4.2)."""
    valid_until: datetime | None = None
    """Invited: until when a device can be registered."""
    reason: str = ""
    """Rejected: why."""
    devices: Sequence[Device] = ()
    """Those that are onboarded, under way or failed."""


def card(account: Account, now: datetime) -> SeedCard:
    """How SEED stands at ``now``, whether or not the sweep has come (promise 5). ``account.agency`` is loaded."""
    status, since = account.seed_status, account.seed_status_at
    if status is SeedStatus.REQUESTED:
        asked = _last_request(account.id)
        return SeedCard(status, since, due_on=asked.due_on if asked else None)
    if status is SeedStatus.INVITED:
        return _invited(account, now)
    if status in (SeedStatus.ONBOARDED, SeedStatus.SUSPENDED):
        return SeedCard(status, since, devices=_devices(account.id, now))
    if not account.agency.seed_eligible:
        return SeedCard(SeedStatus.INELIGIBLE, since)
    if status is SeedStatus.INELIGIBLE:
        return SeedCard(SeedStatus.NOT_REQUIRED, since)
    if status is SeedStatus.REJECTED:
        asked = _last_request(account.id)
        return SeedCard(status, since, reason=asked.reason if asked else "")
    if status is SeedStatus.EXPIRED:
        # Written down by a sweep, or once a device was removed: the invitation's own end is what counts.
        latest = latest_invitation(account.id, InvitationKind.SEED)
        return SeedCard(status, min(since, latest.expires_at) if latest else since)
    return SeedCard(status, since)


def _invited(account: Account, now: datetime) -> SeedCard:
    since = account.seed_status_at
    devices = _devices(account.id, now)
    if devices:
        # What is under way does not expire: registering it used the link up (rule 4.3).
        return SeedCard(SeedStatus.INVITED, since, devices=devices)
    latest = latest_invitation(account.id, InvitationKind.SEED)
    if latest is None or is_expired(latest.expires_at, now):
        return SeedCard(SeedStatus.EXPIRED, latest.expires_at if latest else since)
    return SeedCard(SeedStatus.INVITED, since, valid_until=latest.expires_at)


def _devices(account_id: int, now: datetime) -> Sequence[Device]:
    found = db.session.scalars(
        select(Device).where(Device.account_id == account_id, Device.status != DeviceStatus.REMOVED).order_by(Device.id)
    )
    return [device for device in found if device.is_live(now)]


def _last_request(account_id: int) -> Request | None:
    return db.session.scalar(
        select(Request)
        .where(Request.account_id == account_id, Request.kind == RequestKind.SEED)
        .order_by(Request.id.desc())
        .limit(1)
    )
