"""SEED's own life: asked for, given up, and one state at any instant (rules 4.1 to 4.5)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest
from sqlalchemy import func, select

from webapp.domain.lifecycle import (
    AccountStatus,
    DeviceStatus,
    InvitationKind,
    InvitationState,
    RequestKind,
    RequestState,
    SeedStatus,
)
from webapp.extensions import db
from webapp.models import Account, Agency, AuditEvent, Invitation, Mail, Request
from webapp.services import audit, requests, seed, seed_card
from webapp.services.errors import AlreadyDecided, DeviceFirst, NotEligible, SessionOver, TechPassFirst

DAYS_30 = timedelta(days=30)
SECOND = timedelta(seconds=1)
S = SeedStatus


def by(account: Account) -> audit.By:
    return audit.By.person(account, "203.0.113.7")


def account_of(account: Account) -> Account:
    return db.session.get_one(Account, account.id, populate_existing=True)


def kinds() -> list[str]:
    return list(db.session.scalars(select(Mail.kind).order_by(Mail.id)))


def actions() -> list[str]:
    return list(db.session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)))


def card(account: Account, now) -> seed_card.SeedCard:
    found = db.session.get_one(Account, account.id, populate_existing=True)
    found.agency = db.session.get_one(Agency, found.agency_id)
    return seed_card.card(found, now)


@pytest.mark.parametrize("before", [S.NOT_REQUIRED, S.REJECTED, S.EXPIRED, S.WITHDRAWN, S.INELIGIBLE], ids=str)
def test_it_is_asked_for_from_the_profile(app, make, now, before):
    account = make.account(seed_status=before)
    assert seed.request(account.id, by(account), now, make.policy) is True
    assert account_of(account).seed_status is S.REQUESTED
    request = db.session.scalars(select(Request)).one()
    assert (request.kind, request.state, request.requested_at) == (RequestKind.SEED, RequestState.OPEN, now)
    assert request.due_on == date(2026, 11, 27)
    assert card(account, now).due_on == date(2026, 11, 27)
    assert actions() == ["seed.requested"]
    assert kinds() == []


@pytest.mark.parametrize("before", [S.REQUESTED, S.ONBOARDED, S.SUSPENDED], ids=str)
def test_what_is_asked_for_or_held_is_not_asked_for_again(app, make, now, before):
    account = make.account(seed_status=before)
    assert seed.request(account.id, by(account), now, make.policy) is False
    assert account_of(account).seed_status is before
    assert db.session.scalar(select(func.count()).select_from(Request)) == 0
    assert actions() == []


def test_an_invitation_is_asked_for_again_from_the_second_after_its_end_on(app, make, now):
    account = make.account(seed_status=S.INVITED)
    link, _ = make.invitation(account, InvitationKind.SEED)
    assert seed.request(account.id, by(account), now + DAYS_30, make.policy) is False
    assert seed.request(account.id, by(account), now + DAYS_30 + SECOND, make.policy) is True
    assert account_of(account).seed_status is S.REQUESTED
    assert db.session.get_one(Invitation, link.id, populate_existing=True).state is InvitationState.EXPIRED
    assert actions() == ["seed.expired", "seed.requested"]


def test_an_agency_that_does_not_take_part_is_refused(app, make, now):
    account = make.account(email="teacher@schools.gov.sg", seed_status=S.INELIGIBLE)
    with pytest.raises(NotEligible):
        seed.request(account.id, by(account), now, make.policy)
    assert account_of(account).seed_status is S.INELIGIBLE
    assert db.session.scalar(select(func.count()).select_from(Request)) == 0


def test_an_agency_that_left_seed_is_refused_too(app, make, now):
    account = make.account(seed_status=S.WITHDRAWN)
    db.session.get_one(Agency, account.agency_id).seed_eligible = False
    db.session.commit()
    assert card(account, now).status is S.INELIGIBLE
    with pytest.raises(NotEligible):
        seed.request(account.id, by(account), now, make.policy)


@pytest.mark.parametrize("status", [s for s in AccountStatus if s is not AccountStatus.ACTIVE], ids=str)
def test_only_an_active_person_asks_or_gives_up(app, make, now, status):
    account = make.account(status, seed_status=S.NOT_REQUIRED)
    for ask in (
        lambda: seed.request(account.id, by(account), now, make.policy),
        lambda: seed.withdraw(account.id, by(account), now, make.policy),
    ):
        with pytest.raises(SessionOver):
            ask()
    assert actions() == []


def test_pressed_in_many_tabs_at_once_it_makes_one_request(app, make, now):
    account = make.account()
    actor = by(account)

    def press(_number: int) -> bool:
        with app.app_context():
            return seed.request(account.id, actor, now, make.policy)

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(press, range(16)))
    assert made.count(True) == 1
    assert db.session.scalar(select(func.count()).select_from(Request)) == 1
    assert actions() == ["seed.requested"]


def test_where_the_agency_approves_at_once_it_is_approved(app, make, now, policy):
    account = make.account()
    db.session.get_one(Agency, account.agency_id).approves_automatically = True
    db.session.commit()
    seed.request(account.id, by(account), now, make.policy)
    assert requests.approve_automatically(now, policy) == 1
    assert account_of(account).seed_status is S.INVITED
    assert kinds() == ["seed_onboarding"]


def test_the_whole_way_round(app, make, now, policy):
    admin = by(make.admin())
    account = make.account()
    for number in (1, 2):
        seed.request(account.id, by(account), now, make.policy)
        request = db.session.scalars(select(Request).where(Request.state == RequestState.OPEN)).one()
        requests.approve(request.id, admin, now, policy)
        assert card(account, now).status is S.INVITED
        assert card(account, now).valid_until == now + DAYS_30
        assert kinds().count("seed_onboarding") == number
        now += DAYS_30 + SECOND
        assert card(account, now).status is S.EXPIRED
        assert card(account, now).since == now - SECOND


def test_a_request_can_be_rejected_and_made_again(app, make, now, policy):
    account = make.account()
    admin = by(make.admin())
    seed.request(account.id, by(account), now, make.policy)
    request = db.session.scalars(select(Request)).one()
    requests.reject(request.id, "Not needed for your work.", admin, now, policy)
    assert card(account, now).status is S.REJECTED
    assert card(account, now).reason == "Not needed for your work."
    assert seed.request(account.id, by(account), now, make.policy) is True
    assert card(account, now).status is S.REQUESTED


def test_a_request_is_taken_back(app, make, now, policy):
    account = make.account()
    admin = by(make.admin())
    seed.request(account.id, by(account), now, make.policy)
    assert seed.withdraw(account.id, by(account), now + SECOND, make.policy) is True
    request = db.session.scalars(select(Request).execution_options(populate_existing=True)).one()
    assert (request.state, request.decided_at) == (RequestState.WITHDRAWN, now + SECOND)
    assert account_of(account).seed_status is S.WITHDRAWN
    assert actions() == ["seed.requested", "seed.withdrawn"]
    assert kinds() == ["seed_withdrawn"]
    with pytest.raises(AlreadyDecided):
        requests.approve(request.id, admin, now, policy)
    assert account_of(account).seed_status is S.WITHDRAWN


def test_an_invitation_is_given_up_with_its_link_and_its_mail(app, make, now, policy):
    account = make.account()
    admin = by(make.admin())
    seed.request(account.id, by(account), now, make.policy)
    requests.approve(db.session.scalars(select(Request.id)).one(), admin, now, policy)
    assert seed.withdraw(account.id, by(account), now, make.policy) is True
    assert db.session.scalars(select(Invitation.state)).one() is InvitationState.WITHDRAWN
    states = dict(db.session.execute(select(Mail.kind, Mail.state)).all())
    assert states == {"seed_onboarding": "cancelled", "seed_withdrawn": "queued"}


@pytest.mark.parametrize(
    "before", [S.NOT_REQUIRED, S.INELIGIBLE, S.REJECTED, S.EXPIRED, S.WITHDRAWN, S.SUSPENDED], ids=str
)
def test_what_is_neither_asked_for_nor_held_is_not_given_up(app, make, now, before):
    account = make.account(seed_status=before)
    assert seed.withdraw(account.id, by(account), now, make.policy) is False
    assert account_of(account).seed_status is before
    assert (actions(), kinds()) == ([], [])


@pytest.mark.parametrize("status", [s for s in DeviceStatus if s is not DeviceStatus.REMOVED], ids=str)
def test_with_a_device_it_is_not_given_up(app, make, now, status):
    account = make.account(seed_status=S.ONBOARDED if status is DeviceStatus.ONBOARDED else S.INVITED)
    make.device(account, status)
    with pytest.raises(DeviceFirst):
        seed.withdraw(account.id, by(account), now, make.policy)
    assert (actions(), kinds()) == ([], [])


def test_a_device_under_way_keeps_the_invitation_from_expiring(app, make, now):
    account = make.account(seed_status=S.INVITED)
    link, _ = make.invitation(account, InvitationKind.SEED)
    link.state = InvitationState.USED
    make.device(account, remove_at=now + timedelta(days=44))
    shown = card(account, now + timedelta(days=40))
    assert (shown.status, len(shown.devices)) == (S.INVITED, 1)
    # One that got no further in its time counts as removed before the sweep comes.
    assert card(account, now + timedelta(days=44) + SECOND).status is S.EXPIRED


def test_approval_and_giving_up_at_once_do_one_of_the_two(app, make, now, policy):
    admin = by(make.admin())
    for _ in range(5):
        account = make.account()
        actor = by(account)
        seed.request(account.id, actor, now, make.policy)
        number = db.session.scalars(select(Request.id).where(Request.state == RequestState.OPEN)).one()

        def approve(number=number) -> None:
            with app.app_context():
                requests.approve(number, admin, now, policy)

        def withdraw(account_id=account.id, actor=actor) -> None:
            with app.app_context():
                seed.withdraw(account_id, actor, now, make.policy)

        db.session.rollback()  # On SQLite a reader, too, holds the file.
        with ThreadPoolExecutor(2) as pool:
            outcomes = [pool.submit(approve), pool.submit(withdraw)]
            failed = [type(outcome.exception()) for outcome in outcomes if outcome.exception()]
        assert failed in ([], [AlreadyDecided])
        # Approved first, it is given up all the same: the invitation and not the request.
        assert account_of(account).seed_status is S.WITHDRAWN
        assert db.session.scalar(select(func.count()).where(Invitation.state == InvitationState.LIVE)) == 0


def test_nobody_disabled_is_approved(app, make, now, policy):
    account = make.account()
    admin = by(make.admin())
    seed.request(account.id, by(account), now, make.policy)
    account.status = AccountStatus.DISABLED
    db.session.commit()
    with pytest.raises(TechPassFirst):
        requests.approve(db.session.scalars(select(Request.id)).one(), admin, now, policy)
    assert account_of(account).seed_status is S.REQUESTED


def test_an_invitation_expired_when_it_ended_and_not_when_that_was_written_down(app, make, now):
    account = make.account(seed_status=S.EXPIRED, seed_status_at=now + timedelta(days=33))
    make.invitation(account, InvitationKind.SEED)
    assert card(account, now + timedelta(days=34)).since == now + DAYS_30
