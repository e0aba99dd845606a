"""Whether each part that the portal stands on answers, and the numbers an operator watches (promise 9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from webapp import queue
from webapp.domain.lifecycle import AccountStatus, MailState, RequestState
from webapp.extensions import db
from webapp.models import Account, Mail, Request
from webapp.services.expiry import overdue
from webapp.services.sets import NOT_ON_HOLD

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Select


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    ok: bool
    detail: str


def parts(now: datetime) -> list[Part]:
    """Database, queue, workers, cron and mail, each by itself: one that is down does not hide the others."""
    return [_database(), *_queue(now), _mail(now)]


def _database() -> Part:
    try:
        db.session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        db.session.rollback()
        return Part("database", False, type(error).__name__)
    return Part("database", True, "answers")


def _queue(now: datetime) -> list[Part]:
    try:
        workers = queue.count_workers()
        cron_seen = queue.cron_seen_at()
    except redis.RedisError as error:
        return [Part(name, False, type(error).__name__) for name in ("queue", "worker", "cron")]
    late = cron_seen is None or (now - cron_seen).total_seconds() > queue.CRON_LATE_SECONDS
    return [
        Part("queue", True, "answers"),
        Part("worker", workers > 0, f"{workers} running"),
        Part("cron", not late, "never seen" if cron_seen is None else f"last job {cron_seen.isoformat()}"),
    ]


def _mail(now: datetime) -> Part:
    """Mail is late rather than down: it is well while nothing due has waited for long."""
    try:
        oldest = db.session.scalar(
            select(func.min(Mail.created_at)).where(Mail.state == MailState.QUEUED, Mail.due_at <= now)
        )
    except SQLAlchemyError as error:
        db.session.rollback()
        return Part("mail", False, type(error).__name__)
    waiting = 0 if oldest is None else int((now - oldest).total_seconds())
    return Part("mail", waiting < 300, f"oldest due mail waits {waiting} s")


def numbers(now: datetime) -> dict[str, float]:
    """Gauges for the operator's monitoring; each is answered from a partial index."""

    def count(table: type, *conditions: object) -> int:
        return rows(select(func.count()).select_from(table).where(*conditions))  # type: ignore[arg-type]

    def rows(query: Select[int]) -> int:
        return db.session.scalar(query) or 0

    return {
        "portal_mails_queued": count(Mail, Mail.state == MailState.QUEUED),
        "portal_mails_failed": count(Mail, Mail.state == MailState.FAILED),
        "portal_requests_open": count(Request, Request.state == RequestState.OPEN),
        # What is on hold waits for an admin, and tells nothing of cron or the workers.
        "portal_invitations_overdue": rows(overdue(now).order_by(None).with_only_columns(func.count())),
        "portal_accounts_awaiting_termination": count(
            Account, Account.status == AccountStatus.PENDING, Account.expired_at.is_not(None), NOT_ON_HOLD
        ),
    }
