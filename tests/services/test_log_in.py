"""Logging in: codes that count once, guesses that are counted, and answers that do not tell who has an account."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import event, func, select

from webapp.domain.addresses import AddressError
from webapp.domain.lifecycle import AccountStatus
from webapp.domain.tokens import LOG_IN_CODE, derive_code, token_hash
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Authenticator, BrowserSession, LogInAttempt, Mail, RecoveryCode
from webapp.models import WrongCode as WrongCodeRow
from webapp.services import audit, authenticators, keys, log_in
from webapp.services.errors import AccountDisabled, AttemptOver, TooManyTries, WrongCode
from webapp.services.log_in import Stage

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
BY = audit.By.visitor("192.0.2.1")
EDGE = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0"


@pytest.fixture
def person(make):
    return make.account(email="peter@tech.gov.sg")


@pytest.fixture
def totp(make, person):
    return make.authenticator(person)


def count(table, *conditions):
    return db.session.scalar(select(func.count()).select_from(table).where(*conditions))


def code_of(attempt_id):
    return derive_code(keys.secret_key(), LOG_IN_CODE, db.session.get_one(LogInAttempt, attempt_id).nonce)


def wrong_code(attempt_id):
    return f"{(int(code_of(attempt_id)) + 1) % 1_000_000:06d}"


def check(attempt_id, code, now, policy, known=False):
    log_in.check_code(attempt_id, code, now, policy, known_browser=known)


def second_step(attempt_id, code, now, policy, known=False):
    return log_in.finish_with_authenticator(attempt_id, code, BY, now, policy, EDGE, marked_at=now if known else None)


def past_the_code(now, policy, email="peter@tech.gov.sg"):
    attempt = log_in.start(email, now, policy).attempt_id
    check(attempt, code_of(attempt), now, policy)
    return attempt


def test_a_mailed_code_and_an_authenticator_open_a_session(person, totp, now, policy):
    later = now + timedelta(days=20)
    started = log_in.start(" PETER@tech.gov.sg ", later, policy)
    mail = db.session.scalars(select(Mail)).one()
    assert (mail.kind, mail.recipient, mail.urgent, mail.context) == (
        "sign_in_code",
        "peter@tech.gov.sg",
        True,
        {"attempt_id": started.attempt_id},
    )
    assert log_in.stage(started.attempt_id, later) is Stage.CODE
    check(started.attempt_id, code_of(started.attempt_id), later, policy)
    assert log_in.stage(started.attempt_id, later) is Stage.AUTHENTICATOR
    done = second_step(started.attempt_id, totp.at(later), later, policy)
    opened = db.session.scalars(select(BrowserSession)).one()
    assert opened.token_hash == token_hash(done.token)
    assert done.recovery_codes_left is None
    db.session.refresh(person)
    assert person.idle_since == later
    assert person.inactivity_due_at == later + timedelta(days=60)
    assert count(AuditEvent, AuditEvent.action == "log_in.succeeded", AuditEvent.actor_id == person.id) == 1
    with pytest.raises(AttemptOver):
        second_step(started.attempt_id, totp.at(later + MINUTE), later + MINUTE, policy)


@pytest.mark.parametrize("known", [False, True])
def test_a_sign_in_from_an_unknown_browser_is_told(person, totp, now, policy, known):
    attempt = past_the_code(now, policy)
    second_step(attempt, totp.at(now), now, policy, known)
    told = db.session.scalars(select(Mail.context).where(Mail.kind == "new_sign_in")).all()
    assert told == ([] if known else [{"at": now.isoformat(), "browser": "Edge on Windows"}])


@pytest.mark.parametrize("text", ["", "peter", "peter@", "p\u0131ter@tech.gov.sg", "x" * 200])
def test_what_is_no_address_begins_nothing(app, text, now, policy):
    with pytest.raises(AddressError):
        log_in.start(text, now, policy)
    assert count(LogInAttempt) == 0


def test_one_code_a_minute_is_mailed_and_shared_by_the_attempts_of_that_minute(person, now, policy):
    first = log_in.start(person.email, now, policy)
    second = log_in.start(person.email, now + 59 * SECOND, policy)
    assert (first.sends_code, second.sends_code) == (True, False)
    assert code_of(first.attempt_id) == code_of(second.attempt_id)
    assert count(Mail) == 1
    third = log_in.start(person.email, now + 60 * SECOND, policy)
    assert third.sends_code
    assert count(Mail) == 2
    assert code_of(third.attempt_id) != code_of(first.attempt_id)


def test_a_shared_code_works_for_one_of_them(person, now, policy):
    first = log_in.start(person.email, now, policy).attempt_id
    second = log_in.start(person.email, now + SECOND, policy).attempt_id
    code = code_of(first)
    check(second, code, now + SECOND, policy)
    with pytest.raises(AttemptOver):
        check(first, code, now + SECOND, policy)
    # The code is spent, so the next attempt has one of its own.
    third = log_in.start(person.email, now + 2 * SECOND, policy)
    assert third.sends_code
    assert code_of(third.attempt_id) != code


def test_a_code_lives_ten_minutes(person, now, policy):
    attempt = log_in.start(person.email, now, policy).attempt_id
    code = code_of(attempt)
    with pytest.raises(AttemptOver):
        check(attempt, code, now + 10 * MINUTE + SECOND, policy)
    check(attempt, code, now + 10 * MINUTE, policy)


def test_the_second_step_has_ten_minutes_too(person, totp, now, policy):
    attempt = past_the_code(now, policy)
    late = now + 10 * MINUTE + SECOND
    with pytest.raises(AttemptOver):
        second_step(attempt, totp.at(late), late, policy)
    assert count(BrowserSession) == 0


def test_an_authenticators_code_alone_opens_nothing(person, totp, now, policy):
    attempt = log_in.start(person.email, now, policy).attempt_id
    with pytest.raises(AttemptOver):
        second_step(attempt, totp.at(now), now, policy)
    assert count(BrowserSession) == 0


@pytest.mark.parametrize("attempt", [0, 99])
def test_an_attempt_that_is_not_there_is_over(person, now, policy, attempt):
    with pytest.raises(AttemptOver):
        check(attempt, "123456", now, policy)
    with pytest.raises(AttemptOver):
        log_in.stage(attempt, now)


def test_an_authenticators_code_is_never_taken_twice(person, totp, now, policy):
    second_step(past_the_code(now, policy), totp.at(now), now, policy)
    attempt = past_the_code(now + SECOND, policy)
    with pytest.raises(WrongCode):
        second_step(attempt, totp.at(now), now + SECOND, policy)
    later = now + 30 * SECOND
    second_step(attempt, totp.at(later), later, policy)


def test_a_recovery_code_serves_once_and_says_how_many_are_left(person, totp, now, policy):
    authenticators.create_recovery_codes(person, policy)
    db.session.commit()
    code = authenticators.codes_to_save(person)[0]

    def use(at):
        return log_in.finish_with_recovery_code(past_the_code(at, policy), code, BY, at, policy, "", marked_at=now)

    assert use(now).recovery_codes_left == 9
    with pytest.raises(WrongCode):
        use(now + 2 * MINUTE)
    assert count(RecoveryCode, RecoveryCode.used_at.is_not(None)) == 1


@pytest.mark.parametrize("status", [AccountStatus.REQUESTED, AccountStatus.PENDING])
def test_whose_account_is_not_active_yet_is_told_by_mail_where_it_stands(make, now, policy, status):
    make.account(status, "peter@tech.gov.sg")
    attempt = log_in.start("peter@tech.gov.sg", now, policy).attempt_id
    mail = db.session.scalars(select(Mail)).one()
    assert (mail.kind, mail.context) == ("already_have_account", {"tried": "log_in"})
    with pytest.raises(WrongCode):
        check(attempt, code_of(attempt), now, policy)


@pytest.mark.parametrize("status", [AccountStatus.TERMINATED, AccountStatus.REJECTED, None])
def test_nobody_there_means_the_same_rows_but_no_mail(make, now, policy, status):
    if status:
        make.account(status, "peter@tech.gov.sg")
    started = log_in.start("peter@tech.gov.sg", now, policy)
    assert started.sends_code
    assert not log_in.start("peter@tech.gov.sg", now + SECOND, policy).sends_code
    assert count(Mail) == 0
    assert count(LogInAttempt) == 2
    with pytest.raises(WrongCode):
        check(started.attempt_id, code_of(started.attempt_id), now, policy)


def test_a_disabled_person_is_told_only_after_the_right_code(make, now, policy):
    make.account(AccountStatus.DISABLED, "peter@tech.gov.sg")
    attempt = log_in.start("peter@tech.gov.sg", now, policy).attempt_id
    with pytest.raises(WrongCode):
        check(attempt, wrong_code(attempt), now, policy)
    with pytest.raises(AccountDisabled):
        check(attempt, code_of(attempt), now, policy)
    with pytest.raises(AttemptOver):
        log_in.stage(attempt, now)


def test_who_is_disabled_half_way_is_not_let_in(person, totp, now, policy):
    attempt = past_the_code(now, policy)
    person.status = AccountStatus.DISABLED
    db.session.commit()
    with pytest.raises(AccountDisabled):
        second_step(attempt, totp.at(now), now, policy)
    assert count(BrowserSession) == 0


def test_a_reset_authenticator_is_named_instead_of_asked_for(person, totp, now, policy):
    attempt = past_the_code(now, policy)
    db.session.query(Authenticator).delete()
    db.session.commit()
    assert log_in.stage(attempt, now) is Stage.NEW_AUTHENTICATOR
    with pytest.raises(WrongCode):
        second_step(attempt, totp.at(now), now, policy)


@pytest.mark.parametrize("there", [True, False], ids=["known-address", "unknown-address"])
def test_five_wrong_codes_in_five_minutes_are_the_end_of_guessing_for_a_while(make, now, policy, there):
    if there:
        make.authenticator(make.account(email="peter@tech.gov.sg"))
    for number in range(5):
        at = now + number * SECOND
        attempt = log_in.start("peter@tech.gov.sg", at, policy).attempt_id
        with pytest.raises(WrongCode):
            check(attempt, wrong_code(attempt), at, policy)
    fresh = log_in.start("peter@tech.gov.sg", now + 2 * MINUTE, policy).attempt_id
    with pytest.raises(TooManyTries) as error:
        check(fresh, code_of(fresh), now + 2 * MINUTE, policy)
    assert not error.value.today
    # The browsers that the holder logged in from before have a count of their own.
    with pytest.raises(WrongCode):
        check(fresh, wrong_code(fresh), now + 2 * MINUTE, policy, known=True)
    # It ends by itself.
    later = now + 4 * SECOND + 5 * MINUTE
    if there:
        check(fresh, code_of(fresh), later, policy)
    else:
        with pytest.raises(WrongCode):
            check(fresh, code_of(fresh), later, policy)


def test_fifty_wrong_codes_are_the_end_for_a_day(person, now, policy):
    at = now
    for _ in range(50):
        attempt = log_in.start(person.email, at, policy).attempt_id
        with pytest.raises(WrongCode):
            check(attempt, wrong_code(attempt), at, policy)
        at += 2 * MINUTE
    late = now + timedelta(hours=23, minutes=59)
    attempt = log_in.start(person.email, late, policy).attempt_id
    with pytest.raises(TooManyTries) as error:
        check(attempt, code_of(attempt), late, policy)
    assert error.value.today
    check(attempt, code_of(attempt), late + MINUTE, policy)


def test_five_wrong_tries_are_the_end_of_an_attempt(person, now, policy):
    attempt = log_in.start(person.email, now, policy).attempt_id
    for number in range(5):
        with pytest.raises(WrongCode):
            check(attempt, wrong_code(attempt), now + number * 2 * MINUTE, policy)
    with pytest.raises(TooManyTries):
        check(attempt, code_of(attempt), now + 10 * MINUTE, policy)


def test_wrong_codes_of_the_authenticator_are_counted_with_the_others(person, totp, now, policy):
    attempt = past_the_code(now, policy)
    for _ in range(5):
        with pytest.raises(WrongCode):
            second_step(attempt, "000000" if totp.at(now) != "000000" else "000001", now, policy)
    with pytest.raises(TooManyTries):
        second_step(attempt, totp.at(now), now, policy)
    assert count(WrongCodeRow) == 5
    assert count(BrowserSession) == 0


def test_guesses_made_at_once_are_counted_one_by_one(app, person, now, policy):
    """L3: many attempts in parallel get no more than five guesses."""
    attempts = [log_in.start(person.email, now, policy).attempt_id for _ in range(20)]
    wrong = wrong_code(attempts[0])
    db.session.commit()
    barrier = Barrier(20)

    def guess(attempt):
        with app.app_context():
            barrier.wait()
            try:
                check(attempt, wrong, now, policy)
            except WrongCode:
                return "guessed"
            except TooManyTries:
                return "refused"
            finally:
                db.session.remove()

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(guess, attempts))
    assert outcomes.count("guessed") == 5
    assert outcomes.count("refused") == 15


def test_one_code_given_in_many_browsers_at_once_lets_one_on(app, person, now, policy):
    attempts = [log_in.start(person.email, now, policy).attempt_id for _ in range(10)]
    code = code_of(attempts[0])
    db.session.commit()
    barrier = Barrier(10)

    def give(attempt):
        with app.app_context():
            barrier.wait()
            try:
                check(attempt, code, now, policy)
            except AttemptOver:
                return False
            finally:
                db.session.remove()
            return True

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(give, attempts)) == 1


def test_one_recovery_code_in_many_browsers_at_once_lets_one_in(app, person, totp, now, policy):
    """L2."""
    authenticators.create_recovery_codes(person, policy)
    db.session.commit()
    code = authenticators.codes_to_save(person)[0]
    attempts = [past_the_code(now + number * 2 * SECOND, policy) for number in range(8)]
    at = now + 20 * SECOND
    db.session.commit()
    barrier = Barrier(8)

    def use(attempt):
        with app.app_context():
            barrier.wait()
            try:
                log_in.finish_with_recovery_code(attempt, code, BY, at, policy, "", marked_at=now)
            except (WrongCode, TooManyTries):
                return False
            finally:
                db.session.remove()
            return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(use, attempts)) == 1
    assert count(BrowserSession) == 1


def test_twenty_starts_at_once_mail_one_code(app, person, now, policy):
    barrier = Barrier(12)

    def begin(_):
        with app.app_context():
            barrier.wait()
            try:
                return log_in.start("peter@tech.gov.sg", now, policy).sends_code
            finally:
                db.session.remove()

    db.session.commit()
    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(begin, range(12))) == 1
    assert count(Mail) == 1


def statements(app, action):
    seen = []

    def note(_connection, _cursor, statement, *_):
        seen.append(statement.split("WHERE")[0][:60])

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        action()
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    return seen


def test_a_start_costs_the_same_whoever_has_the_address(app, make, now, policy):
    """The same statements in the same order, but for what becomes of the mail's savepoint (promise 3)."""
    costs = []
    for status in (None, *AccountStatus):
        if status:
            make.account(status, f"{status}@tech.gov.sg")
        db.session.rollback()
        email = f"{status}@tech.gov.sg" if status else "nobody@tech.gov.sg"
        costs.append(statements(app, lambda email=email: log_in.start(email, now, policy)))
    assert all(len(cost) == len(costs[0]) for cost in costs)
    assert len({tuple(line for line in cost if "SAVEPOINT" not in line) for cost in costs}) == 1


def test_a_code_checked_costs_the_same_whoever_has_the_address(app, make, now, policy):
    make.account(email="peter@tech.gov.sg")
    costs = []
    for email in ("peter@tech.gov.sg", "nobody@tech.gov.sg"):
        attempt = log_in.start(email, now, policy).attempt_id
        wrong = wrong_code(attempt)
        db.session.commit()
        db.session.expunge_all()

        def give(attempt=attempt, wrong=wrong):
            with pytest.raises(WrongCode):
                check(attempt, wrong, now, policy)

        costs.append(statements(app, give))
    assert costs[0] == costs[1]


def test_an_account_that_ends_takes_its_sessions_along(person, totp, now, policy):
    done = second_step(past_the_code(now, policy), totp.at(now), now, policy)
    db.session.query(Account).update({"status": AccountStatus.DISABLED})
    db.session.commit()
    from webapp.services.sessions import find_session

    assert find_session(done.token, now, policy) is None


def test_an_authenticator_sealed_with_a_lost_secret_opens_nothing_and_breaks_nothing(app, person, totp, now, policy):
    attempt = past_the_code(now, policy)
    kept = app.config["SECRET_KEYS"]
    app.config["SECRET_KEYS"] = ("quite another secret for this test 123",)
    try:
        with pytest.raises(WrongCode):
            second_step(attempt, totp.at(now), now, policy)
    finally:
        app.config["SECRET_KEYS"] = kept
