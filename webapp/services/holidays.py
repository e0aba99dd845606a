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

from webapp.domain.business_days import business_days_after, singapore_date
from webapp.extensions import db
from webapp.models import Holiday
from webapp.models.base import insert_new
from webapp.services import audit
from webapp.services.errors import DayTaken, NameRefused, NotFound

if TYPE_CHECKING:
    from datetime import datetime

LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class DayOff:
    day: date
    name: str
    is_own: bool
    """Whether an admin has set it; else it is a public holiday."""


def due_on(now: datetime) -> date:
    """By the end of which day, in Singapore, what is approved or asked for ``now`` is promised."""
    today = singapore_date(now)
    own = set(db.session.scalars(select(Holiday.day).where(Holiday.day > today)))
    count = current_app.config["POLICY"].seed_promise_business_days
    return business_days_after(today, count, lambda day: day in own or day in _public(day.year))


def listed(year: int) -> list[DayOff]:
    """The days off of a year that are no plain weekends, in their order."""
    own = db.session.execute(
        select(Holiday.day, Holiday.name).where(Holiday.day >= date(year, 1, 1), Holiday.day <= date(year, 12, 31))
    )
    found = [DayOff(day, name, is_own=False) for day, name in _public(year).items()]
    found += [DayOff(day, name, is_own=True) for day, name in own]
    return sorted(found, key=lambda off: (off.day, off.is_own))


def add(day: date, name: str, by: audit.By, now: datetime) -> None:
    """From now on promises pass over ``day``. Raises `NameRefused` or `DayTaken`."""
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise NameRefused
    added = db.session.scalar(insert_new(Holiday).values(day=day, name=name).returning(Holiday.day))
    if added is None:
        db.session.rollback()
        raise DayTaken
    audit.record("holiday.added", None, by, now, day=day.isoformat())
    db.session.commit()


def remove(day: date, by: audit.By, now: datetime) -> None:
    """Take ``day`` off the admins' own list. Raises `NotFound`, also for a public holiday."""
    removed = db.session.scalar(delete(Holiday).where(Holiday.day == day).returning(Holiday.day))
    if removed is None:
        db.session.rollback()
        raise NotFound
    audit.record("holiday.removed", None, by, now, day=day.isoformat())
    db.session.commit()


@lru_cache(maxsize=16)
def _public(year: int) -> Mapping[date, str]:
    # Imported here, as many processes start and end without it (a third of a second).
    from holidays import country_holidays

    return dict(country_holidays("SG", years=year, observed=True, language="en_SG"))
