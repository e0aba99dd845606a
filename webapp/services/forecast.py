"""What the clock alone will bring in the next 30 days: how much of each kind on each day, and to whom (rule 8.7).

The numbers are counted by a job, so that no page counts a million rows; the lists are read as things stand. Both say
what the columns say now: who accepts, signs in or is put on hold meanwhile drops out, and what follows from something
that is itself still ahead comes in once that has happened. What is overdue counts as today's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Date, Interval, Time, and_, delete, func, literal, or_, select, tuple_
from sqlalchemy import cast as sql_cast

from webapp.domain.business_days import singapore_date, start_of_day
from webapp.domain.deadlines import DAY
from webapp.domain.lifecycle import AccountStatus, InvitationKind
from webapp.domain.measures import Measure
from webapp.extensions import db
from webapp.models import Account, DailyCount, Device, Invitation
from webapp.models.base import put_rows
from webapp.services import device_removal, expiry, inactivity, purge, reminders
from webapp.services.sets import count_up_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import InstrumentedAttribute

    from webapp.domain.policy import Policy

DAYS = 30
PAGE = 50
COUNTED_EVERY = timedelta(minutes=5)
MOST_COUNTED = 1000
"""How far people on hold are counted on a page."""


class Kind(StrEnum):
    """What may happen to somebody by the clock alone."""

    REMIND = "remind"
    EXPIRE = "expire"
    EXPIRE_SEED = "expire_seed"
    REMOVE_DEVICE = "remove_device"
    CHECK_INACTIVITY = "check_inactivity"
    DELETE = "delete"


MEASURES = {
    Kind.REMIND: Measure.WILL_REMIND,
    Kind.EXPIRE: Measure.WILL_EXPIRE,
    Kind.EXPIRE_SEED: Measure.WILL_EXPIRE_SEED,
    Kind.REMOVE_DEVICE: Measure.WILL_REMOVE_DEVICE,
    Kind.CHECK_INACTIVITY: Measure.WILL_CHECK_INACTIVITY,
    Kind.DELETE: Measure.WILL_DELETE,
}

Key = tuple[datetime, int]
"""The instant and the number of a row, after which a list goes on."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """The table of the next days, today first."""

    days: Sequence[date]
    counts: Mapping[tuple[date, Kind], int]
    counted_at: datetime | None
    """As of when; None while nothing was counted yet."""

    def busy(self, day: date) -> list[Kind]:
        """What happens on a day at all."""
        return [kind for kind in Kind if self.counts.get((day, kind))]

    def total(self, kind: Kind) -> int:
        return sum(self.counts.get((day, kind), 0) for day in self.days)


@dataclass(frozen=True, slots=True)
class Due:
    """One line of a list: to whom, and when."""

    number: int
    """Of the link, the device or the account: with ``key_at`` the key of the line."""
    key_at: datetime
    at: datetime
    account_id: int
    email: str
    status: AccountStatus
    link: InvitationKind | None = None
    """The link that it hangs on, which can be extended."""


def days_from(now: datetime) -> list[date]:
    """The days of the forecast."""
    return [singapore_date(now) + number * DAY for number in range(DAYS)]


def end_of(day: date) -> datetime:
    """The last second of a day in Singapore."""
    return start_of_day(day + DAY) - timedelta(seconds=1)


# What falls due until an instant, by the very conditions of the sweep.


def _reminded(until: datetime) -> Select[*tuple[Any, ...]]:
    return reminders.marked(until).where(reminders.WAITS)


@dataclass(frozen=True)
class _Source:
    """Where the rows of a kind come from: all that are due until an instant, their time and their number."""

    until: Any
    at: InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None]
    number: InstrumentedAttribute[int]
    has_link: bool = False


_SOURCES = {
    Kind.REMIND: _Source(_reminded, Invitation.remind_at, Invitation.id, True),
    Kind.EXPIRE: _Source(expiry.overdue_accounts, Invitation.expires_at, Invitation.id, True),
    Kind.EXPIRE_SEED: _Source(expiry.overdue_seed, Invitation.expires_at, Invitation.id, True),
    Kind.REMOVE_DEVICE: _Source(device_removal.overdue, Device.remove_at, Device.id),
    Kind.CHECK_INACTIVITY: _Source(inactivity.due, Account.inactivity_due_at, Account.id),
    Kind.DELETE: _Source(purge.due, Account.purge_at, Account.id),
}


def _on_sqlite() -> bool:
    return db.session.get_bind().dialect.name == "sqlite"


def _day_of(at: ColumnElement[Any] | InstrumentedAttribute[Any]) -> ColumnElement[Any]:
    """The day in Singapore; text on SQLite."""
    if _on_sqlite():
        return func.date(at, "+8 hours")
    return sql_cast(_in_singapore(at), Date)


def _time_of(at: ColumnElement[Any] | InstrumentedAttribute[Any]) -> ColumnElement[Any]:
    if _on_sqlite():
        return func.strftime("%H:%M:%f", at, "+8 hours")
    return sql_cast(_in_singapore(at), Time)


def _in_singapore(at: ColumnElement[Any] | InstrumentedAttribute[Any]) -> ColumnElement[Any]:
    return func.timezone(literal(timedelta(hours=8), Interval), at)


def _as_date(value: date | str) -> date:
    return date.fromisoformat(value) if isinstance(value, str) else value


# The numbers.


def count_ahead(now: datetime, policy: Policy) -> None:
    """Count the numbers of the next 30 days anew. One query a kind; two at once do no harm. Commits."""
    days = days_from(now)
    end = start_of_day(days[-1] + DAY)
    counts: Counter[tuple[date, Measure]] = Counter({(day, each): 0 for day in days for each in MEASURES.values()})
    for kind, measure in MEASURES.items():
        found = _reminders(days[0], end, policy) if kind is Kind.REMIND else _once(_SOURCES[kind], days[0], end)
        for first, last, number in found:
            for day in days:
                if first <= day <= last:
                    counts[day, measure] += number
    db.session.execute(delete(DailyCount).where(DailyCount.measure.in_(MEASURES.values()), DailyCount.day < days[0]))
    put_rows(
        DailyCount,
        [
            {"day": day, "measure": measure, "count": number, "counted_at": now}
            for (day, measure), number in sorted(counts.items())
        ],
    )
    db.session.commit()


def keep_counted(now: datetime, policy: Policy) -> None:
    """`count_ahead`, unless that was done in the last minutes: for a job that runs each minute."""
    last = ahead(now).counted_at
    if last is None or now >= last + COUNTED_EVERY or singapore_date(last) != singapore_date(now):
        count_ahead(now, policy)


def _once(source: _Source, today: date, end: datetime) -> Iterator[tuple[date, date, int]]:
    """The first day, the last day, which is the same, and how many."""
    day = _day_of(source.at)
    query = source.until(end).where(source.at < end).order_by(None).with_only_columns(day, func.count())
    for value, number in db.session.execute(query.group_by(day)):
        yield max(_as_date(value), today), max(_as_date(value), today), number


def _reminders(today: date, end: datetime, policy: Policy) -> Iterator[tuple[date, date, int]]:
    """`_once` for reminders: TechPass has one on each day until it expires, SEED a last one (rules 3.3 and 4.3)."""
    columns: list[Any] = [
        Invitation.kind,
        _day_of(Invitation.remind_at),
        _day_of(Invitation.expires_at),
        _time_of(Invitation.remind_at) < _time_of(Invitation.expires_at),
    ]
    query = _reminded(end).order_by(None).with_only_columns(*columns, func.count()).group_by(*columns)
    rows: Sequence[Any] = db.session.execute(query).all()
    for kind, first_value, end_value, also_on_last_day, number in rows:
        first, expires = max(_as_date(first_value), today), _as_date(end_value)
        if kind is InvitationKind.TECHPASS:
            yield first, expires if also_on_last_day else expires - DAY, number
            continue
        yield first, first, number
        last = expires - policy.seed_last_reminder_days * DAY
        if last > first:
            yield last, last, number


def ahead(now: datetime) -> Ahead:
    """The numbers of the next 30 days as they were when last counted."""
    days = days_from(now)
    rows = db.session.execute(
        select(DailyCount.day, DailyCount.measure, DailyCount.count.label("number"), DailyCount.counted_at).where(
            DailyCount.measure.in_(MEASURES.values()), DailyCount.day >= days[0], DailyCount.day <= days[-1]
        )
    ).all()
    kinds = {measure: kind for kind, measure in MEASURES.items()}
    return Ahead(
        days,
        {(row.day, kinds[row.measure]): row.number for row in rows},
        max((row.counted_at for row in rows), default=None),
    )


# The lists.


def on_day(day: date, kind: Kind, now: datetime, policy: Policy, after: Key | None = None) -> list[Due]:
    """Who it happens to on ``day``: one more than a page, which tells that there is a next one.

    By time; reminders the other way round, so that those of long ago whose link has expired by then come last.
    """
    source = _SOURCES[kind]
    is_today = day <= singapore_date(now)
    start, end = start_of_day(day), start_of_day(day + DAY)
    query = source.until(end).where(source.at < end)
    key = tuple_(source.at, source.number)
    if kind is Kind.REMIND:
        query = query.where(_is_reminded_on(start, end, policy, is_today=is_today))
        query = query.order_by(None).order_by(source.at.desc(), source.number.desc())
        query = query if after is None else query.where(key < after)
    else:
        query = query if is_today else query.where(source.at >= start)
        query = query.order_by(None).order_by(source.at, source.number)
        query = query if after is None else query.where(key > after)
    columns: list[Any] = [source.number.label("number"), source.at.label("at"), Account.id.label("account_id")]
    columns += [Account.email, Account.status, *([Invitation.kind] if source.has_link else [])]
    rows = db.session.execute(query.with_only_columns(*columns).limit(PAGE + 1))
    return [
        Due(
            row.number,
            row.at,
            _within(row.at, start) if kind is Kind.REMIND and not is_today else row.at,
            row.account_id,
            row.email,
            row.status,
            row.kind if source.has_link else None,
        )
        for row in rows
    ]


def _is_reminded_on(start: datetime, end: datetime, policy: Policy, *, is_today: bool) -> ColumnElement[bool]:
    """Of the links that are first reminded of before ``end``: those that are on the day that begins at ``start``."""
    before_it_expires = or_(
        Invitation.expires_at >= end,
        and_(Invitation.expires_at >= start, _time_of(Invitation.remind_at) < _time_of(Invitation.expires_at)),
    )
    daily = and_(Invitation.kind == InvitationKind.TECHPASS, before_it_expires)
    if is_today:
        return or_(daily, Invitation.kind == InvitationKind.SEED)
    last = policy.seed_last_reminder_days * DAY
    is_last = and_(Invitation.expires_at >= start + last, Invitation.expires_at < end + last)
    twice = and_(Invitation.kind == InvitationKind.SEED, or_(Invitation.remind_at >= start, is_last))
    return or_(daily, twice)


def _within(first: datetime, start: datetime) -> datetime:
    """The one of the days after ``first``, 24 hours each, that comes on the day that begins at ``start``."""
    return first if first >= start else first + -((first - start) // DAY) * DAY


def on_hold(before: int | None = None) -> list[Due]:
    """Who is on hold, the newest accounts first: one more than a page. ``at`` is when a person last changed it."""
    query = (
        select(Account.id, Account.changed_at, Account.email, Account.status)
        .where(Account.under_investigation)
        .order_by(Account.id.desc())
        .limit(PAGE + 1)
    )
    if before is not None:
        query = query.where(Account.id < before)
    return [
        Due(row.id, row.changed_at, row.changed_at, row.id, row.email, row.status) for row in db.session.execute(query)
    ]


def count_on_hold() -> int:
    """How many are on hold, counted no further than one more than `MOST_COUNTED`."""
    return count_up_to(select(Account.id).where(Account.under_investigation), MOST_COUNTED + 1)
