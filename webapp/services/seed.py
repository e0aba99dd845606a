"""SEED's own life: asked for from the profile, given up, and run out (rules 4.1 to 4.5).

Each change locks the account's row first, so that a button pressed twice, in two tabs, or while a sweep or an admin is
at it, does one thing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import update

from webapp import emails, queue
from webapp.domain.lifecycle import (
    SEED_TRANSITIONS,
    InvitationKind,
    InvitationState,
    RequestKind,
    RequestState,
    SeedStatus,
)
from webapp.extensions import db
from webapp.models import Account, Request
from webapp.services import audit, device_removal, holidays, outbox
from webapp.services.errors import DeviceFirst, NotEligible
from webapp.services.held import hold_active
from webapp.services.invitations import live_invitation
from webapp.services.seed_card import card

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.domain.policy import Policy

_REQUESTABLE = [old for old, following in SEED_TRANSITIONS.items() if SeedStatus.REQUESTED in following]


def settle(account: Account, now: datetime, policy: Policy) -> None:
    """Write down what has run out, as the sweep will, so that a change builds on how things stand (promise 5).

    The caller holds the account's row. No commit.
    """
    device_removal.remove_overdue_of(account, now, policy)
    if account.seed_status is SeedStatus.INVITED and card(account, now).status is SeedStatus.EXPIRED:
        link = live_invitation(account.id, InvitationKind.SEED)
        _end_link(account.id, InvitationState.EXPIRED, now)
        account.move_seed(SeedStatus.EXPIRED, now)
        audit.record("seed.expired", account.id, audit.SYSTEM, now)
        if link is not None:
            outbox.post(emails.seed_expired(account, link, now))


def request(account_id: int, by: audit.By, now: datetime, policy: Policy) -> bool:
    """**Request for SEED** (rule 4.1); False if it is asked for or held already, and nothing was done.

    Raises `SessionOver` unless the account is active, or `NotEligible`.
    """
    account = hold_active(account_id)
    settle(account, now, policy)
    stands = card(account, now)
    if stands.status is SeedStatus.INELIGIBLE:
        db.session.rollback()
        raise NotEligible
    if stands.status not in _REQUESTABLE:
        db.session.rollback()
        return False
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


def withdraw(account_id: int, by: audit.By, now: datetime, policy: Policy) -> bool:
    """**I don't need SEED** (rule 4.5); False if it is neither asked for nor held, and nothing was done.

    Raises `SessionOver` unless the account is active, or `DeviceFirst` while a device is onboarded or under way.
    """
    account = hold_active(account_id)
    settle(account, now, policy)
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


def _end_link(account_id: int, state: InvitationState, now: datetime) -> None:
    live = live_invitation(account_id, InvitationKind.SEED)
    if live is not None:
        live.state, live.ended_at = state, now
