"""Business days as a table: what counts, from when, and where a day ends (rule 4.2)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from webapp.domain.business_days import business_days_after, is_at_risk, is_overdue, singapore_date

OFF = {
    date(2024, 2, 10): "Chinese New Year, a Saturday",
    date(2024, 2, 11): "its second day, a Sunday",
    date(2024, 2, 12): "the Monday in its place",
    date(2026, 2, 17): "Chinese New Year, a Tuesday",
    date(2026, 2, 18): "its second day",
    date(2026, 5, 27): "Hari Raya Haji, a Wednesday",
    date(2026, 5, 31): "Vesak Day, a Sunday",
    date(2026, 6, 1): "the Monday in its place",
    date(2026, 8, 9): "National Day, a Sunday",
    date(2026, 8, 10): "the Monday in its place",
    date(2026, 12, 25): "Christmas Day, a Friday",
    date(2027, 1, 1): "New Year's Day, a Friday",
}


@pytest.mark.parametrize(
    ("day", "third"),
    [
        # An ordinary week.
        ("2026-11-23", "2026-11-26"),  # Monday
        ("2026-11-24", "2026-11-27"),  # Tuesday
        ("2026-11-25", "2026-11-30"),  # Wednesday: the weekend is between
        ("2026-11-26", "2026-12-01"),  # Thursday
        ("2026-11-27", "2026-12-02"),  # Friday
        ("2026-11-28", "2026-12-02"),  # Saturday: Monday is day 1
        ("2026-11-29", "2026-12-02"),  # Sunday
        ("2026-11-30", "2026-12-03"),
        # Chinese New Year in the week.
        ("2026-02-13", "2026-02-20"),  # Friday: Monday, then Thursday and Friday
        ("2026-02-16", "2026-02-23"),  # its eve
        ("2026-02-17", "2026-02-23"),  # its first day: Thursday is day 1
        ("2026-02-18", "2026-02-23"),
        ("2026-02-19", "2026-02-24"),
        # Chinese New Year on a weekend, with a Monday in its place.
        ("2024-02-08", "2024-02-14"),  # Thursday: Friday, then Tuesday and Wednesday
        ("2024-02-09", "2024-02-15"),
        ("2024-02-10", "2024-02-15"),
        ("2024-02-12", "2024-02-15"),
        ("2024-02-13", "2024-02-16"),
        # Mondays in place of a Sunday.
        ("2026-05-26", "2026-06-02"),  # Tuesday: Thursday, Friday, and Tuesday
        ("2026-05-29", "2026-06-04"),
        ("2026-05-31", "2026-06-04"),
        ("2026-08-07", "2026-08-13"),
        ("2026-08-09", "2026-08-13"),
        # Over the end of the year.
        ("2026-12-24", "2026-12-30"),
        ("2026-12-31", "2027-01-06"),
    ],
)
def test_the_third_business_day(day, third):
    assert business_days_after(date.fromisoformat(day), 3, OFF.__contains__) == date.fromisoformat(third)


@pytest.mark.parametrize(
    ("count", "due"), [(1, "2026-02-19"), (2, "2026-02-20"), (3, "2026-02-23"), (10, "2026-03-04")]
)
def test_another_number_of_days(count, due):
    assert business_days_after(date(2026, 2, 16), count, OFF.__contains__) == date.fromisoformat(due)


def test_weekends_are_off_whatever_the_list_says():
    assert business_days_after(date(2026, 11, 27), 1, lambda _: False) == date(2026, 11, 30)


def test_the_days_are_consecutive_business_days():
    day = date(2026, 2, 1)
    for count in range(1, 60):
        due = business_days_after(day, count, OFF.__contains__)
        assert due.weekday() < 5
        assert due not in OFF
        assert business_days_after(due, 1, OFF.__contains__) == business_days_after(day, count + 1, OFF.__contains__)


NEW_YORK_IN_WINTER = timezone(timedelta(hours=-5))


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        (datetime(2026, 11, 24, 15, 59, 59, tzinfo=UTC), date(2026, 11, 24)),  # 23:59:59 in Singapore
        (datetime(2026, 11, 24, 16, 0, tzinfo=UTC), date(2026, 11, 25)),  # 00:00
        (datetime(2026, 11, 24, 23, 59, tzinfo=UTC), date(2026, 11, 25)),
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), date(2027, 1, 1)),
        (datetime(2026, 11, 24, 11, 0, tzinfo=NEW_YORK_IN_WINTER), date(2026, 11, 25)),
        (datetime(2026, 11, 24, 10, 59, tzinfo=NEW_YORK_IN_WINTER), date(2026, 11, 24)),
    ],
)
def test_a_day_ends_at_midnight_in_singapore(instant, day):
    assert singapore_date(instant) == day


@pytest.mark.parametrize(
    ("today", "at_risk", "overdue"),
    [
        ("2026-11-26", False, False),
        ("2026-11-27", True, False),
        ("2026-11-28", True, True),
        ("2027-11-27", True, True),
    ],
)
def test_on_its_last_day_a_promise_is_at_risk_and_after_it_broken(today, at_risk, overdue):
    due_on, day = date(2026, 11, 27), date.fromisoformat(today)
    assert (is_at_risk(due_on, day), is_overdue(due_on, day)) == (at_risk, overdue)
