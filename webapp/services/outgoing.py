"""The outgoing mails as admins see them: newest first, with filters, and one whole (rules 8.5 and 8.10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from webapp.domain.lifecycle import MailState
from webapp.extensions import db
from webapp.models import Account, Mail
from webapp.services.admin_start import MAIL_LATE
from webapp.services.errors import NotFound
from webapp.services.outbox import has_state
from webapp.services.sets import count_up_to

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

PAGE = 50
MOST_COUNTED = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the list is narrowed to; None and "" narrow nothing. ``recipient`` is a whole address, in any case."""

    state: MailState | None = None
    kind: str = ""
    recipient: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the outbox stands: how many failed and wait, counted no further than `MOST_COUNTED` + 1."""

    failed: int
    waiting: int
    oldest_due: datetime | None
    """Since when the first of those that wait could have left; None where none could have yet."""
    is_late: bool
    """Whether that is long enough ago that the mail server, or the worker, may be away."""


def listed(wanted: Wanted, before: int | None = None) -> Sequence[Mail]:
    """Mails, newest first: one more than a page, which tells that there is a next one."""
    query = select(Mail).order_by(Mail.id.desc()).limit(PAGE + 1)
    if wanted.state is not None:
        query = query.where(has_state(wanted.state))
    if wanted.kind:
        query = query.where(Mail.kind == wanted.kind)
    if wanted.recipient:
        theirs = select(Account.id).where(Account.email_folded == wanted.recipient.lower())
        query = query.where(Mail.account_id.in_(theirs))
    if before is not None:
        query = query.where(Mail.id < before)
    return db.session.scalars(query).all()


def find(mail_id: int) -> Mail:
    """One mail. Raises `NotFound`, also once its person's data are deleted."""
    found = db.session.get(Mail, mail_id, populate_existing=True)
    if found is None:
        raise NotFound
    return found


def standing(now: datetime) -> Standing:
    """How it stands at ``now``, answered from indexes of what is not sent yet."""
    failed = count_up_to(select(Mail.id).where(has_state(MailState.FAILED)), MOST_COUNTED + 1)
    waiting = count_up_to(select(Mail.id).where(has_state(MailState.QUEUED)), MOST_COUNTED + 1)
    due = [
        db.session.scalar(
            select(Mail.due_at)
            .where(has_state(MailState.QUEUED), Mail.urgent.is_(urgent), Mail.due_at <= now)
            .order_by(Mail.due_at, Mail.id)
            .limit(1)
        )
        for urgent in (True, False)
    ]
    oldest = min((at for at in due if at), default=None)
    return Standing(failed, waiting, oldest, is_late=oldest is not None and oldest < now - MAIL_LATE)
