"""Approval, on a real database (section 2 of the rules)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest
from sqlalchemy import func, select

from webapp.domain.lifecycle import (
    AccountStatus,
    InvitationKind,
    InvitationState,
    MailState,
    RequestKind,
    RequestState,
    SeedStatus,
)
from webapp.extensions import db
from webapp.models import Account, Agency, AuditEvent, Invitation, Mail, Request
from webapp.services import audit, holidays, queue_list, requests
from webapp.services.errors import AlreadyDecided, NotFound, OwnRequest, ReasonMissing, ServiceError, TechPassFirst


@pytest.fixture
def admin(make) -> audit.By:
    return audit.By.person(make.admin("boss@tech.gov.sg"), "203.0.113.9")


def mails() -> list[str]:
    return list(db.session.scalars(select(Mail.kind).order_by(Mail.id)))


def seed_request_of(account_id: int) -> Request:
    return db.session.scalars(select(Request).filter_by(account_id=account_id, kind=RequestKind.SEED)).one()


def test_approving_techpass_invites_the_applicant_for_thirty_days(app, make, now, policy, admin):
    request = make.request("peter@tech.gov.sg")

    requests.approve(request.id, admin, now, policy)

    account = db.session.get_one(Account, request.account_id, populate_existing=True)
    assert account.status is AccountStatus.PENDING
    invitation = db.session.scalars(select(Invitation)).one()
    assert (invitation.kind, invitation.state) == (InvitationKind.TECHPASS, InvitationState.LIVE)
    assert invitation.expires_at == now + timedelta(days=30)
    assert invitation.remind_at == now + timedelta(days=23)
    assert mails() == ["techpass_onboarding"]
    event = db.session.scalars(select(AuditEvent)).one()
    assert (event.action, event.account_id, event.actor_id) == ("techpass.approved", account.id, admin.account_id)


def test_seed_is_approved_apart_and_after_techpass(app, make, now, policy, admin):
    request = make.request(seed=True)
    seed = seed_request_of(request.account_id)
    with pytest.raises(TechPassFirst):
        requests.approve(seed.id, admin, now, policy)
    assert mails() == []
    assert seed_request_of(request.account_id).state is RequestState.OPEN

    requests.approve(request.id, admin, now, policy)
    requests.approve(seed.id, admin, now, policy)

    assert mails() == ["techpass_onboarding", "seed_onboarding"]
    assert db.session.get_one(Account, request.account_id).seed_status is SeedStatus.INVITED


def test_seed_is_rejected_while_techpass_is_approved(app, make, now, policy, admin):
    request = make.request(seed=True)
    requests.approve(request.id, admin, now, policy)
    requests.reject(seed_request_of(request.account_id).id, "Not from an internet device", admin, now, policy)

    account = db.session.get_one(Account, request.account_id)
    assert (account.status, account.seed_status) == (AccountStatus.PENDING, SeedStatus.REJECTED)
    assert mails() == ["techpass_onboarding", "seed_rejected"]


@pytest.mark.parametrize(
    ("approved", "due_on"),
    [
        (timedelta(0), date(2026, 11, 27)),
        (timedelta(hours=14, seconds=-1), date(2026, 11, 27)),  # The last second of the Tuesday in Singapore.
        (timedelta(hours=14), date(2026, 11, 30)),
        (timedelta(days=28, hours=14), date(2026, 12, 29)),  # Christmas Eve, then Christmas and the weekend.
    ],
)
def test_seed_is_promised_three_business_days_after_techpass_is_approved(
    app, make, now, policy, admin, approved, due_on
):
    request = make.request(seed=True)
    other = make.request(seed=True)
    assert seed_request_of(request.account_id).due_on is None
    requests.approve(request.id, admin, now + approved, policy)
    assert seed_request_of(request.account_id).due_on == due_on
    assert seed_request_of(other.account_id).due_on is None
    assert request.due_on is None


def test_a_promise_stays_as_it_was_given(app, make, now, policy, admin):
    request = make.request(seed=True)
    requests.approve(request.id, admin, now, policy)
    seed = seed_request_of(request.account_id)
    holidays.add(date(2026, 11, 25), "At short notice", admin, now)
    requests.approve(seed.id, admin, now + timedelta(days=5), policy)
    assert seed_request_of(request.account_id).due_on == date(2026, 11, 27)


def test_rejecting_techpass_takes_seed_with_it_and_mails_once(app, make, now, policy, admin):
    request = make.request(seed=True)
    requests.reject(request.id, "  Not an\r\nofficer ", admin, now, policy)

    account = db.session.get_one(Account, request.account_id)
    assert (account.status, account.seed_status) == (AccountStatus.REJECTED, SeedStatus.REJECTED)
    assert account.purge_at == now + timedelta(days=30)
    assert {row.state for row in db.session.scalars(select(Request))} == {RequestState.REJECTED}
    assert {row.reason for row in db.session.scalars(select(Request))} == {"Not an officer"}
    assert mails() == ["request_rejected"]


@pytest.mark.parametrize("reason", ["", "   ", "\r\n"])
def test_a_rejection_needs_a_reason(app, make, now, policy, admin, reason):
    request = make.request()
    with pytest.raises(ReasonMissing):
        requests.reject(request.id, reason, admin, now, policy)
    assert db.session.get_one(Request, request.id).state is RequestState.OPEN


@pytest.mark.parametrize("first", ["approve", "reject"])
@pytest.mark.parametrize("second", ["approve", "reject"])
def test_the_second_admin_is_told_and_nothing_happens_twice(app, make, now, policy, admin, first, second):
    request = make.request()
    act = {
        "approve": lambda by: requests.approve(request.id, by, now, policy),
        "reject": lambda by: requests.reject(request.id, "No", by, now, policy),
    }
    act[first](admin)
    other = audit.By.person(make.admin("other@tech.gov.sg"), "203.0.113.10")
    with pytest.raises(AlreadyDecided):
        act[second](other)
    assert len(mails()) == 1
    assert db.session.scalar(select(func.count()).select_from(AuditEvent)) == 1
    assert db.session.get_one(Request, request.id, populate_existing=True).decided_by_id == admin.account_id


def test_two_admins_at_the_same_instant_make_one_decision(app, make, now, policy, admin):
    request = make.request(seed=True)
    other = audit.By.person(make.admin("other@tech.gov.sg"), "203.0.113.10")

    def decide(number: int) -> str:
        with app.app_context():
            try:
                if number % 2:
                    requests.approve(request.id, admin, now, policy)
                else:
                    requests.reject(request.id, "No", other, now, policy)
            except ServiceError as error:
                return type(error).__name__
            return "done"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(decide, range(16)))

    assert outcomes.count("done") == 1
    assert set(outcomes) == {"done", "AlreadyDecided"}
    assert len(mails()) == 1
    assert db.session.scalar(select(func.count()).select_from(AuditEvent)) == 1


def test_nobody_decides_on_their_own_request(app, make, now, policy):
    admin = make.admin()
    own = Request(account_id=admin.id, kind=RequestKind.SEED, requested_at=now)
    db.session.add(own)
    db.session.commit()
    by = audit.By.person(admin, "203.0.113.9")
    with pytest.raises(OwnRequest):
        requests.approve(own.id, by, now, policy)
    with pytest.raises(OwnRequest):
        requests.reject(own.id, "No", by, now, policy)
    assert db.session.get_one(Request, own.id).state is RequestState.OPEN


def test_there_may_be_no_such_request(app, now, policy, admin):
    with pytest.raises(NotFound):
        requests.approve(10**15, admin, now, policy)


def test_an_agency_that_approves_automatically_needs_no_admin(app, make, now, policy):
    by_hand = make.request("a@moe.gov.sg", seed=True)
    at_once = make.request("b@tech.gov.sg", seed=True)
    db.session.query(Agency).filter_by(domain="tech.gov.sg").update({"approves_automatically": True})
    db.session.commit()

    assert requests.approve_automatically(now, policy) == 2
    assert requests.approve_automatically(now, policy) == 0

    account = db.session.get_one(Account, at_once.account_id, populate_existing=True)
    assert (account.status, account.seed_status) == (AccountStatus.PENDING, SeedStatus.INVITED)
    assert db.session.get_one(Account, by_hand.account_id).status is AccountStatus.REQUESTED
    assert mails() == ["techpass_onboarding", "seed_onboarding"]
    assert set(db.session.scalars(select(AuditEvent.actor))) == {"system"}


def test_seed_of_somebody_disabled_keeps_nobody_waiting_where_approval_is_automatic(app, make, now, policy):
    for number in range(2):
        disabled = make.account(AccountStatus.DISABLED, seed_status=SeedStatus.REQUESTED)
        at = now - timedelta(days=2, minutes=number)
        db.session.add(Request(account_id=disabled.id, kind=RequestKind.SEED, requested_at=at))
    newest = make.request("b@tech.gov.sg")
    db.session.query(Agency).filter_by(domain="tech.gov.sg").update({"approves_automatically": True})
    db.session.commit()
    assert requests.approve_automatically(now, policy, limit=1) == 1
    assert db.session.get_one(Request, newest.id, populate_existing=True).state is RequestState.APPROVED


def test_whoever_is_on_hold_is_not_approved_by_the_clock(app, make, now, policy):
    request = make.request("b@tech.gov.sg")
    db.session.query(Account).update({"under_investigation": True})
    db.session.query(Agency).filter_by(domain="tech.gov.sg").update({"approves_automatically": True})
    db.session.commit()
    assert requests.approve_automatically(now, policy) == 0
    assert db.session.get_one(Request, request.id, populate_existing=True).state is RequestState.OPEN


def test_the_queue_is_paged_by_key_oldest_first(app, make, now):
    made = [make.request(at=now - timedelta(minutes=number // 2)) for number in range(queue_list.PAGE + 10)]
    expected = [row.id for row in sorted(made, key=lambda row: (row.requested_at, row.id))]

    first = queue_list.waiting(queue_list.Filters(), now)
    assert len(first) == queue_list.PAGE + 1
    last = first[queue_list.PAGE - 1].request
    second = queue_list.waiting(queue_list.Filters(), now, (last.requested_at, last.id))
    assert [row.request.id for row in [*first[: queue_list.PAGE], *second]] == expected


def test_a_rejected_applicant_gets_no_other_mail(app, make, now, policy, admin):
    request = make.request()
    db.session.add(
        Mail(
            key="x",
            kind="request_received",
            account_id=request.account_id,
            recipient="a@tech.gov.sg",
            created_at=now,
            due_at=now,
        )
    )
    db.session.commit()
    requests.reject(request.id, "No", admin, now, policy)
    states = {mail.kind: mail.state for mail in db.session.scalars(select(Mail))}
    assert states == {"request_received": MailState.CANCELLED, "request_rejected": MailState.QUEUED}


def test_seed_is_not_approved_for_whom_techpass_has_run_out(app, make, now, policy, admin):
    """Whether or not the sweep has come (promise 5)."""
    request = make.request(seed=True)
    requests.approve(request.id, admin, now, policy)
    seed = seed_request_of(request.account_id)
    with pytest.raises(TechPassFirst):
        requests.approve(seed.id, admin, now + timedelta(days=30, seconds=1), policy)
    assert mails() == ["techpass_onboarding"]
    requests.approve(seed.id, admin, now + timedelta(days=30), policy)
    assert mails() == ["techpass_onboarding", "seed_onboarding"]
