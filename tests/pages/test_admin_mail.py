"""The outgoing mails: filters, pages by key, one as it reads, and sending again (rules 8.5, 8.9 and 8.10)."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import select, update

from webapp import emails, queue
from webapp.domain.lifecycle import AccountStatus, MailState
from webapp.emails.names import KINDS
from webapp.extensions import db
from webapp.models import AuditEvent, Mail
from webapp.services import admin_start, outbox, outgoing

REFUSED = '550 <script>alert("no such mailbox")</script>'


@pytest.fixture
def admin(client, make):
    account = make.admin("grace_lim@tech.gov.sg")
    make.sign_in(client, account)
    return account


@pytest.fixture
def failed(make, now):
    """A mail that the mail server refused."""
    account = make.account(email="peter_tan@tech.gov.sg")
    outbox.post(
        emails.authenticator_changed(account, now) | {"state": MailState.FAILED, "last_answer": REFUSED, "tries": 3}
    )
    db.session.commit()
    return db.session.scalars(select(Mail).where(Mail.account_id == account.id)).one()


def read(answer) -> str:
    """The words of a page, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text.replace("<wbr>", "")))


def fresh(mail):
    return db.session.get_one(Mail, mail.id, populate_existing=True)


def retried():
    db.session.rollback()
    return [
        (event.account_id, event.actor_id, event.detail)
        for event in db.session.scalars(select(AuditEvent).where(AuditEvent.action == "mail.retried"))
    ]


def test_a_mail_is_shown_with_its_kind_state_tries_and_answer(client, admin, failed):
    page = client.get("/admin/mail")
    said = read(page)
    assert "1 email has failed" in said
    assert "Every email has left that was to leave" in said
    for words in ("Authenticator changed", "peter_tan@tech.gov.sg", "Failed", "3", "24 Nov 2026, 10:00"):
        assert words in said
    assert REFUSED not in page.text
    assert "550 &lt;script&gt;" in page.text
    assert f'href="/admin/accounts/{failed.account_id}"' in page.text


@pytest.mark.parametrize(
    ("asked", "is_there"),
    [
        ("", True),
        ("state=failed", True),
        ("state=sent", False),
        ("state=nonsense", True),
        ("kind=authenticator_changed", True),
        ("kind=disabled", False),
        ("to=%20PETER_tan@tech.gov.sg", True),
        ("to=peter", False),
        ("state=failed&kind=authenticator_changed&to=peter_tan@tech.gov.sg", True),
        ("before=1", False),
        ("before=rubbish", True),
    ],
)
def test_filters_stand_in_the_address(client, admin, failed, asked, is_there):
    assert (f'id="mail-{failed.id}"' in client.get(f"/admin/mail?{asked}").text) is is_there
    fragment = client.htmx("GET", f"/admin/mail?{asked}").text
    assert fragment.startswith('<div id="mail-list">')
    assert "data-announce" in fragment
    assert (f'id="mail-{failed.id}"' in fragment) is is_there


def test_the_page_says_why_there_is_nothing(client, admin):
    assert "No email was written yet." in read(client.get("/admin/mail"))
    assert "No email is like that." in read(client.get("/admin/mail?state=sent"))
    assert "No more emails." in read(client.get("/admin/mail?before=1"))


def test_the_list_goes_on_by_key_and_keeps_its_filters(client, admin, make, now, monkeypatch):
    monkeypatch.setattr(outgoing, "PAGE", 2)
    outbox.post(*(emails.recovery_codes_changed(make.account(email=f"a{n}@tech.gov.sg"), now) for n in range(3)))
    db.session.commit()
    page = client.get("/admin/mail?state=queued").text
    following = page.rpartition("before=")[2].partition('"')[0]
    assert "a0@" not in page.replace("<wbr>", "")
    address = next(each for each in re.findall(r'href="([^"]+)"', page) if "before=" in each).replace("&amp;", "&")
    assert "state=queued" in address
    assert following in address
    page = client.get(address).text.replace("<wbr>", "")
    assert "a0@tech.gov.sg" in page
    assert "a1@tech.gov.sg" not in page
    assert 'href="/admin/mail?state=queued"' in page


def test_mails_that_do_not_leave_are_told(client, admin, make, now, set_now):
    outbox.post(emails.recovery_codes_changed(make.account(), now))
    db.session.commit()
    assert "1 email waits to leave, the first since 24 Nov 2026, 10:00." in read(client.get("/admin/mail"))
    set_now(now + admin_start.MAIL_LATE * 2)
    assert "The mail server may be away." in read(client.get("/admin/mail"))


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])
def test_one_that_failed_is_sent_again(client, admin, failed, now, htmx, monkeypatch):
    woken: list[str] = []
    monkeypatch.setattr(queue, "wake", woken.append)
    client.get("/admin/mail?state=failed")
    answer = client.submit(f"/admin/mail/{failed.id}/retry", htmx=htmx)
    assert answer.status_code == (200 if htmx else 303)
    shown = answer if htmx else client.get(answer.location)
    assert "The email is queued again." in read(shown)
    assert "Send again" not in shown.text
    mail = fresh(failed)
    assert (mail.state, mail.tries, mail.due_at) == (MailState.QUEUED, 0, now)
    assert retried() == [(failed.account_id, admin.id, {"mail": failed.id})]
    assert woken == ["deliver"]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (MailState.QUEUED, "the email is queued again already."),
        (MailState.SENT, "the email was sent meanwhile."),
        (MailState.CANCELLED, "the email was taken back meanwhile."),
    ],
)
@pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])
def test_who_comes_too_late_is_told_what_became_of_it(client, admin, failed, state, words, htmx):
    client.get("/admin/mail")
    db.session.execute(update(Mail).values(state=state))
    db.session.commit()
    answer = client.submit(f"/admin/mail/{failed.id}/retry", htmx=htmx)
    shown = answer if htmx else client.get(answer.location)
    assert f"Nothing was changed: {words}" in read(shown)
    assert fresh(failed).state is state
    assert retried() == []


def test_all_that_failed_are_sent_again(client, admin, failed, make, now):
    account = make.account()
    outbox.post(emails.recovery_codes_changed(account, now) | {"state": MailState.FAILED})
    db.session.commit()
    client.get("/admin/mail")
    assert "2 emails are queued again." in read(client.get(client.submit("/admin/mail/retry").location))
    assert retried() == [(None, admin.id, {"count": 2})]
    assert "no email has failed" in read(client.get(client.submit("/admin/mail/retry").location))
    assert len(retried()) == 1


def reminders(make, now, *states):
    """One person's reminders of the last days, in these states, oldest first."""
    account = make.account(AccountStatus.PENDING)
    link, _ = make.invitation(account)
    days = enumerate(states, 23)
    outbox.post(*(emails.onboarding_reminder(account, link, day, now) | {"state": state} for day, state in days))
    db.session.commit()
    return list(db.session.scalars(select(Mail).filter_by(account_id=account.id).order_by(Mail.id)))


FAILED, SENT = MailState.FAILED, MailState.SENT


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])
@pytest.mark.parametrize(
    ("states", "words"),
    [
        ((SENT, FAILED), "The email is queued again."),
        ((FAILED, FAILED), "The email is queued again. 1 older email is taken back: a newer one of the same kind"),
        ((FAILED, FAILED, FAILED), "The email is taken back, and a newer one of its kind to the same person is queued"),
        ((FAILED, FAILED, SENT), "The email is taken back: a newer one of its kind to the same person was sent"),
    ],
)
def test_of_several_reminders_the_newest_is_sent_again_and_the_page_says_so(
    client, admin, make, now, states, words, htmx
):
    pressed = reminders(make, now, *states)[1]
    client.get("/admin/mail")
    answer = client.submit(f"/admin/mail/{pressed.id}/retry", htmx=htmx)
    said = read(answer if htmx else client.get(answer.location))
    assert words in said
    assert ("Cancelled" if "The email is taken back" in words else "Queued") in said


def test_who_sends_all_again_is_told_what_is_left_out(client, admin, failed, make, now):
    reminders(make, now, FAILED, FAILED, FAILED)
    client.get("/admin/mail")
    said = read(client.get(client.submit("/admin/mail/retry").location))
    assert "2 emails are queued again. 2 older emails are taken back: a newer one of the same kind" in said
    reminders(make, now, FAILED, SENT)
    said = read(client.get(client.submit("/admin/mail/retry").location))
    assert "1 older email is taken back: a newer one of the same kind to the same person is enough." in said
    assert "no email has failed" in read(client.get(client.submit("/admin/mail/retry").location))


def test_a_mail_is_read_without_its_links_and_codes(client, admin, make, now):
    account = make.account(AccountStatus.PENDING, "new@tech.gov.sg")
    link, token = make.invitation(account)
    outbox.post(emails.techpass_onboarding(account, link, now))
    db.session.commit()
    mail = db.session.scalars(select(Mail)).one()
    page = client.get(f"/admin/mail/{mail.id}")
    assert page.status_code == 200
    assert KINDS[mail.kind] in page.text
    frame = client.get(f"/admin/mail/{mail.id}/html")
    for shown in (page, frame):
        assert token not in shown.text
        assert "activate" in shown.text
    assert "href=" not in frame.text
    assert "sandbox" in frame.headers["Content-Security-Policy"]
    assert "script-src" not in frame.headers["Content-Security-Policy"]
    assert "default-src 'none'" in frame.headers["Content-Security-Policy"]


def test_a_mail_whose_matter_is_gone_says_so(client, admin, failed):
    db.session.execute(update(Mail).values(kind="seed_onboarding", context={"invitation": 10**9}))
    db.session.commit()
    page = client.get(f"/admin/mail/{failed.id}")
    assert page.status_code == 200
    assert "It cannot be shown any more" in page.text
    assert client.get(f"/admin/mail/{failed.id}/html").status_code == 404


def test_an_auditor_sees_it_all_and_sends_nothing(client, make, failed):
    make.sign_in(client, make.auditor("auditor@tech.gov.sg"))
    for address in ("/admin/mail", f"/admin/mail/{failed.id}"):
        page = client.get(address)
        assert "peter_tan@tech.gov.sg" in page.text.replace("<wbr>", "")
        assert 'method="post" action="/admin/mail' not in page.text
    for address in (f"/admin/mail/{failed.id}/retry", "/admin/mail/retry"):
        client.get("/admin/mail")
        assert client.submit(address).status_code == 404
    assert fresh(failed).state is MailState.FAILED


def test_one_that_does_not_exist(client, admin):
    client.get("/admin/mail")
    assert client.get("/admin/mail/999").status_code == 404
    assert client.get("/admin/mail/999/html").status_code == 404
    assert client.submit("/admin/mail/999/retry").status_code == 404
