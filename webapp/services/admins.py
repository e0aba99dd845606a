"""Admins: the first one is made by the operator, and sets up the account by a link that only the operator sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from webapp.domain.addresses import parse
from webapp.domain.lifecycle import LIVE, AccountStatus, InvitationKind, Role, SeedStatus
from webapp.domain.tokens import invitation_purpose, recover_token
from webapp.extensions import db
from webapp.links import invitation_link
from webapp.models import Account
from webapp.services import agencies, audit, authenticators, expiry
from webapp.services.errors import NotFound, SignUpRefused
from webapp.services.invitations import issue, live_invitation, state_at
from webapp.services.keys import secret_keys

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.domain.policy import Policy
    from webapp.models import Invitation


def create(text: str, now: datetime, policy: Policy) -> str | None:
    """Make the person at an address an admin; the set-up link where the account is not active yet, else None.

    Raises `AddressError`, or `SignUpRefused` for an agency that we do not know.
    """
    address = parse(text)
    agency = agencies.find(address.domain)
    if agency is None:
        raise SignUpRefused(f"We do not know the agency {address.domain} yet.")
    account = db.session.scalar(select(Account).where(Account.email_folded == address.folded, Account.status.in_(LIVE)))
    if account is not None and expiry.end_if_overdue(account, now):
        account = None  # Its notice of termination is written; a new link would come to an account about to end.
    if account is None:
        account = Account(
            email=address.typed,
            email_folded=address.folded,
            agency_id=agency.id,
            status=AccountStatus.PENDING,
            created_at=now,
            status_at=now,
            changed_at=now,
            seed_status=SeedStatus.NOT_REQUIRED if agency.seed_eligible else SeedStatus.INELIGIBLE,
            seed_status_at=now,
        )
        db.session.add(account)
        db.session.flush()
    elif account.status is AccountStatus.REQUESTED:
        raise SignUpRefused("This person has a request that waits for approval. Approve it first.")
    account.role = Role.ADMIN
    audit.record("role.granted", account.id, audit.SYSTEM, now, role=Role.ADMIN)
    link = None
    if account.status is AccountStatus.PENDING:
        link = _link(issue(account, InvitationKind.TECHPASS, now, policy))
    db.session.commit()
    return link


def reset_authenticator(text: str, reason: str, now: datetime, policy: Policy) -> None:
    """What `authenticators.reset_authenticator` does, by address: for an admin whom no other admin can help (rule 7.3).

    Raises `AddressError`, `ReasonMissing`, or `NotFound` where nobody has the address or waits for approval.
    """
    folded = parse(text).folded
    account_id = db.session.scalar(
        select(Account.id).where(Account.email_folded == folded, Account.status.in_(LIVE)),
    )
    if account_id is None:
        raise NotFound
    authenticators.reset_authenticator(account_id, reason, audit.SYSTEM, now, policy)


def first(email: str, now: datetime, policy: Policy) -> str | None:
    """In development: an admin at ``email`` where there is none yet, and the set-up link until it was followed."""
    account = db.session.scalar(
        select(Account).where(Account.role == Role.ADMIN, Account.status.in_(LIVE)).order_by(Account.id).limit(1)
    )
    if account is None:
        return create(email, now, policy)
    if account.status is not AccountStatus.PENDING:
        return None
    live = live_invitation(account.id, InvitationKind.TECHPASS)
    if live is None or state_at(live, now) != "live":
        return create(account.email, now, policy)
    return _link(live)


def _link(invitation: Invitation) -> str:
    token = recover_token(secret_keys(), invitation_purpose(invitation.kind), invitation.nonce, invitation.token_hash)
    assert token is not None
    return invitation_link(invitation.kind, token)
