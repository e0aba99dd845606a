"""The next 30 days: the numbers, and the lists behind them, which must agree (rule 8.7)."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import func, select, update

from webapp.domain.business_days import SINGAPORE, singapore_date
from webapp.domain.deadlines import DAY
from webapp.domain.lifecycle import AccountStatus, InvitationKind, SeedStatus
from webapp.domain.measures import Measure
from webapp.extensions import db
from webapp.models import Account, DailyCount, Invitation
from webapp.services import extending, forecast, reminders
from webapp.services.audit import By
from webapp.services.forecast import Kind

TODAY = date(2026, 11, 24)


def counted(now, policy):
    forecast.count_ahead(now, policy)
    return {key: count for key, count in forecast.ahead(now).counts.items() if count}


def listed(now, policy):
    found = {}
    for day in forecast.days_from(now):
        for kind in Kind:
            rows = forecast.on_day(day, kind, now, policy)
            if rows:
                found[day, kind] = len(rows)
            assert all(singapore_date(row.at) == day or (row.at < now and day == TODAY) for row in rows), (day, kind)
    return found


@pytest.fixture
def crowd(make, now):
    """Somebody for each kind, on different days; one who is overdue, and one on hold for each."""
    for hold in (False, True):
        changes = {"under_investigation": hold}
        for days in (-35, -29, -23, -22.5, -20, 0):
            make.invitation(make.account(AccountStatus.PENDING, **changes), at=now + days * DAY)
        for days in (-31, -25, -3, 0):
            make.invitation(
                make.account(seed_status=SeedStatus.INVITED, **changes), InvitationKind.SEED, at=now + days * DAY
            )
        for days in (-1, 3, 29, 30):
            make.account(inactivity_due_at=now + days * DAY, **changes)
            make.account(AccountStatus.TERMINATED, purge_at=now + days * DAY, **changes)
        make.device(make.account(seed_status=SeedStatus.INVITED, **changes))
    make.account()


def test_the_numbers_are_those_of_the_lists(crowd, now, policy):
    numbers = counted(now, policy)
    assert numbers == listed(now, policy)
    by_kind = {kind: sum(count for (_, each), count in numbers.items() if each is kind) for kind in Kind}
    assert by_kind[Kind.EXPIRE] == 5, "the one of today's approval expires on the 31st day"
    assert by_kind[Kind.EXPIRE_SEED] == 3
    assert by_kind[Kind.CHECK_INACTIVITY] == by_kind[Kind.DELETE] == 3
    assert by_kind[Kind.REMOVE_DEVICE] == 1
    assert numbers[TODAY, Kind.CHECK_INACTIVITY] == 1, "what is overdue counts as today's"
    assert numbers[TODAY + 3 * DAY, Kind.DELETE] == 1


def test_the_days_are_singapores(make, now, policy):
    before_midnight = datetime(2026, 11, 26, 23, 59, 59, tzinfo=SINGAPORE)
    make.account(inactivity_due_at=before_midnight)
    make.account(inactivity_due_at=before_midnight + timedelta(seconds=1))
    kind = Kind.CHECK_INACTIVITY
    assert counted(now, policy) == listed(now, policy) == {(date(2026, 11, day), kind): 1 for day in (26, 27)}


def test_reminders_are_those_that_the_sweep_writes(make, now, policy):
    make.invitation(at=now - 20 * DAY)
    extended = make.account(AccountStatus.PENDING)
    make.invitation(extended, at=now - 21 * DAY - timedelta(hours=5))
    until = TODAY + 20 * DAY
    extending.extend(
        extended.id, InvitationKind.TECHPASS, until, "ill", By.person(make.admin(), "192.0.2.1"), now, policy
    )
    seed = make.account(seed_status=SeedStatus.INVITED)
    make.invitation(seed, InvitationKind.SEED, at=now - 10 * DAY)
    foreseen = counted(now, policy)
    assert foreseen == listed(now, policy)
    done = dict[tuple[date, Kind], int]()
    while at := db.session.scalar(select(func.min(Invitation.remind_at))):
        day = singapore_date(at)
        done[day, Kind.REMIND] = done.get((day, Kind.REMIND), 0) + reminders.remind(at)
    assert {key: count for key, count in foreseen.items() if key[1] is Kind.REMIND} == done
    assert sum(done.values()) == 7 + 7 + 2


def test_counting_again_replaces_the_numbers_and_forgets_days_gone_by(make, now, policy):
    account = make.account(inactivity_due_at=now + DAY)
    ended = DailyCount(day=TODAY - DAY, measure=Measure.ENDED, count=7, counted_at=now)
    db.session.add(ended)
    db.session.commit()
    assert forecast.ahead(now).counted_at is None
    assert counted(now, policy) == {(TODAY + DAY, Kind.CHECK_INACTIVITY): 1}
    account.under_investigation = True
    db.session.commit()
    later = now + 2 * DAY
    assert counted(later, policy) == {}
    assert forecast.ahead(later).counted_at == later
    assert forecast.ahead(later).days[0] == TODAY + 2 * DAY
    kept = db.session.execute(select(DailyCount.measure, DailyCount.count).where(DailyCount.day < TODAY + 2 * DAY))
    assert [tuple(row) for row in kept] == [(Measure.ENDED, 7)]


@pytest.mark.parametrize("kind", [Kind.REMIND, Kind.CHECK_INACTIVITY, None], ids=str)
def test_a_list_goes_on_by_key(make, now, policy, monkeypatch, kind):
    monkeypatch.setattr(forecast, "PAGE", 2)
    for number in range(5):
        account = make.account(AccountStatus.PENDING if kind is Kind.REMIND else AccountStatus.ACTIVE)
        if kind is Kind.REMIND:
            make.invitation(account, at=now - 25 * DAY + timedelta(hours=number // 2))
        account.inactivity_due_at = now
        account.under_investigation = kind is None
        db.session.commit()
    seen, after, before = [], None, None
    while True:
        rows = forecast.on_hold(before) if kind is None else forecast.on_day(TODAY, kind, now, policy, after)
        seen += rows[:2]
        if len(rows) < 3:
            break
        after, before = (rows[1].key_at, rows[1].number), rows[1].number
    assert len({row.account_id for row in seen}) == len(seen) == 5
    keys = [(row.key_at, row.number) for row in seen]
    assert all(a > b if kind is not Kind.CHECK_INACTIVITY else a < b for a, b in pairwise(keys))


def test_who_is_on_hold_is_counted(make):
    for _ in range(2):
        make.account(under_investigation=True)
    make.account()
    assert forecast.count_on_hold() == len(forecast.on_hold()) == 2


def test_each_line_says_which_link_it_hangs_on(crowd, now, policy):
    lines = forecast.on_day(TODAY, Kind.REMIND, now, policy)
    links = {db.session.get_one(Invitation, line.number).kind: line.link for line in lines}
    assert links == {kind: kind for kind in (InvitationKind.TECHPASS, InvitationKind.SEED)}
    assert {line.link for line in forecast.on_day(TODAY, Kind.DELETE, now, policy)} == {None}
    db.session.execute(update(Account).values(under_investigation=True))
    assert forecast.on_day(TODAY, Kind.REMIND, now, policy) == []
