"""Confirming who one is: a code given lately in this very session, and guesses that are counted (rule 6.3)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import func, select, update

from tests.onboarding import Walk
from webapp.domain.lifecycle import AccountStatus
from webapp.domain.onboarding import Step
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Authenticator, BrowserSession, LogInAttempt, RecoveryCode, SessionKind
from webapp.models import WrongCode as WrongCodeRow
from webapp.services import audit, authenticators, confirming, log_in, sessions
from webapp.services.errors import ConfirmFirst, SessionOver, TooManyTries, WrongCode

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture
def person(make):
    return make.account(email="peter@tech.gov.sg")


@pytest.fixture
def totp(make, person):
    return make.authenticator(person)


@pytest.fixture
def by(person):
    return audit.By.person(person, "203.0.113.7")


def opened(account, now, policy, **given):
    token = sessions.open_session(account, SessionKind.SIGNED_IN, now, policy, peer="", user_agent="", **given)
    db.session.commit()
    return sessions.find_session(token, now, policy)


def count(table, **where):
    return db.session.scalar(select(func.count()).select_from(table).filter_by(**where))


def wrong(totp, now):
    good = {totp.at(now + steps * 30 * SECOND) for steps in (-1, 0, 1)}
    return next(code for code in ("000000", "000001", "000002", "000003") if code not in good)


def test_a_code_of_the_authenticator_confirms_this_session_alone(person, totp, by, now, policy):
    here, elsewhere = opened(person, now, policy), opened(person, now, policy)
    with pytest.raises(ConfirmFirst):
        confirming.take(here.id, now, policy)
    confirming.confirm_with_authenticator(here.id, totp.at(now), by, now, policy)
    assert confirming.take(here.id, now, policy).account_id == person.id
    with pytest.raises(ConfirmFirst):
        confirming.take(elsewhere.id, now, policy)
    event = db.session.scalars(select(AuditEvent)).one()
    assert (event.action, event.actor_id, event.detail) == (
        "identity.confirmed",
        person.id,
        {"method": "authenticator"},
    )


def test_it_holds_for_ten_minutes(person, totp, by, now, policy):
    session = opened(person, now, policy)
    confirming.confirm_with_authenticator(session.id, totp.at(now), by, now, policy)
    assert confirming.is_confirmed(session, now + 10 * MINUTE, policy)
    confirming.take(session.id, now + 10 * MINUTE, policy)
    assert not confirming.is_confirmed(session, now + 10 * MINUTE + SECOND, policy)
    with pytest.raises(ConfirmFirst):
        confirming.take(session.id, now + 10 * MINUTE + SECOND, policy)


def test_a_code_that_another_tab_gave_meanwhile_counts(person, totp, now, policy):
    session = opened(person, now, policy)
    db.session.commit()
    with db.engine.begin() as another:
        another.execute(update(BrowserSession).values(confirmed_at=now))
    assert session.confirmed_at is None, "read before the account was locked"
    assert confirming.take(session.id, now, policy).confirmed_at == now


def test_no_code_is_taken_twice(person, totp, by, now, policy):
    session = opened(person, now, policy)
    code = totp.at(now)
    confirming.confirm_with_authenticator(session.id, code, by, now, policy)
    with pytest.raises(WrongCode):
        confirming.confirm_with_authenticator(session.id, code, by, now + SECOND, policy)


def test_a_recovery_code_confirms_and_is_used_up(person, totp, by, now, policy):
    authenticators.create_recovery_codes(person, policy)
    db.session.commit()
    code = authenticators.codes_to_save(person)[4]
    session = opened(person, now, policy)
    assert confirming.confirm_with_recovery_code(session.id, code, by, now, policy) == 9
    assert confirming.is_confirmed(session, now, policy)
    with pytest.raises(WrongCode):
        confirming.confirm_with_recovery_code(session.id, code, by, now, policy)
    assert db.session.scalars(select(AuditEvent.detail)).all() == [{"method": "recovery code"}]


def test_nobody_elses_code_confirms(make, person, totp, by, now, policy):
    other = make.authenticator(make.account())
    session = opened(person, now, policy)
    with pytest.raises(WrongCode):
        confirming.confirm_with_authenticator(session.id, other.at(now), by, now, policy)
    assert not confirming.is_confirmed(session, now, policy)


def test_wrong_codes_are_counted_and_the_end_of_it_ends_by_itself(person, totp, by, now, policy):
    session = opened(person, now, policy)
    for number in range(5):
        with pytest.raises(WrongCode):
            confirming.confirm_with_authenticator(session.id, wrong(totp, now), by, now + number * SECOND, policy)
    later = now + 2 * MINUTE
    with pytest.raises(TooManyTries):
        confirming.confirm_with_authenticator(session.id, totp.at(later), by, later, policy)
    with pytest.raises(TooManyTries):
        confirming.confirm_with_recovery_code(session.id, "abcd-efgh-2345", by, later, policy)
    assert count(WrongCodeRow, known_browser=True) == 5
    event = db.session.scalars(select(AuditEvent)).one()
    assert (event.action, event.account_id, event.at) == ("identity.refused", person.id, now + 4 * SECOND)
    later = now + 4 * SECOND + 5 * MINUTE
    confirming.confirm_with_authenticator(session.id, totp.at(later), by, later, policy)


def test_they_are_counted_with_those_of_logging_in(person, totp, by, now, policy):
    """Who guesses gets no more tries by going about it in two places."""
    session = opened(person, now, policy)
    attempt = log_in.start(person.email, now, policy).attempt_id
    for _ in range(5):
        with pytest.raises(WrongCode):
            log_in.check_code(attempt, "x", now, policy, known_browser=True)
    with pytest.raises(TooManyTries):
        confirming.confirm_with_authenticator(session.id, totp.at(now), by, now, policy)


def test_a_stranger_who_guesses_at_logging_in_takes_nothing_from_who_is_signed_in(person, totp, by, now, policy):
    session = opened(person, now, policy)
    attempt = log_in.start(person.email, now, policy).attempt_id
    for _ in range(5):
        with pytest.raises(WrongCode):
            log_in.check_code(attempt, "x", now, policy, known_browser=False)
    confirming.confirm_with_authenticator(session.id, totp.at(now), by, now, policy)


@pytest.mark.parametrize("end", ["session", "account"])
def test_a_session_that_has_ended_confirms_nothing(person, totp, by, now, policy, end):
    session_id = opened(person, now, policy).id
    if end == "session":
        sessions.end_all_sessions(person.id)
    else:
        db.session.query(Account).update({"status": AccountStatus.DISABLED})
    db.session.commit()
    with pytest.raises(SessionOver):
        confirming.confirm_with_authenticator(session_id, totp.at(now), by, now, policy)
    with pytest.raises(SessionOver):
        confirming.take(session_id, now, policy)
    assert db.session.scalar(select(Authenticator.last_step)) == 0, "the code was used up"


def test_guesses_made_at_once_are_counted_one_by_one(app, person, totp, by, now, policy):
    """L3."""
    session_id, code = opened(person, now, policy).id, wrong(totp, now)
    db.session.rollback()
    barrier = Barrier(20)

    def guess(_):
        with app.app_context():
            barrier.wait()
            try:
                confirming.confirm_with_authenticator(session_id, code, by, now, policy)
            except (WrongCode, TooManyTries) as error:
                return type(error)
            finally:
                db.session.remove()

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(guess, range(20)))
    assert (outcomes.count(WrongCode), outcomes.count(TooManyTries)) == (5, 15)


def test_one_recovery_code_used_thirty_times_at_once_confirms_once(app, person, totp, now, policy, by):
    """L2: in thirty sessions, so that nothing but the code itself stands in the way."""
    authenticators.create_recovery_codes(person, policy)
    code = authenticators.codes_to_save(person)[0]
    numbers = [opened(person, now, policy).id for _ in range(30)]
    db.session.rollback()
    barrier = Barrier(30)

    def use(session_id):
        with app.app_context():
            barrier.wait()
            try:
                confirming.confirm_with_recovery_code(session_id, code, by, now, policy)
            except (WrongCode, TooManyTries):
                return False
            finally:
                db.session.remove()
            return True

    with ThreadPoolExecutor(30) as pool:
        assert sum(pool.map(use, numbers)) == 1
    assert db.session.scalar(select(func.count(RecoveryCode.used_at))) == 1
    assert db.session.scalar(select(func.count(BrowserSession.confirmed_at))) == 1
    assert count(AuditEvent, action="identity.confirmed") == 1


# What counts as confirmed from the start


def test_a_log_in_counts_since_it_took_a_code_just_now(person, totp, by, now, policy):
    attempt = log_in.start(person.email, now, policy).attempt_id
    db.session.get_one(LogInAttempt, attempt).code_accepted_at = now
    db.session.commit()
    log_in.finish_with_authenticator(attempt, totp.at(now), by, now, policy, "", marked_at=now)
    assert db.session.scalars(select(BrowserSession.confirmed_at)).one() == now


def test_the_end_of_onboarding_counts_from_the_code_that_was_given_in_it(make, now, policy):
    walk = Walk.begin(make)
    walk.to(Step.RECOVERY_CODES)
    walk.now = now + 9 * MINUTE
    session = sessions.find_session(walk.to(None) or "", walk.now, policy)
    assert session is not None
    assert session.confirmed_at == now
    assert confirming.is_confirmed(session, now + 10 * MINUTE, policy)
    assert not confirming.is_confirmed(session, now + 11 * MINUTE, policy)
