"""People on the dashboard: found, seen with their timeline, and changed with a reason (rules 8.3, 8.9 and 8.10)."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
from sqlalchemy import select

from webapp.domain.lifecycle import AccountStatus, InvitationKind, RequestKind, Role, SeedStatus
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Mail, Note, Request
from webapp.services import audit, people
from webapp.services.account_actions import Action
from webapp.views import admin_accounts

WHY = "Asked by the service desk"


@pytest.fixture
def admin(client, make):
    account = make.admin("boss@tech.gov.sg")
    make.sign_in(client, account)
    return account


def fresh(account):
    return db.session.get_one(Account, account.id, populate_existing=True)


def text_of(page):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text.replace("<wbr>", ""))).split())


def found(page):
    return re.findall(r'href="/admin/accounts/\d+">\s*([^<]+?)\s*</a>', page.text.replace("<wbr>", ""))


# The list.


def test_the_list_goes_on_by_key_with_its_filters_in_the_address(client, make, admin, monkeypatch):
    monkeypatch.setattr(people, "PAGE", 2)
    for number in range(3):
        make.account(email=f"tan{number}@tech.gov.sg")
    page = client.get("/admin/accounts?q=tan&status=active")
    assert found(page) == ["tan2@tech.gov.sg", "tan1@tech.gov.sg"]
    assert "2 people shown; more follow" in text_of(page)
    (following,) = re.findall(r'href="(/admin/accounts\?[^"]*before=\d+[^"]*)"', page.text)
    following = unescape(following)
    assert "q=tan" in following
    assert "status=active" in following
    assert 'value="tan"' in client.get(following).text
    rest = client.htmx("GET", following)
    assert "<html" not in rest.text
    assert found(rest) == ["tan0@tech.gov.sg"]
    assert "1 person shown" in text_of(rest)
    assert 'href="/admin/accounts?q=tan&amp;status=active"' in rest.text, "back to the first page"


def test_a_row_says_how_somebody_stands(client, make, admin):
    make.account(
        email="wei@tech.gov.sg", first_name="Wei", role=Role.AUDITOR, under_investigation=True, seed_status="onboarded"
    )
    page = client.get("/admin/accounts?q=wei&role=auditor&status=on_hold")
    for words in ("wei@tech.gov.sg Wei", "Active", "Auditor", "On hold", "Onboarded", "24 Nov 2026, 10:00"):
        assert words in text_of(page)
    assert "Nobody is like that." in text_of(client.get("/admin/accounts?q=nobody"))
    # What makes no sense in the address narrows nothing.
    assert client.get("/admin/accounts?status=odd&role=boss&agency=-1&before=x&q=wei").status_code == 200


@pytest.mark.parametrize("address", ["status=disabled&hold=on_hold", "status=on_hold"])
def test_who_is_on_hold_is_filtered_by_a_filter_that_is_seen(client, make, admin, address):
    make.account(AccountStatus.DISABLED, "wei@tech.gov.sg", under_investigation=True)
    make.account(AccountStatus.DISABLED, "tan@tech.gov.sg")
    page = client.get(f"/admin/accounts?{address}")
    assert found(page) == ["wei@tech.gov.sg"]
    assert re.search(
        r'<select[^>]* name="hold">\s*<option value="">Any</option>\s*<option value="on_hold" selected>', page.text
    )
    assert '<input type="hidden" name="hold"' not in page.text
    assert found(client.get("/admin/accounts?status=disabled&hold=")) == ["tan@tech.gov.sg", "wei@tech.gov.sg"]


# One person.


def test_the_page_of_a_person_tells_all_that_is_known(client, make, admin, now):
    account = make.account(
        email="wei@tech.gov.sg", first_name="Wei Ling", last_name="Tan", seed_status=SeedStatus.INVITED
    )
    make.invitation(account, InvitationKind.SEED)
    make.device(account, "failed", reason="BitLocker is off")
    db.session.add(
        Request(
            account_id=account.id,
            kind=RequestKind.TECHPASS,
            state="approved",
            requested_at=now,
            decided_at=now,
            decided_by_id=admin.id,
        )
    )
    db.session.commit()
    by = audit.By.person(admin, "192.0.2.7")
    client.get(f"/admin/accounts/{account.id}")
    client.submit(f"/admin/accounts/{account.id}/hold", reason=WHY)
    audit.record("account.enabled", account.id, by, now, reason="Back", before={"status": "x"}, after={"status": "y"})
    audit.record("role.granted", account.id, audit.SYSTEM, now)
    audit.record("log_in.succeeded", account.id, audit.By.person(account, "198.51.100.4"), now, method="authenticator")
    db.session.commit()
    said = text_of(client.get(f"/admin/accounts/{account.id}"))
    for words in (
        "Wei Ling Tan",
        "Government Technology Agency" if "Government Technology" in said else "tech.gov.sg",
        "SEED invitation Works until 24 Dec 2026, 10:00",
        "TechPass Approved",
        "by boss@tech.gov.sg",
        "MacBook Air Failed",
        "Reason: BitLocker is off",
        "On hold Queued",
        "On hold: the clock alone does nothing",
        # The timeline: what, by whom, from where, why, before and after.
        "TechPass put on hold: nothing about it changes by time alone",
        "boss@tech.gov.sg, from 192.0.2.7 Reason: Back Status: x → y",
        "Became an admin",
        "Logged in, with a code of the authenticator",
        "The holder, from 198.51.100.4",
    ):
        assert words in said, words
    assert "Without a log-in" not in said, "on hold nothing comes by time"


def test_the_page_says_who_was_asked_for_by_whom(client, make, admin):
    goh = make.account(email="goh@moe.gov.sg")
    vendor = make.vendor(email="mei@vendor.example.com", organisation="<b>Vendor</b>")
    make.invitation(vendor, InvitationKind.REGISTRATION)
    make.invitee(goh, vendor, reason="Keeps our site")
    make.invitee(goh, make.account(email="peter@moe.gov.sg"))
    make.invitee(goh, admin, is_theirs=False)
    page = client.get(f"/admin/accounts/{vendor.id}")
    assert "<b>Vendor" not in page.text
    for words in (
        "Account type Vendor Organisation <b>Vendor</b> Sponsoring agency Government Technology Agency",
        "Asked for by goh@moe.gov.sg , Ministry of Education, 24 Nov 2026, 10:00 : Keeps our site",
        "Invitation to register Works until 29 Nov 2026, 10:00",
        "None yet: invited vendors register first.",
        "Terminate Not now. They have yet to register.",
    ):
        assert words in text_of(page), words
    page = client.get(f"/admin/accounts/{goh.id}")
    assert "Account type Public officer Agency Ministry of Education" in text_of(page)
    (where,) = re.findall(r'href="([^"]+)">\s*Asked for 2 other people', page.text)
    page = client.get(unescape(where))
    assert found(page) == ["goh@moe.gov.sg", "peter@moe.gov.sg", "mei@vendor.example.com"], "the first in the lead"
    assert "Whom goh@moe.gov.sg asked for, newest first." in text_of(page)
    assert f'name="asked_for_by" value="{goh.id}"' in page.text, "kept while one searches"
    assert found(client.htmx("GET", f"{unescape(where)}&q=mei")) == ["mei@vendor.example.com"]
    assert client.get("/admin/accounts?asked_for_by=99999").status_code == 404
    assert client.get("/admin/accounts?asked_for_by=x").status_code == 200


def test_the_timeline_goes_on_by_key(client, make, admin, now, monkeypatch):
    monkeypatch.setattr(people, "TIMELINE", 2)
    account = make.account()
    for number in range(3):
        audit.record(
            "agreement.accepted", account.id, audit.SYSTEM, now, document="mdm-aup", version=f"2026-11-0{number + 1}"
        )
    db.session.commit()
    page = client.get(f"/admin/accounts/{account.id}")
    assert "MDM AUP of 3 November 2026 accepted" in page.text
    assert "of 1 November" not in page.text
    (following,) = re.findall(r'href="(/admin/accounts/\d+\?before=\d+)"', page.text)
    rest = client.htmx("GET", following)
    assert "<html" not in rest.text
    assert "of 1 November 2026" in rest.text
    assert "of 2 November" not in rest.text
    assert "of 1 November 2026" in client.get(following).text


def test_nobody_of_that_number_has_no_page(client, admin):
    for address in ("/admin/accounts/999", "/admin/accounts/999/hold", f"/admin/accounts/{admin.id}/odd"):
        assert client.get(address).status_code == 404
    client.get("/admin/accounts/1")
    assert client.htmx("GET", "/admin/accounts/999").status_code == 404
    assert client.submit("/admin/accounts/999/notes", note="x").status_code == 404


@pytest.mark.parametrize("status", AccountStatus, ids=str)
def test_what_can_be_done_now_is_offered_and_the_rest_says_why_not(client, make, admin, status):
    account = make.account(status)
    if status is AccountStatus.PENDING:
        make.invitation(account)
    page = client.get(f"/admin/accounts/{account.id}")
    offered = set(re.findall(rf'href="/admin/accounts/{account.id}/([a-z-]+)"', page.text))
    expected = {
        AccountStatus.REQUESTED: {Action.HOLD},
        AccountStatus.REJECTED: {Action.HOLD},
        AccountStatus.PENDING: {
            Action.RESEND,
            Action.EXTEND,
            Action.HOLD,
            Action.TERMINATE,
            Action.RESET_AUTHENTICATOR,
        },
        AccountStatus.ACTIVE: {Action.HOLD, Action.DISABLE, Action.TERMINATE, Action.RESET_AUTHENTICATOR, Action.ROLE},
        AccountStatus.DISABLED: {Action.HOLD, Action.ENABLE, Action.TERMINATE},
        AccountStatus.TERMINATED: {Action.HOLD},
        AccountStatus.DELETED: set(),
    }
    assert offered == expected[status]
    assert page.text.count("Not now.") == {
        AccountStatus.ACTIVE: 2,
        AccountStatus.PENDING: 2,
        AccountStatus.DISABLED: 5,
    }.get(status, 6)
    for action in Action:
        answer = client.get(f"/admin/accounts/{account.id}/{action}")
        assert answer.status_code == (200 if action in offered else 303), action


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])
@pytest.mark.parametrize("action", Action, ids=str)
def test_each_action_asks_for_a_reason_and_is_done_with_a_mail_and_a_line_on_record(client, make, admin, action, htmx):
    account = make.account(
        {Action.ENABLE: AccountStatus.DISABLED, Action.RESEND: AccountStatus.PENDING}.get(action, AccountStatus.ACTIVE),
        seed_status=SeedStatus.INVITED,
        under_investigation=action is Action.RELEASE,
    )
    make.invitation(account, InvitationKind.TECHPASS if action is Action.RESEND else InvitationKind.SEED)
    address = f"/admin/accounts/{account.id}/{action}"
    page = client.get(address)
    assert "name nobody in it" in page.text
    more = dict(re.findall(r'name="(kind|seen|stands)"[^>]* value="([^"]*)"', page.text))
    more |= {Action.EXTEND: {"until": "2027-01-31"}, Action.ROLE: {"role": "auditor"}}.get(action, {})

    refused = client.submit(address, htmx=htmx, reason=" ", **more)
    assert refused.status_code == 422
    assert "Enter a reason" in refused.text
    assert not db.session.scalars(select(AuditEvent.id)).all()

    done = client.submit(address, htmx=htmx, reason=WHY, **more)
    assert done.status_code == (204 if htmx else 303)
    assert done.headers["HX-Redirect" if htmx else "Location"] == f"/admin/accounts/{account.id}"
    (event,) = db.session.scalars(select(AuditEvent).where(AuditEvent.actor_id.is_not(None)))
    assert (event.actor_id, event.detail["reason"]) == (admin.id, WHY)
    assert event.peer
    assert db.session.scalars(select(Mail.id).where(Mail.account_id == account.id)).all()
    said = text_of(client.get(f"/admin/accounts/{account.id}"))
    assert "The holder is told by email." in said
    assert f"Reason: {WHY}" in said

    # The same form once more, or a second admin's, changes nothing more, and is told that it is done.
    mails = len(db.session.scalars(select(Mail.id)).all())
    again = client.post(address, data={"csrf_token": client.csrf_token(), "reason": WHY, **more})
    assert again.status_code == 303
    assert len(db.session.scalars(select(AuditEvent.id).where(AuditEvent.actor_id.is_not(None))).all()) == 1
    assert len(db.session.scalars(select(Mail.id)).all()) == mails
    said = re.sub(r"\s+", " ", client.get(f"/admin/accounts/{account.id}").text)
    assert admin_accounts._DONE[action].format(email=account.email) in said

    # A form that was shown anew is another press.
    if action in (Action.RESEND, Action.RESET_AUTHENTICATOR):
        more |= dict(re.findall(r'name="(seen)"[^>]* value="(\w+)"', client.get(address).text))
        client.submit(address, reason=WHY, **more)
        assert len(db.session.scalars(select(AuditEvent.id).where(AuditEvent.actor_id.is_not(None))).all()) == 2


def test_an_account_that_has_changed_meanwhile_is_asked_about_again(client, make, admin):
    account = make.account(AccountStatus.DISABLED)
    address = f"/admin/accounts/{account.id}/enable"
    shown = client.get(address).text
    account.under_investigation = True
    db.session.commit()
    fields = dict(re.findall(r'name="(seen|stands)"[^>]* value="([^"]*)"', shown))
    refused = client.submit(address, reason=WHY, **fields)
    assert refused.status_code == 422
    for words in ("The account has changed since this page was shown.", "The hold ends."):
        assert words in text_of(refused)
    assert f'value="{WHY}"' in refused.text
    assert fresh(account).status == "disabled"
    fields = dict(re.findall(r'name="(seen|stands)"[^>]* value="([^"]*)"', refused.text))
    assert client.submit(address, reason=WHY, **fields).status_code == 303
    assert (fresh(account).status, fresh(account).under_investigation) == ("active", False)


def test_a_day_outside_of_what_fits_is_refused_with_what_was_typed(client, make, admin):
    account = make.account(AccountStatus.PENDING, seed_status=SeedStatus.INVITED)
    make.invitation(account)
    make.invitation(account, InvitationKind.SEED)
    address = f"/admin/accounts/{account.id}/extend"
    page = client.get(address)
    assert page.text.count('type="radio"') == 2, "it is asked which of two"
    for until, words in (
        ("2027-02-23", "Enter a day from Thursday, 24 December 2026 to Monday, 22 February 2027"),
        ("", "Enter the last day"),
        ("2027-02-30", "Enter the day like 2027-01-31: year, month and day"),
    ):
        refused = client.submit(address, kind="techpass", until=until, reason=WHY)
        assert refused.status_code == 422
        assert words in refused.text
        assert f'value="{WHY}"' in refused.text
    assert client.submit(address, kind="authenticator", until="2027-01-01", reason=WHY).status_code == 422
    assert not db.session.scalars(select(AuditEvent.id)).all()


def test_what_works_as_long_as_it_can_is_not_offered_to_be_extended(client, make, admin):
    account = make.account(AccountStatus.PENDING)
    make.invitation(account)
    here, address = f"/admin/accounts/{account.id}", f"/admin/accounts/{account.id}/extend"
    fields = dict(re.findall(r'name="(kind|seen|stands)"[^>]* value="([^"]*)"', client.get(address).text))
    fields |= {"reason": WHY, "until": "2027-02-22"}
    for _ in range(2):
        assert client.submit(address, **fields).status_code == 303
        assert "is extended" in text_of(client.get(here)), "also when it is sent twice"
    page = client.get(here)
    assert "Not now. It works as long as it can already." in text_of(page)
    assert f'href="{address}"' not in page.text
    for day in (None, "", "2027-02-21"):
        answer = client.get(address) if day is None else client.submit(address, **fields | {"until": day})
        assert (answer.status_code, answer.location) == (303, here)
        assert "Nothing was done: the invitation works as long as it can already." in text_of(client.get(here))
    assert len(db.session.scalars(select(AuditEvent.id)).all()) == 1


def test_of_two_links_the_one_that_works_as_long_as_it_can_is_refused_in_words(client, make, admin, now):
    account = make.account(AccountStatus.PENDING, seed_status=SeedStatus.INVITED)
    make.invitation(account)
    make.invitation(account, InvitationKind.SEED)[0].expires_at = now + timedelta(days=91)
    db.session.commit()
    address = f"/admin/accounts/{account.id}/extend"
    assert "From Thursday, 24 December 2026 to Monday, 22 February 2027." in text_of(client.get(address))
    refused = client.submit(address, kind="seed", until="2027-02-22", reason=WHY)
    assert refused.status_code == 422
    assert "It works as long as it can already" in text_of(refused)


@pytest.mark.parametrize(
    ("action", "status", "on_hold", "words"),
    [
        (Action.HOLD, AccountStatus.ACTIVE, True, "Nothing more was done: wei@tech.gov.sg is on hold."),
        (Action.RELEASE, AccountStatus.ACTIVE, False, "Nothing more was done: "),
        (Action.ENABLE, AccountStatus.ACTIVE, False, "Nothing more was done: wei@tech.gov.sg is enabled."),
        (Action.DISABLE, AccountStatus.DISABLED, False, "Nothing more was done: wei@tech.gov.sg is disabled."),
        (Action.TERMINATE, AccountStatus.TERMINATED, False, "Nothing more was done: wei@tech.gov.sg is terminated."),
        (Action.RESEND, AccountStatus.ACTIVE, False, "Nothing was done: the account does not stand like that"),
    ],
)
def test_who_goes_back_to_the_form_of_what_is_done_is_told_so(client, make, admin, action, status, on_hold, words):
    account = make.account(status, "wei@tech.gov.sg", under_investigation=on_hold)
    answer = client.get(f"/admin/accounts/{account.id}/{action}")
    assert answer.status_code == 303
    assert words in text_of(client.get(answer.location))


def test_nobody_changes_their_own_account(client, make, admin):
    make.admin()
    page = client.get(f"/admin/accounts/{admin.id}")
    assert "This is your own account" in page.text
    assert not re.findall(rf'"/admin/accounts/{admin.id}/[a-z-]+"', page.text)
    for action in (Action.HOLD, Action.DISABLE, Action.TERMINATE, Action.RESET_AUTHENTICATOR, Action.ROLE):
        assert client.get(f"/admin/accounts/{admin.id}/{action}").status_code == 303
        client.get("/admin/accounts")
        answer = client.submit(f"/admin/accounts/{admin.id}/{action}", reason=WHY, role="officer")
        assert answer.status_code == 303
        assert "another admin must change your own account" in text_of(client.get("/admin/accounts"))
    client.submit(f"/admin/accounts/{admin.id}/notes", note="I am fine")
    assert (fresh(admin).status, fresh(admin).role) == ("active", "admin")
    assert not db.session.scalars(select(AuditEvent.id)).all()


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])
def test_a_note_is_kept_beside_the_person(client, make, admin, htmx):
    account = make.account()
    address = f"/admin/accounts/{account.id}"
    client.get(address)
    refused = client.submit(f"{address}/notes", htmx=htmx, note=" ")
    assert "Enter the note" in refused.text
    done = client.submit(f"{address}/notes", htmx=htmx, note="Called <b>twice</b>")
    assert done.status_code == (200 if htmx else 303)
    page = done if htmx else client.get(address)
    assert "The note is kept." in page.text
    assert "Called &lt;b&gt;twice&lt;/b&gt;" in page.text
    assert "boss@tech.gov.sg" in page.text
    assert db.session.scalars(select(Note.note)).all() == ["Called <b>twice</b>"]
