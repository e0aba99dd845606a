"""Business days in Singapore's calendar: by when something is promised, and whether that is at risk (rule 4.2)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone

SINGAPORE = timezone(timedelta(hours=8), "Singapore time")
"""Singapore has kept UTC+8 without daylight saving since 1982."""

_DAY = timedelta(days=1)
SATURDAY = 5


def singapore_date(instant: datetime) -> date:
    """The day that it is in Singapore at ``instant``, which has a zone."""
    return instant.astimezone(SINGAPORE).date()


def start_of_day(day: date) -> datetime:
    """The instant at which ``day`` begins in Singapore."""
    return datetime.combine(day, time(), SINGAPORE)


def business_days_after(day: date, count: int, is_day_off: Callable[[date], bool]) -> date:
    """The ``count``-th business day after ``day``; ``count`` is at least 1.

    Weekends are always off, and so is each day of which ``is_day_off`` says so. ``day`` itself never counts, whether it
    is a business day or not: after a Saturday, the next business day is day 1.
    """
    while count > 0:
        day += _DAY
        if day.weekday() < SATURDAY and not is_day_off(day):
            count -= 1
    return day


def is_at_risk(due_on: date, today: date) -> bool:
    """Whether a promise is about to be broken, or is: its last day has come."""
    return today >= due_on


def is_overdue(due_on: date, today: date) -> bool:
    """Whether the promise is broken: it held until the end of ``due_on``."""
    return today > due_on
