"""Where is my request? (rule 1.10)"""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from webapp.domain.lifecycle import AccountStatus, RequestKind
from webapp.extensions import db
from webapp.models import Account, Invitation, Mail, Question, Request
from webapp.services import audit, questions, requests

ADMIN = audit.SYSTEM


def page_of(client, make, request: Request) -> str:
    account = db.session.get_one(Account, request.account_id, populate_existing=True)
    return client.get(f"/requests/{make.receipt_token(account)}").text


def test_an_open_request_says_who_acts_next(client, make):
    page = page_of(client, make, make.request("peter@tech.gov.sg", seed=True))
    assert "peter@tech.gov.sg" in page
    assert "Tuesday, 24 November 2026, 10:00 Singapore time" in page
    assert "The admins for Government Technology Agency act next" in page
    assert "An admin reviews your SEED request" in page


def test_a_seed_request_says_by_when_once_it_is_promised(client, make, now, policy):
    request = make.request(seed=True)
    assert "We promise" not in page_of(client, make, request)
    requests.approve(request.id, ADMIN, now, policy)
    assert "We promise the SEED email by Friday, 27 November 2026." in page_of(client, make, request)


def test_an_approved_request_says_by_when_to_activate(client, make, now, policy):
    request = make.request()
    requests.approve(request.id, ADMIN, now, policy)
    page = page_of(client, make, request)
    assert "accept by Thursday, 24 December 2026, 10:00 Singapore time" in page
    assert "Send the invitation again" in page


def test_a_rejected_request_says_why_and_offers_the_way_on(client, make, now, policy):
    request = make.request(seed=True)
    requests.reject(request.id, "Not an <b>officer</b>", ADMIN, now, policy)
    page = page_of(client, make, request)
    assert "Reason: Not an &lt;b&gt;officer&lt;/b&gt;" in page
    assert "Sign up again" in page


def test_an_expired_invitation_says_so_before_any_sweep(client, make, now, policy, set_now):
    request = make.request()
    requests.approve(request.id, ADMIN, now, policy)
    set_now(now + timedelta(days=30, seconds=1))
    page = page_of(client, make, request)
    assert "The invitation has expired" in page
    assert "Sign up again" in page
    assert "Send the invitation again" not in page


@pytest.mark.parametrize(
    ("status", "says"),
    [(AccountStatus.ACTIVE, "You activated your TechPass"), (AccountStatus.TERMINATED, "terminated")],
)
def test_later_states_are_told_too(client, make, now, status, says):
    account = make.account(status)
    db.session.add(
        Request(account_id=account.id, kind=RequestKind.TECHPASS, state="approved", requested_at=now, decided_at=now)
    )
    db.session.commit()
    assert says in client.get(f"/requests/{make.receipt_token(account)}").text


@pytest.mark.parametrize("seed_state", ["approved", "rejected"])
def test_the_seed_decision_is_told(client, make, now, policy, seed_state):
    request = make.request(seed=True)
    requests.approve(request.id, ADMIN, now, policy)
    seed = db.session.scalars(select(Request).filter_by(kind="seed")).one()
    if seed_state == "approved":
        requests.approve(seed.id, ADMIN, now, policy)
    else:
        requests.reject(seed.id, "Not needed", ADMIN, now, policy)
    page = page_of(client, make, request)
    assert ("SEED was approved" if seed_state == "approved" else "Reason: Not needed") in page


def test_the_invitation_is_sent_again_once_a_day_with_the_deadline_kept(client, make, now, policy, set_now):
    request = make.request()
    requests.approve(request.id, ADMIN, now, policy)
    account = db.session.get_one(Account, request.account_id)
    address = f"/requests/{make.receipt_token(account)}"
    deadline = db.session.scalars(select(Invitation)).one().expires_at

    client.get(address)
    assert "sent a new invitation" in client.get(client.submit(f"{address}/resend").location).text
    assert "already sent it again" in client.get(client.submit(f"{address}/resend").location).text
    assert db.session.scalar(select(func.count()).select_from(Mail)) == 2

    set_now(now + timedelta(days=1))
    client.get(address)
    client.submit(f"{address}/resend")
    rows = db.session.scalars(select(Invitation).order_by(Invitation.id)).all()
    assert [row.state for row in rows] == ["replaced", "replaced", "live"]
    assert {row.expires_at for row in rows} == {deadline}


def test_there_is_nothing_to_resend_before_approval(client, make):
    request = make.request()
    account = db.session.get_one(Account, request.account_id)
    make.account(email="other@tech.gov.sg")
    client.get("/sign-up")
    answer = client.submit(f"/requests/{make.receipt_token(account)}/resend")
    assert "Nothing was sent" in client.get(answer.location).text
    assert db.session.scalar(select(func.count()).select_from(Mail)) == 0


@pytest.mark.parametrize("token", ["x", "x" * 43, "%00", "x" * 5000])
def test_an_unknown_receipt_is_no_page(client, token):
    assert client.get(f"/requests/{token}").status_code in (400, 404)
    client.get("/sign-up")
    assert client.submit(f"/requests/{token}/resend").status_code in (400, 404)


def test_a_deleted_persons_receipt_is_gone(client, make):
    account = make.account(AccountStatus.DELETED)
    assert client.get(f"/requests/{make.receipt_token(account)}").status_code == 404


def test_who_was_asked_for_reads_by_whom_and_is_invited_again(client, make, now, policy):
    vendor = make.vendor(email="mei@vendor.example.com")
    make.invitee(make.account(email="goh@moe.gov.sg"), vendor)
    request = Request(account_id=vendor.id, kind=RequestKind.TECHPASS, requested_at=now + timedelta(hours=1))
    db.session.add(request)
    db.session.commit()
    page = page_of(client, make, request)
    assert "TechPass was asked for on your behalf" in page
    assert "By goh@moe.gov.sg, Ministry of Education" in page
    assert "You registered" in page
    assert "Tuesday, 24 November 2026, 11:00 Singapore time" in page
    assert "You asked for TechPass" not in page
    requests.reject(request.id, "Not needed", ADMIN, now, policy)
    page = page_of(client, make, request)
    assert "You may be invited again once this is settled." in page
    assert "ask the public officer you work with to invite you again" in page
    assert "Sign up again" not in page


def test_whose_time_is_up_is_terminated_before_the_sweep_comes_and_waits_for_nothing(client, make, now, set_now):
    request = make.request("peter@tech.gov.sg", seed=True)
    requests.approve(request.id, audit.SYSTEM, now, make.policy)
    account = db.session.get_one(Account, request.account_id)
    token = make.receipt_token(account)
    assert "An admin reviews your SEED request" in client.get(f"/requests/{token}").text
    set_now(now + timedelta(days=30, seconds=1))
    page = client.get(f"/requests/{token}").text
    assert "Terminated" in page
    assert "SEED" not in page
    assert "Sign up again" in page


@pytest.fixture
def asked(make, now):
    """A request with an open question; the address of its receipt, and the question's number."""
    request = make.request("peter@tech.gov.sg")
    questions.ask(request.id, "Which <team>?", audit.By.person(make.admin(), "x"), now)
    token = make.receipt_token(db.session.get_one(Account, request.account_id))
    return f"/requests/{token}", db.session.scalars(select(Question.id)).one()


def test_a_question_is_answered_on_the_receipt(client, asked):
    address, number = asked
    page = client.get(address).text
    assert "You act next: answer the question below" in page
    assert "Which &lt;team&gt;?" in page
    answer = client.submit(f"{address}/answer", question=number, answer="Cyber\r\nsecurity")
    assert (answer.status_code, answer.location) == (303, address)
    page = client.get(address).text
    assert "We have your answer" in page
    assert "<textarea" not in page
    assert db.session.scalars(select(Question.answer)).one() == "Cyber\nsecurity"


@pytest.mark.parametrize(("text", "says"), [(" ", "Enter your answer"), ("x" * 1001, "1,000 characters or fewer")])
def test_an_answer_that_will_not_do_is_kept_and_refused(client, asked, text, says):
    address, number = asked
    client.get(address)
    answer = client.submit(f"{address}/answer", question=number, answer=text)
    assert answer.status_code == 422
    assert says in answer.text
    assert text in answer.text
    assert db.session.scalars(select(Question.answered_at)).one() is None


def test_a_form_that_was_open_too_long_keeps_the_answer(client, asked):
    address, number = asked
    client.get(address)
    answer = client.submit(f"{address}/answer", question=number, answer="Cyber", csrf_token="old")
    assert answer.status_code == 422
    assert "Cyber</textarea>" in answer.text
    assert db.session.scalars(select(Question.answered_at)).one() is None


def test_a_question_that_is_closed_takes_no_answer(client, make, now, policy, asked):
    address, number = asked
    client.get(address)
    requests.approve(1, audit.SYSTEM, now, policy)
    client.submit(f"{address}/answer", question=number, answer="Cyber")
    page = client.get(address).text
    assert "Your answer was not taken" in page
    assert db.session.scalars(select(Question.answered_at)).one() is None


@pytest.mark.parametrize("number", ["999", "0", "x", str(10**400)])
def test_there_may_be_no_such_question(client, asked, number):
    address, _ = asked
    client.get(address)
    assert client.submit(f"{address}/answer", question=number, answer="Cyber").status_code in (404, 422)
    client.get(address)
    assert client.submit("/requests/" + "x" * 43 + "/answer", question=number, answer="Cyber").status_code == 404
