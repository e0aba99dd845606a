"""Mails that failed: for want of a mail server, which is forgiven once it is back, or for good until sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import exists, select, update
from sqlalchemy.orm import aliased

from webapp.domain.lifecycle import MailState
from webapp.emails.purpose import NEWEST_ALONE
from webapp.extensions import db
from webapp.models import Mail
from webapp.services import audit, outbox
from webapp.services.errors import NotFound
from webapp.services.outbox import has_state
from webapp.services.sets import execute

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement

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
    for_want_of_it = Mail.last_answer == NO_SERVER
    _take_back_older(for_want_of_it)
    execute(
        update(Mail)
        .where(has_state(MailState.FAILED), for_want_of_it)
        .values(state=MailState.QUEUED, due_at=now, tries=0, last_answer="")
    )
    db.session.commit()


def failed() -> Sequence[Mail]:
    """The mails that failed, oldest first."""
    return db.session.scalars(select(Mail).where(has_state(MailState.FAILED)).order_by(Mail.id)).all()


class Retried(NamedTuple):
    """How many mails are queued again, and how many older ones of their kind are taken back instead."""

    queued: int
    taken_back: int


def retry(now: datetime, by: audit.By, mail_id: int | None = None) -> Retried:
    """Queue one failed mail again, or all of them. Raises `NotFound` where the one has not failed.

    Of several reminders to one person the newest alone is sent (rule 3.3), whichever of them is the one.
    """
    which: list[ColumnElement[bool]] = []
    whose = None
    if mail_id is not None:
        which = [Mail.id == mail_id]
        found = select(Mail.account_id, Mail.kind).where(*which, has_state(MailState.FAILED))
        whose, kind = db.session.execute(found).one_or_none() or (None, "")
        if kind in NEWEST_ALONE:
            which = [Mail.account_id == whose, Mail.kind == kind]
    taken_back = _take_back_older(*which)
    again = update(Mail).where(has_state(MailState.FAILED), *which)
    done = Retried(execute(again.values(state=MailState.QUEUED, due_at=now, tries=0)), taken_back)
    if any(done):
        # One mail is a line of its holder's record; all of them are nobody's.
        detail = {"count": done.queued} if mail_id is None else {"mail": mail_id}
        audit.record("mail.retried", whose, by, now, **detail, **({"taken_back": taken_back} if taken_back else {}))
        outbox.wake()
    elif mail_id is not None:
        db.session.rollback()
        raise NotFound
    db.session.commit()
    return done


def _take_back_older(*which: ColumnElement[bool]) -> int:
    """Take back the failed mails of `NEWEST_ALONE` that a newer one to the same person follows; how many. No commit."""
    newer = aliased(Mail)
    is_followed = exists().where(
        newer.account_id == Mail.account_id,
        newer.kind == Mail.kind,
        newer.id > Mail.id,
        newer.state != MailState.CANCELLED,
    )
    older = update(Mail).where(has_state(MailState.FAILED), Mail.kind.in_(NEWEST_ALONE), is_followed, *which)
    return execute(older.values(state=MailState.CANCELLED))
