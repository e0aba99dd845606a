"""One reminder a day from day 23, and none once the invitation is accepted or over (rule 3.3; J4, J5)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import select, update

from webapp.domain.deadlines import DAY
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState, MailState, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Invitation, Mail
from webapp.services import invitations, reminders
from webapp.services.audit import By

SECOND = timedelta(seconds=1)
KIND = "onboarding_reminder"


def keys(state=None):
    query = select(Mail.key).where(Mail.kind == KIND).order_by(Mail.id)
    return list(db.session.scalars(query if state is None else query.where(Mail.state == state)))


def mark(link):
    return db.session.scalar(select(Invitation.remind_at).where(Invitation.id == link.id))


@pytest.mark.parametrize(
    ("day", "offset", "sent"),
    [
        (22, timedelta(0), 0),
        (23, -SECOND, 0),
        (23, timedelta(0), 1),
        (23, SECOND, 1),
        (29, -SECOND, 1),
        (29, timedelta(0), 1),
        (30, -SECOND, 1),
        (30, timedelta(0), 0),
        (30, SECOND, 0),
    ],
)
def test_the_days_of_reminders_to_the_second(app, make, now, day, offset, sent):
    link, _ = make.invitation()
    assert reminders.remind(now + day * DAY + offset) == sent
    assert len(keys()) == sent
    assert mark(link) is None or mark(link) > now + day * DAY + offset


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_sweep_each_minute_writes_one_a_day(app, make, monkeypatch, now, zone):
    # New York's clocks change on 14 March 2027, within these 30 days.
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        issued = now + 90 * DAY
        link, _ = make.invitation(at=issued)
        instant = issued + 22 * DAY
        while instant < issued + 31 * DAY:
            reminders.remind(instant)
            instant += timedelta(minutes=97)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert keys() == [f"{KIND}:{link.id}:{day}" for day in range(23, 30)]


def test_after_ten_days_without_a_sweep_there_is_one_mail(app, make, now):
    link, _ = make.invitation()
    assert reminders.remind(now + 28.4 * DAY) == 1
    assert reminders.remind(now + 28.4 * DAY + SECOND) == 0
    assert keys() == [f"{KIND}:{link.id}:28"]
    assert mark(link) == now + 29 * DAY


def test_a_sweep_that_comes_after_the_end_reminds_nobody(app, make, now):
    link, _ = make.invitation()
    assert reminders.remind(now + 33 * DAY) == 0
    assert mark(link) is None


def test_a_reminder_that_could_not_leave_is_replaced_by_the_next(app, make, now):
    link, _ = make.invitation()
    for day in (23, 24, 25):
        reminders.remind(now + day * DAY)
    assert keys(MailState.QUEUED) == [f"{KIND}:{link.id}:25"]
    assert keys(MailState.CANCELLED) == [f"{KIND}:{link.id}:23", f"{KIND}:{link.id}:24"]


def test_a_reminder_that_has_left_stays_as_it_is(app, make, now):
    make.invitation()
    reminders.remind(now + 23 * DAY)
    db.session.execute(update(Mail).values(state=MailState.SENT))
    db.session.commit()
    reminders.remind(now + 24 * DAY)
    assert (len(keys(MailState.SENT)), len(keys(MailState.QUEUED))) == (1, 1)


@pytest.mark.parametrize("status", [status for status in AccountStatus if status is not AccountStatus.PENDING], ids=str)
def test_only_who_has_still_to_accept_is_reminded(app, make, now, status):
    link, _ = make.invitation(make.account(status))
    assert reminders.remind(now + 24 * DAY) == 0
    assert mark(link) is None


def test_used_and_replaced_links_remind_nobody(app, make, now):
    used, _ = make.invitation()
    used.state = InvitationState.USED
    replaced, _ = make.invitation()
    account = db.session.get_one(Account, replaced.account_id)
    make.invitation(account, at=now + 20 * DAY)
    assert reminders.remind(now + 24 * DAY) == 0


def test_a_link_sent_anew_goes_on_reminding_until_the_same_deadline(app, make, now):
    link, _ = make.invitation()
    reminders.remind(now + 24 * DAY)
    officer = By.visitor("192.0.2.1")
    invitations.resend(link.account_id, InvitationKind.TECHPASS, officer, now + 24.5 * DAY, make.policy)
    counts = [reminders.remind(now + (24.5 + hours / 24) * DAY) for hours in range(24 * 8)]
    assert sum(counts) == 6
    assert set(counts) == {0, 1}


def test_two_sweeps_at_once_write_one_each(app, make, now, monkeypatch):
    monkeypatch.setattr(reminders, "BATCH", 5)
    links = [make.invitation()[0] for _ in range(40)]
    barrier = Barrier(4)

    def sweep(_):
        with app.app_context():
            barrier.wait()
            return reminders.remind(now + 23 * DAY)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(sweep, range(4))) == 40
    assert sorted(keys()) == sorted(f"{KIND}:{link.id}:23" for link in links)
    assert set(db.session.scalars(select(Invitation.remind_at))) == {now + 24 * DAY}


def test_a_mark_set_back_by_hand_repeats_no_mail(app, make, now):
    link, _ = make.invitation()
    reminders.remind(now + 23 * DAY)
    db.session.execute(update(Invitation).values(remind_at=now + 23 * DAY))
    db.session.commit()
    reminders.remind(now + 23 * DAY + SECOND)
    assert keys(MailState.QUEUED) == [f"{KIND}:{link.id}:23"]


# SEED: seven days and one day before it expires (rule 4.3).

SEED_KIND = "seed_reminder"


def seed_link(make, status=AccountStatus.ACTIVE, seed=SeedStatus.INVITED):
    account = make.account(status, seed_status=seed)
    link, _ = make.invitation(account, InvitationKind.SEED)
    return link


def seed_keys():
    return list(db.session.scalars(select(Mail.key).where(Mail.kind == SEED_KIND).order_by(Mail.id)))


@pytest.mark.parametrize(
    ("day", "offset", "marks"),
    [
        (22, timedelta(0), []),
        (23, -SECOND, []),
        (23, timedelta(0), [7]),
        (23, SECOND, [7]),
        (28, timedelta(0), [7]),
        (29, -SECOND, [7]),
        (29, timedelta(0), [1]),
        (30, -SECOND, [1]),
        (30, timedelta(0), []),
        (30, SECOND, []),
    ],
)
def test_the_days_of_seed_reminders_to_the_second(app, make, now, day, offset, marks):
    link = seed_link(make)
    assert reminders.remind(now + day * DAY + offset) == len(marks)
    assert seed_keys() == [f"{SEED_KIND}:{link.id}:{mark}" for mark in marks]


def test_seed_is_reminded_of_twice_in_all(app, make, now):
    link = seed_link(make)
    instant = now
    while instant < now + 32 * DAY:
        reminders.remind(instant)
        instant += timedelta(minutes=97)
    assert seed_keys() == [f"{SEED_KIND}:{link.id}:7", f"{SEED_KIND}:{link.id}:1"]
    assert mark(link) is None


def test_a_pending_person_is_reminded_of_both(app, make, now):
    link = seed_link(make, AccountStatus.PENDING)
    make.invitation(db.session.get_one(Account, link.account_id))
    assert reminders.remind(now + 23 * DAY) == 2
    assert len(seed_keys()) == len(keys()) == 1


@pytest.mark.parametrize("seed", [state for state in SeedStatus if state is not SeedStatus.INVITED], ids=str)
def test_only_who_is_invited_to_seed_is_reminded_of_it(app, make, now, seed):
    link = seed_link(make, seed=seed)
    assert reminders.remind(now + 24 * DAY) == 0
    assert mark(link) is None


@pytest.mark.parametrize("status", [AccountStatus.DISABLED, AccountStatus.TERMINATED, AccountStatus.DELETED], ids=str)
def test_nobody_is_reminded_of_seed_without_techpass(app, make, now, status):
    seed_link(make, status)
    assert reminders.remind(now + 24 * DAY) == 0
    assert seed_keys() == []


def test_a_seed_mail_sent_again_keeps_deadline_and_reminders(app, make, now, policy):
    link = seed_link(make)
    by = By.visitor("203.0.113.7")
    invitations.resend(link.account_id, InvitationKind.SEED, by, now + 25 * DAY, policy)
    fresh = db.session.scalars(select(Invitation).where(Invitation.state == InvitationState.LIVE)).one()
    assert (fresh.expires_at, fresh.remind_at) == (now + 30 * DAY, now + 23 * DAY)
