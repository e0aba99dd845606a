"""The profile: what the account is, and SEED in exactly one state (rule 6.1 and section 4)."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from sqlalchemy import update

from webapp.domain.lifecycle import AccountStatus, InvitationKind, RequestKind, Role, SeedStatus
from webapp.extensions import db
from webapp.models import Agency, Request


def test_it_shows_who_i_am_and_since_when(client, make):
    make.sign_in(client, make.account(email="Peter_Wilson@tech.gov.sg"))
    page = client.get("/profile").text
    assert "Peter_Wilson@tech.gov.sg" in page
    assert "peter_wilson@tech.gov.sg" in page
    assert "Tuesday, 24 November 2026, 10:00 Singapore time" in page
    assert "Public officer" in page
    assert "/admin" not in page


def test_a_vendor_reads_for_whom_they_work_and_asks_for_nobody(client, make):
    vendor = make.vendor(AccountStatus.ACTIVE, organisation="<i>V</i> Pte", seed_status=SeedStatus.INELIGIBLE)
    db.session.execute(update(Agency).values(seed_eligible=False))
    db.session.commit()
    make.sign_in(client, vendor)
    page = client.get("/profile").text
    for words in (
        "Vendor</",
        "Sponsoring agency",
        "&lt;i&gt;V&lt;/i&gt; Pte",
        "the agency that sponsors you,",
    ):
        assert words in page
    assert "Asking for others" not in page
    client.get("/profile/edit")
    assert client.submit("/profile/edit", first_name="Mei", mobile="+44 7911 123456").status_code == 303
    assert "+44 7911 123456" in client.get("/profile").text


def test_an_admin_finds_the_way_to_the_dashboard(client, make):
    make.sign_in(client, make.account(role=Role.ADMIN))
    assert 'href="/admin"' in client.get("/profile").text


CARDS = [
    (SeedStatus.NOT_REQUIRED, ["You did not ask for SEED", "Request for SEED"], ["I don’t need SEED"]),
    (SeedStatus.INELIGIBLE, ["SEED does not apply", "raise a service request"], ["Request for SEED"]),
    (
        SeedStatus.REQUESTED,
        ["An admin for Government Technology Agency", "3 business days", "I don’t need SEED"],
        ["Request for SEED"],
    ),
    (SeedStatus.REJECTED, ["SEED was not approved", "Request for SEED"], ["I don’t need SEED"]),
    (SeedStatus.EXPIRED, ["expired on", "Request for SEED"], ["I don’t need SEED"]),
    (SeedStatus.ONBOARDED, ["SEED protects your device", "Your devices", "I don’t need SEED"], ["Request for SEED"]),
    (SeedStatus.WITHDRAWN, ["that you do not need SEED", "Request for SEED"], ["I don’t need SEED"]),
    (SeedStatus.SUSPENDED, ["SEED is suspended", "raise a service request"], ["Request for SEED", "I don’t need SEED"]),
]


@pytest.mark.parametrize(("status", "says", "hides"), CARDS, ids=[str(case[0]) for case in CARDS])
def test_seed_is_in_one_state_with_its_one_next_step(client, make, status, says, hides):
    email = "teacher@schools.gov.sg" if status is SeedStatus.INELIGIBLE else None
    make.sign_in(client, make.account(email=email, seed_status=status))
    page = client.get("/profile").text
    card = page[page.index('id="seed-card"') : page.index("</section>", page.index('id="seed-card"'))]
    for words in says:
        assert words.lower() in card.lower(), words
    for words in hides:
        assert f">{words}<" not in card, words
    assert card.count("btn-primary") <= 1
    for other, words, _ in CARDS:
        assert other is status or words[0] not in card


def test_who_is_invited_to_seed_is_told_until_when(client, make, now, set_now):
    account = make.account(seed_status=SeedStatus.INVITED)
    make.invitation(account, InvitationKind.SEED)
    make.sign_in(client, account)
    assert "Thursday, 24 December 2026, 10:00 Singapore time" in client.get("/profile").text


def test_a_seed_invitation_past_its_time_is_expired_before_the_sweep_comes(client, make, now):
    account = make.account(seed_status=SeedStatus.INVITED)
    make.invitation(account, InvitationKind.SEED, at=now - timedelta(days=31))
    make.sign_in(client, account)
    assert "expired on Monday, 23 November 2026" in " ".join(client.get("/profile").text.split())


def test_invited_without_a_live_link_is_expired_too(client, make):
    account = make.account(seed_status=SeedStatus.INVITED)
    make.sign_in(client, account)
    assert "No device was onboarded" in client.get("/profile").text
    db.session.rollback()


OWN_PAGES = {"Profile": "", "Devices": "/devices", "Edit": "/edit", "Activity": "/activity", "Security": "/security"}


@pytest.mark.parametrize("name", OWN_PAGES)
def test_each_page_of_the_profile_leads_to_the_others_and_says_where_one_is(client, make, name):
    make.sign_in(client, make.account())
    page = client.get(f"/profile{OWN_PAGES[name]}").text
    local = page[page.index('<nav aria-label="Your profile"') :].partition("</nav>")[0]
    found = re.findall(r'<a href="/profile([^"]*)"([^>]*)>(\w+)</a>', local)
    assert {label: address for address, _, label in found} == OWN_PAGES
    assert [label for _, marked, label in found if 'aria-current="page"' in marked] == [name]


@pytest.mark.parametrize(("day", "passed"), [(date(2026, 11, 24), False), (date(2026, 11, 23), True)])
def test_a_promise_that_lies_in_the_past_says_what_to_do(client, make, now, day, passed):
    account = make.account(seed_status=SeedStatus.REQUESTED)
    db.session.add(Request(account_id=account.id, kind=RequestKind.SEED, requested_at=now, due_on=day))
    db.session.commit()
    make.sign_in(client, account)
    page = client.get("/profile").text
    assert ("The day by which an admin was to decide has passed" in page) is passed
    assert ("You need do nothing now" in page) is not passed
    said = client.submit("/profile/seed-request", htmx=True).text
    assert ("You have asked for SEED already. An admin decides." in said) is passed
