"""What admins do with an account: each with a reason, a mail to its holder and a line on record (rules 8.3 and 8.9)."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from threading import Barrier

import pytest
from sqlalchemy import select, update

from webapp.calendars import deadline_file
from webapp.domain.deadlines import DAY
from webapp.domain.lifecycle import AccountStatus, DeviceStatus, InvitationKind, InvitationState, Role, SeedStatus
from webapp.emails.purpose import has_ended
from webapp.emails.render import load
from webapp.extensions import db
from webapp.models import Account, Actor, AuditEvent, BrowserSession, Invitation, LogInAttempt, Mail
from webapp.services import (
    account_actions,
    accounts,
    acting,
    audit,
    authenticators,
    expiry,
    extending,
    holding,
    reminders,
    roles,
)
from webapp.services.account_actions import Action
from webapp.services.errors import DayRefused, LastAdmin, NotFound, NotPossible, OwnAccount, ReasonMissing

WHY = "Asked by the service desk"


@pytest.fixture
def admin(make):
    return make.admin()


@pytest.fixture
def by(admin):
    return audit.By(Actor.ADMIN, admin.id, "10.1.2.3")


def fresh(row):
    return db.session.get_one(type(row), row.id, populate_existing=True)


def last_event(account):
    event = db.session.scalars(
        select(AuditEvent).where(AuditEvent.account_id == account.id).order_by(AuditEvent.id.desc()).limit(1)
    ).one()
    return event.action, event.actor_id, event.peer, event.detail


def mailed(account, state="queued"):
    query = select(Mail.kind).where(Mail.account_id == account.id, Mail.state == state).order_by(Mail.id)
    return list(db.session.scalars(query))


def sequence(file):
    return int(re.findall(r"SEQUENCE:(\d+)", file.text)[0])


def nothing_was_done():
    """To be asked after a refusal: neither mails nor events were written."""
    return not db.session.scalars(select(Mail.id)).all() and not db.session.scalars(select(AuditEvent.id)).all()


# Hold and release.


@pytest.mark.parametrize("status", [s for s in AccountStatus if s is not AccountStatus.DELETED], ids=str)
def test_whatever_its_state_an_account_is_held_and_released_with_a_mail_each(make, by, admin, now, status):
    account = make.account(status)
    holding.hold(account.id, f"  {WHY}\n", by, now)
    assert fresh(account).under_investigation
    assert mailed(account) == ["account_held"]
    change = {"before": {"on_hold": False}, "after": {"on_hold": True}}
    assert last_event(account) == ("account.held", admin.id, "10.1.2.3", {"reason": WHY, **change})

    with pytest.raises(NotPossible):
        holding.hold(account.id, WHY, by, now)
    holding.release(account.id, WHY, by, now + DAY)
    assert not fresh(account).under_investigation
    assert fresh(account).changed_at == now + DAY
    assert mailed(account) == ["account_released"], "what is overtaken does not leave"
    assert last_event(account)[0] == "account.released"
    with pytest.raises(NotPossible):
        holding.release(account.id, WHY, by, now)
    assert mailed(account) == ["account_released"]


# Extend.


@pytest.mark.parametrize("kind", [InvitationKind.TECHPASS, InvitationKind.SEED], ids=str)
def test_an_extended_link_works_until_the_end_of_the_day_in_singapore(make, by, admin, now, policy, kind):
    if kind is InvitationKind.SEED:
        account = make.account(seed_status=SeedStatus.INVITED)
    else:
        account = make.account(AccountStatus.PENDING)
    link, _ = make.invitation(account, kind)
    before, token = link.expires_at, link.token_hash
    calendar = sequence(deadline_file(account, link))
    extending.extend(account.id, kind, date(2027, 1, 31), WHY, by, now + DAY, policy)
    link = fresh(link)
    assert (link.state, link.token_hash) == ("live", token)
    assert link.expires_at.isoformat() == "2027-01-31T15:59:00+00:00"
    assert link.extended_at == fresh(account).changed_at == now + DAY
    assert sequence(deadline_file(account, link)) > calendar, "calendar programs take the greater for the newer"
    assert mailed(account) == ["invitation_extended"]
    detail = {
        "reason": WHY,
        "invitation": link.id,
        "kind": kind,
        "before": {"until": before.isoformat()},
        "after": {"until": link.expires_at.isoformat()},
    }
    assert last_event(account) == ("invitation.extended", admin.id, "10.1.2.3", detail)
    assert (
        link.remind_at
        == {
            # 7 days before it ends, on a whole day since it was issued.
            InvitationKind.TECHPASS: now + 62 * DAY,
            InvitationKind.SEED: link.expires_at - 7 * DAY,
        }[kind]
    )


def test_extending_twice_mails_the_last_deadline_alone(make, by, now, policy):
    account = make.account(AccountStatus.PENDING)
    make.invitation(account)
    for day in (date(2027, 1, 1), date(2027, 1, 2)):
        extending.extend(account.id, InvitationKind.TECHPASS, day, WHY, by, now + DAY * day.day, policy)
    assert mailed(account) == ["invitation_extended"]
    assert mailed(account, "cancelled") == ["invitation_extended"]


def test_reminders_of_an_extended_link_come_daily_in_its_last_days(make, by, now, policy):
    account = make.account(AccountStatus.PENDING)
    link, _ = make.invitation(account)
    reminders.remind(now + 24 * DAY)
    extending.extend(account.id, InvitationKind.TECHPASS, date(2027, 1, 31), WHY, by, now + 24 * DAY, policy)
    days = [day for day in range(24, 70) if reminders.remind(now + day * DAY)]
    assert days == [62, 63, 64, 65, 66, 67, 68]
    assert fresh(link).remind_at is None


def test_a_link_past_its_time_is_extended_until_the_sweep_has_written_the_notice(make, by, now, policy):
    account = make.account(AccountStatus.PENDING)
    link, _ = make.invitation(account)
    late = link.expires_at + DAY
    extending.extend(account.id, InvitationKind.TECHPASS, date(2027, 1, 31), WHY, by, late, policy)
    assert expiry.expire(late) == (0, 0)
    assert not expiry.is_overdue(fresh(account), late)

    expiry.expire(fresh(link).expires_at + DAY)
    with pytest.raises(NotPossible):
        extending.extend(account.id, InvitationKind.TECHPASS, date(2027, 2, 27), WHY, by, late + 40 * DAY, policy)
    # Should a live link be there all the same, the notice that was written holds.
    db.session.execute(update(Invitation).values(state="live"))
    db.session.commit()
    with pytest.raises(NotPossible):
        extending.extend(account.id, InvitationKind.TECHPASS, date(2027, 2, 27), WHY, by, late + 40 * DAY, policy)


@pytest.mark.parametrize(
    ("day", "fits"),
    [
        (date(2026, 12, 23), False),
        (date(2026, 12, 24), True),  # The day of the deadline itself, which is at 10:00.
        (date(2027, 2, 22), True),
        (date(2027, 2, 23), False),
    ],
)
def test_a_link_is_never_shortened_nor_extended_beyond_the_limit(make, by, now, policy, day, fits):
    account = make.account(AccountStatus.PENDING)
    link, _ = make.invitation(account)
    before = link.expires_at
    if fits:
        extending.extend(account.id, InvitationKind.TECHPASS, day, WHY, by, now, policy)
        assert fresh(link).expires_at > before
        return
    with pytest.raises(DayRefused) as refused:
        extending.extend(account.id, InvitationKind.TECHPASS, day, WHY, by, now, policy)
    assert (refused.value.first, refused.value.last) == (date(2026, 12, 24), date(2027, 2, 22))
    assert nothing_was_done()


def test_what_ran_out_today_is_extended_to_tomorrow_at_least(now, policy):
    first, _ = extending.days(now - timedelta(hours=1), now, policy)
    assert first == date(2026, 11, 25)
    first, _ = extending.days(extending.end_of(date(2026, 11, 28)), now, policy)
    assert first == date(2026, 11, 29), "that day's end is its deadline already"


def test_only_a_link_that_somebody_waits_for_is_extended(make, by, admin, now, policy):
    active = make.account()
    make.invitation(active, InvitationKind.AUTHENTICATOR)
    suspended = make.account(AccountStatus.DISABLED, seed_status=SeedStatus.SUSPENDED)
    make.invitation(suspended, InvitationKind.SEED)
    for account_id, kind, reason, error in (
        (active.id, InvitationKind.TECHPASS, WHY, NotPossible),
        (active.id, InvitationKind.SEED, WHY, NotPossible),
        (active.id, InvitationKind.AUTHENTICATOR, WHY, NotPossible),
        (suspended.id, InvitationKind.SEED, WHY, NotPossible),
    ):
        with pytest.raises(error):
            extending.extend(account_id, kind, date(2026, 12, 24), reason, by, now, policy)
    assert nothing_was_done()
    assert db.session.get_one(Account, active.id).changed_at == now


def test_a_day_that_is_over_is_no_extension_though_the_link_was_extended_to_it(make, by, now, policy):
    account = make.account(AccountStatus.PENDING)
    make.invitation(account)
    day = date(2026, 12, 31)
    for at in (now, now + DAY):
        extending.extend(account.id, InvitationKind.TECHPASS, day, WHY, by, at, policy)
    assert mailed(account) == ["invitation_extended"]
    with pytest.raises(DayRefused):
        extending.extend(account.id, InvitationKind.TECHPASS, day, WHY, by, now + 39 * DAY, policy)


# Send again.


# A registration is sent again by whoever asked.
@pytest.mark.parametrize("kind", [kind for kind in InvitationKind if kind is not InvitationKind.REGISTRATION], ids=str)
def test_an_invitation_sent_again_has_a_whole_life_and_the_old_link_is_void(make, by, admin, now, policy, kind):
    account = make.account(
        AccountStatus.PENDING if kind is InvitationKind.TECHPASS else AccountStatus.ACTIVE,
        seed_status=SeedStatus.INVITED if kind is InvitationKind.SEED else SeedStatus.NOT_REQUIRED,
    )
    link, _ = make.invitation(account, kind)
    for late in (DAY, 2 * DAY):  # Twice in a row: an admin's has no pause.
        account_actions.resend(account.id, kind, WHY, by, now + late, policy)
    fresh_one = db.session.scalars(select(Invitation).where(Invitation.state == InvitationState.LIVE)).one()
    assert fresh(link).state == "replaced"
    assert fresh_one.expires_at - fresh_one.issued_at == link.expires_at - link.issued_at
    assert fresh_one.issued_at == fresh(account).changed_at == now + 2 * DAY
    letter = {"techpass": "techpass_onboarding", "seed": "seed_onboarding", "authenticator": "authenticator_setup"}
    assert mailed(account) == [letter[kind]] * 2
    action, actor_id, _, detail = last_event(account)
    assert (action, actor_id, detail["reason"], detail["kind"]) == ("invitation.resent", admin.id, WHY, kind)
    assert detail["after"] == {"until": fresh_one.expires_at.isoformat()}


def test_a_form_sent_twice_at_once_mails_one_link(app, make, by, now, policy):
    account = make.account(AccountStatus.PENDING)
    make.invitation(account)
    number, seen, barrier = account.id, acting.last_event(account.id), Barrier(4)
    db.session.commit()

    def press(_):
        with app.app_context():
            barrier.wait()
            account_actions.resend(number, InvitationKind.TECHPASS, WHY, by, now + DAY, policy, seen)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(press, range(4)))
    assert mailed(account) == ["techpass_onboarding"]
    assert len(db.session.scalars(select(AuditEvent.id).where(AuditEvent.action == "invitation.resent")).all()) == 1


# Disable.


def test_an_extended_invitation_that_is_sent_again_loses_nothing(make, by, now, policy):
    account = make.account(AccountStatus.PENDING)
    link, _ = make.invitation(account)
    link.expires_at = now + timedelta(days=80)
    db.session.commit()
    account_actions.resend(account.id, InvitationKind.TECHPASS, WHY, by, now + timedelta(days=1), policy)
    live = db.session.scalars(select(Invitation).where(Invitation.state == "live")).one()
    assert (live.id != link.id, live.expires_at) == (True, now + timedelta(days=80))


def test_a_disabled_person_is_signed_out_and_told_why(client, make, by, admin, now, policy):
    account = make.account(seed_status=SeedStatus.ONBOARDED)
    device = make.device(account, DeviceStatus.ONBOARDED)
    make.sign_in(client, account)
    attempt = LogInAttempt(
        account_id=account.id, address_hash="0" * 64, nonce="n", created_at=now, code_sent_at=now, expires_at=now + DAY
    )
    db.session.add(attempt)
    db.session.commit()
    soon = now + timedelta(hours=1)
    account_actions.disable(account.id, WHY, by, soon, policy)
    account = fresh(account)
    assert (account.status, account.disabled_at, account.changed_at) == ("disabled", soon, soon)
    assert account.seed_status is SeedStatus.SUSPENDED
    assert not account.under_investigation
    assert fresh(device).status is DeviceStatus.ONBOARDED
    assert not db.session.scalars(select(BrowserSession.id)).all()
    assert fresh(attempt).ended_at == soon
    assert mailed(account) == ["account_disabled"]
    change = {
        "before": {"status": "active", "seed": "onboarded"},
        "after": {"status": "disabled", "seed": "suspended"},
    }
    assert last_event(account) == ("account.disabled", admin.id, "10.1.2.3", {"reason": WHY, **change})
    assert client.get("/profile").status_code == 303

    accounts.enable(account.id, WHY, by, now + DAY, policy)
    assert mailed(account) == ["account_enabled"]
    assert fresh(account).seed_status is SeedStatus.ONBOARDED
    told = load(db.session.scalars(select(Mail).order_by(Mail.id)).all())
    assert [has_ended(letter, now) for letter in told] == [True, False]


def test_what_had_run_out_before_is_not_suspended_but_expired(make, by, now, policy):
    account = make.account(seed_status=SeedStatus.INVITED)
    link, _ = make.invitation(account, InvitationKind.SEED)
    account_actions.disable(account.id, WHY, by, link.expires_at + DAY, policy)
    assert fresh(account).seed_status is SeedStatus.EXPIRED
    assert mailed(account) == ["seed_expired", "account_disabled"]


# Terminate.


@pytest.mark.parametrize("status", [AccountStatus.PENDING, AccountStatus.ACTIVE, AccountStatus.DISABLED], ids=str)
def test_a_terminated_account_ends_with_all_that_belongs_to_it(client, make, by, admin, now, policy, status):
    account = make.account(status)
    link, _ = make.invitation(account)
    device = make.device(account, DeviceStatus.ONBOARDED)
    make.sign_in(client, account)
    holding.hold(account.id, WHY, by, now)
    account_actions.terminate(account.id, WHY, by, now)
    account = fresh(account)
    assert (account.status, account.purge_at) == ("terminated", now + policy.purge_after_days * DAY)
    assert account.under_investigation, "the hold stays, and with it the data"
    assert fresh(link).state == "expired"
    assert fresh(device).status is DeviceStatus.REMOVED
    assert not db.session.scalars(select(BrowserSession.id)).all()
    expiry.terminate_each([account.id], now)  # As a sweep that comes at the same time.
    assert mailed(account) == ["account_held", "account_terminated"]
    action, actor_id, peer, detail = last_event(account)
    assert (action, actor_id, peer, detail["reason"]) == ("account.terminated", admin.id, "10.1.2.3", WHY)
    assert (detail["before"]["status"], detail["after"]["status"]) == (status, "terminated")
    letters = load(db.session.scalars(select(Mail).where(Mail.state == "queued")).all())
    assert [has_ended(letter, now) for letter in letters] == [False, False]


def test_seed_of_an_active_person_ends_with_the_account(make, by, now):
    for before, after in (
        (SeedStatus.REQUESTED, SeedStatus.WITHDRAWN),
        (SeedStatus.INVITED, SeedStatus.EXPIRED),
        (SeedStatus.ONBOARDED, SeedStatus.SUSPENDED),
        (SeedStatus.NOT_REQUIRED, SeedStatus.NOT_REQUIRED),
    ):
        account = make.account(seed_status=before)
        account_actions.terminate(account.id, WHY, by, now)
        assert fresh(account).seed_status is after


def test_the_notice_of_the_clock_gives_way_to_the_admins(make, by, now, policy):
    account = make.account(AccountStatus.PENDING)
    link, _ = make.invitation(account)
    late = link.expires_at + DAY
    expiry.expire(late)
    account_actions.terminate(account.id, WHY, by, late)
    assert mailed(account) == ["account_terminated"]
    assert mailed(account, "cancelled") == ["terminated"]


# Roles.


def test_a_role_is_given_and_taken(client, make, by, admin, now):
    account = make.account()
    make.sign_in(client, account)
    for before, role, page in (
        (Role.OFFICER, Role.AUDITOR, 200),
        (Role.AUDITOR, Role.ADMIN, 200),
        (Role.ADMIN, Role.OFFICER, 404),
    ):
        roles.change(account.id, role, WHY, by, now)
        assert fresh(account).role is role
        change = {"before": {"role": before}, "after": {"role": role}}
        assert last_event(account) == ("role.changed", admin.id, "10.1.2.3", {"reason": WHY, **change})
        assert client.get("/admin/accounts").status_code == page
        now += DAY
    assert mailed(account) == ["role_changed"], "the last word alone"
    letters = load(db.session.scalars(select(Mail).order_by(Mail.id)).all())
    assert [has_ended(letter, now) for letter in letters] == [True, True, False]


@pytest.mark.parametrize("act", ["disable", "terminate", "role"])
def test_of_two_admins_who_take_each_others_right_one_is_left(app, make, now, policy, act):
    admins = [make.admin(), make.admin()]
    ids = [admin.id for admin in admins]
    together = Barrier(2)

    def take(victim, actor):
        with app.app_context():
            by = audit.By(Actor.ADMIN, actor, "10.1.2.3")
            together.wait()
            try:
                if act == "role":
                    roles.change(victim, Role.OFFICER, WHY, by, now)
                elif act == "disable":
                    account_actions.disable(victim, WHY, by, now, policy)
                else:
                    account_actions.terminate(victim, WHY, by, now)
            except LastAdmin:
                return False
            finally:
                db.session.remove()
            return True

    with ThreadPoolExecutor(2) as pool:
        done = [job.result() for job in (pool.submit(take, *ids), pool.submit(take, *reversed(ids)))]
    assert sorted(done) == [False, True]
    db.session.rollback()
    db.session.expire_all()
    assert len([a for a in map(fresh, admins) if a.is_admin and a.status is AccountStatus.ACTIVE]) == 1


def test_the_last_active_admin_keeps_right_and_account(make, now, policy):
    last = make.admin()
    make.account(AccountStatus.DISABLED, role=Role.ADMIN)
    make.account(AccountStatus.PENDING, role=Role.ADMIN)
    make.auditor()
    for act in (
        lambda: account_actions.disable(last.id, WHY, audit.SYSTEM, now, policy),
        lambda: account_actions.terminate(last.id, WHY, audit.SYSTEM, now),
        lambda: roles.change(last.id, Role.AUDITOR, WHY, audit.SYSTEM, now),
    ):
        with pytest.raises(LastAdmin):
            act()
    assert (fresh(last).role, fresh(last).status) == ("admin", "active")
    assert nothing_was_done()


# All of them.


def act_on(account_id, action, reason, by, now, policy):
    """Do ``action`` in whatever of its ways fits somebody of that status."""
    kind = InvitationKind.TECHPASS if fresh_status(account_id) is AccountStatus.PENDING else InvitationKind.SEED
    match action:
        case Action.RESEND:
            account_actions.resend(account_id, kind, reason, by, now, policy)
        case Action.EXTEND:
            extending.extend(account_id, kind, date(2027, 1, 31), reason, by, now, policy)
        case Action.HOLD | Action.RELEASE:
            (holding.hold if action is Action.HOLD else holding.release)(account_id, reason, by, now)
        case Action.DISABLE:
            account_actions.disable(account_id, reason, by, now, policy)
        case Action.ENABLE:
            accounts.enable(account_id, reason, by, now, policy)
        case Action.RESET_AUTHENTICATOR:
            authenticators.reset_authenticator(account_id, reason, by, now, policy)
        case Action.ROLE:
            role = Role.OFFICER if fresh_status(account_id) is not AccountStatus.ACTIVE else Role.AUDITOR
            roles.change(account_id, role, reason, by, now)
        case Action.TERMINATE:
            account_actions.terminate(account_id, reason, by, now)


def fresh_status(account_id):
    return db.session.scalar(select(Account.status).where(Account.id == account_id))


@pytest.mark.parametrize("status", AccountStatus, ids=str)
def test_what_is_offered_can_be_done_and_what_is_not_cannot(make, by, now, policy, status):
    for action in Action:
        account = make.account(status, role=Role.ADMIN, seed_status=SeedStatus.INVITED)
        kind = InvitationKind.TECHPASS if status is AccountStatus.PENDING else InvitationKind.SEED
        make.invitation(account, kind)
        offered = action in account_actions.possible(account, [kind])
        events = len(db.session.scalars(select(AuditEvent.id)).all())
        mails = len(db.session.scalars(select(Mail.id)).all())
        if offered:
            act_on(account.id, action, WHY, by, now, policy)
        else:
            with pytest.raises((NotPossible, NotFound)):
                act_on(account.id, action, WHY, by, now, policy)
        assert (len(db.session.scalars(select(AuditEvent.id)).all()) > events) is offered, action
        assert (len(db.session.scalars(select(Mail.id)).all()) > mails) is offered, action
        if offered:
            assert last_event(account)[3]["reason"] == WHY


@pytest.mark.parametrize("action", Action, ids=str)
def test_nothing_is_done_to_oneself_without_a_reason_or_to_nobody(make, by, admin, now, policy, action):
    make.invitation(admin, InvitationKind.SEED)
    other = make.account()
    for account_id, reason, error in (
        (admin.id, WHY, OwnAccount),
        (other.id, " ", ReasonMissing),
        (999, WHY, NotFound),
    ):
        with pytest.raises(error):
            act_on(account_id, action, reason, by, now, policy)
    assert nothing_was_done()
