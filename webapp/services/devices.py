"""Internet devices: registered, tried again, removed, and what the MDM system reports of them (rules 4.4 to 4.7).

Each change locks the account's row first, then the device's, so that a button pressed twice, a report and the sweep do
one thing after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import contains_eager

from webapp import emails
from webapp.domain.deadlines import DAY, is_expired
from webapp.domain.lifecycle import (
    DEVICE_TRANSITIONS,
    AccountStatus,
    DeviceStatus,
    InvitationKind,
    InvitationState,
    OperatingSystem,
    SeedStatus,
)
from webapp.domain.onboarding import Document
from webapp.extensions import db
from webapp.models import Account, Device, Invitation
from webapp.models.base import insert_new
from webapp.services import agreements, audit, outbox, seed_card
from webapp.services.errors import (
    AgreementChanged,
    AgreementMissing,
    DeviceTaken,
    NoSeed,
    NotFound,
    TooManyDevices,
)
from webapp.services.held import hold, hold_active
from webapp.services.invitations import issue, latest_invitation, live_invitation, state_at
from webapp.services.sets import NOT_ON_HOLD

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Select

    from webapp.domain.mdm import Report
    from webapp.domain.policy import Policy
    from webapp.emails import MailRow
    from webapp.services.agreements import Agreement
    from webapp.services.seed_card import SeedCard

_MAY_BE_TOLD = (AccountStatus.ACTIVE, AccountStatus.DISABLED)
"""Who hears of a device that was removed. What asks to do something with it goes to who can: the active alone."""

BATCH = 100
"""Devices in one transaction of the sweep: each takes some statements, and this bounds how long the rows are held."""

CHANGED, LATE, IGNORED = "changed", "late", "ignored"
"""What became of a report: it changed the device; its clock is not later than the last one's; it leads nowhere."""


@dataclass(frozen=True, slots=True)
class NewDevice:
    """What an officer says of a device; ``intune_device_id`` in lower case, 8-4-4-4-12."""

    name: str
    operating_system: OperatingSystem
    serial_number: str
    intune_device_id: str


@dataclass(frozen=True, slots=True)
class Overview:
    """Somebody's devices, and whether another one can be registered now."""

    seed: SeedCard
    devices: Sequence[Device]
    has_room: bool
    """Whether SEED is held, and fewer devices than one person may have."""
    agreement: Agreement | None
    """What is to be accepted before the first device (rule 4.4); None once it is."""


def overview(account: Account, now: datetime, policy: Policy) -> Overview:
    """How somebody's devices stand at ``now``, swept or not. ``account.agency`` is loaded."""
    card = seed_card.card(account, now)
    devices = card.devices
    held = card.status in (SeedStatus.INVITED, SeedStatus.ONBOARDED)
    accepted = Document.MDM_AUP in agreements.accepted(account.id, now)
    return Overview(
        seed=card,
        devices=devices,
        has_room=held and len(devices) < policy.devices_per_person,
        agreement=None if accepted else agreements.in_force(Document.MDM_AUP, now),
    )


def find(account_id: int, device_id: int) -> Device:
    """Somebody's own device, whatever has become of it. Raises `NotFound`, for another's too (Z2)."""
    device = db.session.get(Device, device_id)
    if device is None or device.account_id != account_id:
        raise NotFound
    return device


def deadline_without(device: Device, now: datetime, policy: Policy) -> datetime | None:
    """By when its holder could register another, were ``device`` removed now (rule 4.5); None if SEED would expire."""
    if device.status is DeviceStatus.ONBOARDED:
        return now + policy.seed_invitation_life
    last = latest_invitation(device.account_id, InvitationKind.SEED)
    return None if last is None or is_expired(last.expires_at, now) else last.expires_at


def accept_policy(account_id: int, version: str, by: audit.By, now: datetime) -> None:
    """Accept the MDM AUP, in the version that was shown (rule 4.4). Raises `SessionOver` or `AgreementChanged`."""
    account = hold_active(account_id)
    agreement = agreements.in_force(Document.MDM_AUP, now)
    if version != agreement.version:
        db.session.rollback()
        raise AgreementChanged
    if agreement.document not in agreements.accepted(account.id, now):
        agreements.accept(account.id, agreement, by.peer or "", now)
        detail = {"document": agreement.document, "version": agreement.version}
        audit.record("agreement.accepted", account.id, by, now, **detail)
    db.session.commit()


def register(account_id: int, new: NewDevice, by: audit.By, now: datetime, policy: Policy) -> Device:
    """**Onboard device to SEED** (rules 4.5 and 4.6): the device, waiting for the MDM system.

    It uses the invitation to SEED up: what is under way does not expire. Registering the same device twice gives the
    one there is. Raises `SessionOver` unless the account is active, `NoSeed`, `TooManyDevices`, `AgreementMissing` or
    `DeviceTaken`.
    """
    _settle(account_id, new.intune_device_id, now, policy)
    account = hold_active(account_id)
    mine = _live(account.id)
    for device in mine:
        if device.intune_device_id == new.intune_device_id:
            db.session.rollback()
            return device
    link = _check_room(account, mine, now, policy)
    if Document.MDM_AUP not in agreements.accepted(account.id, now):
        db.session.rollback()
        raise AgreementMissing
    added = db.session.scalar(
        insert_new(Device)
        .values(
            account_id=account.id,
            name=new.name,
            operating_system=new.operating_system,
            serial_number=new.serial_number,
            intune_device_id=new.intune_device_id,
            status=DeviceStatus.TRIGGERED,
            registered_at=now,
            status_at=now,
            reported_at=_clock_from(now, policy),
            remove_at=now + policy.device_pending_days * DAY,
        )
        .returning(Device.id)
    )
    if added is None:  # The database lets no ID in twice, whoever comes at the same moment.
        db.session.rollback()
        raise DeviceTaken
    if link is not None:
        link.state, link.ended_at = InvitationState.USED, now
    account.changed_at = now
    audit.record("device.registered", account.id, by, now, device=added)
    db.session.commit()
    return db.session.get_one(Device, added)


def _check_room(account: Account, mine: Sequence[Device], now: datetime, policy: Policy) -> Invitation | None:
    """The invitation that the first device uses up; None for a further one. Raises `NoSeed` or `TooManyDevices`."""
    link = live_invitation(account.id, InvitationKind.SEED)
    if mine:
        held = account.seed_status in (SeedStatus.INVITED, SeedStatus.ONBOARDED)
    else:
        held = account.seed_status is SeedStatus.INVITED and link is not None
        held = held and link is not None and state_at(link, now) is InvitationState.LIVE
    if not held:
        db.session.rollback()
        raise NoSeed
    if len(mine) >= policy.devices_per_person:
        db.session.rollback()
        raise TooManyDevices
    return link


def retry(account_id: int, device_id: int, by: audit.By, now: datetime, policy: Policy) -> bool:
    """Have a device that failed onboarded again; False if it has not failed, and nothing was done.

    Raises `NotFound`, also for a device that is another's or removed.
    """
    account = hold_active(account_id)
    device = _lock_device(account, device_id, now)
    if device.status is not DeviceStatus.FAILED:
        db.session.rollback()
        return False
    device.move(DeviceStatus.TRIGGERED, now, remove_at=now + policy.device_pending_days * DAY)
    # What the MDM system still says of the last try is of no account.
    device.reported_at = max(device.reported_at, _clock_from(now, policy))
    account.changed_at = now
    audit.record("device.retried", account.id, by, now, device=device.id)
    db.session.commit()
    return True


def remove(account_id: int, device_id: int, by: audit.By, now: datetime, policy: Policy) -> bool:
    """Take a device out of SEED (rule 4.5); False if it is removed already, and nothing was done.

    Raises `SessionOver` unless the account is active, `NotFound` for another's device.
    """
    account = hold_active(account_id)
    try:
        device = _lock_device(account, device_id, now)
    except NotFound:
        find(account_id, device_id)
        return False
    _take_out(account, device, "holder", by, now, policy)
    account.changed_at = now
    db.session.commit()
    return True


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
    device = _lock_device(account, found.id, now)
    if report.reported_at <= device.reported_at:
        return LATE
    # Also by what leads nowhere: what was said before it is overtaken by it.
    device.reported_at = report.reported_at
    if report.status is DeviceStatus.FAILED and device.status is DeviceStatus.FAILED:
        return _fail_anew(account, device, report.reason, now)
    if report.status not in DEVICE_TRANSITIONS[device.status]:
        return IGNORED
    if report.status is DeviceStatus.REMOVED:
        _take_out(account, device, "mdm", audit.SYSTEM, now, policy, source="mdm")
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
            _take_out(device.account, device, "time", audit.SYSTEM, now, policy)
        db.session.commit()
        count += len(batch)


def remove_overdue_of(account: Account, now: datetime, policy: Policy) -> None:
    """`remove_overdue` for one account, of which the caller holds the row. No commit."""
    for row in _live(account.id):
        device = _lock_row(row.id)
        if device is not None and device.status is not DeviceStatus.REMOVED and not device.is_live(now):
            _take_out(account, device, "time", audit.SYSTEM, now, policy)
    db.session.flush()


def _settle(account_id: int, intune_device_id: str, now: datetime, policy: Policy) -> None:
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


def _take_out(
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
    left = [device for device in _live(account.id) if device.is_live(now) and device.id != gone.id]
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


def _clock_from(now: datetime, policy: Policy) -> datetime:
    """From when on a report counts: what was said of an earlier enrolment of the device must not."""
    return now - timedelta(minutes=policy.mdm_tolerance_minutes)


def _live(account_id: int) -> Sequence[Device]:
    return db.session.scalars(
        select(Device)
        .where(Device.account_id == account_id, Device.status != DeviceStatus.REMOVED)
        .order_by(Device.id)
        .execution_options(populate_existing=True)
    ).all()


def _lock_row(device_id: int) -> Device | None:
    return db.session.scalar(
        select(Device)
        .where(Device.id == device_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


def _lock_device(account: Account, device_id: int, now: datetime) -> Device:
    """A live device of ``account``, whose row the caller holds. Raises `NotFound`."""
    device = _lock_row(device_id)
    if device is None or device.account_id != account.id or not device.is_live(now):
        db.session.rollback()
        raise NotFound
    return device
