"""Taking a decision back before its mail has left (rule 8.2), with explicit times."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from webapp import emails
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
from webapp.services import audit, delivery, outbox, requests, sign_up, undo
from webapp.services.errors import Late, NotFound, TooLate

SECONDS = 10


@pytest.fixture
def policy(policy):
    return replace(policy, undo_seconds=SECONDS)


@pytest.fixture
def admin(make) -> audit.By:
    return audit.By.person(make.admin("boss@tech.gov.sg"), "203.0.113.9")


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def mails(*columns):
    return [tuple(row) for row in db.session.execute(select(*(columns or (Mail.kind, Mail.state))).order_by(Mail.id))]


def fresh(request: Request) -> Request:
    db.session.rollback()
    return db.session.get_one(Request, request.id, populate_existing=True)


def account_of(request: Request) -> Account:
    return db.session.get_one(Account, fresh(request).account_id, populate_existing=True)


def seed_of(request: Request) -> Request:
    return db.session.scalars(select(Request).filter_by(account_id=request.account_id, kind=RequestKind.SEED)).one()


def late(request, by, now, policy) -> Late:
    with pytest.raises(TooLate) as caught:
        undo.undo(request.id, by, now, policy)
    return caught.value.why


def leave(monkeypatch, now) -> delivery.Summary:
    """Deliver what is due to a mail server that takes everything."""

    class Server:
        is_open = True

        def open(self): ...

        def close(self): ...

        def drop(self): ...

        def send(self, message):
            return "250 ok"

    monkeypatch.setattr(delivery, "MailServer", Server)
    return delivery.deliver(now)


def test_an_approval_taken_back_leaves_everything_as_it_was_and_mails_nothing(
    app, make, now, policy, admin, monkeypatch
):
    request = make.request("peter@tech.gov.sg", seed=True)
    now += timedelta(days=2)
    before = account_of(request)
    status = (before.status, before.status_at, before.seed_status, before.seed_status_at, before.purge_at)
    requests.approve(request.id, admin, now, policy)
    assert seed_of(request).due_on is not None
    assert mails(Mail.kind, Mail.due_at) == [("techpass_onboarding", now + seconds(SECONDS))]

    undo.undo(request.id, admin, now + seconds(SECONDS - 1), policy)

    after = account_of(request)
    assert (after.status, after.status_at, after.seed_status, after.seed_status_at, after.purge_at) == status
    again = fresh(request)
    assert (again.state, again.decided_at, again.decided_by_id, again.reason) == (RequestState.OPEN, None, None, "")
    assert seed_of(request).due_on is None
    assert db.session.scalars(select(Invitation.state)).one() is InvitationState.WITHDRAWN
    assert mails() == []
    actions = list(db.session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)))
    assert actions == ["techpass.approved", "techpass.approval_undone"]
    assert leave(monkeypatch, now + timedelta(days=1)).sent == 0


def test_what_is_decided_after_it_is_mailed_once(app, make, now, policy, admin, monkeypatch):
    request = make.request()
    for _ in range(2):
        requests.reject(request.id, "Not an officer", admin, now, policy)
        undo.undo(request.id, admin, now + seconds(1), policy)
    requests.reject(request.id, "Not of ours", admin, now + seconds(2), policy)
    assert leave(monkeypatch, now + seconds(2 + SECONDS - 1)).sent == 0
    assert leave(monkeypatch, now + seconds(2 + SECONDS)).sent == 1
    assert mails() == [("request_rejected", MailState.SENT)]
    assert account_of(request).purge_at is not None


def test_a_rejection_taken_back_reopens_the_seed_that_went_with_it_and_the_mail_that_it_took_back(
    app, make, now, policy, admin
):
    request = make.request(seed=True)
    outbox.post(emails.request_received(account_of(request), now))
    db.session.commit()
    requests.reject(request.id, "Not an officer", admin, now, policy)
    assert mails() == [("request_received", MailState.CANCELLED), ("request_rejected", MailState.QUEUED)]

    undo.undo(request.id, admin, now + seconds(1), policy)

    account = account_of(request)
    assert (account.status, account.seed_status) == (AccountStatus.REQUESTED, SeedStatus.REQUESTED)
    assert account.purge_at is None
    seed = seed_of(request)
    assert (seed.state, seed.reason, seed.decided_at, seed.decided_by_id) == (RequestState.OPEN, "", None, None)
    assert mails() == [("request_received", MailState.QUEUED)]


def test_seed_rejected_by_itself_stays_so_with_its_mail(app, make, now, policy, admin):
    request = make.request(seed=True)
    requests.reject(seed_of(request).id, "A GSIB", admin, now, policy)
    requests.reject(request.id, "Not an officer", admin, now + seconds(1), policy)
    undo.undo(request.id, admin, now + seconds(2), policy)
    assert seed_of(request).state is RequestState.REJECTED
    assert account_of(request).seed_status is SeedStatus.REJECTED
    assert mails() == [("seed_rejected", MailState.QUEUED)]


@pytest.mark.parametrize("approves", [True, False])
def test_a_decision_on_seed_is_taken_back_by_itself(app, make, now, policy, admin, approves):
    request = make.request(seed=True)
    requests.approve(request.id, audit.SYSTEM, now, policy)
    seed, due_on = seed_of(request), seed_of(request).due_on
    if approves:
        requests.approve(seed.id, admin, now, policy)
    else:
        requests.reject(seed.id, "A GSIB", admin, now, policy)
    undo.undo(seed.id, admin, now + seconds(1), policy)
    assert (seed_of(request).state, seed_of(request).due_on) == (RequestState.OPEN, due_on)
    assert account_of(request).seed_status is SeedStatus.REQUESTED
    assert mails() == [("techpass_onboarding", MailState.QUEUED)]
    assert account_of(request).status is AccountStatus.PENDING


def test_seed_goes_first_then_its_techpass(app, make, now, policy, admin):
    request = make.request(seed=True)
    seed = seed_of(request)
    requests.approve(request.id, admin, now, policy)
    requests.approve(seed.id, admin, now, policy)
    assert late(request, admin, now + seconds(1), policy) is Late.SEED_FIRST
    assert account_of(request).status is AccountStatus.PENDING
    assert list(undo.newest_first([request.id, seed.id])) == [seed.id, request.id]
    for number in undo.newest_first([request.id, seed.id]):
        undo.undo(number, admin, now + seconds(1), policy)
    assert (account_of(request).status, account_of(request).seed_status) == ("requested", "requested")
    assert mails() == []


def test_the_time_ends_to_the_second(app, make, now, policy, admin):
    request = make.request()
    requests.approve(request.id, admin, now, policy)
    assert late(request, admin, now + seconds(SECONDS), policy) is Late.TIME
    assert fresh(request).state is RequestState.APPROVED
    assert mails() == [("techpass_onboarding", MailState.QUEUED)]
    undo.undo(request.id, admin, now + seconds(SECONDS - 0.001), policy)


def test_only_who_decided_takes_it_back_and_once(app, make, now, policy, admin):
    request = make.request()
    other = audit.By.person(make.admin("other@tech.gov.sg"), "203.0.113.10")
    assert late(request, admin, now, policy) is Late.MOVED_ON
    requests.approve(request.id, admin, now, policy)
    assert late(request, other, now, policy) is Late.OTHER_ADMIN
    assert late(request, audit.SYSTEM, now, policy) is Late.OTHER_ADMIN
    undo.undo(request.id, admin, now, policy)
    assert late(request, admin, now, policy) is Late.MOVED_ON
    with pytest.raises(NotFound):
        undo.undo(10**9, admin, now, policy)


def test_without_time_for_it_nothing_is_taken_back_and_the_mail_leaves_at_once(app, make, now, policy, admin):
    policy = replace(policy, undo_seconds=0)
    request = make.request()
    requests.approve(request.id, admin, now, policy)
    assert mails(Mail.due_at) == [(now,)]
    assert late(request, admin, now, policy) is Late.TIME


def test_what_is_approved_automatically_is_mailed_at_once(app, make, now, policy):
    make.request("a@tech.gov.sg", seed=True)
    db.session.execute(update(Agency).where(Agency.domain == "tech.gov.sg").values(approves_automatically=True))
    db.session.commit()
    assert requests.approve_automatically(now, policy) == 2
    assert {due for (due,) in mails(Mail.due_at)} == {now}


def test_who_has_accepted_meanwhile_keeps_it(app, make, now, policy, admin):
    request = make.request()
    requests.approve(request.id, admin, now, policy)
    link = db.session.scalars(select(Invitation)).one()
    link.accepted_at = now
    db.session.commit()
    assert late(request, admin, now + seconds(1), policy) is Late.MOVED_ON
    assert account_of(request).status is AccountStatus.PENDING
    assert mails() == [("techpass_onboarding", MailState.QUEUED)]


def test_who_signed_up_again_meanwhile_has_the_new_request(app, make, now, policy, admin):
    request = make.request("peter@tech.gov.sg")
    requests.reject(request.id, "Not an officer", admin, now, policy)
    sign_up.sign_up("peter@tech.gov.sg", False, make.solution(), audit.By.visitor("x"), now)
    assert late(request, admin, now + seconds(1), policy) is Late.SIGNED_UP_AGAIN
    assert account_of(request).status is AccountStatus.REJECTED
    assert ("request_rejected", MailState.QUEUED) in mails()


@pytest.mark.parametrize("values", [{"tries": 1}, {"state": MailState.SENT}, {"state": MailState.FAILED}])
def test_a_mail_that_a_deliverer_has_is_not_called_back(app, make, now, policy, admin, values):
    request = make.request()
    requests.approve(request.id, admin, now, policy)
    db.session.execute(update(Mail).values(**values))
    db.session.commit()
    assert late(request, admin, now + seconds(1), policy) is Late.TIME
    assert account_of(request).status is AccountStatus.PENDING
    assert db.session.scalars(select(Invitation.state)).one() is InvitationState.LIVE
    assert fresh(request).state is RequestState.APPROVED


def test_undoing_and_delivering_at_once_do_one_of_the_two(app, make, now, policy, admin, monkeypatch):
    """The clocks of two machines differ: a deliverer finds the mail due while it may still be taken back."""
    made = [make.request() for _ in range(12)]
    for request in made:
        requests.approve(request.id, admin, now, policy)
    db.session.rollback()
    begin = threading.Barrier(2)
    outcome: dict[int, bool] = {}

    def take_back():
        with app.app_context():
            begin.wait()
            for request in reversed(numbers):
                try:
                    undo.undo(request, admin, now + seconds(1), policy)
                    outcome[request] = True
                except TooLate:
                    outcome[request] = False

    numbers = [request.id for request in made]
    thread = threading.Thread(target=take_back)
    thread.start()
    begin.wait()
    leave(monkeypatch, now + seconds(SECONDS))
    thread.join()
    leave(monkeypatch, now + timedelta(minutes=5))

    db.session.rollback()
    sent = set(db.session.scalars(select(Mail.account_id).where(Mail.state == MailState.SENT)))
    for request in db.session.scalars(select(Request)):
        account = db.session.get_one(Account, request.account_id, populate_existing=True)
        undone = outcome[request.id]
        assert (account.id in sent) is not undone
        assert account.status is (AccountStatus.REQUESTED if undone else AccountStatus.PENDING)
        assert request.state is (RequestState.OPEN if undone else RequestState.APPROVED)


def test_a_link_that_was_withdrawn_works_no_more(app, make, now, policy, admin):
    request = make.request()
    requests.approve(request.id, admin, now, policy)
    undo.undo(request.id, admin, now, policy)
    requests.approve(request.id, admin, now, policy)
    states = list(db.session.scalars(select(Invitation.state).order_by(Invitation.id)))
    assert states == [InvitationState.WITHDRAWN, InvitationState.LIVE]
    assert db.session.scalars(select(Invitation.kind)).first() is InvitationKind.TECHPASS
