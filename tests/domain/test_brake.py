"""How many accounts a sweep may end unasked (rule 8.7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from webapp.domain.brake import ALLOWED_FOR, may_run, never_unusual, usual
from webapp.domain.policy import Policy

POLICY = Policy()
NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("ended", "most"),
    [
        ([], 2000),
        ([0, 0, 0], 2000),
        ([1], 50),
        ([16], 50),
        ([17], 51),
        ([0, 0, 0, 17], 51),
        ([10, 100, 20], 60),
        ([20, 21], 61),
        ([300] * 30, 900),
        ([666], 1998),
        ([667], 2000),
        ([100_000], 2000),
    ],
)
def test_what_is_usual_is_three_times_the_median_day_between_the_floor_and_the_limit(ended, most):
    assert usual(ended, POLICY) == most


def test_a_limit_below_the_floor_counts():
    policy = Policy(sweep_limit=20)
    assert usual([], policy) == usual([10], policy) == never_unusual(policy) == 20


def test_below_the_floor_nothing_is_unusual():
    assert never_unusual(POLICY) == min(usual(days, POLICY) for days in ([], [1], [500], [0, 3]))


@pytest.mark.parametrize(
    ("due", "allowed", "age", "runs"),
    [
        (3000, None, None, False),
        (3000, 3000, timedelta(0), True),
        (2999, 3000, timedelta(0), True),
        (3001, 3000, timedelta(0), False),
        (3000, 3000, ALLOWED_FOR, True),
        (3000, 3000, ALLOWED_FOR + SECOND, False),
    ],
)
def test_an_admins_leave_is_for_what_was_looked_at_and_for_an_hour(due, allowed, age, runs):
    assert may_run(due, allowed, None if age is None else NOW - age, NOW) is runs
