"""The page of an invitation, and the pages of links that no longer work (rules 3.2 and 3.6 to 3.9)."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from tests.onboarding import Visit, Walk, landing
from webapp.access import SESSION_TOKEN
from webapp.domain.lifecycle import AccountStatus, InvitationKind, SeedStatus
from webapp.extensions import db
from webapp.models import Account, AuditEvent, BrowserSession, Invitation, Mail
from webapp.services import expiry

STYLES = pytest.mark.parametrize("htmx", [False, True], ids=["page", "htmx"])
SECOND = timedelta(seconds=1)


def written() -> list[int]:
    tables = (Account, Invitation, Mail, AuditEvent, BrowserSession)
    return [db.session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def main_button(page: str) -> tuple[str, str]:
    """Where the page's one primary action leads, and its words."""
    main = page.partition("<main")[2]
    links = re.findall(r'<a class="btn btn-primary" href="([^"]+)">([^<]+)</a>', main)
    forms = re.findall(r'action="([^"]+)"[^>]*>.*?class="btn btn-primary">([^<]+)</button>', main, re.DOTALL)
    (found,) = links + forms
    return found


def test_the_invitation_says_for_whom_until_when_and_what_to_have_ready(client, make):
    _, token = make.invitation(make.account(AccountStatus.PENDING, "Peter_Wilson@tech.gov.sg"))
    page = client.get(f"/invitations/{token}").text
    assert "Peter_Wilson@tech.gov.sg" in page
    assert "Government Technology Agency" in page
    assert "Thursday, 24 December 2026, 10:00 Singapore time" in page
    assert "two-step verification" in page
    assert "Microsoft Authenticator" in page
    assert main_button(page) == (f"/invitations/{token}/accept", "Accept invitation")
    assert "managed devices" not in page


def test_the_policy_of_device_management_is_announced_where_seed_was_asked_for(client, make):
    _, token = make.invitation(make.account(AccountStatus.PENDING, seed_status=SeedStatus.REQUESTED))
    assert "managed devices" in client.get(f"/invitations/{token}").text


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("address", ["/invitations/{}", "/invitations/{}/accept", "/invitations/{}/resend"])
def test_opening_a_link_changes_nothing_however_often(client, make, method, address):
    invitation, token = make.invitation()
    before = written()
    for _ in range(3):
        client.open(address.format(token), method=method)
    assert written() == before
    db.session.refresh(invitation)
    assert (invitation.state, invitation.accepted_at) == ("live", None)


@STYLES
def test_accepting_leads_to_the_first_step_with_a_session_of_its_own(client, make, now, htmx):
    invitation, token = make.invitation()
    with client.session_transaction() as cookie:
        cookie[SESSION_TOKEN] = "planted"
        cookie["else"] = "left over"
    assert Visit(client, now, htmx).accept(f"/invitations/{token}") == "/onboarding/permissions"
    with client.session_transaction() as cookie:
        assert cookie[SESSION_TOKEN] != "planted"
        assert "else" not in cookie
    db.session.refresh(invitation)
    assert (invitation.state, invitation.accepted_at) == ("live", now)
    assert "Review permissions" in client.get("/onboarding/permissions").text


@STYLES
def test_a_link_that_was_accepted_in_another_tab_leads_on(client, make, now, htmx):
    _, token = make.invitation()
    client.get(f"/invitations/{token}")
    stale = client.csrf_token()
    visit = Visit(client, now, htmx)
    following = visit.answer(visit.accept(f"/invitations/{token}"))

    def accept(link):
        client.get("/sign-up")
        return client.submit(f"/invitations/{link}/accept", htmx=htmx, csrf_token=stale)

    assert landing(client.get(landing(accept(token)))) == following
    _, other = make.invitation()
    assert accept(other).status_code == 400
    while following != "/onboarding/done":
        following = visit.answer(following)
    assert landing(client.get(landing(accept(token)))) == following
    assert accept("x" * 43).status_code == 404


def test_who_has_begun_goes_on_where_they_stopped(client, make, now):
    walk = Walk.begin(make)
    walk.to(walk.step().TERMS_OF_USE)
    page = client.get(f"/invitations/{walk.token}").text
    assert "Go on with onboarding" in page
    assert "Continue onboarding" in page
    assert Visit(client, now).accept(f"/invitations/{walk.token}") == "/onboarding/terms-of-use"


@STYLES
@pytest.mark.parametrize("action", ["", "/accept", "/resend"])
@pytest.mark.parametrize("token", ["x", "x" * 43, "x" * 5000, "é" * 43, "😀", "..%2F..%2Fadmin"])
def test_a_link_we_do_not_know_says_how_links_get_broken(client, make, htmx, action, token):
    make.invitation()
    before = written()
    client.get("/log-in")
    address = f"/invitations/{token}{action}"
    answer = client.submit(address, htmx=htmx) if action else client.get(address)
    assert answer.status_code == 404
    if "%2F" not in token:
        assert "We do not know this link" in answer.text
        assert "copied in full" in answer.text
    assert written() == before


@STYLES
@pytest.mark.parametrize("action", ["", "/accept"])
def test_an_expired_link_offers_to_sign_up_again(client, make, now, set_now, htmx, action):
    _, token = make.invitation()
    client.get(f"/invitations/{token}")
    before = written()
    set_now(now + timedelta(days=30) + SECOND)
    address = f"/invitations/{token}{action}"
    answer = client.submit(address, htmx=htmx) if action else client.get(address)
    assert answer.status_code == 410
    assert "This invitation has expired" in answer.text
    assert "30 days" in answer.text
    assert main_button(answer.text) == ("/sign-up", "Sign up again")
    assert written() == before


def test_at_its_last_instant_it_still_works(client, make, now, set_now):
    _, token = make.invitation()
    set_now(now + timedelta(days=30))
    assert Visit(client, now).accept(f"/invitations/{token}") == "/onboarding/permissions"


@pytest.mark.parametrize("swept", [False, True])
def test_the_link_of_a_terminated_account_offers_to_sign_up_again(client, make, now, set_now, swept):
    invitation, token = make.invitation()
    set_now(now + timedelta(days=31))
    if swept:
        expiry.expire(now + timedelta(days=31))
    else:
        expiry.terminate(db.session.get_one(Account, invitation.account_id), now)
        db.session.commit()
    answer = client.get(f"/invitations/{token}")
    assert (answer.status_code, main_button(answer.text)[0]) == (410, "/sign-up")


@STYLES
def test_a_replaced_link_offers_a_new_email_once_a_day(client, make, now, set_now, htmx):
    account = make.account(AccountStatus.PENDING)
    _, old = make.invitation(account)
    _, new = make.invitation(account)
    address = f"/invitations/{old}"
    answer = client.get(address)
    assert answer.status_code == 410
    assert "A newer email has replaced this link" in answer.text
    assert main_button(answer.text) == (f"{address}/resend", "Send a new email")
    assert client.submit(f"{address}/accept", htmx=htmx).status_code == 410

    client.get(address)
    assert landing(client.submit(f"{address}/resend", htmx=htmx)) == address
    assert "We have sent a new email to the address you signed up with" in client.get(address).text
    assert landing(client.submit(f"{address}/resend", htmx=htmx)) == address
    assert "Nothing new was sent: we sent the invitation again within the last 24 hours" in client.get(address).text
    mail = db.session.scalars(select(Mail)).one()
    assert (mail.kind, mail.recipient) == ("techpass_onboarding", account.email)
    assert client.get(f"/invitations/{new}").status_code == 410


def test_asking_again_at_the_very_end_of_its_time_says_that_nothing_was_sent(client, make, now, set_now):
    account = make.account(AccountStatus.PENDING)
    _, old = make.invitation(account)
    make.invitation(account)
    client.get(f"/invitations/{old}")
    set_now(now + timedelta(days=30) + SECOND)
    address = landing(client.submit(f"/invitations/{old}/resend"))
    page = client.get(address).text
    assert "Nothing was sent" in page
    assert main_button(page)[0] == "/sign-up"
    assert db.session.scalar(select(func.count()).select_from(Mail)) == 0


@pytest.mark.parametrize("replaced", [False, True])
def test_a_used_link_offers_to_log_in(client, make, replaced):
    account = make.account(AccountStatus.PENDING)
    _, old = make.invitation(account)
    _, token = make.invitation(account)
    walk = Walk(make, token, account)
    walk.accept()
    walk.to(None)
    answer = client.get(f"/invitations/{old if replaced else token}")
    assert answer.status_code == 410
    assert "Your TechPass is already active" in answer.text
    assert main_button(answer.text)[0] == "/log-in"


@STYLES
@pytest.mark.parametrize("action", ["accept", "resend"])
@pytest.mark.parametrize("csrf_token", ["stale", "", None])
def test_a_stale_form_is_refused_with_a_page_that_says_so(client, make, htmx, action, csrf_token):
    _, token = make.invitation()
    before = written()
    client.get(f"/invitations/{token}")
    answer = client.submit(f"/invitations/{token}/{action}", htmx=htmx, csrf_token=csrf_token)
    assert answer.status_code == 400
    assert written() == before


@pytest.mark.parametrize("kind", [InvitationKind.SEED, InvitationKind.AUTHENTICATOR])
def test_a_link_of_another_kind_is_not_known_here(client, make, kind):
    _, token = make.invitation(kind=kind)
    assert client.get(f"/invitations/{token}").status_code == 404
    client.get("/log-in")
    assert client.submit(f"/invitations/{token}/accept").status_code == 404


def test_the_receipt_is_not_an_invitation_nor_the_other_way_about(client, make):
    account = make.account(AccountStatus.PENDING)
    _, token = make.invitation(account)
    assert client.get(f"/invitations/{make.receipt_token(account)}").status_code == 404
    assert client.get(f"/requests/{token}").status_code == 404


def test_somebody_signed_in_who_accepts_for_another_account_is_that_one_from_then_on(client, make, now):
    make.sign_in(client, make.admin())
    _, token = make.invitation()
    Visit(client, now).accept(f"/invitations/{token}")
    assert client.get("/admin/requests").status_code == 303
    assert "/log-in" in client.get("/profile").headers["Location"]


def test_one_peer_is_limited(client, make):
    _, token = make.invitation()
    client.get(f"/invitations/{token}")
    form = {"csrf_token": client.csrf_token()}
    statuses = [client.post(f"/invitations/{token}/resend", data=form).status_code for _ in range(31)]
    assert statuses == [303] * 30 + [429]
