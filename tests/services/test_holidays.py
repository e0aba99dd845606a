"""The days off that the library knows and those that admins set, and the promise counted by them (rule 4.2)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select

from webapp.domain.business_days import SINGAPORE
from webapp.extensions import db
from webapp.models import AuditEvent, Holiday
from webapp.services import holidays
from webapp.services.audit import SYSTEM
from webapp.services.errors import DayTaken, NameRefused, NotFound

PUBLISHED = {
    2024: {
        "01-01": "New Year's Day",
        "02-10": "Chinese New Year",
        "02-11": "Chinese New Year",
        "02-12": "Chinese New Year (observed)",
        "03-29": "Good Friday",
        "04-10": "Hari Raya Puasa",
        "05-01": "Labour Day",
        "05-22": "Vesak Day",
        "06-17": "Hari Raya Haji",
        "08-09": "National Day",
        "10-31": "Deepavali",
        "12-25": "Christmas Day",
    },
    2025: {
        "01-01": "New Year's Day",
        "01-29": "Chinese New Year",
        "01-30": "Chinese New Year",
        "03-31": "Hari Raya Puasa",
        "04-18": "Good Friday",
        "05-01": "Labour Day",
        "05-03": "Polling Day",
        "05-12": "Vesak Day",
        "06-07": "Hari Raya Haji",
        "08-09": "National Day",
        "10-20": "Deepavali",
        "12-25": "Christmas Day",
    },
    2026: {
        "01-01": "New Year's Day",
        "02-17": "Chinese New Year",
        "02-18": "Chinese New Year",
        "03-21": "Hari Raya Puasa",
        "04-03": "Good Friday",
        "05-01": "Labour Day",
        "05-27": "Hari Raya Haji",
        "05-31": "Vesak Day",
        "06-01": "Vesak Day (observed)",
        "08-09": "National Day",
        "08-10": "National Day (observed)",
        "11-08": "Deepavali",
        "11-09": "Deepavali (observed)",
        "12-25": "Christmas Day",
    },
}
"""As the Ministry of Manpower published them, with the Mondays in place of Sundays."""


def at(text: str) -> datetime:
    """An instant by the clocks of Singapore."""
    return datetime.fromisoformat(text).replace(tzinfo=SINGAPORE).astimezone(UTC)


def due(text: str) -> str:
    return holidays.due_on(at(text)).isoformat()


@pytest.mark.parametrize("year", PUBLISHED)
def test_the_library_knows_what_the_ministry_of_manpower_published(app, year):
    assert {f"{off.day:%m-%d}": off.name for off in holidays.listed(year)} == PUBLISHED[year]
    assert not any(off.is_own for off in holidays.listed(year))


@pytest.mark.parametrize(
    ("approved", "promised"),
    [
        # Where a day ends.
        ("2026-11-24 00:00", "2026-11-27"),
        ("2026-11-24 10:00", "2026-11-27"),
        ("2026-11-24 23:59:59.999999", "2026-11-27"),
        ("2026-11-25 00:00", "2026-11-30"),
        # Weekends.
        ("2026-11-27 23:59", "2026-12-02"),
        ("2026-11-28 00:00", "2026-12-02"),
        ("2026-11-29 23:59", "2026-12-02"),
        ("2026-11-30 00:00", "2026-12-03"),
        # Chinese New Year: a weekend and its Monday; two days in the middle of a week.
        ("2024-02-08 23:59", "2024-02-14"),
        ("2024-02-09 00:00", "2024-02-15"),
        ("2024-02-12 12:00", "2024-02-15"),
        ("2024-02-13 00:00", "2024-02-16"),
        ("2025-01-27 12:00", "2025-02-03"),
        ("2025-01-28 12:00", "2025-02-04"),
        ("2026-02-13 12:00", "2026-02-20"),
        ("2026-02-16 23:59", "2026-02-23"),
        ("2026-02-17 00:00", "2026-02-23"),
        ("2026-02-19 00:00", "2026-02-24"),
        # Mondays in place of a Sunday.
        ("2026-05-29 12:00", "2026-06-04"),
        ("2026-05-30 12:00", "2026-06-04"),
        ("2026-08-07 12:00", "2026-08-13"),
        ("2026-11-06 12:00", "2026-11-12"),
        ("2026-11-09 12:00", "2026-11-12"),
        # A holiday on a Saturday has none in its place.
        ("2025-06-06 12:00", "2025-06-11"),
        ("2025-08-08 12:00", "2025-08-13"),
        # Over the end of the year.
        ("2025-12-30 12:00", "2026-01-05"),
        ("2026-12-31 23:59", "2027-01-06"),
    ],
)
def test_three_business_days_from_the_approval(app, approved, promised):
    assert due(approved) == promised


def test_the_number_of_days_is_a_setting(app, now, policy, monkeypatch):
    monkeypatch.setitem(app.config, "POLICY", replace(policy, seed_promise_business_days=5))
    assert holidays.due_on(now) == date(2026, 12, 1)


def test_the_admins_own_days_are_off_too(app, now):
    holidays.add(date(2026, 11, 25), "  Public service\tday ", SYSTEM, now)
    holidays.add(date(2026, 11, 29), "A Sunday", SYSTEM, now)
    holidays.add(date(2026, 11, 24), "The very day of the approval", SYSTEM, now)
    assert due("2026-11-24 10:00") == "2026-11-30"
    assert [(off.name, off.is_own) for off in holidays.listed(2026) if off.day == date(2026, 11, 25)] == [
        ("Public service day", True)
    ]
    holidays.remove(date(2026, 11, 25), SYSTEM, now)
    assert due("2026-11-24 10:00") == "2026-11-27"
    recorded = db.session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
    assert [(event.action, event.account_id, event.detail) for event in recorded] == [
        ("holiday.added", None, {"day": "2026-11-25"}),
        ("holiday.added", None, {"day": "2026-11-29"}),
        ("holiday.added", None, {"day": "2026-11-24"}),
        ("holiday.removed", None, {"day": "2026-11-25"}),
    ]


def test_own_days_stand_in_the_list_of_their_year_in_order(app, now):
    for day in ("2025-12-31", "2026-12-24", "2026-12-25", "2027-01-02"):
        holidays.add(date.fromisoformat(day), "Ours", SYSTEM, now)
    assert [(off.day.isoformat(), off.name) for off in holidays.listed(2026)][-3:] == [
        ("2026-12-24", "Ours"),
        ("2026-12-25", "Christmas Day"),
        ("2026-12-25", "Ours"),
    ]


def test_a_day_is_added_once_and_keeps_its_name(app, now):
    holidays.add(date(2026, 12, 24), "Christmas Eve", SYSTEM, now)
    with pytest.raises(DayTaken):
        holidays.add(date(2026, 12, 24), "Something else", SYSTEM, now)
    assert db.session.scalars(select(Holiday.name)).all() == ["Christmas Eve"]
    assert len(db.session.scalars(select(AuditEvent)).all()) == 1


def test_added_by_many_at_once_it_is_there_once(app, now):
    def add(_: int) -> str:
        with app.app_context():
            try:
                holidays.add(date(2026, 12, 24), "Christmas Eve", SYSTEM, now)
            except DayTaken:
                return "taken"
            return "added"

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(add, range(8)))
    assert sorted(said) == ["added"] + ["taken"] * 7
    assert len(db.session.scalars(select(AuditEvent)).all()) == 1


@pytest.mark.parametrize("name", ["", " \n", "x" * 81, "a\x00b", "a\u202eb"])
def test_a_name_is_one_line_that_fits(app, now, name):
    with pytest.raises(NameRefused):
        holidays.add(date(2026, 12, 24), name, SYSTEM, now)
    assert db.session.scalars(select(Holiday)).all() == []
    assert db.session.scalars(select(AuditEvent)).all() == []


@pytest.mark.parametrize("day", ["2026-12-24", "2026-12-25"], ids=["no day off", "a public holiday"])
def test_what_is_not_on_the_own_list_cannot_be_removed(app, now, day):
    with pytest.raises(NotFound):
        holidays.remove(date.fromisoformat(day), SYSTEM, now)
    assert db.session.scalars(select(AuditEvent)).all() == []


def test_years_that_the_library_does_not_know_have_no_public_holidays(app):
    assert holidays.listed(1) == []
    assert holidays.listed(9999) == []
    assert holidays.due_on(datetime(2150, 1, 1, tzinfo=UTC) + timedelta(hours=4)) == date(2150, 1, 6)
