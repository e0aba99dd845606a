"""Due mails reach a real mail server, each once, whatever that server does (section 9; E1, E3, T5, T6)."""

from __future__ import annotations

import re
import socket
import threading
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, timedelta

import pytest
from sqlalchemy import create_engine, select, update
from sqlalchemy.exc import OperationalError

from tests.servers import Behaviour, smtp, wait_until
from webapp import emails
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState, MailState
from webapp.emails.message import message_id
from webapp.emails.purpose import has_ended
from webapp.emails.render import load, render
from webapp.emails.smtp import MailServer
from webapp.extensions import db
from webapp.models import Account, AuditEvent, LogInAttempt, Mail, Request
from webapp.services import delivery, failed_mails, invitations, log_in, outbox, requests, sign_up
from webapp.services.audit import SYSTEM, By
from webapp.services.errors import NotFound
from webapp.services.keys import secret_key

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def point_to(monkeypatch, app, host, port):
    state = app.extensions["mail"]
    monkeypatch.setattr(state, "server", host)
    monkeypatch.setattr(state, "port", port)


@pytest.fixture
def server(app, monkeypatch):
    """A mail server, and the portal pointed to it."""
    with smtp() as running:
        point_to(monkeypatch, app, running.host, running.port)
        yield running


@pytest.fixture
def stopped_clock(monkeypatch):
    """A run of the deliverer takes no time, so that its times can be written down."""
    monkeypatch.setattr(delivery._Run, "elapsed", lambda _run: 0.0)


def settings(monkeypatch, app, **changes):
    monkeypatch.setitem(app.config, "SETTINGS", replace(app.config["SETTINGS"], **changes))


def post(make, now, count=1, **changes):
    """Commit mails to as many active people, and give their recipients."""
    rows = [emails.authenticator_changed(make.account(), now) | changes for _ in range(count)]
    outbox.post(*rows)
    db.session.commit()
    return [row["recipient"] for row in rows]


def mails(*conditions):
    db.session.rollback()
    query = select(Mail).where(*conditions).order_by(Mail.id).execution_options(populate_existing=True)
    found = list(db.session.scalars(query))
    for mail in found:
        db.session.expunge(mail)
    db.session.rollback()
    return found


def the_mail(recipient=None):
    (found,) = mails(*([Mail.recipient == recipient] if recipient else []))
    return found


def states():
    return Counter(str(mail.state) for mail in mails())


# What arrives.


def test_a_due_mail_arrives_as_its_row_says(app, make, now, server, stopped_clock):
    (recipient,) = post(make, now)
    assert delivery.deliver(now) == delivery.Summary(sent=1)
    (received,) = server.messages
    row = the_mail()
    message = received.message
    assert received.recipients == [recipient]
    assert received.sender == "no-reply@techpass.example"
    assert message["To"] == recipient
    assert message["From"] == "TechPass <no-reply@techpass.example>"
    assert received.subject == "Your TechPass has a new authenticator"
    assert message["Message-ID"] == row.message_id == message_id(secret_key(), row.key, "a@techpass.example")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.replace(tzinfo=UTC) == now
    assert "Tuesday, 24 November 2026, 10:00 Singapore time" in received.text
    html = message.get_body(("html",))
    assert html is not None
    assert "Tuesday, 24 November 2026, 10:00 Singapore time" in html.get_content()
    assert (row.state, row.sent_at, row.tries, row.last_answer) == (MailState.SENT, now, 1, "250 OK")


def test_what_is_not_due_or_not_queued_stays(app, make, now, server):
    post(make, now, due_at=now + SECOND)
    for state in (MailState.SENT, MailState.FAILED, MailState.CANCELLED):
        post(make, now, state=state)
    assert delivery.deliver(now) == delivery.Summary()
    assert server.connections == 0
    assert server.messages == []


def test_many_leave_over_one_connection(app, make, now, server, stopped_clock, monkeypatch):
    monkeypatch.setattr(delivery, "BATCH", 4)
    recipients = post(make, now, 10)
    assert delivery.deliver(now).sent == 10
    assert [received.recipients for received in server.messages] == [[recipient] for recipient in recipients]
    assert {received.connection for received in server.messages} == {1}


def test_the_urgent_leave_first(app, make, now, server, stopped_clock):
    (slow,) = post(make, now - MINUTE)
    (fast,) = post(make, now, urgent=True)
    delivery.deliver(now)
    assert server.attempts == [fast, slow]


@pytest.mark.parametrize("sender", ["TechPass <no-reply@techpass.example>", "no-reply@techpass.example"])
def test_the_message_id_tells_nothing_and_names_our_domain(sender):
    told = message_id("secret", "sign_in_code:5", sender)
    assert re.fullmatch(r"<[0-9a-f]{32}@techpass\.example>", told)
    assert told != message_id("secret", "sign_in_code:6", sender)
    assert message_id("secret", "a", "").endswith("@localhost>")


# E1: nothing that somebody typed becomes a header.


@pytest.mark.parametrize("ending", ["\r\nBcc: thief@example.com", "\nBcc: thief@example.com", "\rX", "\x01"])
def test_a_line_break_in_the_recipient_fails_that_mail(app, make, now, server, ending):
    (good,) = post(make, now)
    db.session.execute(update(Mail).values(recipient=good + ending))
    db.session.commit()
    others = post(make, now, 2)
    assert delivery.deliver(now).failed == 1
    failed, *_ = mails()
    assert failed.state is MailState.FAILED
    assert failed.last_answer == "Not sent: a header would hold a line break."
    assert server.attempts == others
    assert not any(b"thief" in received.content or b"Bcc" in received.content for received in server.messages)


def test_a_line_break_in_the_subject_fails_that_mail(app, make, now, server, monkeypatch):
    post(make, now)
    monkeypatch.setattr(
        delivery, "render", lambda *args: replace(render(*args), subject="Hello\r\nBcc: thief@example.com")
    )
    delivery.deliver(now)
    assert the_mail().state is MailState.FAILED
    assert server.attempts == []


# E3: what the server answers.


@pytest.mark.parametrize(
    ("answer", "state", "due_in"),
    [
        ("421 closing", MailState.QUEUED, MINUTE),
        ("450 busy", MailState.QUEUED, MINUTE),
        ("451 later", MailState.QUEUED, MINUTE),
        ("452 full", MailState.QUEUED, MINUTE),
        ("550 no such mailbox", MailState.FAILED, None),
        ("552 too large", MailState.FAILED, None),
        ("554 spam", MailState.FAILED, None),
    ],
)
def test_an_answer_to_one_mail_is_that_mails_alone(app, make, now, server, stopped_clock, answer, state, due_in):
    refused, *others = post(make, now, 3)
    server.will_answer(answer)
    summary = delivery.deliver(now)
    row = the_mail(refused)
    assert (row.state, row.last_answer, row.sent_at, row.tries) == (state, answer, None, 1)
    assert [received.recipients[0] for received in server.messages] == others
    assert (summary.sent, summary.postponed, summary.failed) == (2, int(due_in is not None), int(due_in is None))
    if due_in is None:
        delivery.deliver(now + DAY)
        assert server.to(refused) == []
        return
    assert row.due_at == now + due_in
    delivery.deliver(now + due_in - SECOND)
    assert server.to(refused) == []
    delivery.deliver(now + due_in)
    assert len(server.to(refused)) == 1
    assert the_mail(refused).last_answer == "250 OK"


@pytest.mark.parametrize(("answer", "state"), [("450 later", MailState.QUEUED), ("550 unknown", MailState.FAILED)])
def test_a_refused_recipient(app, make, now, server, stopped_clock, answer, state):
    refused, other = post(make, now, 2)
    server.answer_recipient = lambda address: answer if address == refused else None
    delivery.deliver(now)
    row = the_mail(refused)
    assert (row.state, row.last_answer) == (state, answer)
    assert len(server.to(other)) == 1


def refuse_sender(server, answer):
    async def handle_mail(_server, _session, envelope, address, _options):
        envelope.mail_from = address
        return answer

    server.handle_MAIL = handle_mail


def test_a_server_that_refuses_our_sender_fails_no_mail(app, make, now, server, stopped_clock):
    post(make, now, 5)
    refuse_sender(server, "550 you are blocked")
    summary = delivery.deliver(now)
    assert summary == delivery.Summary(postponed=3, unreachable=True)
    assert states() == {"queued": 5}
    assert [mail.tries for mail in mails()] == [1, 1, 1, 0, 0]


def test_a_size_that_is_refused_fails_that_mail(app, make, now, server, stopped_clock):
    post(make, now)
    refuse_sender(server, "552 message too large")
    assert delivery.deliver(now).failed == 1


def test_a_server_that_hangs_puts_the_mail_off(app, make, now, server, stopped_clock, monkeypatch):
    settings(monkeypatch, app, mail_timeout_seconds=1)
    slow, other = post(make, now, 2)
    server.will_answer(Behaviour.HANG)
    assert delivery.deliver(now) == delivery.Summary(sent=1, postponed=1)
    row = the_mail(slow)
    assert (row.state, row.due_at) == (MailState.QUEUED, now + MINUTE)
    assert [received.recipients[0] for received in server.messages] == [other]


def test_a_connection_that_breaks_puts_the_mail_off(app, make, now, server, stopped_clock):
    broken, other = post(make, now, 2)
    server.will_answer(Behaviour.DROP)
    assert delivery.deliver(now) == delivery.Summary(sent=1, postponed=1)
    row = the_mail(broken)
    assert (row.state, row.due_at, row.last_answer) == (MailState.QUEUED, now + MINUTE, "SMTPServerDisconnected")
    assert len(server.to(other)) == 1
    assert server.connections == 2


def test_a_server_that_breaks_off_again_and_again_is_left_alone(app, make, now, server, stopped_clock):
    post(make, now, 6)
    server.answer = lambda _received: Behaviour.DROP
    assert delivery.deliver(now) == delivery.Summary(postponed=3, unreachable=True)
    assert [mail.tries for mail in mails()] == [1, 1, 1, 0, 0, 0]
    assert [mail.due_at for mail in mails()] == [now + MINUTE] * 3 + [now] * 3


def test_a_message_that_was_taken_unanswered_is_repeated_with_its_message_id(app, make, now, server, stopped_clock):
    post(make, now)
    server.will_answer(Behaviour.DROP_AFTER_ACCEPT)
    delivery.deliver(now)
    assert the_mail().state is MailState.QUEUED
    delivery.deliver(now + MINUTE)
    assert the_mail().state is MailState.SENT
    first, second = server.messages
    assert first.message["Message-ID"] == second.message["Message-ID"] == the_mail().message_id


def test_a_mail_is_put_off_longer_each_time_and_fails_after_two_days(app, make, now, server, stopped_clock):
    post(make, now)
    server.answer = lambda _received: "451 later"
    at, pauses = now, []
    while True:
        delivery.deliver(at)
        row = the_mail()
        if row.state is not MailState.QUEUED:
            break
        pauses.append((row.due_at - at) // MINUTE)
        at = row.due_at
    assert pauses == [1, 5, 15] + [60] * 47
    assert timedelta(hours=46) < at - now <= timedelta(days=2)
    assert (row.state, row.tries, row.last_answer) == (MailState.FAILED, 51, "451 later")


# The server is away.


def test_with_the_server_down_nothing_is_counted_and_all_leaves_once_it_is_back(app, make, now, server):
    post(make, now, 5)
    server.stop()
    assert delivery.deliver(now) == delivery.Summary(unreachable=True)
    assert [(mail.state, mail.tries, mail.due_at) for mail in mails()] == [(MailState.QUEUED, 0, now)] * 5
    server.start()
    assert delivery.deliver(now + MINUTE).sent == 5
    assert len(server.messages) == 5


def test_a_server_that_goes_in_the_middle_costs_one_try_at_most(app, make, now, server, stopped_clock):
    post(make, now, 5)
    asked = []

    def goes_on():
        asked.append(1)
        if len(asked) == 3:  # Asked once for the batch, then before each mail.
            server.stop()
        return True

    assert delivery.deliver(now, goes_on=goes_on) == delivery.Summary(sent=1, postponed=1, unreachable=True)
    assert [mail.tries for mail in mails()] == [1, 1, 0, 0, 0]
    assert [mail.due_at for mail in mails()][2:] == [now] * 3
    server.start()
    delivery.deliver(now + MINUTE)
    assert states() == {"sent": 5}
    assert all(len(server.to(mail.recipient)) == 1 for mail in mails())


def test_after_two_days_without_a_server_mails_fail_and_are_forgiven_once_it_is_back(
    app, make, now, server, stopped_clock
):
    old, young = post(make, now, 2)
    db.session.execute(update(Mail).where(Mail.recipient == young).values(due_at=now + SECOND))
    db.session.commit()
    (refused,) = post(make, now, state=MailState.FAILED, last_answer="550 unknown")
    server.stop()
    assert delivery.deliver(now + 2 * DAY).failed == 0
    summary = delivery.deliver(now + 2 * DAY + SECOND)
    assert (summary.failed, summary.unreachable) == (1, True)
    assert (the_mail(old).state, the_mail(old).last_answer) == (MailState.FAILED, failed_mails.NO_SERVER)
    assert the_mail(young).state is MailState.QUEUED
    server.start()
    assert delivery.deliver(now + 3 * DAY).sent == 2
    assert (the_mail(old).state, the_mail(young).state) == (MailState.SENT, MailState.SENT)
    assert the_mail(refused).state is MailState.FAILED


def test_what_failed_for_want_of_a_server_alone_is_enough_to_ask_it_again(app, make, now, server):
    post(make, now, state=MailState.FAILED, last_answer=failed_mails.NO_SERVER)
    assert delivery.deliver(now).sent == 1


def test_a_server_that_does_not_greet_is_no_server(app, make, now, monkeypatch):
    post(make, now)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        point_to(monkeypatch, app, *listener.getsockname())

        def greet():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"554 not now\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        assert delivery.deliver(now) == delivery.Summary(unreachable=True)
        thread.join()
    assert (the_mail().state, the_mail().tries) == (MailState.QUEUED, 0)


@pytest.mark.parametrize("needed", [{"use_tls": True}, {"username": "portal", "password": "hidden"}])
def test_nothing_leaves_in_clear_or_unknown_where_the_server_cannot_do_what_is_configured(
    app, make, now, server, monkeypatch, needed
):
    for name, value in needed.items():
        monkeypatch.setattr(app.extensions["mail"], name, value)
    post(make, now)
    assert delivery.deliver(now) == delivery.Summary(unreachable=True)
    assert server.attempts == []
    assert the_mail().state is MailState.QUEUED


def test_taking_leave_of_a_server_that_is_gone(app, server):
    connection = MailServer()
    connection.close()
    connection.drop()
    connection.open()
    server.stop()
    connection.close()
    assert not connection.is_open


# Several deliverers, and killed ones.


def test_two_deliverers_never_send_one_mail_twice(app, make, now, server):
    post(make, now, 130)
    together = threading.Barrier(2)

    def work():
        with app.app_context():
            together.wait()
            summary = delivery.deliver(now)
            db.session.remove()
            return summary.sent

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work) for _ in range(2)]
        sent = [future.result() for future in futures]
    assert sum(sent) == 130
    assert Counter(received.recipients[0] for received in server.messages).most_common(1)[0][1] == 1
    assert len(server.messages) == 130


def test_what_a_killed_deliverer_held_is_free_again_soon(app, make, now, server, stopped_clock):
    post(make, now, 3)
    assert len(delivery._claim(now, delivery.Summary()) or ()) == 3  # And then it is killed.
    db.session.rollback()
    delivery.deliver(now + timedelta(seconds=29))
    assert server.messages == []
    delivery.deliver(now + timedelta(seconds=30))
    assert len(server.messages) == 3
    assert states() == {"sent": 3}


def test_mails_that_wait_for_a_silent_server_stay_held(app, make, now, server, monkeypatch):
    monkeypatch.setattr(delivery, "_RENEW_SECONDS", 0.02)
    post(make, now, 2)
    server.will_answer(Behaviour.HANG)

    def work():
        with app.app_context():
            summary = delivery.deliver(now)
            db.session.remove()
            return summary

    def held_until():
        return mails()[1].due_at

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work)
        server.wait_for_attempts()
        first = held_until()
        assert first >= now + timedelta(seconds=30)
        wait_until(lambda: held_until() > first, "the mails to be held longer")
        server.release()
        assert running.result().sent + delivery.deliver(now + MINUTE).sent == 2
    assert len(server.messages) == 2


def test_a_database_that_is_away_while_mails_are_held_is_logged(app, make, now, monkeypatch):
    monkeypatch.setattr(delivery, "_RENEW_SECONDS", 0.02)
    noted = []
    monkeypatch.setattr(delivery.log, "warning", lambda event, **values: noted.append(values["error"]), raising=False)
    post(make, now)
    letters = load(mails())
    nowhere = create_engine("sqlite:////nowhere/at/all.db")
    with delivery._Held(nowhere, letters, lambda: now):
        wait_until(lambda: noted, "a line in the log")
    nowhere.dispose()
    assert set(noted) == {OperationalError.__name__}


def test_what_is_left_of_a_slow_batch_is_given_back(app, make, now, server, monkeypatch):
    monkeypatch.setattr(delivery, "_BATCH_SECONDS", -1.0)
    post(make, now, 2)
    asked = iter([True, True, False])
    delivery.deliver(now, goes_on=lambda: next(asked))
    assert [mail.tries for mail in mails()] == [0, 0]
    assert all(now <= mail.due_at < now + timedelta(seconds=29) for mail in mails())


def test_a_run_ends_when_its_time_is_up_and_says_that_there_is_more(app, make, now, server):
    post(make, now)
    assert delivery.deliver(now, seconds=-1).more
    assert server.messages == []
    assert delivery.deliver(now).sent == 1


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (None, MailState.SENT),
        ("451 later", MailState.CANCELLED),
        ("550 unknown", MailState.CANCELLED),
    ],
)
def test_a_mail_taken_back_while_it_waits_stays_so_unless_it_left(app, make, now, server, answer, state):
    post(make, now)

    def take_back(_received):
        with app.app_context():
            db.session.execute(update(Mail).values(state=MailState.CANCELLED))
            db.session.commit()
            db.session.remove()
        return answer

    server.answer = take_back
    delivery.deliver(now)
    assert the_mail().state is state


# Mails that have lost their purpose, or cannot be written.

S = AccountStatus


@pytest.mark.parametrize(
    ("kind", "status", "ended"),
    [
        ("request_received", S.REQUESTED, False),
        ("request_received", S.PENDING, False),
        ("request_received", S.REJECTED, True),
        ("request_received", S.DELETED, True),
        ("asked_for", S.REQUESTED, False),
        ("asked_for", S.PENDING, True),
        ("request_rejected", S.REJECTED, False),
        ("request_rejected", S.REQUESTED, True),
        ("already_have_account", S.ACTIVE, False),
        ("already_have_account", S.TERMINATED, True),
        ("terminated", S.PENDING, False),
        ("terminated", S.TERMINATED, False),
        ("terminated", S.ACTIVE, True),
        ("terminated", S.DELETED, True),
        ("terminated_for_inactivity", S.TERMINATED, False),
        ("terminated_for_inactivity", S.DISABLED, True),
        ("disabled", S.DISABLED, False),
        ("disabled", S.ACTIVE, True),
        ("disabled", S.TERMINATED, True),
        ("authenticator_changed", S.ACTIVE, False),
        ("authenticator_changed", S.DISABLED, False),
        ("new_sign_in", S.ACTIVE, False),
        ("new_sign_in", S.TERMINATED, True),
        ("seed_rejected", S.ACTIVE, False),
        ("seed_rejected", S.REJECTED, True),
    ],
)
def test_a_mail_ends_with_the_status_it_is_written_for(app, make, now, kind, status, ended):
    account = make.account(status)
    db.session.add(
        Mail(key="k", kind=kind, account_id=account.id, recipient=account.email, created_at=now, due_at=now, context={})
    )
    db.session.commit()
    (letter,) = load(mails())
    assert has_ended(letter, now) is ended


def test_a_mail_of_nobody_has_no_purpose(app, make, now, server):
    post(make, now, account_id=None)
    assert delivery.deliver(now).cancelled == 1
    assert server.messages == []


@pytest.mark.parametrize(
    ("change", "ended"),
    [
        ({}, False),
        ({"state": InvitationState.USED}, True),
        ({"state": InvitationState.REPLACED}, True),
        ({"state": InvitationState.EXPIRED}, True),
        ({"expires_at": "past"}, True),
    ],
)
@pytest.mark.parametrize("kind", [kind for kind in InvitationKind if kind is not InvitationKind.REGISTRATION])
def test_a_mail_ends_with_its_link(app, make, now, policy, server, kind, change, ended):
    account = make.account(S.PENDING if kind is InvitationKind.TECHPASS else S.ACTIVE)
    link = invitations.invite(account, kind, now, policy)
    for name, value in change.items():
        setattr(link, name, now - SECOND if value == "past" else value)
    db.session.commit()
    assert delivery.deliver(now).cancelled == int(ended)
    assert len(server.messages) == int(not ended)
    assert the_mail().state is (MailState.CANCELLED if ended else MailState.SENT)


@pytest.mark.parametrize(
    ("change", "ended"),
    [
        ({}, False),
        ({"ended_at": "past"}, True),
        ({"code_accepted_at": "past"}, True),
        ({"expires_at": "past"}, True),
    ],
)
def test_a_code_ends_with_its_attempt(app, make, now, policy, server, change, ended):
    log_in.start(make.account().email, now, policy)
    for name in change:
        db.session.execute(update(LogInAttempt).values({name: now - SECOND}))
    db.session.commit()
    assert delivery.deliver(now).cancelled == int(ended)
    assert len(server.messages) == int(not ended)


@pytest.mark.parametrize(("idle_since", "ended"), [(-60 * DAY, False), (SECOND, True), (None, True)])
def test_who_has_signed_in_is_not_told_to(app, make, now, server, idle_since, ended):
    account = make.account(idle_since=now - 60 * DAY)
    outbox.post(emails.inactivity_reminder(account, 60, now + 30 * DAY, now))
    account.idle_since = now + idle_since if idle_since is not None else None
    db.session.commit()
    assert delivery.deliver(now).cancelled == int(ended)
    assert len(server.messages) == int(not ended)


def test_a_mail_without_purpose_keeps_no_other_from_leaving(app, make, now, server, stopped_clock):
    good, other = post(make, now, 2)
    (dead,) = post(make, now, kind="disabled")
    assert delivery.deliver(now) == delivery.Summary(sent=2, cancelled=1)
    assert (the_mail(dead).state, the_mail(dead).tries) == (MailState.CANCELLED, 0)
    assert server.attempts == [good, other]


def test_a_mail_that_cannot_be_written_fails_alone(app, make, now, server, stopped_clock):
    (bad,) = post(make, now, kind="no_such_kind")
    others = post(make, now, 2)
    assert delivery.deliver(now) == delivery.Summary(sent=2, failed=1)
    assert the_mail(bad).state is MailState.FAILED
    assert the_mail(bad).last_answer == "Not sent: it could not be written (TemplateNotFound)."
    assert server.attempts == others


def test_an_address_that_no_server_could_take_fails_alone(app, make, now, server):
    (bad,) = post(make, now)
    db.session.execute(update(Mail).values(recipient=bad + "\u2028"))
    db.session.commit()
    others = post(make, now, 2)
    delivery.deliver(now)
    assert mails()[0].last_answer == "Not sent: it could not be written (UnicodeError)."
    assert server.attempts == others


def test_a_link_whose_secret_is_gone_fails_its_mail(app, make, now, policy, server, monkeypatch):
    invitations.invite(make.account(S.PENDING), InvitationKind.TECHPASS, now, policy)
    db.session.commit()
    monkeypatch.setitem(app.config, "SECRET_KEYS", ("another secret of thirty-two letters",))
    delivery.deliver(now)
    assert the_mail().last_answer == "Not sent: it could not be written (LinkLost)."


# Nothing leaks (T5, T6).

LINK = re.compile(r"(\S+?)/(?:invitations|seed|set-up-authenticator|requests|not-me/\d+)/([\w-]{43})\b")
CODE = re.compile(r"^ +(\d{6})\r?$", re.MULTILINE)


def stored():
    """All text in all tables."""
    db.session.rollback()
    rows = [
        repr(tuple(row)) for table in db.metadata.sorted_tables for row in db.session.execute(select(table)).fetchall()
    ]
    db.session.rollback()
    return "\n".join(rows)


def queued(connection):
    """Everything in the queue server, unpacked."""
    read = {
        b"string": connection.get,
        b"hash": connection.hgetall,
        b"set": connection.smembers,
        b"list": lambda key: connection.lrange(key, 0, -1),
        b"zset": lambda key: connection.zrange(key, 0, -1),
    }
    parts = []
    for key in connection.scan_iter():
        value = read[connection.type(key)](key)
        parts.append(repr((key, value)))
        packed = [part for part in value.values() if part.startswith(b"\x78")] if isinstance(value, dict) else []
        parts += [repr(zlib.decompress(part)) for part in packed]
    return "\n".join(parts)


def a_story(make, now, policy):
    """A receipt, an invitation to TechPass, SEED and a new authenticator, and a code are mailed."""
    sign_up.sign_up("new@tech.gov.sg", True, make.solution(), By.visitor("127.0.0.1"), now)
    sign_up.sign_up("approved@tech.gov.sg", True, make.solution(), By.visitor("127.0.0.1"), now)
    asked = select(Request.id).join(Account, Account.id == Request.account_id).order_by(Request.id)
    for number in db.session.scalars(asked.where(Account.email == "approved@tech.gov.sg")).all():
        requests.approve(number, SYSTEM, now, policy)
    active = make.account()
    invitations.invite(active, InvitationKind.AUTHENTICATOR, now, policy)
    log_in.start(active.email, now, policy)


def secrets_of(server):
    texts = "\n".join(received.text for received in server.messages)
    return {token for _, token in LINK.findall(texts)} | set(CODE.findall(texts))


def test_no_token_or_code_is_kept_anywhere(app, make, now, policy, server, capfd, caplog):
    a_story(make, now, policy)
    # A suspicious server quotes what it saw; another breaks off.
    quoted = []

    def quote(received):
        found = [f"{origin}/x/{token} {token}" for origin, token in LINK.findall(received.text)]
        found += CODE.findall(received.text)
        if not found or received.recipients[0] in quoted:
            return None
        quoted.append(received.recipients[0])
        return f"451 suspicious: {' '.join(found)}"

    server.answer = quote
    delivery.deliver(now)
    delivery.deliver(now + 2 * MINUTE)
    assert quoted
    secrets = secrets_of(server)
    assert len(secrets) == 6  # The receipt of the one who waits, three links, one code and its "This wasn't me".
    logged = "".join(capfd.readouterr()) + caplog.text
    assert "mail put off" in logged
    for where, found in {"database": stored(), "queue": queued(app.extensions["redis"]), "log": logged}.items():
        assert found, where
        for secret in secrets:
            assert not re.search(rf"(?<![\w.]){re.escape(secret)}(?!\w)", found), where


def test_an_answer_is_kept_without_what_it_quotes(app, make, now, policy, server):
    log_in.start(make.account().email, now, policy)
    server.answer = lambda received: (
        f"550 we do not like {CODE.findall(received.text)[0]} nor https://evil.example/{'x' * 40}\u0007 " + "y" * 400
    )
    delivery.deliver(now)
    answer = the_mail().last_answer
    assert answer.startswith("550 we do not like (removed) nor (link)")
    assert len(answer) <= 300
    assert answer.isprintable()


def test_links_carry_the_configured_origin_whoever_asks(app, make, now, policy, server):
    evil = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    with app.test_request_context(base_url="http://evil.example", headers=evil):
        a_story(make, now, policy)
        delivery.deliver(now)
    assert len(server.messages) >= 4
    links = [found for received in server.messages for found in LINK.findall(received.text)]
    assert {origin for origin, _ in links} == {"http://localhost"}
    assert not any(b"evil" in received.content for received in server.messages)


# Failed mails, and the operator's commands.


def failing(make, now, count=2):
    return post(make, now, count, state=MailState.FAILED, tries=51, last_answer="550 unknown")


def audit_rows():
    rows = db.session.scalars(select(AuditEvent).where(AuditEvent.action == "mail.retried")).all()
    return [(row.actor, row.detail) for row in rows]


def test_failed_mails_are_listed_oldest_first(app, make, now):
    recipients = failing(make, now)
    post(make, now)
    assert [mail.recipient for mail in failed_mails.failed()] == recipients
    printed = app.test_cli_runner().invoke(args=["mail", "failed"]).output.splitlines()
    first, second = failed_mails.failed()
    assert printed == [f"{mail.id}  authenticator_changed  {mail.recipient}  550 unknown" for mail in (first, second)]


def test_one_failed_mail_is_sent_again(app, make, now, server):
    first, second = failing(make, now)
    number = the_mail(first).id
    app.extensions["redis"].flushall()
    result = app.test_cli_runner().invoke(args=["mail", "retry", str(number)])
    assert (result.exit_code, result.output) == (0, "1 queued again.\n")
    row = the_mail(first)
    assert (row.state, row.tries, row.due_at) == (MailState.QUEUED, 0, now)
    assert audit_rows() == [(SYSTEM.actor, {"mail": number})]
    assert app.extensions["redis"].exists("portal:woken:deliver")
    delivery.deliver(now)
    assert server.attempts == [first]
    assert the_mail(second).state is MailState.FAILED


def test_all_failed_mails_are_sent_again(app, make, now, server):
    recipients = failing(make, now, 3)
    result = app.test_cli_runner().invoke(args=["mail", "retry"])
    assert (result.exit_code, result.output) == (0, "3 queued again.\n")
    assert audit_rows() == [(SYSTEM.actor, {"count": 3})]
    delivery.deliver(now)
    assert server.attempts == recipients


def test_nothing_to_send_again_leaves_no_record(app, now):
    result = app.test_cli_runner().invoke(args=["mail", "retry"])
    assert (result.exit_code, result.output) == (0, "0 queued again.\n")
    assert audit_rows() == []


@pytest.mark.parametrize("state", [None, MailState.QUEUED, MailState.SENT, MailState.CANCELLED])
def test_a_mail_that_has_not_failed_is_not_sent_again(app, make, now, state):
    failing(make, now, 1)
    if state is None:
        number = 10**6
    else:
        (recipient,) = post(make, now, state=state)
        number = the_mail(recipient).id
    result = app.test_cli_runner().invoke(args=["mail", "retry", str(number)])
    assert result.exit_code == 1
    assert f"Mail {number} has not failed." in result.output
    with pytest.raises(NotFound):
        failed_mails.retry(now, SYSTEM, number)
    assert audit_rows() == []
    assert Counter(mail.state for mail in mails())[MailState.FAILED] == 1


def reminders(make, now, *states, **changes):
    """One person's reminders of the last days, oldest first, in these states; their numbers."""
    account = make.account(AccountStatus.PENDING)
    link, _ = make.invitation(account)
    days = range(30 - len(states), 30)
    outbox.post(
        *(
            emails.onboarding_reminder(account, link, day, now) | {"state": state} | changes
            for day, state in zip(days, states, strict=True)
        )
    )
    db.session.commit()
    return [mail.id for mail in mails(Mail.account_id == account.id)]


def states_of(numbers):
    return [str(mail.state) for mail in mails(Mail.id.in_(numbers))]


FAILED, SENT, QUEUED, CANCELLED = MailState.FAILED, MailState.SENT, MailState.QUEUED, MailState.CANCELLED


def test_of_the_reminders_that_failed_each_person_gets_the_newest_alone(app, make, now, server):
    """Rule 3.3: after an outage there is one reminder, not one for each day missed."""
    one = reminders(make, now, FAILED, FAILED, FAILED)
    other = reminders(make, now, FAILED, FAILED)
    person = make.account()
    outbox.post(*(emails.authenticator_changed(person, now + n * SECOND) | {"state": FAILED} for n in range(2)))
    db.session.commit()
    result = app.test_cli_runner().invoke(args=["mail", "retry"])
    assert (result.exit_code, result.output) == (0, "4 queued again. 3 older of the same kinds taken back.\n")
    assert states_of(one) == ["cancelled", "cancelled", "queued"]
    assert states_of(other) == ["cancelled", "queued"]
    assert audit_rows() == [(SYSTEM.actor, {"count": 4, "taken_back": 3})]
    delivery.deliver(now)
    assert server.attempts.count(person.email) == 2, "what is no reminder tells of an event of its own"
    assert len(server.attempts) == 4


@pytest.mark.parametrize("newer", [SENT, QUEUED])
def test_an_older_reminder_than_one_that_left_is_not_sent_any_more(app, make, now, newer):
    numbers = reminders(make, now, FAILED, newer, CANCELLED)
    assert failed_mails.retry(now, SYSTEM) == failed_mails.Retried(queued=0, taken_back=1)
    assert states_of(numbers) == ["cancelled", newer, "cancelled"]
    assert audit_rows() == [(SYSTEM.actor, {"count": 0, "taken_back": 1})]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_whichever_reminder_is_sent_again_its_person_gets_the_newest(app, make, now, which):
    numbers = reminders(make, now, FAILED, FAILED, FAILED)
    others = reminders(make, now, FAILED, FAILED)
    assert failed_mails.retry(now, SYSTEM, numbers[which]) == failed_mails.Retried(queued=1, taken_back=2)
    assert states_of(numbers) == ["cancelled", "cancelled", "queued"]
    assert states_of(others) == ["failed", "failed"]
    assert audit_rows() == [(SYSTEM.actor, {"mail": numbers[which], "taken_back": 2})]
    with pytest.raises(NotFound):
        failed_mails.retry(now, SYSTEM, numbers[which])


def test_once_the_server_is_back_the_newest_reminder_alone_leaves(app, make, now, server):
    numbers = reminders(make, now, FAILED, FAILED, QUEUED, last_answer=failed_mails.NO_SERVER)
    delivery.deliver(now)
    assert states_of(numbers) == ["cancelled", "cancelled", "sent"]
    assert len(server.attempts) == 1
