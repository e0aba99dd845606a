"""An invited vendor registers: name, organisation, mobile number; then the request is open (rule 5.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from webapp import emails, queue
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Invitation, Invitee, Request
from webapp.models.base import insert_row
from webapp.services import audit, invitations, outbox
from webapp.services.errors import LinkEnded
from webapp.services.held import hold
from webapp.services.inviting import requests_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

FIELDS = ("first_name", "last_name", "organisation", "mobile")


def open_link(token: str, now: datetime) -> Invitation:
    """The live registration of a token, with account and agency. Raises `NotFound` or `LinkEnded` (rule 3.7)."""
    return invitations.open_link(token, now, InvitationKind.REGISTRATION)


def invited_by(account_id: int) -> Account | None:
    """Whoever asked for somebody last; None once their data are deleted."""
    return db.session.scalar(
        select(Account)
        .join(Invitee, Invitee.inviter_id == Account.id)
        .where(Invitee.account_id == account_id, Invitee.is_theirs, Account.status != AccountStatus.DELETED)
        .order_by(Invitee.asked_at.desc(), Invitee.id.desc())
        .limit(1)
    )


def register(token: str, details: Mapping[str, str], by: audit.By, now: datetime) -> None:
    """Take what a vendor says of themselves (`FIELDS`), use the link up, and open the request.

    However often it is sent, it counts once (promise 4). Raises `NotFound` or `LinkEnded`.
    """
    found = open_link(token, now)
    # The account first, as the sweep and whoever sends the invitation again do (see `webapp.services.sets`).
    account = hold(found.account_id)
    used = db.session.scalar(
        update(Invitation)
        .where(
            Invitation.id == found.id,
            Invitation.state == InvitationState.LIVE,
            Invitation.expires_at >= now,
        )
        .values(state=InvitationState.USED, ended_at=now, accepted_at=now)
        .returning(Invitation.id)
    )
    if used is None or account is None or account.status is not AccountStatus.REQUESTED:
        db.session.rollback()
        db.session.expire_all()
        invitations.check_live(invitations.find(token, InvitationKind.REGISTRATION), now)
        raise LinkEnded(InvitationState.EXPIRED)
    for name in FIELDS:
        setattr(account, name, details[name])
    account.changed_at = now
    if account.seed_status is SeedStatus.REQUESTED and not account.agency.seed_eligible:
        # The agency has changed since; nobody may be promised what it does not allow (rule 1.6).
        account.seed_status, account.seed_status_at = SeedStatus.INELIGIBLE, now
    db.session.flush()
    db.session.execute(insert_row(Request), requests_of(account, now))
    outbox.post(emails.request_received(account, now))
    audit.record("registration.completed", account.id, by, now, invitation=found.id)
    if account.agency.approves_automatically:
        queue.wake_after_commit(db.session, "approve")
    db.session.commit()
