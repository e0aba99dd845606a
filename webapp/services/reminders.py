"""One reminder a day to whoever has not accepted the invitation yet (rule 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, select, update
from sqlalchemy.orm import contains_eager

from webapp import emails
from webapp.domain.deadlines import invitation_day, next_reminder
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState, MailState
from webapp.extensions import db
from webapp.models import Account, Invitation, Mail
from webapp.services import outbox
from webapp.services.sets import among, execute

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.emails import MailRow

BATCH = 1000
"""Reminders in one transaction: they pass through Python, and this bounds the memory."""


def marked(now: datetime) -> Select[Invitation]:
    """Live links whose mark for a reminder is reached, with their accounts. Not all of them get one: see `due`."""
    return (
        select(Invitation)
        .join(Invitation.account)
        .where(Invitation.state == InvitationState.LIVE, Invitation.remind_at <= now)
        .order_by(Invitation.remind_at)
    )


def due(now: datetime) -> Select[Invitation]:
    """Those of `marked` that are still to be accepted by somebody, and still can be."""
    return marked(now).where(
        Account.status == AccountStatus.PENDING,
        Invitation.kind == InvitationKind.TECHPASS,
        Invitation.expires_at > now,
    )


def _is_due(invitation: Invitation, now: datetime) -> bool:
    """What `due` says, of a link that is locked."""
    return (
        invitation.account.status is AccountStatus.PENDING
        and invitation.kind is InvitationKind.TECHPASS
        and invitation.expires_at > now
    )


def remind(now: datetime) -> int:
    """Write the reminders that are due and set the next; how many. Commits batch by batch.

    After days without a sweep there is one mail, not one for each day missed.
    """
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
        letters: list[MailRow] = []
        marks: list[dict[str, Any]] = []
        for link in batch:
            following = None
            if _is_due(link, now):
                letters.append(emails.onboarding_reminder(link.account, link, invitation_day(link.issued_at, now), now))
                following = next_reminder(link.issued_at, link.expires_at, now)
            marks.append({"id": link.id, "remind_at": following})
        post_reminders(letters)
        db.session.execute(update(Invitation), marks)
        db.session.commit()
        count += len(letters)


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
