"""Onboarding: from an accepted invitation, step by step, to an active account (rules 3.6, 3.9 and 7.3).

Each answer locks the account's row, so that answers given at once are taken one after the other, and none out of order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import update

from webapp import emails
from webapp.domain.deadlines import inactivity
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState, check_account_transition
from webapp.domain.onboarding import AGREEMENT_STEPS, Progress, Step, is_complete, next_step, steps
from webapp.domain.tokens import invitation_purpose, recover_token
from webapp.extensions import db
from webapp.links import invitation_path
from webapp.models import Account, Invitation, SessionKind
from webapp.services import agreements, audit, authenticators, inviters, outbox
from webapp.services.errors import AgreementChanged, LinkEnded, NotTheNextStep, WrongCode
from webapp.services.held import hold
from webapp.services.invitations import check_live, find, state_at
from webapp.services.keys import secret_keys
from webapp.services.sessions import end_all_sessions, open_session

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.domain.policy import Policy
    from webapp.models import BrowserSession

_RIGHTFUL = {
    InvitationKind.TECHPASS: AccountStatus.PENDING,
    InvitationKind.AUTHENTICATOR: AccountStatus.ACTIVE,
}
"""The status of an account that a link of a kind is for."""


@dataclass(frozen=True, slots=True)
class Onboarding:
    """Where somebody stands."""

    account: Account
    invitation: Invitation
    progress: Progress

    @property
    def step(self) -> Step:
        return next_step(self.progress)

    @property
    def steps(self) -> tuple[Step, ...]:
        return steps(self.progress)


def accept(
    token: str, kind: InvitationKind, by: audit.By, now: datetime, policy: Policy, user_agent: str
) -> tuple[str, Step]:
    """Begin onboarding by a mailed link, or go on with it: the token of its session, and the next step.

    The link is not used up by it (rule 3.6). Raises `NotFound` or `LinkEnded`.
    """
    invitation = find(token, kind)
    account = hold(invitation.account_id)
    assert account is not None, "links keep their account"
    db.session.refresh(invitation, ["state", "expires_at", "accepted_at"])  # It was read before the row was ours.
    _check_live(account, invitation, now)
    if kind is InvitationKind.AUTHENTICATOR:
        authenticators.create_key(account.id, now)
    invitation.accepted_at = invitation.accepted_at or now
    opened = open_session(
        account,
        SessionKind.ONBOARDING,
        now,
        policy,
        peer=by.peer or "",
        user_agent=user_agent,
        invitation_id=invitation.id,
    )
    audit.record("invitation.accepted", account.id, by, now, invitation=invitation.id, kind=kind)
    step = next_step(_progress(account, kind, now))
    db.session.commit()
    return opened, step


def where(session: BrowserSession, now: datetime) -> Onboarding:
    """Where the person of an onboarding session stands. Raises `LinkEnded` if its link no longer holds."""
    invitation = db.session.get_one(Invitation, session.invitation_id, populate_existing=True)
    _check_live(session.account, invitation, now)
    return Onboarding(session.account, invitation, _progress(session.account, invitation.kind, now))


def link_of(session: BrowserSession) -> str | None:
    """The path of the link that a session was begun with: its page says how it ended and what works now."""
    invitation = db.session.get_one(Invitation, session.invitation_id)
    purpose = invitation_purpose(invitation.kind)
    token = recover_token(secret_keys(), purpose, invitation.nonce, invitation.token_hash)
    return invitation_path(invitation.kind, token) if token else None


def accept_permissions(session: BrowserSession, by: audit.By, now: datetime) -> None:
    """The first step; the key that the next page shows is made here. Raises `LinkEnded` or `NotTheNextStep`."""
    account = _take(session, Step.PERMISSIONS, now).account
    account.permissions_at = now
    authenticators.create_key(account.id, now)
    audit.record("onboarding.permissions_accepted", account.id, by, now)
    db.session.commit()


def confirm_authenticator(session: BrowserSession, code: str, by: audit.By, now: datetime, policy: Policy) -> None:
    """One code of the app confirms it; the recovery codes that the next page shows are made here.

    Raises `LinkEnded`, `NotTheNextStep` or `WrongCode`.
    """
    account = _take(session, Step.AUTHENTICATOR, now).account
    if not authenticators.confirm(account.id, code, now):
        db.session.commit()  # Nothing was written; lets go of the row while the page is made.
        raise WrongCode
    authenticators.create_recovery_codes(account, policy)
    audit.record("authenticator.confirmed", account.id, by, now)
    db.session.commit()


def confirm_recovery_codes(
    session: BrowserSession, code: str, by: audit.By, now: datetime, policy: Policy, user_agent: str
) -> str | None:
    """One of the codes typed back shows that they are saved; it is not used up by it.

    The token of the signed-in session where this was the last step (rule 7.3), else None. Raises `LinkEnded`,
    `NotTheNextStep` or `WrongCode`.
    """
    found = _take(session, Step.RECOVERY_CODES, now)
    if not authenticators.is_recovery_code(found.account.id, code):
        db.session.commit()
        raise WrongCode
    found.account.recovery_saved_at = now
    found.account.recovery_nonce = None
    audit.record("recovery_codes.saved", found.account.id, by, now)
    return _finish_if_complete(found, by, now, policy, user_agent)


def accept_agreement(
    session: BrowserSession, step: Step, version: str, by: audit.By, now: datetime, policy: Policy, user_agent: str
) -> str | None:
    """Record the acceptance of the document that ``step`` shows, in the version that was shown.

    The last one makes the account active: then the token of the signed-in session, else None. Raises `LinkEnded`,
    `NotTheNextStep` or `AgreementChanged`.
    """
    found = _take(session, step, now)
    agreement = agreements.in_force(AGREEMENT_STEPS[step], now)
    if version != agreement.version:
        db.session.commit()
        raise AgreementChanged
    agreements.accept(found.account.id, agreement, by.peer or "", now)
    detail = {"document": agreement.document, "version": agreement.version}
    audit.record("agreement.accepted", found.account.id, by, now, **detail)
    return _finish_if_complete(found, by, now, policy, user_agent)


def _check_live(account: Account, invitation: Invitation, now: datetime) -> None:
    """Raises `LinkEnded` unless the link may be followed at ``now`` by somebody in this status."""
    check_live(invitation, now)
    if account.status is not _RIGHTFUL[invitation.kind]:
        raise LinkEnded(InvitationState.EXPIRED)


def _progress(account: Account, kind: InvitationKind, now: datetime) -> Progress:
    return Progress(
        kind=kind,
        wants_seed=account.seed_requested,
        permissions=account.permissions_at is not None,
        authenticator=authenticators.is_confirmed(account.id),
        recovery_codes=account.recovery_saved_at is not None,
        accepted=agreements.accepted(account.id, now),
    )


def _take(session: BrowserSession, step: Step, now: datetime) -> Onboarding:
    """Lock the account, and see that the answer is to the next step (T7)."""
    hold(session.account_id)
    found = where(session, now)
    if found.step is not step:
        db.session.commit()
        raise NotTheNextStep
    return found


def _finish_if_complete(found: Onboarding, by: audit.By, now: datetime, policy: Policy, user_agent: str) -> str | None:
    account, invitation = found.account, found.invitation
    if not is_complete(_progress(account, invitation.kind, now)):
        db.session.commit()
        return None
    used = db.session.scalar(
        update(Invitation)
        .where(Invitation.id == invitation.id, Invitation.state == InvitationState.LIVE, Invitation.expires_at >= now)
        .values(state=InvitationState.USED, ended_at=now)
        .returning(Invitation.id)
    )
    if used is None:
        db.session.rollback()
        db.session.refresh(invitation)
        raise LinkEnded(state_at(invitation, now))
    if invitation.kind is InvitationKind.TECHPASS:
        _activate(account, by, now, policy)
    else:
        account.changed_at = account.idle_since = now
        account.inactivity_due_at = inactivity(now, now, None, now, policy).next_check
        outbox.cancel(account.id, only=("authenticator_setup",))
        outbox.post(emails.authenticator_changed(account, now))
        audit.record("authenticator.replaced", account.id, by, now)
    # The session that came this far is not the one that is signed in (L5).
    end_all_sessions(account.id)
    token = open_session(
        account,
        SessionKind.SIGNED_IN,
        now,
        policy,
        peer=by.peer or "",
        user_agent=user_agent,
        confirmed_at=authenticators.confirmed_at(account.id),
    )
    db.session.commit()
    return token


def _activate(account: Account, by: audit.By, now: datetime, policy: Policy) -> None:
    check_account_transition(account.status, AccountStatus.ACTIVE)
    activated = db.session.scalar(
        update(Account)
        .where(Account.id == account.id, Account.status == AccountStatus.PENDING)
        .values(
            status=AccountStatus.ACTIVE,
            status_at=now,
            changed_at=now,
            activated_at=now,
            idle_since=now,
            inactivity_due_at=inactivity(now, now, None, now, policy).next_check,
        )
        .returning(Account.id)
    )
    if activated is None:
        db.session.rollback()
        raise LinkEnded(InvitationState.EXPIRED)
    outbox.cancel(account.id, only=("techpass_onboarding", "onboarding_reminder"))
    audit.record("account.activated", account.id, by, now)
    inviters.tell_each([account.id], emails.invitation_completed, now)
