"""Invitations: links that are issued, found, sent anew and ended (rules 3.2, 3.6 to 3.8 and 4.3)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select, update
from sqlalchemy.orm import joinedload

from webapp import emails
from webapp.domain.deadlines import first_reminder, is_expired, next_seed_reminder
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState, SeedStatus
from webapp.domain.tokens import TOKEN_LENGTH, derive_token, invitation_purpose, new_nonce, token_hash
from webapp.extensions import db
from webapp.models import Account, Invitation
from webapp.services import audit, outbox
from webapp.services.errors import LinkEnded, NotFound, TooSoon
from webapp.services.held import hold
from webapp.services.keys import secret_key

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.domain.policy import Policy

_LETTERS = {
    InvitationKind.TECHPASS: emails.techpass_onboarding,
    InvitationKind.SEED: emails.seed_onboarding,
    InvitationKind.AUTHENTICATOR: emails.authenticator_setup,
}
"""The mails of the kinds that `invite` sends; a registration's names who asked (see `webapp.services.inviting`)."""


def life(kind: InvitationKind, policy: Policy) -> timedelta:
    return {
        InvitationKind.TECHPASS: policy.invitation_life,
        InvitationKind.SEED: policy.seed_invitation_life,
        InvitationKind.AUTHENTICATOR: timedelta(hours=policy.setup_link_hours),
        InvitationKind.REGISTRATION: timedelta(days=policy.registration_days),
    }[kind]


def issue(
    account: Account, kind: InvitationKind, now: datetime, policy: Policy, expires_at: datetime | None = None
) -> Invitation:
    """A new link for ``account``, in place of the one that is live (rule 3.8). No mail, no commit.

    It has a whole life of its kind before it, unless it is to keep the deadline ``expires_at`` of an earlier one.
    """
    db.session.execute(
        update(Invitation)
        .where(
            Invitation.account_id == account.id,
            Invitation.kind == kind,
            Invitation.state == InvitationState.LIVE,
        )
        .values(state=InvitationState.REPLACED, ended_at=now)
    )
    nonce = new_nonce()
    expires_at = expires_at or now + life(kind, policy)
    invitation = Invitation(
        account_id=account.id,
        kind=kind,
        state=InvitationState.LIVE,
        nonce=nonce,
        token_hash=token_hash(derive_token(secret_key(), invitation_purpose(kind), nonce)),
        issued_at=now,
        expires_at=expires_at,
        remind_at=_first_reminder(kind, now, expires_at, policy),
    )
    db.session.add(invitation)
    db.session.flush()
    return invitation


def _first_reminder(kind: InvitationKind, now: datetime, expires_at: datetime, policy: Policy) -> datetime | None:
    match kind:
        case InvitationKind.TECHPASS:
            return first_reminder(now, expires_at, policy)
        case InvitationKind.SEED:
            return next_seed_reminder(expires_at, now, policy)
        case InvitationKind.AUTHENTICATOR | InvitationKind.REGISTRATION:
            return None


def invite(
    account: Account,
    kind: InvitationKind,
    now: datetime,
    policy: Policy,
    leaves_at: datetime | None = None,
    expires_at: datetime | None = None,
) -> Invitation:
    """Issue a link and write the mail that carries it, which leaves at once or not before ``leaves_at``. No commit."""
    invitation = issue(account, kind, now, policy, expires_at)
    outbox.post(_LETTERS[kind](account, invitation, now) | {"due_at": leaves_at or now})
    return invitation


def find(token: str, *kinds: InvitationKind) -> Invitation:
    """The invitation of a token with its account and agency, whatever its state. Raises `NotFound`."""
    if len(token) != TOKEN_LENGTH:
        raise NotFound
    found = db.session.scalar(
        select(Invitation)
        .where(Invitation.token_hash == token_hash(token), Invitation.kind.in_(kinds))
        .options(joinedload(Invitation.account, innerjoin=True).joinedload(Account.agency, innerjoin=True))
    )
    if found is None:
        raise NotFound
    return found


def state_at(invitation: Invitation, now: datetime) -> InvitationState:
    """The state at ``now``: a link past its time is expired whether or not the sweep has come (promise 5)."""
    if invitation.state is InvitationState.LIVE and is_expired(invitation.expires_at, now):
        return InvitationState.EXPIRED
    return invitation.state


def check_live(invitation: Invitation, now: datetime) -> None:
    """Raises `LinkEnded` with how a link ended (rule 3.7).

    A replaced one whose successor has ended as well ended as that one did: asking for a new mail would not help.
    """
    state = state_at(invitation, now)
    if state is InvitationState.LIVE:
        return
    if state is InvitationState.REPLACED:
        latest = latest_invitation(invitation.account_id, invitation.kind)
        assert latest is not None, "at least this one"
        latest_state = state_at(latest, now)
        state = state if latest_state is InvitationState.LIVE else latest_state
    raise LinkEnded(state)


def open_link(token: str, now: datetime, *kinds: InvitationKind) -> Invitation:
    """The live invitation of a token. Raises `NotFound`, or `LinkEnded` with how it ended (rule 3.7)."""
    invitation = find(token, *kinds)
    check_live(invitation, now)
    return invitation


def resend(account_id: int, kind: InvitationKind, by: audit.By, now: datetime, policy: Policy) -> None:
    """An officer asks for the mail again: a new link to the address signed up with, the old one void (rule 3.8).

    The deadline stays as it was: only an admin's invitation begins 30 days anew. Raises `TooSoon` within a day of the
    last time, or `LinkEnded` where the account waits for this no more.
    """
    # The row is locked, so that pressing twice sends one mail.
    account = hold(account_id)
    live = live_invitation(account_id, kind)
    if account is None or not _waits_for(account, kind) or live is None:
        db.session.rollback()
        raise LinkEnded(InvitationState.EXPIRED)
    if state_at(live, now) is not InvitationState.LIVE:
        db.session.rollback()
        raise LinkEnded(InvitationState.EXPIRED)
    if live.resent_by_officer_at is not None and now - live.resent_by_officer_at < policy.resend_cooldown:
        db.session.rollback()
        raise TooSoon
    fresh = issue(account, kind, now, policy, expires_at=live.expires_at)
    fresh.remind_at = live.remind_at
    fresh.resent_by_officer_at = now
    outbox.post(_LETTERS[kind](account, fresh, now))
    audit.record("invitation.resent", account.id, by, now, invitation=fresh.id, kind=kind)
    db.session.commit()


def _waits_for(account: Account, kind: InvitationKind) -> bool:
    if kind is InvitationKind.SEED:
        return account.status is AccountStatus.ACTIVE and account.seed_status is SeedStatus.INVITED
    return kind is InvitationKind.TECHPASS and account.status is AccountStatus.PENDING


def latest_invitation(account_id: int, kind: InvitationKind) -> Invitation | None:
    """The account's last link of ``kind``, however it ended."""
    return db.session.scalar(
        select(Invitation)
        .where(Invitation.account_id == account_id, Invitation.kind == kind)
        .order_by(Invitation.id.desc())
        .limit(1)
    )


def live_invitation(account_id: int, kind: InvitationKind) -> Invitation | None:
    """The account's live link of ``kind``; it may be past its time (see `state_at`)."""
    return db.session.scalar(
        select(Invitation).where(
            Invitation.account_id == account_id,
            Invitation.kind == kind,
            Invitation.state == InvitationState.LIVE,
        )
    )
