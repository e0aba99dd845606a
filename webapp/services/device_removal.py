"""Devices taken out of SEED: by their holder, by the MDM system, or by the clock (rules 4.5 and 4.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import contains_eager

from webapp import emails
from webapp.domain.deadlines import is_expired
from webapp.domain.lifecycle import AccountStatus, DeviceStatus, InvitationKind, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Device
from webapp.services import audit, outbox
from webapp.services.errors import NotFound
from webapp.services.held import hold, hold_active
from webapp.services.held_devices import find, live_devices, lock_device, lock_row
from webapp.services.invitations import issue, latest_invitation
from webapp.services.sets import NOT_ON_HOLD

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Select

    from webapp.domain.policy import Policy
    from webapp.emails import MailRow

_MAY_BE_TOLD = (AccountStatus.ACTIVE, AccountStatus.DISABLED)
"""Who hears of a device that was removed. What asks to do something with it goes to who can: the active alone."""

BATCH = 100
"""Devices in one transaction of the sweep: each takes some statements, and this bounds how long the rows are held."""


def remove(account_id: int, device_id: int, by: audit.By, now: datetime, policy: Policy) -> bool:
    """Take a device out of SEED (rule 4.5); False if it is removed already, and nothing was done.

    Raises `SessionOver` unless the account is active, `NotFound` for another's device.
    """
    account = hold_active(account_id)
    try:
        device = lock_device(account, device_id, now)
    except NotFound:
        find(account_id, device_id)
        return False
    take_out(account, device, "holder", by, now, policy)
    account.changed_at = now
    db.session.commit()
    return True


def deadline_without(device: Device, now: datetime, policy: Policy) -> datetime | None:
    """By when its holder could register another, were ``device`` removed now (rule 4.5); None if SEED would expire."""
    if device.status is DeviceStatus.ONBOARDED:
        return now + policy.seed_invitation_life
    last = latest_invitation(device.account_id, InvitationKind.SEED)
    return None if last is None or is_expired(last.expires_at, now) else last.expires_at


def overdue(now: datetime) -> Select[Device]:
    """Live devices that have been under way for too long (rule 4.6), with their accounts, oldest first.

    None of accounts on hold: the clock alone does nothing to them (rule 8.7).
    """
    return _timed_out(now).where(NOT_ON_HOLD)


def _timed_out(now: datetime) -> Select[Device]:
    return (
        select(Device)
        .join(Device.account)
        .where(Device.remove_at < now, Device.status != DeviceStatus.REMOVED)
        .order_by(Device.remove_at)
    )


def remove_overdue(now: datetime, policy: Policy) -> int:
    """Remove what has been under way for too long, with a mail; how many. Commits batch by batch."""
    count = 0
    while True:
        batch = db.session.scalars(
            overdue(now)
            .limit(BATCH)
            .options(contains_eager(Device.account))
            .with_for_update(of=(Account, Device), skip_locked=True, key_share=True)
            .execution_options(populate_existing=True)
        ).all()
        if not batch:
            db.session.rollback()
            return count
        for device in batch:
            take_out(device.account, device, "time", audit.SYSTEM, now, policy)
        db.session.commit()
        count += len(batch)


def remove_overdue_of(account: Account, now: datetime, policy: Policy) -> None:
    """`remove_overdue` for one account, of which the caller holds the row. No commit."""
    for row in live_devices(account.id):
        device = lock_row(row.id)
        if device is not None and device.status is not DeviceStatus.REMOVED and not device.is_live(now):
            take_out(account, device, "time", audit.SYSTEM, now, policy)
    db.session.flush()


def settle(account_id: int, intune_device_id: str, now: datetime, policy: Policy) -> None:
    """What the sweep will do to these devices soon: time limits hold without it (promise 5), and against a hold too.

    It is not the clock alone that acts: somebody is waiting for the room, or the ID.
    """
    mine_or_same = (Device.account_id == account_id) | (Device.intune_device_id == intune_device_id)
    for holder_id in db.session.scalars(_timed_out(now).with_only_columns(Device.account_id).where(mine_or_same)).all():
        holder = hold(holder_id)
        if holder is not None:
            remove_overdue_of(holder, now, policy)
        db.session.commit()
    db.session.rollback()


def take_out(
    account: Account, device: Device, cause: str, by: audit.By, now: datetime, policy: Policy, **detail: Any
) -> None:
    """Remove a live device, of which the caller holds the rows, and put SEED right. No commit.

    Its holder is mailed, but for one that the holder removed before it was ever onboarded.
    """
    was_onboarded = device.status is DeviceStatus.ONBOARDED
    device.move(DeviceStatus.REMOVED, now)
    db.session.flush()
    audit.record("device.removed", account.id, by, now, device=device.id, cause=cause, **detail)
    status, deadline = _seed_without(account, device, now, policy)
    if status is not None:
        account.move_seed(status, now)
    if status is SeedStatus.EXPIRED:
        audit.record("seed.expired", account.id, audit.SYSTEM, now)
    if deadline is not None:
        issue(account, InvitationKind.SEED, now, policy, expires_at=deadline)
    letter = _letter(account, device, cause, now, deadline, was_onboarded=was_onboarded)
    outbox.post(*([letter] if letter else []))


def _letter(
    account: Account, device: Device, cause: str, now: datetime, deadline: datetime | None, *, was_onboarded: bool
) -> MailRow | None:
    if account.status in _MAY_BE_TOLD and (was_onboarded or cause != "holder"):
        return emails.device_removed(account, device, cause, now, deadline, was_onboarded=was_onboarded)
    return None


def letter_when_overdue(device: Device, account: Account, now: datetime, policy: Policy) -> MailRow | None:
    """The mail that `remove_overdue` would write of one of `overdue`; None if it writes none. It changes nothing."""
    _, deadline = _seed_without(account, device, now, policy)
    return _letter(account, device, "time", now, deadline, was_onboarded=device.status is DeviceStatus.ONBOARDED)


def _seed_without(
    account: Account, gone: Device, now: datetime, policy: Policy
) -> tuple[SeedStatus | None, datetime | None]:
    """SEED once ``gone`` is out of it: its new state where that changes, and by when another can be registered.

    That is None where none can or need be. Without an onboarded device SEED waits for one: with a new invitation after
    an onboarded device, with the deadline of the last one after a device that was under way; should that have passed,
    SEED has expired.
    """
    left = [device for device in live_devices(account.id) if device.is_live(now) and device.id != gone.id]
    if account.seed_status not in (SeedStatus.INVITED, SeedStatus.ONBOARDED):
        return None, None
    if any(device.status is DeviceStatus.ONBOARDED for device in left):
        return None, None
    if account.seed_status is SeedStatus.ONBOARDED:
        return SeedStatus.INVITED, None if left else now + policy.seed_invitation_life
    if left:
        return None, None
    last = latest_invitation(account.id, InvitationKind.SEED)
    if last is None or is_expired(last.expires_at, now):
        return SeedStatus.EXPIRED, None
    return None, last.expires_at
