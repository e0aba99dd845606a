"""Deadlines to download for the calendar."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from icalendar import Calendar
from sqlalchemy import func, select

from webapp.domain.lifecycle import AccountStatus, InvitationKind, SeedStatus
from webapp.extensions import db
from webapp.models import Account, AuditEvent

LINK = "Add the deadline to your calendar (.ics)"


def offered(client, page):
    """The address of the file that a page offers."""
    found = re.search(rf'<a href="([^"]+)">{re.escape(LINK)}</a>', client.get(page).text)
    return found and found.group(1)


def check_file(answer, name, summary, deadline):
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["Cache-Control"] == "no-store"
    (event,) = Calendar.from_ical(answer.data).subcomponents
    assert (event["summary"], event.decoded("dtstart")) == (summary, deadline)


@pytest.fixture
def pending(make):
    account = make.account(AccountStatus.PENDING)
    link, token = make.invitation(account)
    return account, link, token


def test_an_invitation_offers_its_deadline(client, pending):
    _, link, token = pending
    address = offered(client, f"/invitations/{token}")
    assert address == f"/invitations/{token}/deadline.ics"
    answer = client.get(address)
    check_file(answer, "techpass-deadline.ics", "Activate your TechPass", link.expires_at)
    assert token not in answer.text
    assert client.head(address).status_code == 200
    assert db.session.scalar(select(func.count()).select_from(AuditEvent)) == 0


def test_an_invitation_that_has_ended_says_how(client, make, pending, now, set_now):
    _, link, token = pending
    set_now(link.expires_at + timedelta(seconds=1))
    answer = client.get(f"/invitations/{token}/deadline.ics")
    assert answer.status_code == 410
    assert "This invitation has expired" in answer.text
    set_now(now)
    make.invitation(db.session.get_one(Account, link.account_id))
    assert "A newer email has replaced this link" in client.get(f"/invitations/{token}/deadline.ics").text


@pytest.mark.parametrize("token", ["x", "x" * 43, "%00"])
def test_unknown_links_have_none(client, token):
    assert client.get(f"/invitations/{token}/deadline.ics").status_code in (400, 404)
    assert client.get(f"/requests/{token}/deadline.ics").status_code in (400, 404)


def test_a_receipt_offers_it_while_the_invitation_waits(client, make, pending, now, set_now):
    account, link, _ = pending
    page = f"/requests/{make.receipt_token(account)}"
    address = offered(client, page)
    assert address == f"{page}/deadline.ics"
    check_file(client.get(address), "techpass-deadline.ics", "Activate your TechPass", link.expires_at)
    set_now(link.expires_at + timedelta(seconds=1))
    assert offered(client, page) is None
    assert client.get(address).status_code == 404


def test_a_receipt_offers_none_before_the_approval(client, make):
    request = make.request()
    page = f"/requests/{make.receipt_token(db.session.get_one(Account, request.account_id))}"
    assert offered(client, page) is None
    assert client.get(f"{page}/deadline.ics").status_code == 404


def test_an_officer_who_is_invited_to_seed_gets_that_deadline(client, make):
    account = make.account(seed_status=SeedStatus.INVITED)
    link, token = make.invitation(account, InvitationKind.SEED)
    make.sign_in(client, account)
    answer = client.get("/profile/seed-deadline.ics")
    check_file(answer, "seed-deadline.ics", "Onboard your device to SEED", link.expires_at)
    assert token not in answer.text


@pytest.mark.parametrize("status", sorted(set(SeedStatus) - {SeedStatus.INVITED}))
def test_others_have_no_deadline_of_seed(client, make, status):
    account = make.account(seed_status=status)
    make.sign_in(client, account)
    assert client.get("/profile/seed-deadline.ics").status_code == 404


def test_nobody_gets_anothers_deadline_of_seed(client, make):
    make.invitation(make.account(seed_status=SeedStatus.INVITED), InvitationKind.SEED)
    make.sign_in(client, make.account(seed_status=SeedStatus.INVITED))
    assert client.get("/profile/seed-deadline.ics").status_code == 404
