"""Internet devices as their holder sees, registers and retries them (rules 4.4 to 4.6).

`webapp.services.device_removal` takes them out of SEED, `webapp.services.device_reports` tells how far they have come.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from webapp.domain.deadlines import DAY
from webapp.domain.lifecycle import DeviceStatus, InvitationKind, InvitationState, OperatingSystem, SeedStatus
from webapp.domain.onboarding import Document
from webapp.extensions import db
from webapp.models import Device
from webapp.models.base import insert_new
from webapp.services import agreements, audit, seed_card
from webapp.services.device_removal import settle
from webapp.services.errors import (
    AgreementChanged,
    AgreementMissing,
    DeviceTaken,
    NoSeed,
    TooManyDevices,
)
from webapp.services.held import hold_active
from webapp.services.held_devices import live_devices, lock_device
from webapp.services.invitations import live_invitation, state_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from webapp.domain.policy import Policy
    from webapp.models import Account, Invitation
    from webapp.services.agreements import Agreement
    from webapp.services.seed_card import SeedCard


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
    settle(account_id, new.intune_device_id, now, policy)
    account = hold_active(account_id)
    mine = live_devices(account.id)
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
    device = lock_device(account, device_id, now)
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


def _clock_from(now: datetime, policy: Policy) -> datetime:
    """From when on a report counts: what was said of an earlier enrolment of the device must not."""
    return now - timedelta(minutes=policy.mdm_tolerance_minutes)
