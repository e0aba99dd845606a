"""Singapore's public holidays, the admins' own days off, and by when SEED is promised (rule 4.2).

The public ones come from a library that is kept up to date with what the Ministry of Manpower publishes, each Monday in
place of a Sunday included. A promise stays as it was given: a list that changes later moves no date that was told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from flask import current_app
from sqlalchemy import delete, select

from webapp.domain.business_days import SATURDAY, business_days_after, singapore_date
from webapp.extensions import db
from webapp.models import Holiday
from webapp.models.base import insert_new
from webapp.services import audit
from webapp.services.errors import DayTaken, ImportRefused, NameRefused, NotFound

if TYPE_CHECKING:
    from datetime import datetime

LONGEST_NAME = 80
YEARS = range(2000, 2100)
"""Those that the library knows public holidays of, and an admin can mean."""
MOST_LINES = 100
"""Days that are added at once."""

_ESTIMATE = "estimated"


@dataclass(frozen=True, slots=True)
class DayOff:
    day: date
    name: str
    is_own: bool
    """Whether an admin has set it; else it is a public holiday."""
    is_estimate: bool = False
    """Whether the day is worked out, as it was not announced yet when the library was made."""


def due_on(now: datetime) -> date:
    """By the end of which day, in Singapore, what is approved or asked for ``now`` is promised."""
    today = singapore_date(now)
    own = set(db.session.scalars(select(Holiday.day).where(Holiday.day > today)))
    count = current_app.config["POLICY"].seed_promise_business_days
    return business_days_after(today, count, lambda day: day in own or day in _public(day.year))


def is_business_day(day: date) -> bool:
    """Whether ``day`` counts, in Singapore and by the admins' own list."""
    if day.weekday() >= SATURDAY or day in _public(day.year):
        return False
    return db.session.scalar(select(Holiday.day).where(Holiday.day == day)) is None


def listed(year: int) -> list[DayOff]:
    """The days off of a year that are no plain weekends, in their order."""
    own = db.session.execute(
        select(Holiday.day, Holiday.name).where(Holiday.day >= date(year, 1, 1), Holiday.day <= date(year, 12, 31))
    )
    public = _public(year)
    # The library marks all such days of a year that is not announced yet, but for this one.
    is_announced = not any(_ESTIMATE in name for name in public.values())
    found = [
        DayOff(
            day,
            _plain(name),
            is_own=False,
            is_estimate=_ESTIMATE in name or ("Deepavali" in name and not is_announced),
        )
        for day, name in public.items()
    ]
    found += [DayOff(day, name, is_own=True) for day, name in own]
    return sorted(found, key=lambda off: (off.day, off.is_own))


def public(day: date) -> str:
    """The name of the public holiday on ``day``; empty where there is none."""
    return _plain(_public(day.year).get(day, ""))


def add(day: date, name: str, by: audit.By, now: datetime) -> None:
    """From now on promises pass over ``day``. Raises `NameRefused` or `DayTaken`."""
    name = _checked(name)
    if not _add(day, name, by, now):
        db.session.rollback()
        raise DayTaken
    db.session.commit()


def add_lines(text: str, by: audit.By, now: datetime) -> tuple[int, int, int]:
    """`add` for each line like "2026-12-24, Christmas Eve", all of them or none.

    How many were added, how many of these are public holidays as well, and how many were on the list already and stay
    as they are.

    Raises `ImportRefused`, which names each line that is wrong.
    """
    days = _read_lines(text)
    added = [day for day, name in days if _add(day, name, by, now)]
    db.session.commit()
    return len(added), sum(bool(public(day)) for day in added), len(days) - len(added)


def _read_lines(text: str) -> list[tuple[date, str]]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise ImportRefused("Enter at least one line, like 2026-12-24, Christmas Eve")
    if len(lines) > MOST_LINES:
        raise ImportRefused(f"There are more than {MOST_LINES} lines, the most that is taken at once")
    found, problems = [], []
    for number, line in lines:
        day, comma, name = line.partition(",")
        try:
            found.append((_read_day(day.strip()), _checked(name)))
        except ValueError:
            problems.append(f"Line {number}: begin with a date like 2026-12-24")
        except NameRefused:
            what = f"a name of at most {LONGEST_NAME} characters" if comma else "a comma and a name"
            problems.append(f"Line {number}: the date must be followed by {what}")
    if problems:
        raise ImportRefused(*problems)
    return found


def _read_day(text: str) -> date:
    """Raises `ValueError`, also for a year that nobody means."""
    day = date.fromisoformat(text)
    if len(text) != len("2026-12-24") or day.year not in YEARS:
        raise ValueError(text)
    return day


def _checked(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise NameRefused
    return name


def _add(day: date, name: str, by: audit.By, now: datetime) -> bool:
    """Whether the day was added; else it is on the list already. No commit."""
    added = db.session.scalar(insert_new(Holiday).values(day=day, name=name).returning(Holiday.day))
    if added is not None:
        audit.record("holiday.added", None, by, now, day=day.isoformat())
    return added is not None


def own(day: date) -> str:
    """The name of a day off on the admins' own list. Raises `NotFound`, also for a public holiday."""
    name = db.session.scalar(select(Holiday.name).where(Holiday.day == day))
    if name is None:
        raise NotFound
    return name


def remove(day: date, by: audit.By, now: datetime) -> None:
    """Take ``day`` off the admins' own list. Raises `NotFound`, also for a public holiday."""
    removed = db.session.scalar(delete(Holiday).where(Holiday.day == day).returning(Holiday.day))
    if removed is None:
        db.session.rollback()
        raise NotFound
    audit.record("holiday.removed", None, by, now, day=day.isoformat())
    db.session.commit()


def _plain(name: str) -> str:
    """The library's name for a day, without what it says of how it knows it."""
    return name.replace(f" ({_ESTIMATE})", "").replace(f", {_ESTIMATE}", "")


@lru_cache(maxsize=16)
def _public(year: int) -> Mapping[date, str]:
    # Imported here, as many processes start and end without it (a third of a second).
    from holidays import country_holidays

    return dict(country_holidays("SG", years=year, observed=True, language="en_SG"))
