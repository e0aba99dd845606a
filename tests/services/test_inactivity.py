"""Accounts that nobody signs in to (rule 3.10)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import select, update

from webapp.domain.deadlines import DAY, InactivityStep
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState, MailState, Role, SeedStatus
from webapp.extensions import db
from webapp.models import Account, AuditEvent, BrowserSession, Mail, SessionKind
from webapp.services import inactivity, sessions

SECOND = timedelta(seconds=1)
REMIND, DISABLE, TERMINATE = InactivityStep.REMIND, InactivityStep.DISABLE, InactivityStep.TERMINATE


@pytest.fixture
def idle(make, now):
    """``idle(**changes)`` makes an active account that was last signed in to, and changed, at ``now``."""

    def account(**changes):
        return make.account(
            **{"inactivity_due_at": now + 60 * DAY, "changed_at": now - 30 * DAY, "role": Role.OFFICER} | changes
        )

    return account


def fresh(account):
    return db.session.get_one(Account, account.id, populate_existing=True)


def kinds():
    return list(db.session.scalars(select(Mail.kind).order_by(Mail.id)))


def events():
    rows = db.session.execute(select(AuditEvent.action, AuditEvent.detail).order_by(AuditEvent.id))
    return [(row.action, row.detail) for row in rows]


@pytest.mark.parametrize(
    ("day", "offset", "done"),
    [
        (60, -SECOND, {}),
        (60, timedelta(0), {REMIND: 1}),
        (89, timedelta(0), {REMIND: 1}),
        (90, -SECOND, {REMIND: 1}),
        (90, timedelta(0), {DISABLE: 1}),
    ],
)
def test_the_days_to_the_second(app, make, now, idle, day, offset, done):
    idle()
    assert inactivity.look_after(now + day * DAY + offset, make.policy) == done


def test_the_whole_way_with_a_sweep_each_day(app, make, now, idle):
    account = idle()
    steps = []
    for day in range(200):
        done = inactivity.look_after(now + day * DAY, make.policy)
        steps += [(step, day) for step, count in done.items() for _ in range(count)]
        db.session.execute(update(Mail).values(state=MailState.SENT))
        db.session.commit()
    assert steps == [
        *((REMIND, day) for day in range(60, 90)),
        (DISABLE, 90),
        *((REMIND, day) for day in range(173, 180)),
        (TERMINATE, 180),
    ]
    first, last = ["inactivity_reminder"] * 30, ["inactivity_reminder"] * 7
    assert kinds() == [*first, "disabled", *last, "terminated_for_inactivity"]
    account = fresh(account)
    assert (account.status, account.disabled_at) == (AccountStatus.TERMINATED, now + 90 * DAY)
    assert account.purge_at == now + 185 * DAY
    assert account.inactivity_due_at is None
    assert events() == [
        ("account.disabled", {"reason": "not signed in"}),
        ("account.terminated", {"reason": "not signed in"}),
    ]


def test_after_ten_days_without_a_sweep_there_is_one_mail(app, make, now, idle):
    account = idle()
    assert inactivity.look_after(now + 70.3 * DAY, make.policy) == {REMIND: 1}
    assert inactivity.look_after(now + 70.4 * DAY, make.policy) == {}
    assert fresh(account).inactivity_due_at == now + 71 * DAY


def test_a_sweep_off_for_months_disables_first_and_reminds_before_it_terminates(app, make, now, idle):
    idle()
    assert inactivity.look_after(now + 300 * DAY, make.policy) == {DISABLE: 1, REMIND: 1}
    assert inactivity.look_after(now + 306.9 * DAY, make.policy) == {REMIND: 1}
    assert inactivity.look_after(now + 307 * DAY, make.policy) == {TERMINATE: 1}


def test_the_reminder_names_the_deadline(app, make, now, idle):
    idle()
    inactivity.look_after(now + 61 * DAY, make.policy)
    assert db.session.scalars(select(Mail.context)).one() == {"deadline": (now + 90 * DAY).isoformat()}


@pytest.mark.parametrize("before", [SeedStatus.INVITED, SeedStatus.ONBOARDED], ids=str)
def test_disabling_signs_out_and_suspends_seed(app, make, now, idle, before):
    account = idle(seed_status=before)
    link, _ = make.invitation(account, InvitationKind.SEED, at=now + 80 * DAY)
    sessions.open_session(account, SessionKind.SIGNED_IN, now, make.policy, peer="192.0.2.1", user_agent="")
    db.session.commit()
    inactivity.look_after(now + 90 * DAY, make.policy)
    account = fresh(account)
    assert (account.status, account.seed_status) == (AccountStatus.DISABLED, SeedStatus.SUSPENDED)
    assert account.status_at == account.disabled_at == account.seed_status_at == now + 90 * DAY
    db.session.refresh(link)
    assert link.state is InvitationState.EXPIRED
    assert not db.session.scalars(select(BrowserSession)).all()
    assert events() == [("account.disabled", {"reason": "not signed in", "seed": str(before)})]


def test_disabling_leaves_a_seed_alone_that_was_never_held(app, make, now, idle):
    account = idle(seed_status=SeedStatus.REJECTED)
    inactivity.look_after(now + 90 * DAY, make.policy)
    assert (fresh(account).seed_status, fresh(account).seed_status_at) == (SeedStatus.REJECTED, now)


def test_nothing_is_done_to_an_account_under_investigation(app, make, now, idle):
    account = idle(under_investigation=True)
    assert inactivity.look_after(now + 95 * DAY, make.policy) == {}
    assert fresh(account).status is AccountStatus.ACTIVE
    assert fresh(account).inactivity_due_at == now + 60 * DAY, "due once it is released (rule 8.7)"


def test_a_change_in_the_last_5_days_postpones_it(app, make, now, idle):
    account = idle(changed_at=now + 89 * DAY)
    assert inactivity.look_after(now + 93 * DAY, make.policy) == {}
    assert fresh(account).inactivity_due_at == now + 94 * DAY
    assert inactivity.look_after(now + 94 * DAY, make.policy) == {DISABLE: 1}


@pytest.mark.parametrize("status", [AccountStatus.PENDING, AccountStatus.TERMINATED, AccountStatus.DELETED], ids=str)
def test_only_accounts_that_can_be_signed_in_to_are_looked_at(app, make, now, idle, status):
    idle(status=status, idle_since=now)
    assert inactivity.look_after(now + 95 * DAY, make.policy) == {}


def test_the_last_active_admin_is_never_disabled(app, make, now, idle):
    admins = [idle(role=Role.ADMIN) for _ in range(3)]
    make.account(AccountStatus.DISABLED, role=Role.ADMIN)
    make.account(AccountStatus.PENDING, role=Role.ADMIN)
    assert inactivity.look_after(now + 90 * DAY, make.policy) == {DISABLE: 2}
    left = [admin for admin in admins if fresh(admin).status is AccountStatus.ACTIVE]
    assert [fresh(admin).inactivity_due_at for admin in left] == [now + 91 * DAY]
    assert inactivity.look_after(now + 95 * DAY, make.policy) == {}


def test_two_sweeps_at_once_leave_an_admin_too(app, make, now, idle):
    for _ in range(6):
        idle(role=Role.ADMIN)
        idle()
    barrier = Barrier(4)

    def sweep(_):
        with app.app_context():
            barrier.wait()
            return inactivity.look_after(now + 90 * DAY, make.policy)[DISABLE]

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(sweep, range(4))) == 11
    db.session.rollback()
    active = db.session.scalars(select(Account.role).where(Account.status == AccountStatus.ACTIVE)).all()
    assert active == [Role.ADMIN]
    assert kinds() == ["disabled"] * 11


def test_an_idle_admin_is_reminded_like_everybody(app, make, now, idle):
    idle(role=Role.ADMIN)
    assert inactivity.look_after(now + 60 * DAY, make.policy) == {REMIND: 1}
