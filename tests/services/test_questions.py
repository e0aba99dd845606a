"""What an admin asks about a request, and the answer by the private link (rule 8.2)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from webapp.domain.lifecycle import MailState, RequestKind, SeedStatus
from webapp.emails.purpose import has_ended
from webapp.emails.render import load, render
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Invitee, Mail, Note, Question, Request
from webapp.services import audit, notes, purge, questions, receipts, requests, undo
from webapp.services.errors import (
    AlreadyAsked,
    AlreadyDecided,
    NotFound,
    OwnInvitee,
    OwnRequest,
    QuestionClosed,
    TextMissing,
)
from webapp.services.keys import secret_keys

VISITOR = audit.By.visitor("203.0.113.7")


@pytest.fixture
def admin(make) -> audit.By:
    return audit.By.person(make.admin("boss@tech.gov.sg"), "203.0.113.9")


def account_of(request) -> Account:
    return db.session.get_one(Account, request.account_id, populate_existing=True)


def only_question() -> Question:
    db.session.rollback()
    return db.session.scalars(select(Question).execution_options(populate_existing=True)).one()


def test_a_question_is_mailed_answered_once_and_on_record_without_its_words(app, make, now, admin):
    request = make.request()
    token = make.receipt_token(account_of(request))
    questions.ask(request.id, " Which\r\nteam? ", admin, now)
    mail = db.session.scalars(select(Mail)).one()
    assert (mail.kind, mail.due_at) == ("more_information", now)
    shown = receipts.receipt(token, now)
    assert [each.question for each in shown.questions] == ["Which team?"]
    assert [entry.title for entry in shown.entries if entry.state == "current"] == [
        "An admin asked you for more information"
    ]

    questions.answer(token, only_question().id, "  Cyber\r\nsecurity\x07 ", VISITOR, now + timedelta(hours=1))

    asked = questions.of([request.id])[request.id]
    assert [(each.question, each.by, each.answer) for each in asked] == [
        ("Which team?", "boss@tech.gov.sg", "Cyber\nsecurity")
    ]
    with pytest.raises(QuestionClosed):
        questions.answer(token, only_question().id, "Again", VISITOR, now)
    assert only_question().answer == "Cyber\nsecurity"
    shown = receipts.receipt(token, now)
    assert shown.questions == ()
    assert [entry.title for entry in shown.entries if entry.state == "current"] == ["An admin reviews your request"]
    events = list(db.session.scalars(select(AuditEvent).order_by(AuditEvent.id)))
    assert [event.action for event in events] == ["request.asked", "request.answered"]
    assert "team" not in repr([event.detail for event in events])
    assert has_ended(load([mail])[0], now)


def test_nobody_asks_whom_they_invited_themselves(app, make, now, admin):
    request = make.request()
    address = account_of(request).email
    invitee = Invitee(
        inviter_id=admin.account_id,
        account_id=request.account_id,
        email=address,
        email_folded=address,
        is_theirs=True,
        asked_at=now,
    )
    db.session.add(invitee)
    db.session.commit()
    with pytest.raises(OwnInvitee):
        questions.ask(request.id, "Which team?", admin, now)
    assert not db.session.scalars(select(Question)).all()
    invitee.is_theirs = False
    db.session.commit()
    questions.ask(request.id, "Which team?", admin, now)


def test_one_question_at_a_time(app, make, now, admin):
    request = make.request()
    questions.ask(request.id, "Which team?", admin, now)
    with pytest.raises(AlreadyAsked):
        questions.ask(request.id, "And your floor?", admin, now)
    assert db.session.scalars(select(Mail.kind)).all() == ["more_information"]


def test_what_cannot_be_asked(app, make, now, policy, admin):
    request = make.request()
    with pytest.raises(TextMissing):
        questions.ask(request.id, " \r\n", admin, now)
    with pytest.raises(NotFound):
        questions.ask(10**9, "Who?", admin, now)
    own = Request(account_id=admin.account_id, kind=RequestKind.SEED, requested_at=now)
    db.session.add(own)
    db.session.commit()
    with pytest.raises(OwnRequest):
        questions.ask(own.id, "Why?", admin, now)
    requests.approve(request.id, admin, now, policy)
    with pytest.raises(AlreadyDecided):
        questions.ask(request.id, "Which team?", admin, now)
    assert db.session.scalars(select(Question)).all() == []


@pytest.mark.parametrize("approves", [True, False])
def test_a_decision_closes_the_question_and_taking_it_back_opens_it_again(app, make, now, policy, admin, approves):
    policy = replace(policy, undo_seconds=10)
    request = make.request()
    token = make.receipt_token(account_of(request))
    questions.ask(request.id, "Which team?", admin, now)
    number = only_question().id
    if approves:
        requests.approve(request.id, admin, now, policy)
    else:
        requests.reject(request.id, "No", admin, now, policy)
    assert receipts.receipt(token, now).questions == ()
    with pytest.raises(QuestionClosed):
        questions.answer(token, number, "Too late", VISITOR, now)
    mail = db.session.scalars(select(Mail).filter_by(kind="more_information")).one()
    assert has_ended(load([mail])[0], now)
    mail.state = MailState.CANCELLED  # As the deliverer does with a mail that has lost its purpose.
    db.session.commit()

    undo.undo(request.id, admin, now, policy)

    assert db.session.scalars(select(Mail.state)).all() == [MailState.QUEUED]
    questions.answer(token, number, "In time", VISITOR, now)
    assert only_question().answer == "In time"


def test_nobody_answers_for_another(app, make, now, admin):
    request, other = make.request(), make.request()
    questions.ask(request.id, "Which team?", admin, now)
    number = only_question().id
    with pytest.raises(NotFound):
        questions.answer(make.receipt_token(account_of(other)), number, "Mine", VISITOR, now)
    with pytest.raises(NotFound):
        questions.answer("x" * 43, number, "Mine", VISITOR, now)
    with pytest.raises(TextMissing):
        questions.answer(make.receipt_token(account_of(request)), number, " \n ", VISITOR, now)
    assert only_question().answered_at is None


@pytest.mark.parametrize("lost", [{"receipt_nonce": None, "receipt_hash": None}, {"receipt_hash": "of a lost secret"}])
def test_who_has_no_private_link_that_works_gets_one(app, make, now, admin, lost):
    account = make.account(seed_status=SeedStatus.REQUESTED, **lost)
    request = Request(account_id=account.id, kind=RequestKind.SEED, requested_at=now)
    db.session.add(request)
    db.session.commit()
    questions.ask(request.id, "Which device?", admin, now)
    mail = db.session.scalars(select(Mail)).one()
    token = render(load([mail])[0], secret_keys(), now).secrets[0]
    assert [each.question for each in receipts.receipt(token, now).questions] == ["Which device?"]


def test_forgetting_somebody_takes_questions_and_notes_along(app, make, now, policy, admin):
    request, other = make.request(), make.request()
    for each in (request, other):
        questions.ask(each.id, "Which team?", admin, now)
        notes.add(each.account_id, "Rang back", admin, now)
    requests.reject(request.id, "No", admin, now, policy)
    db.session.query(Mail).delete()
    db.session.commit()
    assert purge.purge(now + timedelta(days=30)) == 1
    assert db.session.scalars(select(Question.request_id)).all() == [other.id]
    assert db.session.scalars(select(Note.account_id)).all() == [other.account_id]
