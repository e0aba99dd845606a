"""Extending an invitation: the same link works until a later day (rule 8.3)."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from webapp import emails
from webapp.domain.business_days import SINGAPORE, singapore_date
from webapp.domain.deadlines import next_seed_reminder, reminder_once_extended
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState, SeedStatus
from webapp.extensions import db
from webapp.models import Invitation
from webapp.services import audit, outbox
from webapp.services.acting import begin
from webapp.services.errors import DayRefused, NotPossible

if TYPE_CHECKING:
    from datetime import date

    from webapp.domain.policy import Policy
    from webapp.models import Account


def days(deadline: datetime, now: datetime, policy: Policy) -> tuple[date, date]:
    """The first and the last day until which a link that ends at ``deadline`` can be extended, both included.

    None is left where the first is later than the last.
    """
    today = singapore_date(now)
    first = max(today + timedelta(days=1), singapore_date(deadline))
    return first + timedelta(days=end_of(first) <= deadline), today + timedelta(days=policy.extend_days)


def end_of(day: date) -> datetime:
    """The last minute of a day in Singapore, as mails print it."""
    return datetime.combine(day, time(23, 59), SINGAPORE)


def waits_for(account: Account, kind: InvitationKind) -> bool:
    """Whether a link of ``kind``, while it is live, is still to be taken up in its own time."""
    if kind is InvitationKind.SEED:
        may_hold = account.status in (AccountStatus.PENDING, AccountStatus.ACTIVE)
        return may_hold and account.seed_status is SeedStatus.INVITED
    return kind is InvitationKind.TECHPASS and account.status is AccountStatus.PENDING and account.expired_at is None


def extendable(account: Account, kind: InvitationKind) -> Invitation | None:
    """The link of ``kind`` whose deadline can be moved, also one past its time that no sweep has ended yet.

    None once the notice of termination was written: what was mailed holds, and the person is invited anew.
    """
    if not waits_for(account, kind):
        return None
    return db.session.scalar(
        select(Invitation)
        .where(
            Invitation.account_id == account.id,
            Invitation.kind == kind,
            Invitation.state == InvitationState.LIVE,
        )
        .execution_options(populate_existing=True)
    )


def extend(
    account_id: int, kind: InvitationKind, until: date, reason: str, by: audit.By, now: datetime, policy: Policy
) -> None:
    """Let the live link of ``kind`` work until the end of ``until`` in Singapore, and mail the new deadline.

    ``reason`` goes on record for good, so it must name nobody. Raises `NotFound`, `OwnAccount`, `ReasonMissing`,
    `NotPossible` where no such link waits any more, or `DayRefused` for a day outside of `days`.
    """
    account, reason = begin(account_id, reason, by)
    link = extendable(account, kind)
    if link is None:
        db.session.rollback()
        raise NotPossible
    before = link.expires_at
    if link.extended_at is not None and now < before == end_of(until):
        db.session.rollback()  # The form was sent twice: it works until then already, and the mail is written.
        return
    first, last = days(before, now, policy)
    if not first <= until <= last:
        db.session.rollback()
        raise DayRefused(first, last)
    link.expires_at = end_of(until)
    link.extended_at = account.changed_at = now
    link.remind_at = _next_reminder(link, now, policy)
    outbox.cancel(account.id, only=("invitation_extended",))
    outbox.post(emails.invitation_extended(account, link, now))
    audit.record(
        "invitation.extended",
        account.id,
        by,
        now,
        reason=reason,
        invitation=link.id,
        kind=kind,
        before={"until": before.isoformat()},
        after={"until": link.expires_at.astimezone(before.tzinfo).isoformat()},
    )
    db.session.commit()


def _next_reminder(link: Invitation, now: datetime, policy: Policy) -> datetime | None:
    if link.kind is InvitationKind.SEED:
        return next_seed_reminder(link.expires_at, now, policy)
    return reminder_once_extended(link.issued_at, link.expires_at, now, policy)
