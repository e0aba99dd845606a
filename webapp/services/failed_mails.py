"""Mails that failed: for want of a mail server, which is forgiven once it is back, or for good until sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from webapp.domain.lifecycle import MailState
from webapp.extensions import db
from webapp.models import Mail
from webapp.services import audit, outbox
from webapp.services.errors import NotFound
from webapp.services.outbox import has_state
from webapp.services.sets import execute

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

NO_SERVER = "The mail server could not be reached for two days."


def fail_after_outage(now: datetime, outage: timedelta) -> int:
    """While nothing can be tried, what has been due for ``outage`` is shown as failed; how many."""
    count = execute(
        update(Mail)
        .where(has_state(MailState.QUEUED), Mail.due_at < now - outage)
        .values(state=MailState.FAILED, last_answer=NO_SERVER)
    )
    db.session.commit()
    return count


def is_any_to_forgive() -> bool:
    query = select(Mail.id).where(has_state(MailState.FAILED), Mail.last_answer == NO_SERVER).limit(1)
    found = db.session.scalar(query)
    db.session.rollback()
    return found is not None


def forgive_outage(now: datetime) -> None:
    """The server is back: what failed for its absence alone is due again (promise 1)."""
    execute(
        update(Mail)
        .where(has_state(MailState.FAILED), Mail.last_answer == NO_SERVER)
        .values(state=MailState.QUEUED, due_at=now, tries=0, last_answer="")
    )
    db.session.commit()


def failed() -> Sequence[Mail]:
    """The mails that failed, oldest first."""
    return db.session.scalars(select(Mail).where(has_state(MailState.FAILED)).order_by(Mail.id)).all()


def retry(now: datetime, by: audit.By, mail_id: int | None = None) -> int:
    """Queue one failed mail again, or all of them; how many. Raises `NotFound` where the one has not failed."""
    chosen = update(Mail).where(has_state(MailState.FAILED))
    if mail_id is not None:
        chosen = chosen.where(Mail.id == mail_id)
    count = execute(chosen.values(state=MailState.QUEUED, due_at=now, tries=0))
    if mail_id is not None and not count:
        db.session.rollback()
        raise NotFound
    if count:
        detail = {"count": count} if mail_id is None else {"mail": mail_id}
        # One mail is a line of its holder's record; all of them are nobody's.
        whose = db.session.scalar(select(Mail.account_id).where(Mail.id == mail_id)) if mail_id is not None else None
        audit.record("mail.retried", whose, by, now, **detail)
        outbox.wake()
    db.session.commit()
    return count
