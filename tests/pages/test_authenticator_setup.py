"""The link to set up a new authenticator, after an admin's reset (rule 7.3)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from tests.onboarding import Visit, landing
from webapp.domain.lifecycle import AccountStatus, InvitationKind
from webapp.extensions import db
from webapp.models import Account, AgreementAcceptance, AuditEvent, Authenticator, BrowserSession, Invitation, Mail
from webapp.services import audit, authenticators, invitations

STYLES = pytest.mark.parametrize("htmx", [False, True], ids=["page", "htmx"])


def written() -> list[int]:
    tables = (Account, Authenticator, Invitation, Mail, AuditEvent, BrowserSession)
    return [db.session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


@pytest.fixture
def link(make, now, policy) -> tuple[Account, str]:
    """Somebody whose authenticator was reset, and the address that they were mailed."""
    account = make.account(email="peter@tech.gov.sg")
    make.authenticator(account)
    authenticators.reset_authenticator(account.id, "Lost phone", audit.SYSTEM, now, policy)
    _, token = make.invitation(account, InvitationKind.AUTHENTICATOR)
    return account, f"/set-up-authenticator/{token}"


def test_the_page_says_for_whom_and_until_when(client, link):
    page = client.get(link[1]).text
    assert "peter@tech.gov.sg" in page
    assert "Wednesday, 25 November 2026, 10:00 Singapore time" in page
    assert "I did not ask for this" in page


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_opening_it_changes_nothing(client, link, method):
    before = written()
    for _ in range(3):
        client.open(link[1], method=method)
        client.open(f"{link[1]}/accept", method=method)
    assert written() == before


@STYLES
def test_two_steps_lead_to_the_profile(client, link, now, htmx):
    account, address = link
    visit = Visit(client, now, htmx)
    assert visit.accept(address) == "/onboarding/authenticator"
    assert "Step 1 of 2" in client.get("/onboarding/authenticator").text
    assert visit.answer("/onboarding/authenticator") == "/onboarding/recovery-codes"
    assert client.get("/onboarding/recovery-codes.txt").status_code == 200
    assert visit.answer("/onboarding/recovery-codes") == "/profile"
    assert "Your new authenticator is set up, and you are logged in" in client.get("/profile").text
    assert authenticators.is_confirmed(account.id)
    assert db.session.scalar(select(func.count()).select_from(AgreementAcceptance)) == 0
    mails = {mail.kind: mail.state for mail in db.session.scalars(select(Mail))}
    assert mails == {"authenticator_setup": "cancelled", "authenticator_changed": "queued"}


@pytest.mark.parametrize("page", ["permissions", "recovery-codes", "terms-of-use", "privacy-policy", "mdm-aup"])
def test_no_other_page_of_onboarding_is_to_be_had(client, link, now, page):
    Visit(client, now).accept(link[1])
    assert client.get(f"/onboarding/{page}").headers["Location"] == "/onboarding/authenticator"
    assert client.get("/profile").status_code == 303


def test_broken_off_it_goes_on_where_it_stopped(app, client, link, now):
    visit = Visit(client, now)
    visit.answer(visit.accept(link[1]))
    other = Visit(app.test_client(), now)
    assert other.accept(link[1]) == "/onboarding/recovery-codes"
    assert other.answer("/onboarding/recovery-codes") == "/profile"


@STYLES
@pytest.mark.parametrize(
    ("beside", "status"), [(timedelta(0), 303), (timedelta(seconds=1), 410)], ids=["in time", "too late"]
)
def test_it_is_valid_for_a_day(client, link, now, set_now, htmx, beside, status):
    client.get(link[1])
    set_now(now + timedelta(hours=24) + beside)
    answer = client.submit(f"{link[1]}/accept", htmx=htmx)
    assert answer.status_code == (204 if htmx and status == 303 else status)
    if status == 410:
        assert "This link has expired" in answer.text
        assert "valid for 24 hours" in answer.text
        assert "service request" in answer.text
        assert client.get(link[1]).status_code == 410


def test_a_replaced_one_says_to_use_the_latest(client, make, link):
    make.invitation(link[0], InvitationKind.AUTHENTICATOR)
    answer = client.get(link[1])
    assert answer.status_code == 410
    assert "A newer email has replaced this link" in answer.text


def test_a_used_one_says_to_log_in(client, link, now):
    visit = Visit(client, now)
    visit.to("/profile", visit.accept(link[1]))
    answer = client.get(link[1])
    assert answer.status_code == 410
    assert "Your new authenticator is already set up" in answer.text
    assert 'href="/log-in"' in answer.text


def test_an_expired_session_leads_back_to_the_links_own_page(client, link, now, set_now):
    Visit(client, now).accept(link[1])
    db.session.scalars(select(Invitation).filter_by(state="live")).one().expires_at = now
    db.session.commit()
    set_now(now + timedelta(seconds=1))
    assert landing(client.get("/onboarding/authenticator")) == link[1]


@STYLES
@pytest.mark.parametrize("status", [AccountStatus.DISABLED, AccountStatus.TERMINATED])
def test_it_opens_nothing_once_the_account_has_no_right_to_it(client, link, htmx, status):
    account, address = link
    client.get(address)
    db.session.query(Account).filter_by(id=account.id).update({"status": status})
    db.session.commit()
    before = written()
    assert client.submit(f"{address}/accept", htmx=htmx).status_code == 410
    assert written() == before


@pytest.mark.parametrize("action", ["", "/accept"])
@pytest.mark.parametrize("token", ["x", "x" * 43, "😀", "x" * 5000])
def test_an_unknown_link_says_so(client, link, action, token):
    client.get("/log-in")
    address = f"/set-up-authenticator/{token}{action}"
    answer = client.submit(address) if action else client.get(address)
    assert answer.status_code == 404
    assert "We do not know this link" in answer.text


def test_an_invitation_is_no_link_for_an_authenticator_nor_the_other_way_about(client, make, link):
    _, token = make.invitation()
    assert client.get(f"/set-up-authenticator/{token}").status_code == 404
    assert client.get(link[1].replace("/set-up-authenticator/", "/invitations/")).status_code == 404
    client.get("/log-in")
    assert client.submit(f"/set-up-authenticator/{token}/accept").status_code == 404


def test_an_officer_cannot_have_it_sent_again(app, link, now, policy):
    assert invitations.live_invitation(link[0].id, InvitationKind.TECHPASS) is None
    assert not [rule for rule in app.url_map.iter_rules() if str(rule).startswith("/set-up") and "resend" in str(rule)]
