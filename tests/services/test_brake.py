"""The brake: unusually much is held, an admin is asked, and what was allowed is done once (rule 8.7)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from threading import Barrier

import pytest
from sqlalchemy import func, insert, select

from webapp import queue
from webapp.domain.lifecycle import AccountStatus, InvitationKind
from webapp.domain.measures import Measure
from webapp.extensions import db
from webapp.models import Account, AuditEvent, DailyCount, HeldSweep, Invitation, Mail
from webapp.services import brake, expiry, sweep
from webapp.services.audit import By
from webapp.services.errors import AlreadyAllowed, MoreFallDue, NotFound, ReasonMissing

MINUTE = timedelta(minutes=1)
WHY = "a holiday camp that never began"


@pytest.fixture
def later(now):
    return now + timedelta(days=30, minutes=1)


@pytest.fixture
def small(policy):
    return replace(policy, sweep_limit=2)


@pytest.fixture
def three(make):
    """Three people whose invitation runs out a minute before ``later``."""
    return [make.invitation()[0].account_id for _ in range(3)]


@pytest.fixture
def admin(make):
    return By.person(make.admin(), "192.0.2.1")


def count(table, *conditions):
    return db.session.scalar(select(func.count()).select_from(table).where(*conditions))


def told(action=brake.HELD):
    return list(db.session.scalars(select(AuditEvent.detail).where(AuditEvent.action == action)))


def ended_on(now, *counts):
    """So many accounts ended on each of the last days, yesterday first."""
    today = date(2026, 12, 24)
    assert (now + timedelta(hours=8)).date() == today
    rows = [
        {"day": today - timedelta(days=ago), "measure": Measure.ENDED, "count": number, "counted_at": now}
        for ago, number in enumerate(counts, 1)
    ]
    db.session.execute(insert(DailyCount), rows)
    db.session.commit()


def test_more_than_the_limit_does_nothing_and_asks(three, later, small):
    assert sweep.sweep(later, small).held == {"expiry": 3}
    assert count(Mail) == count(Account, Account.expired_at.is_not(None)) == 0
    (row,) = brake.held()
    assert (row.part, row.held_at, row.would_end, row.usual, row.allowed) == ("expiry", later, 3, 2, None)
    assert told() == [{"part": "expiry", "would_end": 3, "usual": 2}]


def test_it_is_told_once_and_counted_each_time(three, make, later, small):
    sweep.sweep(later, small)
    make.invitation()
    assert sweep.sweep(later + MINUTE, small).held == {"expiry": 4}
    (row,) = brake.held()
    assert (row.held_at, row.would_end) == (later, 4)
    assert len(told()) == 1


def test_exactly_the_limit_is_not_too_many(three, later, policy):
    assert sweep.sweep(later, replace(policy, sweep_limit=3)).done["expired"] == 3
    assert not brake.held()
    assert told() == []


@pytest.mark.parametrize(
    "ended",
    [
        [1],  # 3 are not more than three times the median day.
        [0, 0, 0],  # Days without any say nothing.
        [1, 0, 1, 0, 9],
        [0] * 30 + [9],  # Too long ago.
    ],
)
def test_within_three_times_the_median_day_it_runs(three, later, policy, ended):
    ended_on(later, *ended)
    assert not sweep.sweep(later, replace(policy, sweep_floor=2)).held


def test_more_than_three_times_the_median_day_is_held(three, make, later, policy):
    make.invitation()
    ended_on(later, 1, 0, 1, 9)
    assert sweep.sweep(later, replace(policy, sweep_floor=2)).held == {"expiry": 4}
    assert brake.held()[0].usual == 3
    assert not sweep.sweep(later, replace(policy, sweep_floor=4)).held, "up to the floor nothing is unusual"
    assert not brake.held()


def test_other_parts_go_on_while_one_is_held(three, make, now, later, small):
    make.account(AccountStatus.TERMINATED, purge_at=now)
    done = sweep.sweep(later, small).done
    assert done["deleted"] == 1
    assert "expired" not in done


def test_what_becomes_usual_again_is_held_no_more(three, later, small):
    sweep.sweep(later, small)
    db.session.get_one(Account, three[0]).under_investigation = True
    db.session.commit()
    assert sweep.sweep(later, small).done["expired"] == 2
    assert not brake.held()
    assert db.session.get_one(Account, three[0]).expired_at is None


def test_an_admin_lets_it_run_once(app, three, make, later, small, admin):
    sweep.sweep(later, small)
    app.extensions["redis"].flushall()
    assert brake.allow("expiry", 3, f" {WHY}\n", admin, later) == 3
    assert [job.func_name for job in queue.get_queue().jobs] == ["jobs.sweep.sweep"]
    (row,) = brake.held()
    assert (row.allowed, row.allowed_at, row.allowed_by_id) == (3, later, admin.account_id)
    assert told(brake.ALLOWED) == [{"part": "expiry", "allowed": 3, "usual": 2, "reason": WHY}]

    assert sweep.sweep(later + MINUTE, small).done["expired"] == 3
    assert not brake.held()
    for _ in range(3):
        make.invitation()
    assert sweep.sweep(later + MINUTE, small).held == {"expiry": 3}, "the leave is used up"


def test_a_second_admin_is_told_who_let_it_run(three, make, later, small, admin):
    other = By.person(make.admin(), "192.0.2.2")
    email = db.session.get_one(Account, admin.account_id).email
    sweep.sweep(later, small)
    brake.allow("expiry", 3, WHY, admin, later)
    with pytest.raises(AlreadyAllowed) as error:
        brake.allow("expiry", 2, "another", other, later + MINUTE)
    assert (error.value.by, error.value.at) == (email, later)
    assert brake.allow("expiry", 3, WHY, admin, later + MINUTE) == 3, "the same press once more"
    (row,) = brake.held()
    assert (row.allowed_at, row.allowed_by_id) == (later, admin.account_id)
    assert len(told(brake.ALLOWED)) == 1

    assert not brake.is_allowed(row, later + 61 * MINUTE)
    assert brake.allow("expiry", 3, WHY, other, later + 61 * MINUTE) == 3, "a leave that has ended is given anew"
    assert len(told(brake.ALLOWED)) == 2


def test_admins_at_once_let_it_run_once(app, three, make, later, small):
    admins = [By.person(make.admin(), "192.0.2.1") for _ in range(4)]
    sweep.sweep(later, small)
    barrier = Barrier(4)

    def one(admin):
        with app.app_context():
            barrier.wait()
            try:
                return brake.allow("expiry", 3, WHY, admin, later)
            except AlreadyAllowed:
                return None

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(one, admins), key=str) == [3, None, None, None]
    assert len(told(brake.ALLOWED)) == 1


def test_what_came_after_the_admin_looked_is_not_let_through(three, make, later, small, admin):
    sweep.sweep(later, small)
    brake.allow("expiry", 3, WHY, admin, later)
    make.invitation()
    assert sweep.sweep(later, small).held == {"expiry": 4}
    (row,) = brake.held()
    assert (row.allowed, row.allowed_at, row.allowed_by_id) == (None, None, None)
    with pytest.raises(MoreFallDue) as error:
        brake.allow("expiry", 3, WHY, admin, later)
    assert error.value.due == 4
    assert brake.held()[0].allowed is None


def test_a_leave_ends_after_an_hour(three, later, small, admin):
    sweep.sweep(later, small)
    brake.allow("expiry", 3, WHY, admin, later)
    assert sweep.sweep(later + 61 * MINUTE, small).held == {"expiry": 3}


def test_a_leave_needs_a_reason_and_something_held(three, later, small, admin):
    with pytest.raises(NotFound):
        brake.allow("expiry", 3, WHY, admin, later)
    sweep.sweep(later, small)
    with pytest.raises(ReasonMissing):
        brake.allow("expiry", 3, " \n", admin, later)
    assert brake.held()[0].allowed is None


def test_the_operator_still_confirms(three, later, small):
    sweep.sweep(later, small)
    assert sweep.sweep(later, small, confirmed=True).done["expired"] == 3
    assert not brake.held()


def test_a_sweep_killed_in_the_middle_of_what_was_allowed_goes_on(three, later, small, admin, monkeypatch):
    sweep.sweep(later, small)
    brake.allow("expiry", 3, WHY, admin, later)
    monkeypatch.setattr(expiry, "CHUNK", 1)
    give_notice, calls = expiry._give_notice, []

    def killed(ids, now):
        calls.append(ids)
        if len(calls) == 2:
            raise KeyboardInterrupt
        give_notice(ids, now)

    monkeypatch.setattr(expiry, "_give_notice", killed)
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep(later, small)
    db.session.rollback()
    assert count(Account, Account.expired_at.is_not(None)) == 1
    assert sweep.sweep(later, small).done["expired"] == 2
    assert count(Mail, Mail.kind == "terminated") == 3
    assert not brake.held()


def test_sweeps_at_once_hold_once_and_end_once(app, three, later, small, admin):
    def at_once():
        barrier = Barrier(4)

        def one(_):
            with app.app_context():
                barrier.wait()
                return sweep.sweep(later, small)

        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(one, range(4)))

    assert all(summary.held == {"expiry": 3} and not summary.failed for summary in at_once())
    assert len(told()) == count(HeldSweep) == 1
    brake.allow("expiry", 3, WHY, admin, later)
    summaries = at_once()
    assert not any(summary.failed for summary in summaries)
    assert sum(summary.done.get("expired", 0) for summary in summaries) == 3
    assert count(Mail, Mail.kind == "terminated") == 3
    assert count(Invitation, Invitation.kind == InvitationKind.TECHPASS, Invitation.ended_at.is_(None)) == 0
