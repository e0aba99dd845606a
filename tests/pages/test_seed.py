"""SEED's link, which needs an active TechPass, and the buttons of the profile's card (rules 4.1 to 4.5)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from tests.onboarding import Walk, landing
from webapp.domain.lifecycle import AccountStatus, DeviceStatus, InvitationKind, SeedStatus
from webapp.extensions import db
from webapp.models import Account, AuditEvent, BrowserSession, Invitation, Mail, Request
from webapp.services.held import hold_active

STYLES = pytest.mark.parametrize("htmx", [False, True], ids=["page", "htmx"])


def written() -> list[int]:
    tables = (Account, Invitation, Mail, AuditEvent, BrowserSession)
    return [db.session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def seed_link(make, status: AccountStatus = AccountStatus.ACTIVE, **changes) -> tuple[Account, str]:
    account = make.account(status, seed_status=SeedStatus.INVITED, **changes)
    _, token = make.invitation(account, InvitationKind.SEED)
    return account, f"/seed/{token}"


def test_a_visitor_logs_in_first(client, make):
    _, address = seed_link(make)
    assert landing(client.get(address)) == "/profile#seed"
    assert "/log-in" in client.get("/profile").headers["Location"]


def test_its_holder_comes_to_the_profile(client, make):
    account, address = seed_link(make)
    make.sign_in(client, account)
    assert landing(client.get(address)) == "/profile#seed"
    assert 'id="seed"' in client.get("/profile").text


def test_somebody_else_is_told_that_it_is_for_another_account(client, make):
    account, address = seed_link(make, email="peter@tech.gov.sg")
    make.sign_in(client, make.account(email="mary@tech.gov.sg"))
    answer = client.get(address)
    assert answer.status_code == 403
    assert "This link is for another account" in answer.text
    assert "mary@tech.gov.sg" in answer.text
    assert account.email not in answer.text
    assert "Log out" in answer.text


def test_a_pending_person_is_told_what_is_missing(client, make):
    account, address = seed_link(make, AccountStatus.PENDING, email="peter@tech.gov.sg")
    make.invitation(account)
    page = client.get(address).text
    assert "Activate your TechPass first" in page
    assert "peter@tech.gov.sg" in page
    assert "Thursday, 24 December 2026, 10:00 Singapore time" in page
    assert "Send the TechPass invitation again" in page


@STYLES
def test_a_pending_person_has_the_invitation_sent_again_once_a_day(client, make, htmx):
    account, address = seed_link(make, AccountStatus.PENDING)
    make.invitation(account)
    client.get(address)
    assert landing(client.submit(f"{address}/resend", htmx=htmx)) == address
    assert "We have sent a new email" in client.get(address).text
    assert landing(client.submit(f"{address}/resend", htmx=htmx)) == address
    assert "Nothing new was sent" in client.get(address).text
    assert [mail.kind for mail in db.session.scalars(select(Mail))] == ["techpass_onboarding"]
    states = {(row.kind, row.state) for row in db.session.scalars(select(Invitation))}
    assert states == {("seed", "live"), ("techpass", "replaced"), ("techpass", "live")}


@STYLES
def test_nothing_is_sent_for_an_active_person(client, make, htmx):
    _, address = seed_link(make)
    client.get("/log-in")
    before = written()
    assert landing(client.submit(f"{address}/resend", htmx=htmx)) == address
    assert written() == before


def test_after_activation_the_link_leads_on(client, make, now):
    account, address = seed_link(make, AccountStatus.PENDING)
    _, token = make.invitation(account)
    walk = Walk(make, token, account)
    walk.accept()
    walk.to(None)
    assert landing(client.get(address)) == "/profile#seed"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [AccountStatus.PENDING, AccountStatus.ACTIVE])
def test_opening_it_changes_nothing(client, make, method, status):
    _, address = seed_link(make, status)
    before = written()
    for _ in range(3):
        client.open(address, method=method)
        client.open(f"{address}/resend", method=method)
    assert written() == before


@STYLES
@pytest.mark.parametrize("action", ["", "/resend"])
@pytest.mark.parametrize(("beside", "works"), [(timedelta(0), True), (timedelta(seconds=1), False)])
def test_it_is_valid_until_the_end_of_its_instant(client, make, now, set_now, htmx, action, beside, works):
    account, address = seed_link(make, AccountStatus.PENDING)
    make.invitation(account)
    client.get(address)
    set_now(now + timedelta(days=30) + beside)
    answer = client.submit(f"{address}/resend", htmx=htmx) if action else client.get(address)
    if works:
        assert answer.status_code in (200, 204, 303)
    else:
        assert answer.status_code == 410
        assert "This SEED link has expired" in answer.text
        assert "30 days" in answer.text
        assert db.session.scalar(select(func.count()).select_from(Mail)) == 0


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("used", "This SEED link was used already"),
        ("replaced", "A newer email has replaced this SEED link"),
        ("expired", "This SEED link has expired"),
        ("withdrawn", "You said that you do not need SEED"),
    ],
)
def test_a_link_that_ended_says_how_and_leads_to_the_profile(client, make, state, says):
    account, address = seed_link(make)
    db.session.scalars(select(Invitation)).one().state = state
    if state == "replaced":
        db.session.flush()
        make.invitation(account, InvitationKind.SEED)
    db.session.commit()
    answer = client.get(address)
    assert answer.status_code == 410
    assert says in answer.text
    assert 'href="/profile#seed"' in answer.text


@pytest.mark.parametrize("action", ["", "/resend"])
@pytest.mark.parametrize("token", ["x", "x" * 43, "😀", "x" * 5000])
def test_an_unknown_link_says_so(client, make, action, token):
    seed_link(make)
    client.get("/log-in")
    address = f"/seed/{token}{action}"
    answer = client.submit(address) if action else client.get(address)
    assert answer.status_code == 404
    assert "We do not know this link" in answer.text


@pytest.mark.parametrize("kind", [InvitationKind.TECHPASS, InvitationKind.AUTHENTICATOR])
def test_a_link_of_another_kind_is_not_known_here(client, make, kind):
    _, token = make.invitation(make.account(), kind)
    assert client.get(f"/seed/{token}").status_code == 404


# The card's buttons.


def press(client, action: str, htmx: bool) -> str:
    """Press a button of the card; what it says then, on the page or in the card alone."""
    answer = client.submit(f"/profile/{action}", htmx=htmx)
    if htmx:
        assert answer.status_code == 200
        assert answer.text.count('id="seed-card"') == 1
        assert "<html" not in answer.text
        assert "data-announce" in answer.text
        assert "data-focus" in answer.text
        return answer.text
    assert landing(answer) == "/profile#seed"
    return client.get("/profile").text


def seed_of(account: Account) -> SeedStatus:
    return db.session.get_one(Account, account.id, populate_existing=True).seed_status


@STYLES
def test_seed_is_requested_once_however_often_it_is_pressed(client, make, htmx):
    account = make.account()
    make.sign_in(client, account)
    client.get("/profile")
    said = press(client, "seed-request", htmx)
    assert "We have received your request for SEED. An admin decides by Friday, 27 November 2026." in said
    client.get("/profile")
    assert "You have asked for SEED already. An admin decides by Friday" in press(client, "seed-request", htmx)
    assert seed_of(account) is SeedStatus.REQUESTED
    assert db.session.scalar(select(func.count()).select_from(Request)) == 1


@STYLES
def test_who_is_approved_needs_no_request(client, make, htmx):
    account, _ = seed_link(make)
    make.sign_in(client, account)
    client.get("/profile")
    assert "Nothing was sent: SEED is approved for you already." in press(client, "seed-request", htmx)
    assert seed_of(account) is SeedStatus.INVITED


@STYLES
def test_an_agency_without_seed_is_told_so(client, make, htmx):
    account = make.account(email="teacher@schools.gov.sg", seed_status=SeedStatus.INELIGIBLE)
    make.sign_in(client, account)
    client.get("/profile")
    assert "SEED does not apply to your agency’s addresses" in press(client, "seed-request", htmx)
    assert seed_of(account) is SeedStatus.INELIGIBLE


@STYLES
def test_seed_is_given_up_after_a_question(client, make, htmx):
    account, address = seed_link(make)
    make.sign_in(client, account)
    client.get("/profile")
    asked = client.htmx("GET", "/profile/seed-withdrawal") if htmx else client.get("/profile/seed-withdrawal")
    assert "The SEED onboarding email stops working" in asked.text
    assert "Keep SEED" in asked.text
    assert seed_of(account) is SeedStatus.INVITED
    assert "You gave SEED up." in press(client, "seed-withdrawal", htmx)
    assert seed_of(account) is SeedStatus.WITHDRAWN
    client.get("/profile")
    assert "you neither asked for SEED nor hold it" in press(client, "seed-withdrawal", htmx)
    assert client.get(address).status_code == 410
    assert [mail.kind for mail in db.session.scalars(select(Mail))] == ["seed_withdrawn"]


@STYLES
def test_with_a_device_seed_is_not_given_up(client, make, now, htmx):
    account = make.account(seed_status=SeedStatus.ONBOARDED)
    make.device(account, DeviceStatus.ONBOARDED)
    make.sign_in(client, account)
    client.get("/profile")
    asked = client.htmx("GET", "/profile/seed-withdrawal") if htmx else client.get("/profile/seed-withdrawal")
    assert "Remove\n" in asked.text or "Remove" in asked.text
    assert "Go to your devices" in asked.text
    assert 'action="/profile/seed-withdrawal"' not in asked.text
    client.get("/profile")
    assert "remove your device first" in press(client, "seed-withdrawal", htmx)
    assert seed_of(account) is SeedStatus.ONBOARDED


def test_without_seed_there_is_nothing_to_give_up(client, make):
    make.sign_in(client, make.account())
    assert "there is nothing to give up" in client.get("/profile/seed-withdrawal").text


@STYLES
def test_the_seed_mail_is_sent_again_once_a_day(client, make, now, set_now, htmx):
    account, address = seed_link(make)
    make.sign_in(client, account)
    client.get("/profile")
    assert f"sent the SEED onboarding email again, to {account.email}" in press(client, "seed-resend", htmx)
    client.get("/profile")
    assert "within the last 24 hours" in press(client, "seed-resend", htmx)
    assert [mail.kind for mail in db.session.scalars(select(Mail))] == ["seed_onboarding"]
    assert client.get(address).status_code == 410
    live = db.session.scalars(select(Invitation).where(Invitation.state == "live")).one()
    assert live.expires_at == now + timedelta(days=30)


@STYLES
@pytest.mark.parametrize("seed", [SeedStatus.EXPIRED, SeedStatus.WITHDRAWN, SeedStatus.NOT_REQUIRED], ids=str)
def test_without_an_invitation_nothing_is_sent_again(client, make, htmx, seed):
    make.sign_in(client, make.account(seed_status=seed))
    client.get("/profile")
    assert "no SEED invitation waits for you any more" in press(client, "seed-resend", htmx)
    assert db.session.scalar(select(func.count()).select_from(Mail)) == 0


def test_the_card_with_a_device_tells_how_far_it_is(client, make):
    for status, says in (
        (DeviceStatus.TRIGGERED, "is being onboarded"),
        (DeviceStatus.SOFTWARE_INSTALLED, "is being onboarded"),
        (DeviceStatus.FAILED, "could not be onboarded"),
    ):
        account = make.account(seed_status=SeedStatus.INVITED)
        make.device(account, status)
        make.sign_in(client, account)
        page = client.get("/profile").text
        assert says in page
        assert "I don’t need SEED" not in page


@STYLES
@pytest.mark.parametrize("action", ["seed-request", "seed-withdrawal"])
def test_locked_between_the_guard_and_the_change_they_are_led_to_log_in(client, make, monkeypatch, htmx, action):
    account = make.account(seed_status=SeedStatus.NOT_REQUIRED)
    make.sign_in(client, account)
    client.get("/profile")

    def locked_first(account_id):
        db.session.get_one(Account, account_id).status = AccountStatus.DISABLED
        db.session.commit()
        return hold_active(account_id)

    monkeypatch.setattr("webapp.services.seed.hold_active", locked_first)
    assert landing(client.submit(f"/profile/{action}", htmx=htmx)).startswith("/log-in")
    assert "You were signed out meanwhile" in client.get("/log-in").text
    assert seed_of(account) is SeedStatus.NOT_REQUIRED
