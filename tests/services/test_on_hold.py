"""On hold the clock alone does nothing to an account, whatever falls due; once released all of it is due (rule 8.7)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from webapp import emails
from webapp.domain.lifecycle import (
    AccountStatus,
    DeviceStatus,
    InvitationKind,
    InvitationState,
    RequestKind,
    Role,
    SeedStatus,
)
from webapp.emails.purpose import has_ended
from webapp.emails.render import load
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Device, Invitation, Mail, Request
from webapp.services import (
    admins,
    device_removal,
    expiry,
    forecast,
    health,
    holding,
    invitations,
    outbox,
    receipts,
    requests,
    sign_up,
)
from webapp.services import sweep as sweeps
from webapp.services.audit import By
from webapp.services.errors import LinkEnded, TechPassFirst

DAY = timedelta(days=1)
VISITOR = By.visitor("192.0.2.1")


@pytest.fixture
def later(now):
    return now + timedelta(days=30, minutes=1)


def count(table, *conditions):
    return db.session.scalar(select(func.count()).select_from(table).where(*conditions))


def fresh(thing):
    return db.session.get_one(type(thing), thing.id, populate_existing=True)


@pytest.fixture
def held(make, now):
    """Somebody for each thing that a sweep would do 30 days and a moment from now, all of them on hold."""
    hold = {"under_investigation": True}
    late = make.account(AccountStatus.PENDING, **hold)
    make.invitation(late)
    make.invitation(make.account(AccountStatus.PENDING, **hold), at=now + 5 * DAY)
    seed = make.account(seed_status=SeedStatus.INVITED, **hold)
    make.invitation(seed, InvitationKind.SEED)
    idle = {"idle_since": now - 70 * DAY, "changed_at": now - 40 * DAY, "inactivity_due_at": now + 20 * DAY}
    make.account(**idle, **hold)
    make.account(role=Role.ADMIN, **idle, **hold)
    make.admin()
    make.account(AccountStatus.TERMINATED, purge_at=now + 5 * DAY, **hold)
    make.account(AccountStatus.PENDING, expired_at=now, **hold)
    make.device(make.account(seed_status=SeedStatus.INVITED, **hold))
    return late


def test_the_sweep_leaves_them_alone_and_does_it_all_once_they_are_released(held, later, policy):
    columns = [*Account.__table__.columns, *Invitation.__table__.columns]
    join = select(*columns).join(Invitation, isouter=True).order_by(Account.id, Invitation.id)
    before = db.session.execute(join).all()
    for at in (later, later + DAY):
        summary = sweeps.sweep(at, policy)
        assert not any(summary.done.values())
        assert not summary.failed
    assert db.session.execute(join).all() == before
    assert count(Mail) == count(AuditEvent) == 0
    assert count(Device, Device.status == DeviceStatus.TRIGGERED) == 1

    db.session.execute(update(Account).values(under_investigation=False))
    db.session.commit()
    done = {name: number for name, number in sweeps.sweep(later, policy).done.items() if number}
    assert done == {
        "terminated": 1,
        "expired": 1,
        "seed_expired": 1,
        "devices_removed": 1,
        "reminded": 1,
        "disabled": 2,
        "deleted": 1,
    }


def test_it_is_put_on_hold_and_released_by_an_admin(make, later, policy):
    link, _ = make.invitation()
    by = By.person(make.admin(), "192.0.2.1")
    holding.hold(link.account_id, "looking into it", by, later)
    assert sweeps.sweep(later, policy).done["expired"] == 0
    holding.release(link.account_id, "all is well", by, later)
    assert sweeps.sweep(later, policy).done["expired"] == 1


def test_the_link_is_refused_after_its_time_all_the_same(make, later, policy):
    account = make.account(AccountStatus.PENDING, under_investigation=True)
    link, token = make.invitation(account)
    with pytest.raises(LinkEnded):
        invitations.open_link(token, later, InvitationKind.TECHPASS)
    with pytest.raises(LinkEnded):
        invitations.resend(account.id, InvitationKind.TECHPASS, VISITOR, later, policy)
    assert fresh(link).state is InvitationState.LIVE


def test_an_admin_on_hold_is_passed_over_when_others_are_looked_at(make, now, policy):
    idle = {"role": Role.ADMIN, "idle_since": now - 100 * DAY, "changed_at": now - 40 * DAY, "inactivity_due_at": now}
    held, due = make.account(under_investigation=True, **idle), make.account(**idle)
    make.admin()
    assert sweeps.sweep(now, policy).done["disabled"] == 1
    assert [fresh(each).status for each in (held, due)] == [AccountStatus.ACTIVE, AccountStatus.DISABLED]


def test_who_signs_up_again_has_an_account_already(make, later, monkeypatch):
    account = make.account(AccountStatus.PENDING, "peter@tech.gov.sg", under_investigation=True)
    make.invitation(account)
    assert expiry.is_overdue(account, later)
    with monkeypatch.context() as patch:
        patch.setattr(expiry, "end_if_overdue", None)  # Asking once more would take longer than for others (rule 1.8).
        sign_up.sign_up("peter@tech.gov.sg", False, make.solution(), VISITOR, later)
    assert count(Account) == 1
    assert fresh(account).status is AccountStatus.PENDING
    assert list(db.session.scalars(select(Mail.kind))) == ["already_have_account"]
    assert expiry.end_if_overdue(account, later) is False
    db.session.add(Request(account_id=account.id, kind=RequestKind.TECHPASS, state="approved", requested_at=make.now))
    token = make.receipt_token(account)
    receipt = receipts.receipt(token, later)
    assert (receipt.status, receipt.may_resend, receipt.may_sign_up_again) == (AccountStatus.PENDING, False, False)
    assert "is on hold" in receipt.entries[-1].detail


def test_the_operator_who_makes_them_an_admin_gives_them_a_new_link(make, later, policy):
    account = make.account(AccountStatus.PENDING, "peter@tech.gov.sg", under_investigation=True)
    old, _ = make.invitation(account)
    assert admins.create("peter@tech.gov.sg", later, policy)
    account = fresh(account)
    assert (account.status, account.role, account.under_investigation) == (AccountStatus.PENDING, Role.ADMIN, True)
    assert fresh(old).state is InvitationState.REPLACED


def test_seed_is_not_approved_for_somebody_whose_time_is_up(make, later, policy):
    asked = make.request(seed=True)
    account = db.session.get_one(Account, asked.account_id)
    requests.approve(asked.id, By.person(make.admin(), ""), make.now, policy)
    account.under_investigation = True
    db.session.commit()
    with pytest.raises(TechPassFirst):
        requests.approve(asked.id + 1, By.person(make.admin(), ""), later, policy)


def test_a_device_past_its_time_makes_room_for_another_all_the_same(make, later, policy):
    holder = make.account(seed_status=SeedStatus.INVITED, under_investigation=True)
    device = make.device(holder)
    device_removal.settle(make.account().id, device.intune_device_id, later, policy)
    assert fresh(device).status is DeviceStatus.REMOVED


def test_what_is_on_hold_does_not_look_as_if_cron_stood_still(held, later):
    numbers = health.numbers(later)
    assert numbers["portal_invitations_overdue"] == numbers["portal_accounts_awaiting_termination"] == 0
    db.session.execute(update(Account).values(under_investigation=False))
    numbers = health.numbers(later)
    assert (numbers["portal_invitations_overdue"], numbers["portal_accounts_awaiting_termination"]) == (2, 1)


def test_they_have_a_list_of_their_own(held, make):
    make.account()
    assert len(forecast.on_hold()) == count(Account, Account.under_investigation)


def test_what_the_clock_had_written_does_not_leave_while_somebody_is_held(app, make, now, policy):
    pending = make.account(AccountStatus.PENDING)
    link, _ = make.invitation(pending, at=now - 24 * DAY)
    outbox.post(emails.onboarding_reminder(pending, link, 24, now), emails.terminated(pending, now))
    db.session.commit()
    admin = By.person(make.admin(), "192.0.2.1")
    holding.hold(pending.id, "a mistake", admin, now)

    def due(at):
        kinds = {mail.kind: mail for mail in db.session.scalars(select(Mail).where(Mail.due_at <= at))}
        return {kind for kind, mail in kinds.items() if not has_ended(load([mail])[0], at)}

    assert due(now + 300 * DAY) == {"account_held"}
    holding.release(pending.id, "looked at", admin, now + DAY)
    assert due(now + DAY) == {"onboarding_reminder", "terminated", "account_released"}
