"""The pages of onboarding, one a step, with htmx and without: the same outcome (rules 3.6 and 3.9)."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from tests.onboarding import Visit, Walk, app_of, landing
from webapp.access import SESSION_TOKEN
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState, SeedStatus
from webapp.domain.onboarding import Document, Step
from webapp.extensions import db
from webapp.models import (
    Account,
    AgreementAcceptance,
    AuditEvent,
    Authenticator,
    BrowserSession,
    Invitation,
    Mail,
    RecoveryCode,
)
from webapp.services import agreements, authenticators, expiry, invitations, requests
from webapp.services.audit import SYSTEM

STYLES = pytest.mark.parametrize("htmx", [False, True], ids=["page", "htmx"])
SECOND = timedelta(seconds=1)
PAGES = {
    Step.PERMISSIONS: "/onboarding/permissions",
    Step.AUTHENTICATOR: "/onboarding/authenticator",
    Step.RECOVERY_CODES: "/onboarding/recovery-codes",
    Step.TERMS_OF_USE: "/onboarding/terms-of-use",
    Step.PRIVACY_POLICY: "/onboarding/privacy-policy",
    Step.MDM_AUP: "/onboarding/mdm-aup",
}
FILE = "/onboarding/recovery-codes.txt"
TABLES = (
    Account,
    AgreementAcceptance,
    AuditEvent,
    Authenticator,
    BrowserSession,
    Invitation,
    Mail,
    RecoveryCode,
)


def written() -> list[int]:
    return [db.session.scalar(select(func.count()).select_from(table)) or 0 for table in TABLES]


def stands_at(client, make, step: Step, *, seed: bool = True) -> Walk:
    """A browser that has come to ``step``."""
    walk = Walk.begin(make, seed=seed)
    walk.to(step)
    with client.session_transaction() as cookie:
        cookie[SESSION_TOKEN] = walk.sid
    return walk


def status_of(walk: Walk) -> AccountStatus:
    return db.session.get_one(Account, walk.account.id, populate_existing=True).status


# The whole way


def test_the_last_page_says_by_when_seed_is_promised(client, make, now, policy):
    request = make.request(seed=True)
    requests.approve(request.id, SYSTEM, now, policy)
    account = db.session.get_one(Account, request.account_id)
    account.move(AccountStatus.ACTIVE, now)
    db.session.commit()
    make.sign_in(client, account)
    page = " ".join(client.get("/onboarding/done").text.split())
    assert "We promise the email by <strong>Friday, 27 November 2026</strong>;" in page


def test_the_last_page_says_by_when_to_onboard_a_device(client, make):
    account = make.account(seed_status=SeedStatus.INVITED)
    make.invitation(account, InvitationKind.SEED)
    make.sign_in(client, account)
    page = " ".join(client.get("/onboarding/done").text.split())
    assert "device by <strong>Thursday, 24 December 2026, 10:00 Singapore time</strong>." in page


@STYLES
@pytest.mark.parametrize("seed", [False, True])
def test_from_the_link_to_an_active_account(client, make, now, htmx, seed):
    account = make.account(
        AccountStatus.PENDING,
        "peter@tech.gov.sg",
        seed_status=SeedStatus.REQUESTED if seed else SeedStatus.NOT_REQUIRED,
    )
    _, token = make.invitation(account)
    visit = Visit(client, now, htmx)
    page, way, sids = visit.accept(f"/invitations/{token}"), [], set()
    while page != "/onboarding/done":
        way.append(page)
        with client.session_transaction() as cookie:
            sids.add(cookie[SESSION_TOKEN])
        page = visit.answer(page)
    assert way == [address for step, address in PAGES.items() if seed or step is not Step.MDM_AUP]

    with client.session_transaction() as cookie:
        assert cookie[SESSION_TOKEN] not in sids, "the session of onboarding went on as the signed-in one (L5)"
    assert db.session.get_one(Account, account.id, populate_existing=True).status is AccountStatus.ACTIVE
    done = client.get(page).text
    assert "Your TechPass is active" in done
    assert ("Next: SEED" in done) == seed
    assert client.get("/profile").status_code == 200
    accepted = {row.document: row for row in db.session.scalars(select(AgreementAcceptance))}
    assert set(accepted) == {"terms-of-use", "privacy-policy", *(["mdm-aup"] if seed else [])}
    for row in accepted.values():
        version = agreements.in_force(Document(row.document), now).version
        assert (row.version, row.accepted_at, row.peer) == (version, now, "127.0.0.1")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (SeedStatus.INVITED, "Go on to SEED"),
        (SeedStatus.REQUESTED, "an admin still has to decide"),
        (SeedStatus.NOT_REQUIRED, "Go to your profile"),
    ],
)
def test_the_last_page_leads_on(client, make, status, says):
    account = make.account(seed_status=status)
    if status is SeedStatus.INVITED:
        make.invitation(account, InvitationKind.SEED)
    make.sign_in(client, account)
    assert says in client.get("/onboarding/done").text


def test_each_page_counts_the_steps(client, make):
    walk = stands_at(client, make, Step.PERMISSIONS)
    for number, (step, address) in enumerate(PAGES.items(), 1):
        walk.to(step)
        assert f"Step {number} of 6" in client.get(address).text


def test_nothing_on_the_pages_leads_away(client, make):
    walk = stands_at(client, make, Step.PERMISSIONS)
    for step, address in PAGES.items():
        walk.to(step)
        assert 'class="site-nav"' not in client.get(address).text


# Order


@STYLES
@pytest.mark.parametrize("stands", PAGES)
def test_a_page_that_is_not_the_next_one_leads_to_the_one_that_is(client, make, htmx, stands):
    walk = stands_at(client, make, stands)
    client.get(PAGES[stands])
    form = {"csrf_token": client.csrf_token(), "code": "123456", "version": "2026-11-02"}
    before = written()
    for step, address in PAGES.items():
        if step is not stands:
            headers = {"HX-Request": "true"} if htmx else {}
            assert landing(client.get(address, headers=headers)) == PAGES[stands]
            assert landing(client.post(address, data=form, headers=headers)) == PAGES[stands]
    assert client.get("/onboarding/done").status_code == 303
    assert "/log-in" in client.get("/profile").headers["Location"]
    assert written() == before
    assert status_of(walk) is AccountStatus.PENDING


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("stands", PAGES)
def test_looking_at_a_page_changes_nothing(client, make, stands, method):
    stands_at(client, make, stands)
    before = written()
    for address in (*PAGES.values(), FILE, "/onboarding/done"):
        client.open(address, method=method)
    assert written() == before


@pytest.mark.parametrize("address", [*PAGES.values(), FILE])
def test_without_a_session_one_is_told_to_open_the_link_again(client, make, address):
    answer = client.get(address)
    assert answer.headers["Location"] == "/"
    assert "Your onboarding session has ended. Open the link in your email again" in client.get("/").text


@pytest.mark.parametrize("address", [*PAGES.values(), FILE])
def test_somebody_signed_in_is_done_already(client, make, address):
    make.sign_in(client, make.account())
    assert client.get(address).headers["Location"] == "/onboarding/done"


def test_the_session_of_onboarding_ends_by_itself(client, make, now, policy, set_now):
    stands_at(client, make, Step.AUTHENTICATOR)
    set_now(now + timedelta(minutes=policy.onboarding_minutes) - SECOND)
    assert client.get(PAGES[Step.AUTHENTICATOR]).status_code == 200
    set_now(now + timedelta(minutes=policy.onboarding_minutes))
    assert client.get(PAGES[Step.AUTHENTICATOR]).headers["Location"] == "/"


def test_another_browser_takes_over_where_this_one_stopped(app, client, make, now):
    walk = stands_at(client, make, Step.RECOVERY_CODES)
    shown = Visit.codes(client.get(PAGES[Step.RECOVERY_CODES]).text)
    other = app.test_client()
    assert Visit(other, now).accept(f"/invitations/{walk.token}") == PAGES[Step.RECOVERY_CODES]
    assert Visit.codes(other.get(PAGES[Step.RECOVERY_CODES]).text) == shown
    assert client.get(PAGES[Step.RECOVERY_CODES]).headers["Location"] == "/"


# Bad input


def refused(client, step, htmx, **fields) -> str:
    """The page that tells what is wrong: one of its own, so that Back never asks to send it again. It is told once."""
    address = PAGES[step]
    assert landing(client.submit(address, htmx=htmx, **fields)) == address
    page = client.get(address).text
    assert "There is a problem" not in client.get(address).text
    return page


@STYLES
@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("", "Enter the 6-digit code that the authenticator app shows"),
        (None, "Enter the 6-digit code that the authenticator app shows"),
        ("12345", "The code has 6 digits"),
        ("1234567", "The code has 6 digits"),
        ("12345a", "The code has 6 digits"),
        ("😀😀😀", "The code has 6 digits"),
        ("١٢٣٤٥٦", "The code has 6 digits"),
        ("１２３４５６", "The code has 6 digits"),
        ("1" * 5000, "The code has 6 digits"),
        ("<b>123456", "The code has 6 digits"),
        ("000000", "This code is not right"),
        ("000 000", "This code is not right"),
    ],
)
def test_a_code_of_the_app_that_is_not_right_is_told_beside_the_field(client, make, htmx, code, says):
    walk = stands_at(client, make, Step.AUTHENTICATOR)
    sealed = db.session.scalar(select(Authenticator.encrypted_key))
    client.get(PAGES[Step.AUTHENTICATOR])
    before = written()
    text = html.unescape(refused(client, Step.AUTHENTICATOR, htmx, code=code))
    assert says in text.partition('id="code-error"')[2], "not beside the field"
    assert says in text.partition("There is a problem")[2][:500], "not in the summary"
    assert written() == before
    assert db.session.scalar(select(Authenticator.encrypted_key)) == sealed, "the QR code would be another one"
    assert status_of(walk) is AccountStatus.PENDING


@STYLES
@pytest.mark.parametrize("typed", ["{0}", "{0:.3} {0:>.3}", " {0} ", "\u200b{0}"])
def test_a_code_is_taken_with_the_spaces_that_phones_put_in(client, make, now, htmx, typed):
    walk = stands_at(client, make, Step.AUTHENTICATOR)
    code = app_of(walk.account.id).at(now)
    typed = f"{code[:3]} {code[3:]}" if ":" in typed else typed.format(code)
    client.get(PAGES[Step.AUTHENTICATOR])
    assert landing(client.submit(PAGES[Step.AUTHENTICATOR], htmx=htmx, code=typed)) == PAGES[Step.RECOVERY_CODES]


@STYLES
@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("", "Enter one of your recovery codes"),
        (None, "Enter one of your recovery codes"),
        ("x" * 41, "A recovery code has 12 letters and digits"),
        ("x" * 5000, "A recovery code has 12 letters and digits"),
        ("aaaa-bbbb-cccc", "This is not one of the codes above"),
        ("😀", "This is not one of the codes above"),
        ("---", "This is not one of the codes above"),
        ("<i>", "This is not one of the codes above"),
    ],
)
def test_a_recovery_code_that_is_not_right_is_told_beside_the_field(client, make, htmx, code, says):
    walk = stands_at(client, make, Step.RECOVERY_CODES)
    codes = Visit.codes(client.get(PAGES[Step.RECOVERY_CODES]).text)
    before = written()
    text = html.unescape(refused(client, Step.RECOVERY_CODES, htmx, code=code))
    assert says in text.partition('id="code-error"')[2]
    assert Visit.codes(text) == codes
    assert written() == before
    assert status_of(walk) is AccountStatus.PENDING


@STYLES
@pytest.mark.parametrize("csrf_token", ["stale", "", None])
@pytest.mark.parametrize("stands", PAGES)
def test_a_stale_form_says_so(client, make, htmx, stands, csrf_token):
    walk = stands_at(client, make, stands)
    client.get(PAGES[stands])
    version = "2026-11-02"
    before = written()
    text = refused(client, stands, htmx, csrf_token=csrf_token, code="123456", version=version)
    assert "This page was open for too long" in text
    assert written() == before
    assert walk.step() is stands


@STYLES
@pytest.mark.parametrize("stands", PAGES)
@pytest.mark.parametrize("field", ["code", "version", "csrf_token", "other"])
def test_a_nul_is_refused(client, make, htmx, stands, field):
    walk = stands_at(client, make, stands)
    client.get(PAGES[stands])
    before = written()
    assert client.submit(PAGES[stands], htmx=htmx, **{field: "\x00"}).status_code == 400
    assert written() == before
    assert walk.step() is stands


@pytest.mark.parametrize("stands", PAGES)
def test_extra_fields_change_nothing(client, make, stands):
    walk = stands_at(client, make, stands)
    client.get(PAGES[stands])
    client.submit(PAGES[stands], status="active", role="admin", seed_status="onboarded", account_id="1", step="done")
    account = db.session.get_one(Account, walk.account.id, populate_existing=True)
    assert (account.status, account.role, account.seed_status) == ("pending", "officer", "requested")


# The authenticator and the recovery codes


def test_the_key_stands_below_the_qr_code_in_groups(client, make):
    walk = stands_at(client, make, Step.AUTHENTICATOR)
    page = client.get(PAGES[Step.AUTHENTICATOR]).text
    assert "<svg" in page
    assert Visit.typed_key(page) == app_of(walk.account.id).secret
    assert re.search(r'id="authenticator-key">([A-Z2-7]{4} ){7}[A-Z2-7]{4}<', page)


def test_the_key_is_shown_to_nobody_once_it_is_confirmed(client, make):
    walk = stands_at(client, make, Step.RECOVERY_CODES)
    secret = app_of(walk.account.id).secret
    assert secret not in client.get(PAGES[Step.RECOVERY_CODES]).text.replace(" ", "")
    assert client.get(PAGES[Step.AUTHENTICATOR]).status_code == 303


def test_the_recovery_codes_come_as_a_file_too(client, make):
    walk = stands_at(client, make, Step.RECOVERY_CODES)
    shown = Visit.codes(client.get(PAGES[Step.RECOVERY_CODES]).text)
    answer = client.get(FILE)
    assert answer.mimetype == "text/plain"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="techpass-recovery-codes.txt"'
    assert answer.headers["Cache-Control"] == "no-store"
    text = answer.get_data(as_text=True)
    assert [line for line in text.split("\r\n") if line in shown] == shown
    assert "\n" not in text.replace("\r\n", "")
    assert walk.account.email in text
    assert "http://localhost/log-in" in text


def test_the_file_is_to_be_had_while_the_codes_are_shown_and_not_after(client, make):
    walk = stands_at(client, make, Step.AUTHENTICATOR)
    assert landing(client.get(FILE)) == PAGES[Step.AUTHENTICATOR]
    walk.to(Step.TERMS_OF_USE)
    assert landing(client.get(FILE)) == PAGES[Step.TERMS_OF_USE]
    codes = authenticators.recovery_codes_left(walk.account.id)
    assert codes == 10


# Agreements


@STYLES
def test_a_version_that_changed_meanwhile_is_shown_again(client, make, now, htmx):
    walk = stands_at(client, make, Step.TERMS_OF_USE)
    client.get(PAGES[Step.TERMS_OF_USE])
    for version in ("2020-01-01", "", None, "😀", "x" * 5000):
        client.get(PAGES[Step.TERMS_OF_USE])
        answer = client.submit(PAGES[Step.TERMS_OF_USE], htmx=htmx, version=version)
        assert landing(answer) == PAGES[Step.TERMS_OF_USE]
    assert "there is a newer version of this document" in client.get(PAGES[Step.TERMS_OF_USE]).text
    assert walk.step() is Step.TERMS_OF_USE
    assert db.session.scalar(select(func.count()).select_from(AgreementAcceptance)) == 0


@pytest.mark.parametrize("step", [Step.TERMS_OF_USE, Step.PRIVACY_POLICY, Step.MDM_AUP])
def test_an_agreement_is_shown_whole_with_its_version(client, make, now, step):
    stands_at(client, make, step)
    page = html.unescape(client.get(PAGES[step]).text)
    agreement = agreements.in_force(Document(str(step).replace("_", "-")), now)
    assert f'name="version" value="{agreement.version}"' in page
    assert "Version of 2 November 2026" in page
    assert all(line in page for block in agreement.blocks for line in block.lines if block.kind != "paragraph")
    assert all(block.text in page for block in agreement.blocks if block.kind == "paragraph")


# What happens meanwhile


@STYLES
@pytest.mark.parametrize("stands", PAGES)
def test_a_deadline_that_passes_half_way_leads_to_the_links_own_page(client, make, now, set_now, htmx, stands):
    walk = stands_at(client, make, stands)
    db.session.scalars(select(Invitation)).one().expires_at = now + timedelta(minutes=5)
    db.session.commit()
    client.get(PAGES[stands])
    form = {"csrf_token": client.csrf_token(), "code": "123456", "version": "2026-11-02"}
    set_now(now + timedelta(minutes=5) + SECOND)
    headers = {"HX-Request": "true"} if htmx else {}
    for answer in (
        client.get(PAGES[stands], headers=headers),
        client.post(PAGES[stands], data=form, headers=headers),
        client.get(FILE, headers=headers),
    ):
        assert landing(answer) == f"/invitations/{walk.token}"
    assert "This invitation has expired" in client.get(f"/invitations/{walk.token}").text
    assert status_of(walk) is AccountStatus.PENDING


@STYLES
@pytest.mark.parametrize("stands", PAGES)
def test_a_new_email_half_way_leads_to_the_page_that_says_so(client, make, now, policy, htmx, stands):
    walk = stands_at(client, make, stands)
    client.get(PAGES[stands])
    invitations.resend(walk.account.id, InvitationKind.TECHPASS, SYSTEM, now, policy)
    answer = client.submit(PAGES[stands], htmx=htmx, code="123456", version="2026-11-02")
    assert landing(answer) == f"/invitations/{walk.token}"
    assert "A newer email has replaced this link" in client.get(f"/invitations/{walk.token}").text


@STYLES
@pytest.mark.parametrize("stands", PAGES)
def test_an_account_terminated_half_way_is_not_brought_back(client, make, now, htmx, stands):
    walk = stands_at(client, make, stands)
    client.get(PAGES[stands])
    expiry.terminate(db.session.get_one(Account, walk.account.id), now)
    db.session.commit()
    answer = client.submit(PAGES[stands], htmx=htmx, code="123456", version="2026-11-02")
    assert landing(answer) == "/"
    assert status_of(walk) is AccountStatus.TERMINATED


def test_the_last_answer_sent_twice_activates_once_and_says_that_it_is_done(app, client, make, now):
    walk = stands_at(client, make, Step.PRIVACY_POLICY, seed=False)
    client.get(PAGES[Step.PRIVACY_POLICY])
    form = {"csrf_token": client.csrf_token(), "version": agreements.in_force(Document.PRIVACY_POLICY, now).version}
    assert landing(client.post(PAGES[Step.PRIVACY_POLICY], data=form)) == "/onboarding/done"
    assert landing(client.post(PAGES[Step.PRIVACY_POLICY], data=form)) == "/onboarding/done"
    events = db.session.scalars(select(AuditEvent.action).filter_by(account_id=walk.account.id)).all()
    assert events.count("account.activated") == 1


def test_a_link_ended_with_its_token_gone_leads_to_the_start_page(client, make):
    stands_at(client, make, Step.PERMISSIONS)
    invitation = db.session.scalars(select(Invitation)).one()
    invitation.nonce, invitation.state = "", InvitationState.EXPIRED
    db.session.commit()
    assert landing(client.get(PAGES[Step.PERMISSIONS])) == "/"
