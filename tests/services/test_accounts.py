"""Locking an account, and enabling it again with its SEED and its days to log in (rules 3.10 and 6.4)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import select

from webapp.domain.deadlines import DAY, InactivityStep
from webapp.domain.lifecycle import AccountStatus, DeviceStatus, InvitationKind, InvitationState, Role, SeedStatus
from webapp.extensions import db
from webapp.models import Account, AuditEvent, BrowserSession, Device, Invitation, LogInAttempt, Mail
from webapp.services import accounts, audit, inactivity, log_in
from webapp.services.errors import NotFound, ReasonMissing

SECOND = timedelta(seconds=1)
HELD = (SeedStatus.INVITED, SeedStatus.ONBOARDED, SeedStatus.SUSPENDED)
"""SEED of a disabled account that was held is suspended, and nothing else."""


def fresh(account):
    return db.session.get_one(Account, account.id, populate_existing=True)


def events():
    return [
        tuple(row) for row in db.session.execute(select(AuditEvent.action, AuditEvent.detail).order_by(AuditEvent.id))
    ]


def kinds(state="queued"):
    return list(db.session.scalars(select(Mail.kind).where(Mail.state == state).order_by(Mail.id)))


@pytest.fixture
def disabled(make, now):
    """``disabled(**changes)`` makes an account that was disabled ten days ago for inactivity."""

    def account(**changes):
        then = {"idle_since": now - 100 * DAY, "disabled_at": now - 10 * DAY, "inactivity_due_at": now + 73 * DAY}
        return make.account(AccountStatus.DISABLED, **then | {"changed_at": now - 50 * DAY} | changes)

    return account


def device(account, now, status, **changes):
    given = {"name": "Laptop", "operating_system": "macos", "serial_number": "C02", "intune_device_id": "a" * 36}
    at = {"registered_at": now, "status_at": now, "reported_at": now}
    db.session.add(Device(account_id=account.id, status=status, **given | at | changes))
    db.session.commit()


def test_locking_signs_out_suspends_seed_and_ends_what_is_under_way(client, make, now):
    account = make.account(seed_status=SeedStatus.INVITED, email="peter@tech.gov.sg")
    link, _ = make.invitation(account, InvitationKind.SEED)
    make.sign_in(client, account)
    log_in.start("peter@tech.gov.sg", now, make.policy)
    accounts.lock(account.id, " reported\nby phone ", audit.SYSTEM, now + SECOND, make.policy)
    locked = fresh(account)
    assert (locked.status, locked.under_investigation) == (AccountStatus.DISABLED, True)
    assert locked.status_at == locked.disabled_at == locked.changed_at == now + SECOND
    assert locked.seed_status is SeedStatus.SUSPENDED
    assert db.session.get_one(Invitation, link.id, populate_existing=True).state is InvitationState.EXPIRED
    assert not db.session.scalars(select(BrowserSession)).all()
    assert db.session.scalars(select(LogInAttempt.ended_at)).all() == [now + SECOND]
    assert events() == [
        ("account.disabled", {"reason": "locked", "seed": "invited"}),
        ("account.locked", {"reason": "reported by phone"}),
    ]
    assert kinds() == ["sign_in_code", "account_locked"]
    assert client.get("/profile").status_code == 303


@pytest.mark.parametrize("status", [s for s in AccountStatus if s is not AccountStatus.ACTIVE], ids=str)
def test_only_an_active_account_is_locked(app, make, now, status):
    account = make.account(status)
    with pytest.raises(NotFound):
        accounts.lock(account.id, "why", audit.SYSTEM, now, make.policy)
    assert (fresh(account).status, events(), kinds()) == (status, [], [])


@pytest.mark.parametrize("status", [s for s in AccountStatus if s is not AccountStatus.DISABLED], ids=str)
def test_only_a_disabled_account_is_enabled(app, make, now, policy, status):
    account = make.account(status)
    with pytest.raises(NotFound):
        accounts.enable(account.id, "why", audit.SYSTEM, now, policy)
    with pytest.raises(NotFound):
        accounts.enable(10**9, "why", audit.SYSTEM, now, policy)
    assert (fresh(account).status, events(), kinds()) == (status, [], [])


@pytest.mark.parametrize("reason", ["", " \n\t", "\u200b"])
def test_both_need_a_reason(app, make, now, policy, disabled, reason):
    with pytest.raises(ReasonMissing):
        accounts.lock(make.account().id, reason, audit.SYSTEM, now, make.policy)
    with pytest.raises(ReasonMissing):
        accounts.enable(disabled().id, reason, audit.SYSTEM, now, policy)
    assert (events(), kinds()) == ([], [])


def test_an_account_that_is_locked_is_left_alone_until_it_is_enabled(app, make, now, policy):
    account = make.account(inactivity_due_at=now)
    accounts.lock(account.id, "why", audit.SYSTEM, now, make.policy)
    for days in (1, 89, 95, 173, 180, 200):
        assert inactivity.look_after(now + days * DAY, policy) == {}
    accounts.enable(account.id, "looked at", audit.SYSTEM, now + 201 * DAY, policy)
    enabled = fresh(account)
    assert (enabled.status, enabled.under_investigation, enabled.disabled_at) == (AccountStatus.ACTIVE, False, None)
    assert enabled.status_at == enabled.changed_at == now + 201 * DAY
    assert events()[-1] == ("account.enabled", {"reason": "looked at"})
    assert kinds() == ["account_enabled"]
    assert kinds("cancelled") == ["account_locked"]


def test_who_was_enabled_has_five_days_to_log_in_once(app, make, now, policy, disabled):
    account = disabled()
    accounts.enable(account.id, "asked for", audit.SYSTEM, now, policy)
    assert db.session.scalars(select(Mail.context)).all() == [{"deadline": (now + 5 * DAY).isoformat()}]
    assert fresh(account).inactivity_due_at == now + 5 * DAY
    for at in (now, now + DAY, now + 5 * DAY - SECOND):
        assert inactivity.look_after(at, policy) == {}
    assert fresh(account).status is AccountStatus.ACTIVE
    assert inactivity.look_after(now + 5 * DAY, policy) == {InactivityStep.DISABLE: 1}
    again = fresh(account)
    assert (again.status, again.disabled_at) == (AccountStatus.DISABLED, now + 5 * DAY)
    assert inactivity.look_after(now + 88 * DAY - SECOND, policy) == {}
    accounts.enable(account.id, "asked for again", audit.SYSTEM, now + 20 * DAY, policy)
    assert fresh(account).inactivity_due_at == now + 25 * DAY


def test_who_logs_in_within_the_five_days_has_the_usual_time_again(app, make, now, policy, disabled):
    account = disabled(email="peter@tech.gov.sg")
    totp = make.authenticator(account)
    accounts.enable(account.id, "asked for", audit.SYSTEM, now, policy)
    at = now + 4 * DAY
    attempt = log_in.start("peter@tech.gov.sg", at, policy).attempt_id
    db.session.get_one(LogInAttempt, attempt).code_accepted_at = at
    db.session.commit()
    visitor = audit.By.visitor("192.0.2.1")
    log_in.finish_with_authenticator(attempt, totp.at(at), visitor, at, policy, "", marked_at=None)
    assert inactivity.look_after(now + 6 * DAY, policy) == {}
    assert fresh(account).inactivity_due_at == at + 60 * DAY


@pytest.mark.parametrize(
    ("status", "changes", "becomes", "invited"),
    [
        (None, {}, SeedStatus.INVITED, 1),
        (DeviceStatus.ONBOARDED, {}, SeedStatus.ONBOARDED, 0),
        (DeviceStatus.TRIGGERED, {"remove_at": "later"}, SeedStatus.INVITED, 0),
        (DeviceStatus.SOFTWARE_INSTALLED, {"remove_at": "later"}, SeedStatus.INVITED, 0),
        (DeviceStatus.FAILED, {}, SeedStatus.INVITED, 0),
        (DeviceStatus.REMOVED, {}, SeedStatus.INVITED, 1),
        (DeviceStatus.TRIGGERED, {"remove_at": "past"}, SeedStatus.INVITED, 1),
    ],
)
def test_seed_comes_back_as_far_as_its_device_had_come(
    app, make, now, policy, disabled, status, changes, becomes, invited
):
    account = disabled(seed_status=SeedStatus.SUSPENDED)
    instants = {"later": now + DAY, "past": now - DAY}
    if status is not None:
        device(account, now - 2 * DAY, status, **{name: instants[at] for name, at in changes.items()})
    accounts.enable(account.id, "asked for", audit.SYSTEM, now, policy)
    assert (fresh(account).seed_status, fresh(account).seed_status_at) == (becomes, now)
    live = db.session.scalars(select(Invitation).where(Invitation.state == InvitationState.LIVE)).all()
    assert [link.expires_at for link in live] == [now + 30 * DAY] * invited
    told = [kind for kind in kinds() if kind != "device_removed"]
    assert told == ["account_enabled"] + ["seed_onboarding"] * invited


@pytest.mark.parametrize("status", [s for s in SeedStatus if s not in HELD], ids=str)
def test_seed_that_was_not_suspended_stays_as_it_is(app, make, now, policy, disabled, status):
    account = disabled(seed_status=status)
    accounts.enable(account.id, "asked for", audit.SYSTEM, now, policy)
    assert fresh(account).seed_status is status
    assert kinds() == ["account_enabled"]


def test_the_last_admin_is_locked_too_and_the_operator_enables_them(app, make, now, policy):
    admin = make.admin()
    accounts.lock(admin.id, "why", audit.SYSTEM, now, make.policy)
    assert fresh(admin).status is AccountStatus.DISABLED
    accounts.enable(admin.id, "looked at", audit.SYSTEM, now, policy)
    assert (fresh(admin).status, fresh(admin).role) == (AccountStatus.ACTIVE, Role.ADMIN)


def test_many_at_once_enable_once(app, make, now, policy, disabled):
    number = disabled(seed_status=SeedStatus.SUSPENDED).id
    barrier = Barrier(6)

    def enable(_):
        with app.app_context():
            barrier.wait()
            try:
                accounts.enable(number, "asked for", audit.SYSTEM, now, policy)
            except NotFound:
                return 0
            return 1

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(enable, range(6))) == 1
    db.session.rollback()
    assert [action for action, _ in events()] == ["account.enabled"]
    assert kinds() == ["account_enabled", "seed_onboarding"]
