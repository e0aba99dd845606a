"""The numbers by day, from the record and the requests (rule 8.1)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import event, select

from webapp.domain.lifecycle import RequestState
from webapp.domain.measures import Measure
from webapp.extensions import db
from webapp.models import DailyCount, Request
from webapp.services import audit, statistics
from webapp.services.expiry import REASON

TODAY = date(2026, 11, 24)
MIDNIGHT = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
"""The beginning of that day in Singapore."""
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


def happen(action, at, account=None, **detail):
    audit.record(action, account.id if account else None, audit.SYSTEM, at, **detail)
    db.session.commit()


def onboarded(account, at, device=1):
    happen("device.status", at, account, device=device, status="onboarded", source="mdm")


def counted(day=TODAY):
    rows = db.session.execute(select(DailyCount.measure, DailyCount.count).where(DailyCount.day == day))
    return {str(measure): number for measure, number in rows if number}


@pytest.fixture
def writes(app):
    """The statements that write, as they are sent."""
    sent: list[str] = []

    def note(_connection, _cursor, statement, *_):
        if not statement.startswith(("SELECT", "BEGIN")):
            sent.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    yield sent
    event.remove(db.engine, "before_cursor_execute", note)


def test_each_measure_counts_what_it_names(app, make, now):
    person = make.account()
    happen("sign_up.requested", now, person, seed=True)
    happen("sign_up.repeated", now)
    for _ in range(3):
        happen("techpass.approved", now, person, request=1)
    happen("techpass.approval_undone", now, person, request=1)
    happen("seed.approved", now, person, request=2)
    happen("account.activated", now, person)
    happen("device.status", now, person, device=1, status="software_installed", source="mdm")
    onboarded(person, now)
    happen("account.terminated", now, reason=REASON)
    happen("account.terminated", now, reason=REASON, notice="failed")
    happen("account.terminated", now, reason="not signed in")
    statistics.count(now)
    assert counted() == {
        "signed_up": 1,
        "approved": 2,
        "activated": 1,
        "seed_onboarded": 1,
        "expired": 2,
        "ended": 3,
    }


def test_each_step_from_asking_to_seed_counts_the_same_people_each_once(app, make, now):
    invited, signed_up, operators = (make.account() for _ in range(3))
    happen("invite.requested", now, invited)
    happen("invite.sent_again", now, invited, kind="techpass")
    happen("sign_up.requested", now, signed_up, seed=True)
    happen("invite.repeated", now, signed_up)
    for person in (invited, signed_up):
        happen("techpass.approved", now, person, request=1)
    for person in (invited, signed_up, operators):
        happen("account.activated", now, person)
    onboarded(signed_up, now, device=1)
    onboarded(signed_up, now, device=2)
    onboarded(operators, now)
    onboarded(signed_up, now + DAY, device=3)
    onboarded(invited, now + DAY)
    statistics.count(now + DAY)
    assert counted() == {"signed_up": 2, "approved": 2, "activated": 2, "seed_onboarded": 1}
    assert counted(TODAY + DAY) == {"seed_onboarded": 1}


def test_a_day_begins_and_ends_at_midnight_in_singapore(app, now):
    for at in (MIDNIGHT - SECOND, MIDNIGHT, MIDNIGHT + SECOND, MIDNIGHT + DAY - SECOND, MIDNIGHT + DAY):
        happen("sign_up.requested", at)
    statistics.count(now + DAY)
    assert [counted(TODAY + DAY * each).get("signed_up") for each in (-1, 0, 1)] == [1, 3, 1]


def test_the_first_run_counts_90_days(app, now):
    happen("sign_up.requested", now - 89 * DAY)
    happen("sign_up.requested", now - 90 * DAY)
    assert statistics.count(now) == 90 * 7
    days = db.session.scalars(select(DailyCount.day).distinct().order_by(DailyCount.day)).all()
    assert (days[0], days[-1], len(days)) == (TODAY - 89 * DAY, TODAY, 90)
    assert counted(TODAY - 89 * DAY) == {"signed_up": 1}


def test_a_later_run_counts_today_alone_and_writes_only_news(app, now, writes):
    happen("sign_up.requested", now)
    statistics.count(now)
    writes.clear()
    assert statistics.count(now + SECOND) == 0
    assert writes == []
    happen("sign_up.requested", now + SECOND)
    assert statistics.count(now + 2 * SECOND) == 1
    assert counted() == {"signed_up": 2}


def test_that_nothing_has_changed_is_noted_now_and_then(app, now):
    statistics.count(now)
    later = now + timedelta(minutes=5)
    assert statistics.count(later - SECOND) == 0
    assert statistics.count(later) == 7
    assert statistics.numbers(later).counted_at == later


def test_yesterday_is_counted_until_an_hour_after_its_end(app, now):
    statistics.count(now)
    end = MIDNIGHT + DAY
    happen("sign_up.requested", now)
    statistics.count(end + HOUR - SECOND)
    assert counted() == {"signed_up": 1}
    happen("sign_up.requested", now)
    statistics.count(end + HOUR + timedelta(minutes=5))
    assert counted() == {"signed_up": 2}
    happen("sign_up.requested", now)  # Nothing commits that late; it shows that the day is settled.
    statistics.count(end + 2 * HOUR)
    assert counted() == {"signed_up": 2}


def test_what_happened_while_nothing_ran_is_made_good(app, now):
    statistics.count(now - 4 * DAY)
    for back in (4, 3, 2, 1):
        happen("sign_up.requested", now - back * DAY + HOUR)
    statistics.count(now)
    assert [counted(TODAY - back * DAY).get("signed_up") for back in (4, 3, 2, 1, 0)] == [1, 1, 1, 1, None]


def test_the_oldest_wait_of_a_day_is_the_longest_that_was_seen(app, make, now):
    request = make.request(at=now - 30 * HOUR)
    make.request(at=now - 5 * HOUR)
    statistics.count(now)
    assert counted()["oldest_waiting"] == 30
    request.state, request.decided_at = RequestState.APPROVED, now
    db.session.commit()
    statistics.count(now + HOUR)
    assert counted()["oldest_waiting"] == 30


def test_waits_of_days_before_are_told_by_the_requests(app, make, now):
    request = make.request(at=MIDNIGHT - DAY - 2 * HOUR)  # Two hours before the day before yesterday ended.
    request.state, request.decided_at = RequestState.WITHDRAWN, MIDNIGHT - 9 * HOUR
    db.session.commit()
    statistics.count(now)
    waits = [counted(TODAY - back * DAY).get("oldest_waiting") for back in (3, 2, 1, 0)]
    assert waits == [None, 2, 17, None]


def test_a_day_that_was_watched_in_part_is_told_by_the_requests(app, make, now):
    make.request(at=now - 5 * HOUR)
    statistics.count(now)
    assert counted()["oldest_waiting"] == 5
    statistics.count(now + DAY)
    assert [counted(TODAY + DAY * each)["oldest_waiting"] for each in (0, 1)] == [19, 29]


def test_two_counters_at_once_do_no_harm(app, now, monkeypatch):
    happen("sign_up.requested", now)
    statistics.count(now)
    # As one who read before the other wrote.
    monkeypatch.setattr(statistics, "_known", lambda _days: {})
    statistics.count(now + SECOND)
    assert counted() == {"signed_up": 1}


def test_the_numbers_are_given_in_their_order_and_gaps_are_gaps(app, make, now):
    for back, number in ((0, 3), (1, 5), (89, 7), (90, 9)):
        row = DailyCount(day=TODAY - back * DAY, measure=Measure.ACTIVATED, count=number, counted_at=now - back * DAY)
        db.session.add(row)
    db.session.commit()
    numbers = statistics.numbers(now)
    activated = numbers.by_measure[Measure.ACTIVATED]
    assert (activated[0], activated[1], activated[-2:]) == (7, None, [5, 3])
    assert numbers.total(Measure.ACTIVATED) == 15
    assert (numbers.today(Measure.ACTIVATED), numbers.yesterday(Measure.ACTIVATED)) == (3, 5)
    assert numbers.today(Measure.EXPIRED) is None
    assert numbers.counted_at == now
    assert db.session.scalars(select(Request)).all() == []
