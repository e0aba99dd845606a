"""The end of what was not activated in time: the notice, then termination (rules 3.2, 3.4, 3.5 and 4.3; J4, J5)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import delete, func, select, update

from webapp import emails
from webapp.domain.lifecycle import (
    AccountStatus,
    ForbiddenTransition,
    InvitationKind,
    InvitationState,
    MailState,
    RequestKind,
    RequestState,
    SeedStatus,
)
from webapp.extensions import db
from webapp.models import Account, AuditEvent, BrowserSession, Mail, Request, SessionKind
from webapp.services import expiry, outbox, sessions, sets

SECOND = timedelta(seconds=1)
DAYS_30 = timedelta(days=30)


def fresh(thing):
    db.session.expire_all()
    return db.session.get_one(type(thing), thing.id, populate_existing=True)


def holder(link):
    return db.session.get_one(Account, link.account_id)


def mails(kind=emails.TERMINATED):
    return db.session.scalars(
        select(Mail).where(Mail.kind == kind).order_by(Mail.id).execution_options(populate_existing=True)
    ).all()


def actions(account):
    return list(
        db.session.scalars(select(AuditEvent.action).where(AuditEvent.account_id == account.id).order_by(AuditEvent.id))
    )


def hand_over(state=MailState.SENT):
    """What the deliverer does to the notices."""
    db.session.execute(update(Mail).where(Mail.kind == emails.TERMINATED).values(state=state))
    db.session.commit()


@pytest.mark.parametrize(("offset", "expired"), [(-SECOND, 0), (timedelta(0), 0), (SECOND, 1)])
def test_an_invitation_runs_out_at_the_end_of_its_last_instant(app, make, now, offset, expired):
    link, _ = make.invitation()
    assert expiry.expire(now + DAYS_30 + offset) == (expired, 0)
    assert fresh(link).state is (InvitationState.EXPIRED if expired else InvitationState.LIVE)
    assert len(mails()) == expired


def test_the_notice_comes_first_and_termination_once_it_has_left(app, make, now):
    link, _ = make.invitation()
    account = holder(link)
    later = now + DAYS_30 + SECOND

    expiry.expire(later)
    assert expiry.terminate_notified(later) == 0
    assert fresh(account).status is AccountStatus.PENDING
    assert fresh(account).expired_at == fresh(link).ended_at == later
    assert [(mail.recipient, mail.state) for mail in mails()] == [(account.email, MailState.QUEUED)]
    assert actions(account) == []

    hand_over()
    assert expiry.terminate_notified(later + SECOND) == 1
    account = fresh(account)
    assert (account.status, account.status_at) == (AccountStatus.TERMINATED, later + SECOND)
    assert account.purge_at == later + SECOND + timedelta(days=5)
    assert actions(account) == ["account.terminated"]
    assert db.session.scalars(select(AuditEvent.detail)).one() == {"reason": "not activated in time"}
    assert db.session.scalars(select(AuditEvent.actor)).one() == "system"

    assert expiry.expire(later + 2 * SECOND) == (0, 0)
    assert expiry.terminate_notified(later + 2 * SECOND) == 0
    assert len(mails()) == 1


@pytest.mark.parametrize("state", [MailState.FAILED, MailState.CANCELLED], ids=str)
def test_a_notice_that_fails_keeps_nobody_and_the_audit_trail_says_so(app, make, now, state):
    link, _ = make.invitation()
    expiry.expire(now + DAYS_30 + SECOND)
    hand_over(state)
    assert expiry.terminate_notified(now + DAYS_30 + SECOND) == 1
    assert fresh(holder(link)).status is AccountStatus.TERMINATED
    assert db.session.scalars(select(AuditEvent.detail)).one() == {
        "reason": "not activated in time",
        "notice": "failed",
    }


def test_the_set_of_notices_has_the_rows_that_the_single_one_has(app, make, now):
    link, _ = make.invitation()
    later = now + DAYS_30 + SECOND
    expiry.expire(later)
    columns = [column for column in Mail.__table__.columns if column.name != "id"]
    by_set = db.session.execute(select(*columns)).one()
    db.session.execute(delete(Mail))
    outbox.post(emails.terminated(holder(link), later))
    assert db.session.execute(select(*columns)).one() == by_set


@pytest.mark.parametrize("status", [AccountStatus.ACTIVE, AccountStatus.DISABLED, AccountStatus.TERMINATED], ids=str)
def test_only_who_is_pending_gets_the_notice(app, make, now, status):
    link, _ = make.invitation(make.account(status))
    assert expiry.expire(now + DAYS_30 + SECOND) == (0, 0)
    assert fresh(link).state is InvitationState.EXPIRED
    assert fresh(holder(link)).expired_at is None
    assert not mails()


def test_an_onboarding_under_way_ends_and_mails_about_the_dead_link_are_taken_back(app, make, now):
    link, _ = make.invitation()
    sessions.open_session(
        holder(link),
        SessionKind.ONBOARDING,
        now,
        make.policy,
        peer="192.0.2.1",
        user_agent="",
        invitation_id=link.id,
    )
    outbox.post(emails.onboarding_reminder(holder(link), link, 29, now))
    db.session.commit()
    expiry.expire(now + DAYS_30 + SECOND)
    assert not db.session.scalars(select(BrowserSession)).all()
    assert [mail.state for mail in mails("onboarding_reminder")] == [MailState.CANCELLED]
    assert [mail.state for mail in mails()] == [MailState.QUEUED]


def test_nothing_but_the_notice_reaches_somebody_terminated(app, make, now):
    link, _ = make.invitation()
    later = now + DAYS_30 + SECOND
    expiry.expire(later)
    outbox.post(emails.already_have_account(holder(link), later))
    db.session.commit()
    hand_over()
    expiry.terminate_notified(later)
    assert [mail.state for mail in mails("already_have_account")] == [MailState.CANCELLED]


@pytest.mark.parametrize("status", [AccountStatus.ACTIVE, AccountStatus.PENDING], ids=str)
def test_who_let_seed_run_out_is_told_once(app, make, now, status):
    account = make.account(status, seed_status=SeedStatus.INVITED)
    link, _ = make.invitation(account, InvitationKind.SEED)
    later = now + DAYS_30 + SECOND
    for _ in range(3):
        expiry.expire(later)
    mail = db.session.scalars(select(Mail)).one()
    wanted = emails.seed_expired(account, link, later)
    assert {name: getattr(mail, name) for name in wanted} == wanted


def test_whose_techpass_ran_out_too_hears_of_that_alone(app, make, now):
    account = make.account(AccountStatus.PENDING, seed_status=SeedStatus.INVITED)
    make.invitation(account)
    make.invitation(account, InvitationKind.SEED, at=now + SECOND)
    expiry.expire(now + DAYS_30 + 5 * SECOND)
    assert list(db.session.scalars(select(Mail.kind))) == [emails.TERMINATED]


def test_seed_runs_out_by_itself_and_can_be_asked_for_again(app, make, now):
    account = make.account(seed_status=SeedStatus.INVITED)
    link, _ = make.invitation(account, InvitationKind.SEED)
    assert expiry.expire(now + DAYS_30) == (0, 0)
    assert expiry.expire(now + DAYS_30 + SECOND) == (0, 1)
    account = fresh(account)
    assert (account.status, account.seed_status) == (AccountStatus.ACTIVE, SeedStatus.EXPIRED)
    assert account.seed_status_at == fresh(link).ended_at == now + DAYS_30 + SECOND
    assert actions(account) == ["seed.expired"]


@pytest.mark.parametrize("seed", [SeedStatus.ONBOARDED, SeedStatus.SUSPENDED, SeedStatus.WITHDRAWN], ids=str)
def test_a_seed_link_that_runs_out_takes_nothing_away_that_does_not_hang_on_it(app, make, now, seed):
    account = make.account(seed_status=seed)
    make.invitation(account, InvitationKind.SEED)
    assert expiry.expire(now + DAYS_30 + SECOND) == (0, 0)
    assert fresh(account).seed_status is seed
    assert actions(account) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (SeedStatus.REQUESTED, SeedStatus.WITHDRAWN),
        (SeedStatus.INVITED, SeedStatus.EXPIRED),
        (SeedStatus.REJECTED, SeedStatus.REJECTED),
        (SeedStatus.NOT_REQUIRED, SeedStatus.NOT_REQUIRED),
    ],
    ids=str,
)
def test_seed_ends_with_the_account(app, make, now, before, after):
    account = make.account(AccountStatus.PENDING, seed_status=before, expired_at=now)
    seed_link, _ = make.invitation(account, InvitationKind.SEED)
    db.session.add(Request(account_id=account.id, kind=RequestKind.SEED, requested_at=now))
    db.session.commit()
    assert expiry.terminate_notified(now + SECOND) == 1
    assert fresh(account).seed_status is after
    assert fresh(account).seed_status_at == (now if before is after else now + SECOND)
    assert fresh(seed_link).state is InvitationState.EXPIRED
    request = db.session.scalars(select(Request)).one()
    assert (request.state, request.decided_at) == (RequestState.REJECTED, now + SECOND)


def test_a_single_account_ends_as_those_of_the_sweep_do(app, make, now):
    account = make.account(AccountStatus.PENDING, seed_status=SeedStatus.INVITED)
    link, _ = make.invitation(account)
    assert expiry.end_if_overdue(account, now + DAYS_30) is False
    assert expiry.end_if_overdue(account, now + DAYS_30 + SECOND) is True
    db.session.commit()
    assert (account.status, account.seed_status) == (AccountStatus.TERMINATED, SeedStatus.EXPIRED)
    assert fresh(link).state is InvitationState.EXPIRED
    assert expiry.expire(now + DAYS_30 + SECOND) == (0, 0)
    assert expiry.terminate_notified(now + DAYS_30 + SECOND) == 0
    assert (len(mails()), actions(account)) == (1, ["account.terminated"])


def test_who_waits_for_approval_is_not_terminated(app, make, now):
    account = db.session.get_one(Account, make.request().account_id)
    with pytest.raises(ForbiddenTransition):
        expiry.terminate(account, now)
    db.session.rollback()
    expiry.terminate_each([account.id], now)
    assert fresh(account).status is AccountStatus.REQUESTED


def at_once(app, work, times):
    """Run ``work`` in ``times`` threads that begin together."""
    barrier = Barrier(times)

    def one(number):
        with app.app_context():
            barrier.wait()
            return work(number)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


def test_two_sweeps_at_once_do_each_thing_once(app, make, now, monkeypatch):
    monkeypatch.setattr(expiry, "CHUNK", 7)
    for _ in range(60):
        make.invitation()
    later = now + DAYS_30 + SECOND

    done = at_once(app, lambda _: expiry.expire(later)[0], 4)
    assert sum(done) == 60
    assert len(mails()) == 60
    hand_over()
    done = at_once(app, lambda _: expiry.terminate_notified(later), 4)
    assert sum(done) == 60
    counted = select(func.count()).where(Account.status == AccountStatus.TERMINATED)
    assert db.session.scalar(counted) == 60
    assert db.session.scalar(select(func.count()).where(AuditEvent.action == "account.terminated")) == 60


def test_a_sign_up_that_ends_an_account_beside_the_sweep_ends_it_once(app, make, now):
    link, _ = make.invitation()
    later = now + DAYS_30 + SECOND
    number = link.account_id

    def end(turn):
        if turn % 2:
            expiry.expire(later)
            return expiry.terminate_notified(later)
        ended = expiry.end_if_overdue(db.session.get_one(Account, number), later)
        db.session.commit()
        return ended

    at_once(app, end, 6)
    db.session.rollback()
    assert db.session.scalar(select(Account.status)) is AccountStatus.TERMINATED
    assert (len(mails()), actions(holder(link))) == (1, ["account.terminated"])


@pytest.mark.parametrize("app", ["postgresql"], indirect=True)  # SQLite has one writer at a time.
def test_what_others_hold_is_passed_over_and_done_by_the_next_sweep(app, make, now):
    held, _ = make.invitation()
    make.invitation()
    later = now + DAYS_30 + SECOND
    with db.engine.connect() as other:
        other.execute(select(Account.id).where(Account.id == held.account_id).with_for_update())
        assert expiry.expire(later) == (1, 0)
        assert fresh(held).state is InvitationState.LIVE
        db.session.rollback()
    assert expiry.expire(later) == (1, 0)


def test_ids_go_as_one_parameter_however_many(app, make, now):
    account = make.account()
    many = list(range(account.id, account.id + 70_000))
    assert db.session.scalars(select(Account.id).where(sets.among(Account.id, many))).all() == [account.id]
    assert db.session.scalars(select(Account.id).where(sets.among(Account.id, []))).all() == []
