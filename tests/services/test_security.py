"""A new authenticator without a gap, new recovery codes, and browsers signed out (rule 6.3)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pyotp
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import joinedload

from tests.onboarding import app_of
from webapp.extensions import db
from webapp.models import AuditEvent, Authenticator, BrowserSession, LogInAttempt, Mail, RecoveryCode, SessionKind
from webapp.services import audit, authenticators, keys, log_in, security, sessions
from webapp.services.errors import AttemptOver, ConfirmFirst, NotFound, SessionOver, WrongCode

SECOND, MINUTE, STEP = timedelta(seconds=1), timedelta(minutes=1), timedelta(seconds=30)


@pytest.fixture
def person(make):
    return make.account(email="peter@tech.gov.sg")


@pytest.fixture
def totp(make, person):
    return make.authenticator(person)


@pytest.fixture
def by(person):
    return audit.By.person(person, "203.0.113.7")


@pytest.fixture
def here(person, totp, now, policy):
    """The number of a session that was confirmed just now."""
    return opened(person, now, policy, confirmed_at=now)


def opened(account, now, policy, **given):
    sessions.open_session(account, SessionKind.SIGNED_IN, now, policy, peer="", user_agent="", **given)
    db.session.commit()
    return db.session.scalar(select(func.max(BrowserSession.id)))


def new_app(account_id):
    sealed = db.session.scalars(select(Authenticator.next_encrypted_key).filter_by(account_id=account_id)).one()
    assert sealed is not None
    return pyotp.TOTP(keys.decrypt(sealed))


def session(number):
    return db.session.scalars(
        select(BrowserSession).filter_by(id=number).options(joinedload(BrowserSession.account))
    ).one()


def count(table, **where):
    return db.session.scalar(select(func.count()).select_from(table).filter_by(**where))


def told():
    return sorted(db.session.scalars(select(Mail.kind))), sorted(db.session.scalars(select(AuditEvent.action)))


# A new authenticator


def test_the_old_authenticator_stays_in_force_until_a_code_of_the_new_one(person, totp, here, by, now, policy):
    security.begin_authenticator(here, by, now, policy)
    new = new_app(person.id)
    assert security.new_key(session(here)).typed.replace(" ", "") == new.secret != totp.secret
    assert not authenticators.use_code(person.id, new.at(now), now)
    assert authenticators.use_code(person.id, totp.at(now), now)
    with pytest.raises(WrongCode):
        security.replace_authenticator(here, totp.at(now), by, now, policy)
    assert told() == ([], ["authenticator.replacement_begun"])

    later = now + MINUTE
    security.replace_authenticator(here, new.at(later), by, later, policy)

    assert app_of(person.id).secret == new.secret
    row = db.session.scalars(select(Authenticator)).one()
    assert (row.next_encrypted_key, row.created_at, row.confirmed_at) == (None, later, later)
    assert told() == (["authenticator_changed"], ["authenticator.replaced", "authenticator.replacement_begun"])
    assert not authenticators.use_code(person.id, totp.at(later + STEP), later + STEP), "the old one still works"
    assert not authenticators.use_code(person.id, new.at(later), later), "the code that put it in force works again"
    assert authenticators.use_code(person.id, new.at(later + STEP), later + STEP)


def test_replacing_ends_all_other_sessions_and_what_was_being_logged_in(make, person, totp, here, by, now, policy):
    others = [opened(person, now, policy) for _ in range(2)]
    stranger = opened(make.account(), now, policy)
    attempt = log_in.start(person.email, now, policy).attempt_id
    security.begin_authenticator(here, by, now, policy)
    security.replace_authenticator(here, new_app(person.id).at(now), by, now, policy)
    assert sorted(db.session.scalars(select(BrowserSession.id))) == sorted([here, stranger])
    assert not set(others) & set(db.session.scalars(select(BrowserSession.id)))
    with pytest.raises(AttemptOver):
        log_in.stage(attempt, now)
    ended = db.session.scalars(select(AuditEvent).filter_by(action="sessions.ended")).one()
    assert (ended.account_id, ended.actor_id, ended.detail) == (person.id, person.id, {"count": 2})
    assert person.browsers_known_since == now
    assert count(LogInAttempt, ended_at=None) == 0


def test_beginning_twice_shows_the_same_key_and_cancelling_forgets_it(person, totp, here, by, now, policy):
    security.begin_authenticator(here, by, now, policy)
    key = security.new_key(session(here))
    security.begin_authenticator(here, by, now, policy)
    assert security.new_key(session(here)) == key
    new = new_app(person.id)
    assert security.cancel_authenticator(person.id, by, now)
    assert not security.cancel_authenticator(person.id, by, now), "cancelled what was not there"
    with pytest.raises(NotFound):
        security.new_key(session(here))
    with pytest.raises(NotFound):
        security.replace_authenticator(here, new.at(now), by, now, policy)
    assert authenticators.use_code(person.id, totp.at(now), now)
    security.begin_authenticator(here, by, now, policy)
    assert security.new_key(session(here)) != key


def test_what_was_broken_off_is_forgotten_with_the_next_log_in(person, totp, here, by, now, policy):
    """A key that somebody may have seen on a screen left open is not the one that is put in force days later."""
    security.begin_authenticator(here, by, now, policy)
    later = now + timedelta(days=1)
    attempt = log_in.start(person.email, later, policy).attempt_id
    db.session.get_one(LogInAttempt, attempt).code_accepted_at = later
    db.session.commit()
    log_in.finish_with_authenticator(attempt, totp.at(later), by, later, policy, "", marked_at=now)
    with pytest.raises(NotFound):
        security.new_key(session(here))
    assert told()[1] == ["authenticator.replacement_begun", "authenticator.replacement_cancelled", "log_in.succeeded"]


def test_somebody_without_an_authenticator_begins_no_replacement(make, by, now, policy):
    account = make.account()
    here = opened(account, now, policy, confirmed_at=now)
    security.begin_authenticator(here, by, now, policy)
    assert count(Authenticator) == 0
    with pytest.raises(NotFound):
        security.new_key(session(here))


def test_the_new_key_is_sealed_too(person, here, by, now, policy):
    security.begin_authenticator(here, by, now, policy)
    secret = new_app(person.id).secret
    assert secret not in str(db.session.execute(select(*Authenticator.__table__.columns)).all())


def test_twenty_confirmations_at_once_replace_it_once(app, person, totp, here, by, now, policy):
    """T2."""
    security.begin_authenticator(here, by, now, policy)
    code = new_app(person.id).at(now)
    db.session.rollback()
    barrier = Barrier(20)

    def give(_):
        with app.app_context():
            barrier.wait()
            try:
                security.replace_authenticator(here, code, by, now, policy)
            except NotFound:
                return False
            finally:
                db.session.remove()
            return True

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(give, range(20))) == 1
    assert told() == (["authenticator_changed"], ["authenticator.replaced", "authenticator.replacement_begun"])
    assert count(BrowserSession) == 1


def test_only_the_session_that_began_puts_its_key_in_force(person, totp, here, by, now, policy):
    """Who sits at another browser neither sees the key nor has theirs put in force by the holder."""
    intruder = opened(person, now, policy, confirmed_at=now)
    security.begin_authenticator(intruder, by, now, policy)
    planted = new_app(person.id)
    with pytest.raises(NotFound):
        security.new_key(session(here))
    with pytest.raises(NotFound):
        security.replace_authenticator(here, planted.at(now), by, now, policy)
    security.begin_authenticator(here, by, now, policy)
    own = new_app(person.id)
    assert own.secret != planted.secret
    with pytest.raises(NotFound):
        security.new_key(session(intruder))
    for number, code in ((intruder, planted.at(now)), (intruder, own.at(now))):
        with pytest.raises(NotFound):
            security.replace_authenticator(number, code, by, now, policy)
    with pytest.raises(WrongCode):
        security.replace_authenticator(here, planted.at(now), by, now, policy)
    assert app_of(person.id).secret == totp.secret
    security.replace_authenticator(here, own.at(now), by, now, policy)
    assert app_of(person.id).secret == own.secret
    assert count(AuditEvent, action="authenticator.replacement_begun") == 2


def test_browsers_that_begin_and_confirm_at_once_are_one_in_the_end(app, person, totp, here, by, now, policy):
    numbers = [here, *(opened(person, now, policy, confirmed_at=now) for _ in range(7))]
    account_id = person.id
    db.session.rollback()
    barrier = Barrier(8)

    def give(number):
        with app.app_context():
            barrier.wait()
            try:
                security.begin_authenticator(number, by, now, policy)
                security.replace_authenticator(number, new_app(account_id).at(now), by, now, policy)
            except (SessionOver, NotFound, WrongCode, AssertionError):
                return None
            finally:
                db.session.remove()
            return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(give, numbers) if number]
    assert db.session.scalars(select(BrowserSession.id)).all() == winners
    assert len(winners) == 1
    assert count(AuditEvent, action="authenticator.replaced") == 1


# New recovery codes


def test_new_recovery_codes_void_the_old_at_once_and_are_shown_until_saved(person, here, by, now, policy):
    authenticators.create_recovery_codes(person, policy)
    old = authenticators.codes_to_save(person)
    person.recovery_nonce = None
    db.session.commit()

    security.new_recovery_codes(here, by, now, policy)

    codes = security.codes_to_save(session(here))
    assert not set(codes) & set(old)
    assert not authenticators.is_recovery_code(person.id, old[0])
    assert told() == (["recovery_codes_changed"], ["recovery_codes.changed"])
    with pytest.raises(WrongCode):
        security.save_recovery_codes(here, old[0], by, now, policy)
    assert authenticators.codes_to_save(person) == codes

    security.save_recovery_codes(here, codes[7], by, now, policy)

    with pytest.raises(NotFound):
        authenticators.codes_to_save(person)
    with pytest.raises(NotFound):
        security.save_recovery_codes(here, codes[7], by, now, policy)
    assert authenticators.recovery_codes_left(person.id) == 10, "typing it back used it up"
    assert count(AuditEvent, action="recovery_codes.saved") == 1


def test_pressed_many_times_at_once_makes_codes_once(app, person, totp, here, by, now, policy):
    db.session.rollback()
    barrier = Barrier(10)

    def press(number):
        with app.app_context():
            barrier.wait()
            security.new_recovery_codes(here, by, now + number * SECOND, policy)
            db.session.remove()

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(press, range(10)))
    assert count(RecoveryCode) == 10
    assert told() == (["recovery_codes_changed"], ["recovery_codes.changed"])


def test_codes_that_cannot_be_shown_any_more_are_made_anew(app, person, here, by, now, policy, monkeypatch):
    security.new_recovery_codes(here, by, now, policy)
    monkeypatch.setitem(app.config, "SECRET_KEYS", ("another secret for tests, 9876543210",))
    with pytest.raises(NotFound):
        authenticators.codes_to_save(person)
    security.new_recovery_codes(here, by, now + SECOND, policy)
    assert len(authenticators.codes_to_save(person)) == 10
    assert count(Mail) == 2


def test_only_the_session_that_made_codes_shows_and_saves_them(person, here, by, now, policy):
    """Who made them elsewhere may have copied them: the holder is not led to keep those."""
    intruder = opened(person, now, policy, confirmed_at=now)
    security.new_recovery_codes(intruder, by, now, policy)
    planted = security.codes_to_save(session(intruder))
    with pytest.raises(NotFound):
        security.codes_to_save(session(here))
    with pytest.raises(NotFound):
        security.save_recovery_codes(here, planted[0], by, now, policy)
    found = security.overview(session(here), now, policy)
    assert (found.codes_saved, found.codes_shown) == (False, False)
    later = now + SECOND
    security.new_recovery_codes(here, by, later, policy)
    codes = security.codes_to_save(session(here))
    assert not set(codes) & set(planted)
    assert not authenticators.is_recovery_code(person.id, planted[0])
    with pytest.raises(NotFound):
        security.codes_to_save(session(intruder))
    security.save_recovery_codes(here, codes[0], by, later, policy)
    assert person.recovery_session_hash is None
    assert told()[0] == ["recovery_codes_changed"] * 2


# Each change is confirmed


@pytest.mark.parametrize("given", [None, -11 * MINUTE])
def test_nothing_changes_without_a_code_given_lately(person, totp, by, now, policy, given):
    stale = opened(person, now, policy, confirmed_at=given and now + given)
    fresh = opened(person, now, policy, confirmed_at=now)
    security.begin_authenticator(fresh, by, now, policy)
    code = new_app(person.id).at(now)
    for change in (
        lambda: security.begin_authenticator(stale, by, now, policy),
        lambda: security.replace_authenticator(stale, code, by, now, policy),
        lambda: security.new_recovery_codes(stale, by, now, policy),
        lambda: security.save_recovery_codes(stale, "x", by, now, policy),
    ):
        with pytest.raises(ConfirmFirst):
            change()
    assert told() == ([], ["authenticator.replacement_begun"])
    assert app_of(person.id).secret == totp.secret
    assert count(RecoveryCode) == 0


def test_nothing_changes_in_a_session_that_has_ended(person, here, by, now, policy):
    security.begin_authenticator(here, by, now, policy)
    code = new_app(person.id).at(now)
    sessions.end_all_sessions(person.id)
    db.session.commit()
    for change in (
        lambda: security.begin_authenticator(here, by, now, policy),
        lambda: security.replace_authenticator(here, code, by, now, policy),
        lambda: security.new_recovery_codes(here, by, now, policy),
        lambda: security.save_recovery_codes(here, "x", by, now, policy),
    ):
        with pytest.raises(SessionOver):
            change()
    assert told() == ([], ["authenticator.replacement_begun"])


# What the page tells


def test_the_overview_tells_how_things_stand(person, totp, here, by, now, policy):
    found = security.overview(session(here), now, policy)
    assert (found.authenticator_since, found.replacing) == (now, False)
    assert (found.codes_left, found.codes_made, found.codes_saved) == (0, 0, True)
    assert [each.id for each in found.browsers] == [here]
    security.begin_authenticator(here, by, now, policy)
    security.new_recovery_codes(here, by, now, policy)
    authenticators.use_recovery_code(person.id, authenticators.codes_to_save(person)[0], now)
    found = security.overview(session(here), now, policy)
    assert (found.replacing, found.replacing_elsewhere, found.codes_shown) == (True, False, True)
    assert (found.codes_left, found.codes_made, found.codes_saved) == (9, 10, False)
    other = opened(person, now, policy, confirmed_at=now)
    found = security.overview(session(other), now, policy)
    assert (found.replacing, found.replacing_elsewhere, found.codes_shown) == (False, True, False)
