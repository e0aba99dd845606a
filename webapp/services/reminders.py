"""Reminders of invitations that wait: of TechPass one a day towards the end, of SEED two (rules 3.3 and 4.3)."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from flask import current_app
from sqlalchemy import ColumnElement, Select, and_, or_, select, update
from sqlalchemy.orm import contains_eager

from webapp import emails
from webapp.domain.deadlines import invitation_day, next_reminder, next_seed_reminder, seed_reminder
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState, MailState, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Invitation, Mail
from webapp.services import outbox
from webapp.services.sets import NOT_ON_HOLD, among, execute

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.domain.policy import Policy
    from webapp.emails import MailRow

BATCH = 1000
"""Reminders in one transaction: they pass through Python, and this bounds the memory."""

_MAY_HOLD_SEED = (AccountStatus.PENDING, AccountStatus.ACTIVE)

WAITS: ColumnElement[bool] = or_(
    and_(Invitation.kind == InvitationKind.TECHPASS, Account.status == AccountStatus.PENDING),
    and_(
        Invitation.kind == InvitationKind.SEED,
        Account.seed_status == SeedStatus.INVITED,
        Account.status.in_(_MAY_HOLD_SEED),
    ),
)
"""Links that are still to be accepted by somebody who can."""


def marked(now: datetime) -> Select[Invitation]:
    """Live links whose mark for a reminder is reached, with their accounts; none on hold. `due` says who gets one."""
    return (
        select(Invitation)
        .join(Invitation.account)
        .where(Invitation.state == InvitationState.LIVE, Invitation.remind_at <= now, NOT_ON_HOLD)
        .order_by(Invitation.remind_at)
    )


def due(now: datetime) -> Select[Invitation]:
    """Those of `marked` that are still to be accepted by somebody, and still can be."""
    return marked(now).where(WAITS, Invitation.expires_at > now)


def _is_due(invitation: Invitation, now: datetime) -> bool:
    """What `due` says, of a link that is locked."""
    account = invitation.account
    if invitation.expires_at <= now:
        return False
    if invitation.kind is InvitationKind.SEED:
        return account.seed_status is SeedStatus.INVITED and account.status in _MAY_HOLD_SEED
    return invitation.kind is InvitationKind.TECHPASS and account.status is AccountStatus.PENDING


def letter(link: Invitation, account: Account, now: datetime, policy: Policy) -> MailRow:
    """The reminder of a link that is `due`."""
    if link.kind is InvitationKind.SEED:
        return emails.seed_reminder(account, link, seed_reminder(link.expires_at, now, policy), now)
    return emails.onboarding_reminder(account, link, invitation_day(link.issued_at, now), now)


def _following(link: Invitation, now: datetime, policy: Policy) -> datetime | None:
    if link.kind is InvitationKind.SEED:
        return next_seed_reminder(link.expires_at, now, policy)
    return next_reminder(link.issued_at, link.expires_at, now)


def remind(now: datetime) -> int:
    """Write the reminders that are due and set the next; how many. Commits batch by batch.

    After days without a sweep there is one mail, not one for each day missed.
    """
    policy = current_app.config["POLICY"]
    count = 0
    while True:
        batch = db.session.scalars(
            marked(now)
            .limit(BATCH)
            .options(contains_eager(Invitation.account))
            .with_for_update(of=(Invitation, Account), skip_locked=True, key_share=True)
            .execution_options(populate_existing=True)
        ).all()
        if not batch:
            db.session.rollback()
            return count
        letters: defaultdict[InvitationKind, list[MailRow]] = defaultdict(list)
        marks: list[dict[str, Any]] = []
        for link in batch:
            following = None
            if _is_due(link, now):
                letters[link.kind].append(letter(link, link.account, now, policy))
                following = _following(link, now, policy)
            marks.append({"id": link.id, "remind_at": following})
        for of_one_kind in letters.values():
            post_reminders(of_one_kind)
            count += len(of_one_kind)
        db.session.execute(update(Invitation), marks)
        db.session.commit()


def post_reminders(letters: list[MailRow]) -> None:
    """Write reminders of one kind, each in place of an older one that has not left yet: no burst once mail flows again.

    No commit.
    """
    if not letters:
        return
    execute(
        update(Mail)
        .where(
            among(Mail.account_id, [letter["account_id"] for letter in letters]),
            Mail.kind == letters[0]["kind"],
            Mail.state == MailState.QUEUED,
            Mail.key.not_in([letter["key"] for letter in letters]),
        )
        .values(state=MailState.CANCELLED)
    )
    outbox.post(*letters)
