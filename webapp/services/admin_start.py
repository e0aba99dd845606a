"""What needs an admin, for the start page and the daily digest (rule 8.1).

Each number is counted no further than a thousand and by an index, so that the page costs the same whatever waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import redis
from sqlalchemy import bindparam, func, select, text
from sqlalchemy.orm import joinedload

from webapp import emails, queue
from webapp.domain.business_days import singapore_date
from webapp.domain.lifecycle import AccountStatus, MailState, RequestState
from webapp.extensions import db
from webapp.models import Account, HeldSweep, Mail, Request, UnknownAgency
from webapp.services.outbox import has_state

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, ScalarSelect, Select

CAP = 1000
"""Up to how many of a thing are counted: "1,000+" says as much."""
OLDEST = 5
_TOP_AGENCIES = 3
MAIL_LATE = timedelta(minutes=5)
JOB_LATE = timedelta(minutes=10)
_NOTICES = (emails.TERMINATED, "terminated_for_inactivity", "account_terminated")
"""Mails that somebody was told of the end of their TechPass by: without one they do not know (rule 3.4)."""
_ON_HOLD = text("account.under_investigation")


class What(StrEnum):
    """What there is to do beside the requests, the most pressing first."""

    QUEUE_DOWN = "queue_down"
    NO_WORKER = "no_worker"
    CRON_SILENT = "cron_silent"
    JOBS_WAIT = "jobs_wait"
    MAILS_LATE = "mails_late"
    HELD_PARTS = "held_parts"
    FAILED_NOTICES = "failed_notices"
    FAILED_MAILS = "failed_mails"
    FAILED_JOBS = "failed_jobs"
    LOCKED = "locked"
    UNKNOWN_AGENCIES = "unknown_agencies"


@dataclass(frozen=True, slots=True)
class Count:
    """A number that is not counted beyond `CAP`."""

    number: int
    """At most `CAP`."""
    more: bool = False

    @classmethod
    def of(cls, found: int) -> Count:
        return cls(min(found, CAP), found > CAP)

    def __bool__(self) -> bool:
        return self.number > 0

    def __str__(self) -> str:
        return f"{self.number:,}{'+' if self.more else ''}"


@dataclass(frozen=True, slots=True)
class Wait:
    what: What
    count: Count | None = None
    """None where there is nothing to count."""
    names: tuple[str, ...] = ()
    """The parts that are held; the domains that knock most."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What needs an admin now."""

    requests: Count
    oldest: Sequence[Request]
    """The oldest of them, with account and agency."""
    overdue: Count
    """Promises of SEED that are broken."""
    at_risk: Count
    """Promises of SEED whose last day it is."""
    others: tuple[Wait, ...]

    @property
    def is_empty(self) -> bool:
        return not self.requests and not self.others

    @property
    def kinds(self) -> int:
        """Of how many kinds there is something."""
        return bool(self.requests) + len(self.others)

    @property
    def facts(self) -> tuple[object, ...]:
        """What the page says, by which it sees whether anything has changed."""
        return (self.requests, tuple(each.id for each in self.oldest), self.overdue, self.at_risk, self.others)


def waiting(now: datetime) -> Waiting:
    """All that needs an admin. A queue server that is down is told, and keeps nothing else from being told."""
    found = _counted(now)
    counts = {name: Count.of(number) for name, number in found.items()}
    agencies = _knocking() if counts["unknown_agencies"] else ()
    held = tuple(
        db.session.scalars(
            select(HeldSweep.part).where(HeldSweep.allowed.is_(None)).order_by(HeldSweep.held_at, HeldSweep.part)
        )
    )
    others = [
        *_of_the_queue(now),
        Wait(What.MAILS_LATE, counts["mails_late"]),
        Wait(What.HELD_PARTS, Count.of(len(held)), held),
        Wait(What.FAILED_NOTICES, counts["failed_notices"]),
        Wait(What.FAILED_MAILS, counts["failed_mails"]),
        Wait(What.LOCKED, counts["locked"]),
        Wait(What.UNKNOWN_AGENCIES, counts["unknown_agencies"], agencies),
    ]
    there = sorted((wait for wait in others if wait.count is None or wait.count), key=lambda wait: _ORDER[wait.what])
    oldest = _oldest() if counts["requests"] else ()
    return Waiting(counts["requests"], oldest, counts["overdue"], counts["at_risk"], tuple(there))


_ORDER = {what: place for place, what in enumerate(What)}


def _counted(now: datetime) -> dict[str, int]:
    """All numbers by one statement, each a short range of an index."""
    today = singapore_date(now)
    is_open = _is(Request.state, RequestState.OPEN)
    # Literal like the state: a parameter would hide that the partial index fits.
    notices = Mail.kind.in_(bindparam(None, _NOTICES, Mail.__table__.c.kind.type, expanding=True, literal_execute=True))
    # Both values named, so that the index by urgency and time is used.
    late = Mail.urgent.in_((True, False))
    counted = {
        "requests": select(Request.id).where(is_open),
        "overdue": select(Request.id).where(is_open, Request.due_on < today),
        "at_risk": select(Request.id).where(is_open, Request.due_on == today),
        "failed_mails": select(Mail.id).where(has_state(MailState.FAILED)),
        "failed_notices": select(Mail.id).where(has_state(MailState.FAILED), notices),
        "mails_late": select(Mail.id).where(has_state(MailState.QUEUED), late, Mail.due_at < now - MAIL_LATE),
        "locked": select(Account.id).where(_ON_HOLD, Account.status == AccountStatus.DISABLED),
        "unknown_agencies": select(UnknownAgency.domain),
    }
    row = db.session.execute(select(*(_capped(query).label(name) for name, query in counted.items()))).one()
    return dict(row._mapping)


def _capped(query: Select[Any]) -> ScalarSelect[int]:
    return select(func.count()).select_from(query.limit(CAP + 1).subquery()).scalar_subquery()


def _is(column: Any, value: StrEnum) -> ColumnElement[bool]:
    state: ColumnElement[bool] = column == bindparam(None, value, column.type, literal_execute=True)
    return state


def _oldest() -> Sequence[Request]:
    return db.session.scalars(
        select(Request)
        .where(_is(Request.state, RequestState.OPEN))
        .order_by(Request.requested_at, Request.id)
        .limit(OLDEST)
        .options(joinedload(Request.account, innerjoin=True).joinedload(Account.agency, innerjoin=True))
    ).all()


def _knocking() -> tuple[str, ...]:
    """The unknown agencies that knock most."""
    query = select(UnknownAgency.domain).order_by(UnknownAgency.tries.desc(), UnknownAgency.domain.desc())
    return tuple(db.session.scalars(query.limit(_TOP_AGENCIES)))


def _of_the_queue(now: datetime) -> list[Wait]:
    """What is wrong with the machines that work by themselves: the queue server, its workers, cron, the jobs."""
    try:
        workers, cron_seen = queue.count_workers(), queue.cron_seen_at()
        failed, waits_since = queue.count_failed(), queue.waits_since()
    except redis.RedisError:
        return [Wait(What.QUEUE_DOWN)]
    found = [Wait(What.FAILED_JOBS, Count.of(failed))]
    if not workers:
        found.append(Wait(What.NO_WORKER))
    elif waits_since is not None and now - waits_since > JOB_LATE:
        found.append(Wait(What.JOBS_WAIT))
    if cron_seen is None or (now - cron_seen).total_seconds() > queue.CRON_LATE_SECONDS:
        found.append(Wait(What.CRON_SILENT))
    return found
