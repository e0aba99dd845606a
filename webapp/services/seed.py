"""SEED's own life: how it stands, asked for from the profile, given up (rules 4.1 to 4.5).

Each change locks the account's row first, so that a button pressed twice, in two tabs, or while a sweep or an admin is
at it, does one thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, update
from sqlalchemy.orm import joinedload

from webapp import emails, queue
from webapp.domain.deadlines import is_expired
from webapp.domain.lifecycle import (
    SEED_TRANSITIONS,
    AccountStatus,
    DeviceStatus,
    InvitationKind,
    InvitationState,
    RequestKind,
    RequestState,
    SeedStatus,
)
from webapp.extensions import db
from webapp.models import Account, Device, Invitation, Request
from webapp.services import audit, holidays, outbox
from webapp.services.errors import DeviceFirst, NotEligible, NotFound
from webapp.services.invitations import live_invitation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

_REQUESTABLE = [old for old, following in SEED_TRANSITIONS.items() if SeedStatus.REQUESTED in following]


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
    return SeedCard(status, since)


def _invited(account: Account, now: datetime) -> SeedCard:
    since = account.seed_status_at
    devices = _devices(account.id, now)
    if devices:
        # What is under way does not expire: registering it used the link up (rule 4.3).
        return SeedCard(SeedStatus.INVITED, since, devices=devices)
    latest = db.session.scalar(
        select(Invitation)
        .where(Invitation.account_id == account.id, Invitation.kind == InvitationKind.SEED)
        .order_by(Invitation.id.desc())
        .limit(1)
    )
    if latest is None or is_expired(latest.expires_at, now):
        return SeedCard(SeedStatus.EXPIRED, latest.expires_at if latest else since)
    return SeedCard(SeedStatus.INVITED, since, valid_until=latest.expires_at)


def _devices(account_id: int, now: datetime) -> Sequence[Device]:
    found = db.session.scalars(
        select(Device).where(Device.account_id == account_id, Device.status != DeviceStatus.REMOVED).order_by(Device.id)
    )
    return [device for device in found if device.remove_at is None or not is_expired(device.remove_at, now)]


def _last_request(account_id: int) -> Request | None:
    return db.session.scalar(
        select(Request)
        .where(Request.account_id == account_id, Request.kind == RequestKind.SEED)
        .order_by(Request.id.desc())
        .limit(1)
    )


def request(account_id: int, by: audit.By, now: datetime) -> bool:
    """**Request for SEED** (rule 4.1); False if it is asked for or held already, and nothing was done.

    Raises `NotFound` unless the account is active, or `NotEligible`.
    """
    account = _lock(account_id)
    stands = card(account, now)
    if stands.status is SeedStatus.INELIGIBLE:
        db.session.rollback()
        raise NotEligible
    if stands.status not in _REQUESTABLE:
        db.session.rollback()
        return False
    if account.seed_status is SeedStatus.INVITED:
        _end_link(account.id, InvitationState.EXPIRED, now)
        account.move_seed(SeedStatus.EXPIRED, now)
        audit.record("seed.expired", account.id, audit.SYSTEM, now)
    account.move_seed(SeedStatus.REQUESTED, now)
    account.changed_at = now
    asked = Request(account_id=account.id, kind=RequestKind.SEED, requested_at=now, due_on=holidays.due_on(now))
    db.session.add(asked)
    db.session.flush()
    outbox.cancel(account.id, only=(emails.SEED_EXPIRED, "seed_withdrawn"))
    audit.record("seed.requested", account.id, by, now, request=asked.id)
    if account.agency.approves_automatically:
        queue.wake_after_commit(db.session, "approve")
    db.session.commit()
    return True


def withdraw(account_id: int, by: audit.By, now: datetime) -> bool:
    """**I don't need SEED** (rule 4.5); False if it is neither asked for nor held, and nothing was done.

    Raises `NotFound` unless the account is active, or `DeviceFirst` while a device is onboarded or under way.
    """
    account = _lock(account_id)
    stands = card(account, now)
    if stands.devices:
        db.session.rollback()
        raise DeviceFirst
    if stands.status not in (SeedStatus.REQUESTED, SeedStatus.INVITED):
        db.session.rollback()
        return False
    db.session.execute(
        update(Request)
        .where(Request.account_id == account.id, Request.kind == RequestKind.SEED, Request.state == RequestState.OPEN)
        .values(state=RequestState.WITHDRAWN, decided_at=now)
    )
    _end_link(account.id, InvitationState.WITHDRAWN, now)
    account.move_seed(SeedStatus.WITHDRAWN, now)
    account.changed_at = now
    outbox.cancel(account.id, only=("seed_onboarding", "seed_reminder"))
    outbox.post(emails.seed_withdrawn(account, now))
    audit.record("seed.withdrawn", account.id, by, now)
    db.session.commit()
    return True


def _lock(account_id: int) -> Account:
    """The active account, its row locked, with its agency. Raises `NotFound`."""
    account = db.session.scalar(
        select(Account)
        .where(Account.id == account_id)
        .options(joinedload(Account.agency, innerjoin=True))
        .with_for_update(of=Account, key_share=True)
        .execution_options(populate_existing=True)
    )
    if account is None or account.status is not AccountStatus.ACTIVE:
        db.session.rollback()
        raise NotFound
    return account


def _end_link(account_id: int, state: InvitationState, now: datetime) -> None:
    live = live_invitation(account_id, InvitationKind.SEED)
    if live is not None:
        live.state, live.ended_at = state, now
