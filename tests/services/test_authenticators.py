"""Authenticators and recovery codes: each code counts once, and a lost one is replaced (rules 3.9, 7.1 and 7.3)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from tests.onboarding import app_of
from webapp.domain.lifecycle import AccountStatus, InvitationKind, SeedStatus
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Authenticator, BrowserSession, Invitation, Mail, RecoveryCode
from webapp.services import audit, authenticators, keys
from webapp.services.errors import NotFound, ReasonMissing

STEP = timedelta(seconds=30)


@pytest.fixture
def admin(make) -> audit.By:
    return audit.By.person(make.admin("boss@tech.gov.sg"), "203.0.113.9")


def count(table: type, **where) -> int:
    return db.session.scalar(select(func.count()).select_from(table).filter_by(**where)) or 0


def saved_codes(make, policy, account: Account | None = None) -> tuple[Account, list[str]]:
    account = account or make.account()
    authenticators.create_recovery_codes(account, policy)
    db.session.commit()
    return account, authenticators.codes_to_save(account)


# The app's codes


@pytest.mark.parametrize(("steps", "accepted"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_is_taken_in_its_own_half_minute_and_beside_it(app, make, now, steps, accepted):
    account = make.account()
    totp = make.authenticator(account)
    assert authenticators.use_code(account.id, totp.at(now + steps * STEP), now) is accepted


def test_a_code_is_never_accepted_twice(app, make, now):
    account = make.account()
    code = make.authenticator(account).at(now)
    assert authenticators.use_code(account.id, code, now)
    db.session.commit()
    for later in (timedelta(0), STEP):
        assert not authenticators.use_code(account.id, code, now + later)


def test_no_older_code_is_accepted_after_a_newer_one(app, make, now):
    account = make.account()
    totp = make.authenticator(account)
    assert authenticators.use_code(account.id, totp.at(now + STEP), now)
    assert not authenticators.use_code(account.id, totp.at(now), now)
    assert not authenticators.use_code(account.id, totp.at(now - STEP), now)
    later = now + 2 * STEP
    assert authenticators.use_code(account.id, totp.at(later), later)


def test_the_code_that_confirmed_an_authenticator_is_not_accepted_again(app, make, now):
    account = make.account(AccountStatus.PENDING)
    authenticators.create_key(account.id, now)
    code = app_of(account.id).at(now)
    assert authenticators.confirm(account.id, code, now)
    assert not authenticators.use_code(account.id, code, now)
    assert not authenticators.confirm(account.id, app_of(account.id).at(now + STEP), now), "confirmed already"


def test_an_authenticator_that_is_not_confirmed_opens_nothing(app, make, now):
    account = make.account()
    authenticators.create_key(account.id, now)
    assert not authenticators.use_code(account.id, app_of(account.id).at(now), now)
    assert not authenticators.is_confirmed(account.id)


def test_one_code_used_many_times_at_once_counts_once(app, make, now):
    account = make.account()
    code, account_id = make.authenticator(account).at(now), account.id
    db.session.rollback()

    def use(_: int) -> bool:
        with app.app_context():
            done = authenticators.use_code(account_id, code, now)
            db.session.commit()
            return done

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(use, range(30))) == 1


@pytest.mark.parametrize("code", ["", "0", "000 000", "١٢٣٤٥٦", "😀", "\x00", "1" * 5000])
def test_anything_else_is_no_code(app, make, now, code):
    account = make.account()
    make.authenticator(account)
    assert not authenticators.use_code(account.id, code, now)
    assert not authenticators.use_code(make.account().id, code, now), "no authenticator at all"


def test_a_key_is_made_once_and_shown_until_it_is_confirmed(app, make, now):
    account = make.account(AccountStatus.PENDING, "peter@tech.gov.sg")
    with pytest.raises(NotFound):
        authenticators.key_to_set_up(account)
    authenticators.create_key(account.id, now)
    key = authenticators.key_to_set_up(account)
    authenticators.create_key(account.id, now)
    assert authenticators.key_to_set_up(account) == key
    assert key.typed.replace(" ", "") == app_of(account.id).secret
    assert key.address.startswith("otpauth://totp/TechPass:peter%40tech.gov.sg?secret=")
    assert authenticators.confirm(account.id, app_of(account.id).at(now), now)
    with pytest.raises(NotFound):
        authenticators.key_to_set_up(account)


def test_the_database_keeps_neither_key_nor_codes_in_clear(app, make, now, policy):
    account, codes = saved_codes(make, policy)
    authenticators.create_key(account.id, now)
    secret = app_of(account.id).secret
    tables = (Account, Authenticator, RecoveryCode)
    rows = str([db.session.execute(select(*table.__table__.columns)).all() for table in tables])
    assert secret not in rows
    assert not [code for code in codes if code in rows or code.replace("-", "") in rows]


# Recovery codes


def test_a_recovery_code_is_used_once_by_its_holder(app, make, now, policy):
    account, codes = saved_codes(make, policy)
    other, _ = saved_codes(make, policy)
    assert len(set(codes)) == 10
    assert not authenticators.use_recovery_code(other.id, codes[0], now)
    assert authenticators.is_recovery_code(account.id, codes[0])
    assert authenticators.use_recovery_code(account.id, codes[0], now)
    assert not authenticators.use_recovery_code(account.id, codes[0], now)
    assert not authenticators.is_recovery_code(account.id, codes[0])
    assert authenticators.recovery_codes_left(account.id) == 9
    assert authenticators.recovery_codes_left(other.id) == 10


def test_one_recovery_code_used_thirty_times_at_once_counts_once(app, make, now, policy):
    account, codes = saved_codes(make, policy)
    account_id = account.id
    db.session.rollback()

    def use(_: int) -> bool:
        with app.app_context():
            done = authenticators.use_recovery_code(account_id, codes[0], now)
            db.session.commit()
            return done

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(use, range(30))) == 1
    assert authenticators.recovery_codes_left(account_id) == 9


def test_new_recovery_codes_void_the_old(app, make, now, policy):
    account, old = saved_codes(make, policy)
    _, new = saved_codes(make, policy, account)
    assert not set(old) & set(new)
    assert not authenticators.use_recovery_code(account.id, old[0], now)
    assert authenticators.use_recovery_code(account.id, new[0], now)
    assert count(RecoveryCode) == 10


def test_recovery_codes_are_shown_even_after_one_was_used(app, make, now, policy):
    account, codes = saved_codes(make, policy)
    authenticators.use_recovery_code(account.id, codes[0], now)
    assert authenticators.codes_to_save(account) == codes


def test_recovery_codes_cannot_be_shown_with_their_secret_gone(app, make, policy, monkeypatch):
    account, _ = saved_codes(make, policy)
    monkeypatch.setitem(app.config, "SECRET_KEYS", ("another secret for tests, 9876543210",))
    with pytest.raises(NotFound):
        authenticators.codes_to_save(account)


def test_recovery_codes_are_made_under_the_new_secret_once_it_is_changed(app, make, now, policy, monkeypatch):
    account, _ = saved_codes(make, policy)
    old = app.config["SECRET_KEYS"][0]
    monkeypatch.setitem(app.config, "SECRET_KEYS", ("another secret for tests, 9876543210", old))
    _, codes = saved_codes(make, policy, account)
    monkeypatch.setitem(app.config, "SECRET_KEYS", ("another secret for tests, 9876543210",))
    assert authenticators.use_recovery_code(account.id, codes[0], now)


# Lost


def test_a_lost_authenticator_is_taken_away_with_all_that_hangs_on_it(app, make, now, policy, admin, client):
    account, codes = saved_codes(make, policy, make.account(email="peter@tech.gov.sg"))
    totp = make.authenticator(account)
    make.sign_in(client, account)
    stranger = make.account()
    make.authenticator(stranger)

    authenticators.reset_authenticator(account.id, "  Lost\r\nphone ", admin, now, policy)

    assert not authenticators.use_code(account.id, totp.at(now), now)
    assert not authenticators.use_recovery_code(account.id, codes[0], now)
    assert (count(Authenticator), count(RecoveryCode), count(BrowserSession)) == (1, 0, 0)
    invitation = db.session.scalars(select(Invitation)).one()
    assert invitation.kind is InvitationKind.AUTHENTICATOR
    assert invitation.expires_at == now + timedelta(hours=24)
    mail = db.session.scalars(select(Mail)).one()
    assert (mail.kind, mail.recipient) == ("authenticator_setup", "peter@tech.gov.sg")
    event = db.session.scalars(select(AuditEvent)).one()
    assert (event.action, event.actor_id, event.detail) == (
        "authenticator.reset",
        admin.account_id,
        {"reason": "Lost phone"},
    )


def test_somebody_being_onboarded_begins_that_step_again(app, make, now, policy, admin):
    account, _ = saved_codes(make, policy, make.account(AccountStatus.PENDING))
    old = make.authenticator(account).secret
    authenticators.reset_authenticator(account.id, "Lost phone", admin, now, policy)
    assert app_of(account.id).secret != old
    assert not authenticators.is_confirmed(account.id)
    assert (count(Mail), count(Invitation)) == (0, 0)


@pytest.mark.parametrize("reason", ["", "  ", "\r\n\t"])
def test_a_reset_needs_a_reason(app, make, now, policy, admin, reason):
    account = make.account()
    make.authenticator(account)
    with pytest.raises(ReasonMissing):
        authenticators.reset_authenticator(account.id, reason, admin, now, policy)
    assert (count(Authenticator), count(AuditEvent)) == (1, 0)


@pytest.mark.parametrize(
    "status", [each for each in AccountStatus if each not in (AccountStatus.PENDING, AccountStatus.ACTIVE)]
)
def test_nothing_is_reset_for_an_account_in_another_status(app, make, now, policy, admin, status):
    account = make.account(status, seed_status=SeedStatus.NOT_REQUIRED)
    make.authenticator(account)
    for account_id in (account.id, 10**15):
        with pytest.raises(NotFound):
            authenticators.reset_authenticator(account_id, "Lost phone", admin, now, policy)
    assert (count(Authenticator), count(AuditEvent), count(Mail)) == (1, 0, 0)


def test_a_second_reset_replaces_the_link_of_the_first(app, make, now, policy, admin):
    account = make.account()
    for _ in range(2):
        authenticators.reset_authenticator(account.id, "Lost phone", admin, now, policy)
    assert sorted(db.session.scalars(select(Invitation.state))) == ["live", "replaced"]
    assert count(Mail) == 2


# The secret is changed


def test_a_key_opens_under_the_old_secret_while_it_is_listed(app, make, now, monkeypatch):
    account = make.account()
    totp = make.authenticator(account)
    old = app.config["SECRET_KEYS"][0]
    monkeypatch.setitem(app.config, "SECRET_KEYS", ("another secret for tests, 9876543210", old))
    assert authenticators.use_code(account.id, totp.at(now), now)
    sealed = keys.encrypt(totp.secret)
    monkeypatch.setitem(app.config, "SECRET_KEYS", ("another secret for tests, 9876543210",))
    db.session.execute(update(Authenticator).values(encrypted_key=sealed))
    assert authenticators.use_code(account.id, totp.at(now + STEP), now)
