"""The outbox: mails as rows, written in the transaction of what they tell and sent after it (promises 1 and 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, bindparam, update

from webapp import queue
from webapp.domain.lifecycle import MailState
from webapp.extensions import db
from webapp.models import Mail
from webapp.models.base import insert_new

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from webapp.emails import MailRow


def post(*rows: MailRow) -> None:
    """Write mails, to be sent after the commit. One whose key is there already is left out. No commit."""
    if rows:
        db.session.execute(insert_new(Mail), list(rows))
        wake()


def wake() -> None:
    """Have the deliverer run after the commit."""
    queue.wake_after_commit(db.session, "deliver")


def cancel(account_id: int, *, keep: Sequence[str] = (), only: Sequence[str] | None = None) -> list[int]:
    """Take back what has not left yet for an account: all kinds but ``keep``, or those in ``only``. No commit.

    Gives the numbers of those mails.
    """
    chosen = Mail.kind.not_in(keep) if only is None else Mail.kind.in_(only)
    gone = db.session.scalars(
        update(Mail)
        .where(Mail.account_id == account_id, Mail.state == MailState.QUEUED, chosen)
        .values(state=MailState.CANCELLED)
        .returning(Mail.id)
    )
    return list(gone)


def put_off(account_id: int, kind: str, until: datetime) -> None:
    """Have an account's mails of ``kind`` that have not left yet leave not before ``until``. No commit."""
    theirs = (Mail.account_id == account_id, Mail.kind == kind, Mail.state == MailState.QUEUED)
    db.session.execute(update(Mail).where(*theirs).values(due_at=until))


def has_state(state: MailState) -> ColumnElement[bool]:
    """A condition on mails. The state is written out: as a parameter it would hide that a partial index fits."""
    return Mail.state == bindparam(None, state, Mail.__table__.c.state.type, literal_execute=True)
