"""When things fall due, to the second (rules 3.2, 3.3, 3.10; J5)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.domain.deadlines import (
    DAY,
    InactivityStep,
    first_reminder,
    idle_since_on_enabling,
    inactivity,
    invitation_day,
    is_expired,
    next_reminder,
)
from webapp.domain.policy import Policy

POLICY = Policy()
ISSUED = datetime(2026, 10, 15, 2, 30, tzinfo=UTC)
EXPIRES = ISSUED + POLICY.invitation_life
SECOND = timedelta(seconds=1)
REMIND, DISABLE, TERMINATE = InactivityStep.REMIND, InactivityStep.DISABLE, InactivityStep.TERMINATE


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Singapore"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine's own zone. New York's clocks go back on 1 November 2026, in the life of the invitation above."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_machine_of_these_tests_can_be_put_into_a_daylight_saving_zone(monkeypatch):
    monkeypatch.setitem(os.environ, "TZ", "America/New_York")
    time.tzset()
    assert ISSUED.astimezone().utcoffset() != EXPIRES.astimezone().utcoffset()
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("offset", "expired"), [(-SECOND, False), (timedelta(0), False), (SECOND, True)])
def test_a_link_is_valid_until_the_end_of_its_last_instant(zone, offset, expired):
    assert is_expired(EXPIRES, EXPIRES + offset) is expired


@pytest.mark.parametrize(
    ("day", "offset", "counted"),
    [
        (22, -SECOND, 21),
        (22, timedelta(0), 22),
        (23, -SECOND, 22),
        (23, timedelta(0), 23),
        (23, SECOND, 23),
        (29, -SECOND, 28),
        (29, timedelta(0), 29),
        (30, -SECOND, 29),
        (30, timedelta(0), 30),
    ],
)
def test_days_are_24_hours_each_wherever_the_machine_stands(zone, day, offset, counted):
    assert invitation_day(ISSUED, ISSUED + day * DAY + offset) == counted


def test_the_first_reminder_is_due_when_day_23_begins(zone):
    assert first_reminder(ISSUED, EXPIRES, POLICY) == ISSUED + 23 * DAY


def test_an_invitation_that_ends_before_its_first_reminder_gets_none():
    assert first_reminder(ISSUED, ISSUED + 23 * DAY, POLICY) is None
    assert first_reminder(ISSUED, ISSUED + 23 * DAY + SECOND, POLICY) == ISSUED + 23 * DAY


@pytest.mark.parametrize(
    ("days", "following"),
    [
        (23, 24),
        (23.5, 24),
        (24, 25),
        (28, 29),
        (28.99, 29),
        (29, None),  # Day 30 is the deadline itself: the notice comes, not a reminder.
        (29.99, None),
        (33, None),
    ],
)
def test_the_next_reminder_is_tomorrows_however_late_the_last_was(zone, days, following):
    expected = None if following is None else ISSUED + following * DAY
    assert next_reminder(ISSUED, EXPIRES, ISSUED + days * DAY) == expected


@given(st.integers(0, 40 * 86400))
def test_a_next_reminder_is_ahead_within_a_day_and_before_the_deadline(seconds):
    now = ISSUED + timedelta(seconds=seconds)
    following = next_reminder(ISSUED, EXPIRES, now)
    if following is None:
        assert now >= EXPIRES - DAY
    else:
        assert now < following <= now + DAY
        assert following < EXPIRES


IDLE = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO = IDLE - 30 * DAY


@pytest.mark.parametrize(
    ("days", "offset", "step", "next_days"),
    [
        (10, timedelta(0), None, 60),
        (60, -SECOND, None, 60),
        (60, timedelta(0), REMIND, 61),
        (60, SECOND, REMIND, 61),
        (75.5, timedelta(0), REMIND, 76),
        (89, timedelta(0), REMIND, 90),
        (90, -SECOND, REMIND, 90),
        (90, timedelta(0), DISABLE, 173),
        (100, timedelta(0), DISABLE, 173),
        (175, timedelta(0), DISABLE, 175),
    ],
)
def test_an_idle_active_account(zone, days, offset, step, next_days):
    found = inactivity(IDLE, LONG_AGO, None, IDLE + days * DAY + offset, POLICY)
    assert (found.step, found.next_check) == (step, IDLE + next_days * DAY)
    assert found.acts_at == IDLE + 90 * DAY


@pytest.mark.parametrize(
    ("days", "disabled", "step", "next_days", "acts_days"),
    [
        (100, 90, None, 173, 180),
        (173, 90, REMIND, 174, 180),
        (179.99, 90, REMIND, 180, 180),
        (180, 90, TERMINATE, None, 180),
        (200, 90, TERMINATE, None, 180),
        # The sweep was off and came back on day 200: disabled then, and a week of reminders all the same.
        (200, 200, REMIND, 201, 207),
        (206.99, 200, REMIND, 207, 207),
        (207, 200, TERMINATE, None, 207),
    ],
)
def test_a_disabled_account(days, disabled, step, next_days, acts_days):
    found = inactivity(IDLE, LONG_AGO, IDLE + disabled * DAY, IDLE + days * DAY, POLICY)
    assert (found.step, found.acts_at) == (step, IDLE + acts_days * DAY)
    if next_days is not None:
        assert found.next_check == IDLE + next_days * DAY


@pytest.mark.parametrize(
    ("changed", "days", "step", "next_days"),
    [(58, 62, None, 63), (58, 63, REMIND, 64), (88, 92, None, 93), (88, 93, DISABLE, 173)],
)
def test_a_change_in_the_last_5_days_postpones_it(changed, days, step, next_days):
    found = inactivity(IDLE, IDLE + changed * DAY, None, IDLE + days * DAY, POLICY)
    assert (found.step, found.next_check) == (step, IDLE + next_days * DAY)


def test_a_reminder_names_a_deadline_that_a_change_has_postponed():
    assert inactivity(IDLE, IDLE + 84 * DAY, None, IDLE + 89 * DAY, POLICY).acts_at == IDLE + 90 * DAY
    assert inactivity(IDLE, IDLE + 86 * DAY, None, IDLE + 89 * DAY, POLICY).acts_at == IDLE + 91 * DAY


def test_a_re_enabled_account_has_5_days_to_sign_in():
    now = IDLE
    since = idle_since_on_enabling(now, POLICY)
    assert inactivity(since, LONG_AGO, None, now + 5 * DAY - SECOND, POLICY).step is REMIND
    assert inactivity(since, LONG_AGO, None, now + 5 * DAY, POLICY).step is DISABLE


@given(
    st.integers(0, 400 * 86400),
    st.integers(-30, 400),
    st.one_of(st.none(), st.integers(0, 400)),
)
def test_it_is_looked_at_again_later_and_never_ends_without_a_week_of_reminders(seconds, changed, disabled):
    now = IDLE + timedelta(seconds=seconds)
    disabled_at = None if disabled is None else min(IDLE + disabled * DAY, now)
    found = inactivity(IDLE, min(IDLE + changed * DAY, now), disabled_at, now, POLICY)
    if found.step in (None, REMIND):
        assert found.next_check > now
        assert found.acts_at > now
    else:
        assert found.acts_at <= now
    if found.step is TERMINATE:
        assert disabled_at is not None
        assert now - disabled_at >= 7 * DAY


def test_other_numbers_of_the_policy_count():
    policy = replace(POLICY, invitation_days=10, reminders_from_day=3)
    expires = ISSUED + policy.invitation_life
    assert first_reminder(ISSUED, expires, policy) == ISSUED + 3 * DAY
    assert next_reminder(ISSUED, expires, ISSUED + 8 * DAY) == ISSUED + 9 * DAY
    assert next_reminder(ISSUED, expires, ISSUED + 9 * DAY) is None
