"""What happened by day in Singapore: counted from the record by a job, read by the start page (rules 8.1 and 8.10).

A day is counted again until an hour after its end, so that a run costs one short range of the record; whatever was
missed while nothing ran, up to 90 days, is made good by the first run after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import and_, exists, func, or_, select
from sqlalchemy.orm import aliased

from webapp.domain.business_days import singapore_date, start_of_day
from webapp.domain.lifecycle import DeviceStatus, RequestState
from webapp.domain.measures import Measure
from webapp.extensions import db
from webapp.models import AuditEvent, DailyCount, Request
from webapp.models.base import put_rows
from webapp.services.expiry import REASON

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from sqlalchemy import ColumnElement

DAYS = 90
"""How far back numbers are shown, and counted where they are missing."""

_DAY = timedelta(days=1)
_SETTLED_AFTER = timedelta(hours=1)
"""From when on after its end a day is not counted any more: what began in it is committed by then."""
_SEEN_AGAIN_AFTER = timedelta(minutes=5)
"""How often a number that has not changed is written all the same, so that a page can say as of when it holds."""

_earlier = aliased(AuditEvent)


def _before(action: str, *more: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether an event comes after an ``action`` that is on record of the same account."""
    return exists().where(
        _earlier.account_id == AuditEvent.account_id,
        _earlier.id < AuditEvent.id,
        # Changed, so that no index finds it: one account's events are few, all of one kind are many.
        _earlier.action.concat("") == action,
        *more,
    )


def _is_onboarded(event: type[AuditEvent]) -> ColumnElement[bool]:
    onboarded: ColumnElement[bool] = event.detail["status"].as_string() == str(DeviceStatus.ONBOARDED)
    return onboarded


_WAS_APPROVED = _before("techpass.approved")
"""Nobody approves the accounts that the operator makes: they are in no step."""

_HAPPENED: dict[Measure, ColumnElement[bool]] = {
    Measure.SIGNED_UP: AuditEvent.action.in_(("sign_up.requested", "invite.requested")),
    Measure.APPROVED: AuditEvent.action == "techpass.approved",
    Measure.ACTIVATED: and_(AuditEvent.action == "account.activated", _WAS_APPROVED),
    # A person's first device: with more than one, or another one later, they are still one person.
    Measure.SEED_ONBOARDED: and_(
        AuditEvent.action == "device.status",
        _is_onboarded(AuditEvent),
        _WAS_APPROVED,
        ~_before("device.status", _is_onboarded(_earlier)),
    ),
    Measure.EXPIRED: and_(AuditEvent.action == "account.terminated", AuditEvent.detail["reason"].as_string() == REASON),
    Measure.ENDED: AuditEvent.action == "account.terminated",
}
_APPROVAL_UNDONE = AuditEvent.action == "techpass.approval_undone"
_ACTIONS = (
    "sign_up.requested",
    "invite.requested",
    "techpass.approved",
    "techpass.approval_undone",
    "account.activated",
    "device.status",
    "account.terminated",
)
_COUNTED = (*_HAPPENED, Measure.OLDEST_WAITING)

Row = tuple["date", Measure, int]


class Counted(NamedTuple):
    number: int
    counted_at: datetime


Known = Mapping[tuple["date", Measure], Counted]


def count(now: datetime) -> int:
    """Bring the numbers by day up to date with the record; how many were written.

    It may run twice, at once too: the same record gives the same numbers.
    """
    days = _last_days(now)
    known = _known(days)
    counted = [row for day in days if not _is_settled(day, known) for row in _happened(day)]
    counted += _waited(days, known, now)
    changed = [row for row in counted if _is_news(row, known, now)]
    if changed:
        put_rows(
            DailyCount,
            [
                {"day": day, "measure": measure, "count": number, "counted_at": now}
                for day, measure, number in sorted(changed)
            ],
        )
    db.session.commit()
    return len(changed)


def _last_days(now: datetime) -> list[date]:
    today = singapore_date(now)
    return [today - _DAY * back for back in range(DAYS - 1, -1, -1)]


def _known(days: Sequence[date]) -> Known:
    rows = db.session.execute(
        select(DailyCount.day, DailyCount.measure, DailyCount.count, DailyCount.counted_at).where(
            DailyCount.day >= days[0], DailyCount.day <= days[-1], DailyCount.measure.in_(_COUNTED)
        )
    )
    return {(day, measure): Counted(number, counted_at) for day, measure, number, counted_at in rows}


def _is_settled(day: date, known: Known) -> bool:
    final = start_of_day(day + _DAY) + _SETTLED_AFTER
    found = [known.get((day, measure)) for measure in _HAPPENED]
    return all(row is not None and row.counted_at >= final for row in found)


def _is_news(row: Row, known: Known, now: datetime) -> bool:
    day, measure, number = row
    before = known.get((day, measure))
    return before is None or before.number != number or now - before.counted_at >= _SEEN_AGAIN_AFTER


def _happened(day: date) -> list[Row]:
    """What the record has of one day: a range of it for each action, by an index."""
    *found, undone = db.session.execute(
        select(*(func.count().filter(condition) for condition in (*_HAPPENED.values(), _APPROVAL_UNDONE))).where(
            AuditEvent.action.in_(_ACTIONS),
            AuditEvent.at >= start_of_day(day),
            AuditEvent.at < start_of_day(day + _DAY),
        )
    ).one()
    happened = dict(zip(_HAPPENED, found, strict=True))
    happened[Measure.APPROVED] = max(0, happened[Measure.APPROVED] - undone)
    return [(day, measure, number) for measure, number in happened.items()]


def _waited(days: Sequence[date], known: Known, now: datetime) -> list[Row]:
    """How many hours the oldest open request had waited, at its longest: today's so far, and that of days missed."""
    today, measure = days[-1], Measure.OLDEST_WAITING
    oldest = db.session.scalar(
        select(Request.requested_at)
        .where(Request.state == RequestState.OPEN)
        .order_by(Request.requested_at, Request.id)
        .limit(1)
    )
    before = known.get((today, measure))
    hours = max(_hours(now - oldest) if oldest else 0, before.number if before else 0)
    # A day is watched to its end if it was seen in its last minutes.
    watched = {
        day
        for day in days
        if (row := known.get((day, measure))) and row.counted_at >= start_of_day(day + _DAY) - 2 * _SEEN_AGAIN_AFTER
    }
    missed = [day for day in days[:-1] if day not in watched]
    return [(today, measure, hours), *_waited_on(missed, now)]


def _waited_on(days: Sequence[date], now: datetime) -> Iterable[Row]:
    """The same for past days, from the requests themselves. It reads all of them that waited then."""
    if not days:
        return []
    first, last = days[0], days[-1]
    longest = dict.fromkeys(days, 0)
    asked = select(Request.requested_at, Request.decided_at).where(
        Request.requested_at < start_of_day(last + _DAY),
        or_(Request.decided_at.is_(None), Request.decided_at >= start_of_day(first)),
    )
    for requested_at, decided_at in db.session.execute(asked.execution_options(yield_per=5000)):
        until = decided_at or now
        day, end = max(first, singapore_date(requested_at)), min(last, singapore_date(until))
        while day <= end:
            if day in longest:
                waited = _hours(min(until, start_of_day(day + _DAY)) - requested_at)
                longest[day] = max(longest[day], waited)
            day += _DAY
    return [(day, Measure.OLDEST_WAITING, hours) for day, hours in longest.items()]


def _hours(waited: timedelta) -> int:
    return max(0, int(waited.total_seconds() // 3600))


@dataclass(frozen=True, slots=True)
class Numbers:
    """The last 90 days in their order, each measure's numbers beside them; None for what was never counted."""

    days: Sequence[date]
    by_measure: Mapping[Measure, Sequence[int | None]]
    counted_at: datetime | None
    """As of when today's numbers hold; None while there are none."""

    def today(self, measure: Measure) -> int | None:
        return self.by_measure[measure][-1]

    def yesterday(self, measure: Measure) -> int | None:
        return self.by_measure[measure][-2]

    def total(self, measure: Measure) -> int:
        return sum(number or 0 for number in self.by_measure[measure])


def numbers(now: datetime) -> Numbers:
    """What was counted of the last 90 days."""
    days = _last_days(now)
    known = _known(days)
    by_measure = {
        measure: [row.number if (row := known.get((day, measure))) else None for day in days] for measure in _COUNTED
    }
    todays = [row.counted_at for (day, _), row in known.items() if day == days[-1]]
    return Numbers(days, by_measure, max(todays, default=None))
