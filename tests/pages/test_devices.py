"""Your devices: what is shown, the form, and what each button does, with and without scripts (rules 4.4 to 4.6)."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from webapp.domain.lifecycle import DeviceStatus, InvitationKind, InvitationState, SeedStatus
from webapp.domain.mdm import Report
from webapp.domain.onboarding import Document
from webapp.extensions import db
from webapp.models import Account, AgreementAcceptance, AuditEvent, Device, Invitation, Mail
from webapp.services import agreements, device_reports

S, D = SeedStatus, DeviceStatus
STYLES = pytest.mark.parametrize("htmx", [False, True], ids=["page", "htmx"])
ID = "8e2b3c44-5d6f-4a7b-8c9d-0e1f2a3b4c5d"
FIELDS = {
    "operating_system": "macos",
    "name": "MacBook at home",
    "serial_number": "C02XG2JHH3JK",
    "intune_device_id": ID,
}


def written() -> list[int]:
    tables = (Account, Device, Invitation, Mail, AuditEvent, AgreementAcceptance)
    return [db.session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def told(client, answer, htmx: bool) -> str:
    """The page after a form: the fragment itself, or the page that a 303 leads to."""
    if htmx:
        assert answer.status_code == 200
        assert "<html" not in answer.text
        assert "data-announce" in answer.text
        assert "data-focus" in answer.text
        return str(answer.text)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/profile/devices"
    return str(client.get("/profile/devices").text)


def send(client, address: str, htmx: bool, **data: str):
    """A form of a page that was fetched some time ago, or pressed a second time."""
    return client.htmx("POST", address, data=data) if htmx else client.post(address, data=data)


@pytest.fixture
def officer(client, make, now):
    """Somebody signed in who is invited to SEED and has accepted its policy."""
    account = make.account(seed_status=S.INVITED, email="peter@tech.gov.sg")
    make.invitation(account, InvitationKind.SEED)
    agreements.accept(account.id, agreements.in_force(Document.MDM_AUP, now), "", now)
    db.session.commit()
    make.sign_in(client, account)
    return account


@pytest.fixture
def device_in(make, officer):
    """A device of the officer's in a state."""

    def one(status=D.TRIGGERED, **changes):
        link = db.session.scalars(select(Invitation)).one()
        link.state = InvitationState.USED
        if status is D.ONBOARDED:
            officer.seed_status = S.ONBOARDED
        return make.device(officer, status, **changes)

    return one


def fresh(thing):
    return db.session.get_one(type(thing), thing.id, populate_existing=True)


# What the page shows.


def test_who_is_invited_finds_the_form_and_how_to_fill_it(client, officer):
    page = client.get("/profile/devices").text
    for words in (
        "Onboard device to SEED",
        "Thursday, 24 December 2026, 10:00 Singapore time",
        "Company Portal",
        "INTUNE MDM DEVICE CA",
        "Get-ChildItem Cert:",
        "Serial number",
        "Intune Device ID",
    ):
        assert words in page, words
    assert "<table" not in page
    assert "hx-trigger=" not in page.replace("hx-trigger-", "")


@pytest.mark.parametrize(
    ("seed", "email", "says"),
    [
        (S.NOT_REQUIRED, None, "Request for SEED"),
        (S.REQUESTED, None, "SEED is not approved yet"),
        (S.REJECTED, None, "You do not hold SEED"),
        (S.EXPIRED, None, "has expired"),
        (S.WITHDRAWN, None, "You do not hold SEED"),
        (S.INELIGIBLE, "teacher@schools.gov.sg", "SEED does not apply"),
    ],
)
def test_who_does_not_hold_seed_is_told_what_to_do(client, make, seed, email, says):
    make.sign_in(client, make.account(email=email, seed_status=seed))
    page = client.get("/profile/devices").text
    assert says in page
    assert 'name="intune_device_id"' not in page
    assert page.count("btn-primary") <= 1


def test_an_invitation_past_its_time_shows_no_form(client, officer, now, set_now, make):
    set_now(now + timedelta(days=30, seconds=1))
    make.now = now + timedelta(days=30, seconds=1)
    make.sign_in(client, officer)
    page = client.get("/profile/devices").text
    assert "has expired" in page
    assert 'name="intune_device_id"' not in page


STATES = {
    D.TRIGGERED: ["Step 1 of 2", "Triggered, waiting for software installation (step 1 of 2)", "Refresh"],
    D.SOFTWARE_INSTALLED: ["Step 2 of 2", "Software installed, waiting for backend onboarding (step 2 of 2)"],
    D.ONBOARDED: ["Onboarded"],
    D.FAILED: ["Failed", "BitLocker is off", "Turn on the disk’s encryption", "Retry"],
}


@pytest.mark.parametrize("status", STATES)
def test_a_device_shows_how_far_it_has_come(client, device_in, status):
    device_in(status, name="MacBook at home", intune_device_id=ID, reason="BitLocker is off")
    page = client.get("/profile/devices").text
    for words in ("MacBook at home", "macOS", "C02XG2JHH3JK", ID, "Tuesday, 24 November 2026", *STATES[status]):
        assert words in page, words
    under_way = status in (D.TRIGGERED, D.SOFTWARE_INSTALLED)
    assert ('hx-trigger="every 5s"' in page) is under_way
    assert ("Refresh<" in page) is under_way
    assert ("Retry<" in page) is (status is D.FAILED)
    assert "Remove<" in page
    assert 'name="intune_device_id"' not in page
    assert "remove this one first" in " ".join(page.split())


def test_a_device_past_its_time_is_gone_before_the_sweep_comes(client, device_in, officer, make, now, set_now):
    device_in(name="Peter’s Mac")
    late = now + timedelta(days=14, seconds=1)
    set_now(late)
    make.now = late
    make.sign_in(client, officer)
    page = client.get("/profile/devices").text
    assert "Peter’s Mac" not in page
    assert 'name="intune_device_id"' in page


def test_what_was_typed_and_reported_is_inert(client, device_in):
    bad = '"><script>alert(1)</script>'
    device_in(D.FAILED, name=bad, serial_number=bad, reason=bad)
    assert "<script>alert" not in client.get("/profile/devices").text


# Registering.


@STYLES
def test_a_device_is_registered(client, officer, now, htmx):
    client.get("/profile/devices")
    typed = FIELDS | {"name": "  MacBook\tat  home ", "intune_device_id": f" {{{ID.upper()}}} "}
    answer = client.submit("/profile/devices", htmx=htmx, **typed)
    page = told(client, answer, htmx)
    assert "MacBook at home is registered" in page
    assert "Step 1 of 2" in page
    assert 'hx-trigger="every 5s"' in page
    assert 'name="serial_number"' not in page
    device = db.session.scalars(select(Device)).one()
    assert (device.account_id, device.name, device.intune_device_id) == (officer.id, "MacBook at home", ID)


@STYLES
def test_the_form_says_what_is_missing_and_keeps_the_rest(client, officer, htmx):
    client.get("/profile/devices")
    before = written()
    answer = client.submit(
        "/profile/devices",
        htmx=htmx,
        name="Mac",
        serial_number="=HYPERLINK(1)",
        intune_device_id="C02XG2JHH3JK",
    )
    assert answer.status_code == 422
    assert ("<html" in answer.text) is not htmx
    for words in (
        "There is a problem",
        "Choose the device’s operating system",
        "The serial number has letters and digits",
        "in five groups, like 8e2b3c44-5d6f-4a7b-8c9d-0e1f2a3b4c5d",
        'value="Mac"',
        'value="C02XG2JHH3JK"',
    ):
        assert words in answer.text, words
    assert written() == before


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "Enter a name"),
        ("name", "x" * 61, "60 characters or fewer"),
        ("name", "\u200b\r\n", "Enter a name"),
        ("serial_number", "", "Enter the device’s serial number"),
        ("serial_number", "x" * 41, "40 characters or fewer"),
        ("serial_number", "C02\u0661", "letters and digits"),
        ("operating_system", "linux", "Choose"),
        ("operating_system", None, "Choose the device’s operating system"),
        ("intune_device_id", "", "Enter the device’s Intune Device ID"),
        ("intune_device_id", "x" * 201, "too long"),
        ("intune_device_id", f"{ID} {ID.replace('8', '9')}", "more than one"),
        ("intune_device_id", "00000000-0000-0000-0000-000000000000", "belongs to no device"),
    ],
)
def test_a_field_that_is_wrong_says_how_to_mend_it(client, officer, field, value, words):
    client.get("/profile/devices")
    answer = client.submit("/profile/devices", **FIELDS | {field: value})
    assert answer.status_code == 422
    assert words in answer.text
    assert db.session.scalar(select(func.count()).select_from(Device)) == 0


@STYLES
def test_an_id_of_somebody_else_is_refused_without_telling_whose(client, officer, make, htmx):
    other = make.account(email="mary@tech.gov.sg", seed_status=S.ONBOARDED)
    make.device(other, D.ONBOARDED, intune_device_id=ID, name="Mary’s Mac")
    client.get("/profile/devices")
    answer = client.submit("/profile/devices", htmx=htmx, **FIELDS)
    assert answer.status_code == 422
    assert "This Intune Device ID is registered already" in answer.text
    assert "mary" not in answer.text.lower().replace("primary", "").replace("summary", "")
    assert db.session.scalar(select(func.count()).select_from(Device)) == 1


@STYLES
def test_pressing_twice_registers_one(client, officer, htmx):
    client.get("/profile/devices")
    token = client.csrf_token()
    for _ in range(2):
        answer = send(client, "/profile/devices", htmx, csrf_token=token, **FIELDS)
        assert "is registered" in told(client, answer, htmx)
    assert db.session.scalar(select(func.count()).select_from(Device)) == 1


@STYLES
@pytest.mark.parametrize("how", ["failed", "other words"])
def test_registering_what_is_there_from_an_old_tab_says_that_it_stands_as_it_was(client, officer, htmx, how):
    client.get("/profile/devices")
    token = client.csrf_token()
    send(client, "/profile/devices", htmx, csrf_token=token, **FIELDS)
    client.get("/profile/devices")
    typed = dict(FIELDS)
    if how == "failed":
        db.session.scalars(select(Device)).one().status = D.FAILED
        db.session.commit()
    else:
        typed["name"] = "Another name"
    page = told(client, send(client, "/profile/devices", htmx, csrf_token=token, **typed), htmx)
    assert "MacBook at home is registered already. It stands below as it was." in page
    assert "notice-info" in page
    assert "We email you when" not in page


@STYLES
def test_a_second_device_is_refused(client, officer, device_in, htmx):
    client.get("/profile/devices")
    token = client.csrf_token()
    device_in()
    page = told(client, send(client, "/profile/devices", htmx, csrf_token=token, **FIELDS), htmx)
    assert "Nothing was registered: remove your device first" in page
    assert db.session.scalar(select(func.count()).select_from(Device)) == 1


@STYLES
def test_without_seed_nothing_is_registered(client, officer, htmx):
    client.get("/profile/devices")
    token = client.csrf_token()
    officer.seed_status = S.WITHDRAWN
    db.session.commit()
    page = told(client, send(client, "/profile/devices", htmx, csrf_token=token, **FIELDS), htmx)
    assert "Nothing was registered: you do not hold SEED" in page
    assert db.session.scalar(select(func.count()).select_from(Device)) == 0


def test_a_stale_form_keeps_what_was_typed(client, officer):
    client.get("/profile/devices")
    answer = client.submit("/profile/devices", csrf_token="stale", **FIELDS)
    assert answer.status_code == 422
    assert "open for too long" in answer.text
    assert ID in answer.text
    assert db.session.scalar(select(func.count()).select_from(Device)) == 0


def test_what_a_form_adds_is_passed_over(client, officer, make):
    other = make.account()
    client.get("/profile/devices")
    client.submit("/profile/devices", **FIELDS, status="onboarded", account_id=other.id, remove_at="")
    device = db.session.scalars(select(Device)).one()
    assert (device.status, device.account_id) == (D.TRIGGERED, officer.id)
    assert device.remove_at


# The policy first (rule 4.4).


@pytest.fixture
def newcomer(client, make):
    account = make.account(seed_status=S.INVITED)
    make.invitation(account, InvitationKind.SEED)
    make.sign_in(client, account)
    return account


@STYLES
def test_who_has_not_accepted_the_policy_does_that_first(client, newcomer, htmx):
    page = client.get("/profile/devices").text
    assert "MDM Acceptable Use Policy" in page
    assert 'name="intune_device_id"' not in page
    answer = client.submit("/profile/mdm-aup", htmx=htmx, version="2026-11-02")
    page = told(client, answer, htmx)
    assert "You have accepted the policy" in page
    assert 'name="intune_device_id"' in page
    assert db.session.scalars(select(AgreementAcceptance.document)).all() == ["mdm-aup"]


@STYLES
def test_an_older_version_is_not_accepted(client, newcomer, htmx):
    client.get("/profile/devices")
    page = told(client, client.submit("/profile/mdm-aup", htmx=htmx, version="2020-01-01"), htmx)
    assert "Nothing was accepted: there is a newer version" in page
    assert db.session.scalar(select(func.count()).select_from(AgreementAcceptance)) == 0


@STYLES
def test_a_device_sent_before_the_policy_is_not_registered(client, newcomer, htmx):
    client.get("/profile/devices")
    page = told(client, client.submit("/profile/devices", htmx=htmx, **FIELDS), htmx)
    assert "accept the policy below first" in page
    assert db.session.scalar(select(func.count()).select_from(Device)) == 0


def test_a_stale_policy_page_says_so(client, newcomer):
    client.get("/profile/devices")
    answer = client.submit("/profile/mdm-aup", csrf_token="stale", version="2026-11-02")
    assert answer.status_code == 422
    assert "open for too long" in answer.text


# One row: it asks for itself while something is under way.


def test_a_row_that_has_not_changed_is_left_alone(client, device_in):
    device = device_in()
    answer = client.htmx("GET", f"/profile/devices/{device.id}?shown=triggered")
    assert (answer.status_code, answer.data) == (204, b"")


@pytest.mark.parametrize("status", [D.SOFTWARE_INSTALLED, D.ONBOARDED, D.FAILED])
def test_a_row_that_has_changed_says_so_and_asks_no_more_once_it_has_arrived(client, device_in, status):
    device = device_in(status)
    answer = client.htmx("GET", f"/profile/devices/{device.id}?shown=triggered")
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert answer.text.strip().startswith(f'<tr id="device-{device.id}"')
    assert "data-announce" in answer.text
    assert "data-focus" not in answer.text
    assert ("hx-trigger" in answer.text) is (status is D.SOFTWARE_INSTALLED)
    for button in ("remove", *(["refresh"] if status is D.SOFTWARE_INSTALLED else [])):
        assert f'id="{button}-{device.id}"' in answer.text


def test_refresh_says_how_it_stands_though_nothing_changed(client, device_in):
    device = device_in()
    answer = client.htmx("GET", f"/profile/devices/{device.id}")
    assert answer.status_code == 200
    assert 'data-announce="MacBook Air: Triggered, waiting for software installation (step 1 of 2)."' in answer.text
    assert answer.text.count("waiting for software installation") == 2  # Once to be read out, once to be seen.


def test_keeping_a_device_says_which_and_how_it_stands(client, device_in):
    device = device_in(D.FAILED)
    asked = client.htmx("GET", f"/profile/devices/{device.id}/remove").text
    (address,) = re.findall(r'hx-get="([^"]+)"', asked)
    answer = client.htmx("GET", address.replace("&amp;", "&"))
    assert 'data-announce="Nothing was removed. MacBook Air: Failed."' in answer.text


@pytest.mark.parametrize("status", [D.SOFTWARE_INSTALLED, D.FAILED])
def test_a_row_that_has_changed_takes_the_notice_of_before_away(client, officer, status):
    client.get("/profile/devices")
    page = client.submit("/profile/devices", htmx=True, **FIELDS).text
    assert '<div id="devices-notice" tabindex="-1" data-focus>' in page
    assert "hx-swap-oob" not in page
    device = db.session.scalars(select(Device)).one()
    device.status = status
    db.session.commit()
    row = client.htmx("GET", f"/profile/devices/{device.id}?shown=triggered").text
    assert '<div id="devices-notice" hx-swap-oob="innerHTML"></div>' in row
    assert "data-focus" not in row


def test_the_help_stays_open_when_the_form_comes_back(client, officer):
    client.get("/profile/devices")
    page = client.submit("/profile/devices", htmx=True, **FIELDS | {"name": ""}).text
    for name in ("on-macos", "on-windows"):
        assert f'<details class="help" id="{name}" hx-preserve="true">' in page


@pytest.mark.parametrize("how", ["removed", "overdue"])
def test_a_row_that_is_gone_brings_the_rest_along(client, officer, device_in, make, now, set_now, how):
    device = device_in()
    if how == "removed":
        device_reports.apply(Report(device.intune_device_id, D.REMOVED, now), now, make.policy)
        db.session.commit()
    else:
        set_now(now + timedelta(days=14, seconds=1))
        make.now = now + timedelta(days=14, seconds=1)
        make.sign_in(client, officer)
    answer = client.htmx("GET", f"/profile/devices/{device.id}?shown=triggered")
    assert answer.status_code == 200
    assert answer.headers["HX-Retarget"] == "#devices"
    assert answer.headers["HX-Reswap"] == "outerHTML"
    assert "MacBook Air is removed." in answer.text
    assert 'name="intune_device_id"' in answer.text
    assert "<table" not in answer.text


def test_without_htmx_a_row_leads_to_the_page(client, device_in):
    device = device_in()
    answer = client.get(f"/profile/devices/{device.id}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/profile/devices")


def test_a_session_that_ended_sends_the_poll_to_the_log_in_page(app, device_in):
    device = device_in()
    answer = app.test_client().htmx("GET", f"/profile/devices/{device.id}?shown=triggered")
    assert answer.status_code == 204
    assert answer.headers["HX-Redirect"].startswith("/log-in")


# Retry.


@STYLES
def test_what_failed_is_tried_again(client, device_in, htmx):
    device = device_in(D.FAILED, reason="No network")
    client.get("/profile/devices")
    page = told(client, client.submit(f"/profile/devices/{device.id}/retry", htmx=htmx), htmx)
    assert "We are trying to onboard MacBook Air again" in page
    assert "Step 1 of 2" in page
    assert 'hx-trigger="every 5s"' in page
    assert "No network" not in page
    assert fresh(device).status is D.TRIGGERED


@STYLES
@pytest.mark.parametrize("status", [D.TRIGGERED, D.ONBOARDED])
def test_what_has_not_failed_is_left_alone(client, device_in, status, htmx):
    device = device_in(status)
    client.get("/profile/devices")
    page = told(client, client.submit(f"/profile/devices/{device.id}/retry", htmx=htmx), htmx)
    assert "Nothing was changed: it has not failed" in page
    assert fresh(device).status is status


@STYLES
def test_what_was_removed_meanwhile_is_not_tried_again(client, device_in, htmx):
    device = device_in(D.FAILED)
    client.get("/profile/devices")
    device.status = D.REMOVED
    db.session.commit()
    page = told(client, client.submit(f"/profile/devices/{device.id}/retry", htmx=htmx), htmx)
    assert "Nothing was changed: this device is removed" in page
    assert fresh(device).status is D.REMOVED


# Remove.


@STYLES
@pytest.mark.parametrize(
    ("status", "says"),
    [
        (D.ONBOARDED, "leaves SEED and can reach SGTS no more"),
        (D.TRIGGERED, "by Thursday, 24 December 2026, 10:00 Singapore time"),
    ],
)
def test_removing_asks_first_and_then_does_it(client, device_in, officer, status, says, htmx):
    device = device_in(status)
    address = f"/profile/devices/{device.id}/remove"
    before = written()
    asked = client.htmx("GET", address) if htmx else client.get(address)
    assert ("<html" in asked.text) is not htmx
    assert "Remove MacBook Air?" in asked.text
    assert says in " ".join(asked.text.split())
    assert "Keep it" in asked.text
    assert written() == before
    page = told(client, client.submit(address, htmx=htmx), htmx)
    assert "MacBook Air is removed from SEED" in page
    assert 'name="intune_device_id"' in page
    assert fresh(device).status is D.REMOVED
    assert fresh(officer).seed_status is S.INVITED
    page = told(client, client.submit(address, htmx=htmx), htmx)
    assert "was removed already" in page


def test_asking_after_the_invitation_has_run_out_says_that_seed_ends(client, device_in, now):
    device = device_in(D.FAILED)
    db.session.scalars(select(Invitation)).one().expires_at = now - timedelta(seconds=1)
    db.session.commit()
    asked = " ".join(client.get(f"/profile/devices/{device.id}/remove").text.split())
    assert "ask for SEED again" in asked
    assert "Singapore time; or give SEED up" not in asked


@STYLES
def test_asking_about_one_that_is_gone_shows_how_it_stands(client, device_in, htmx):
    device = device_in(D.REMOVED)
    address = f"/profile/devices/{device.id}/remove"
    page = told(client, client.htmx("GET", address) if htmx else client.get(address), htmx)
    assert "This device is removed already" in page


# Another officer's (Z2).


@STYLES
@pytest.mark.parametrize("status", [D.TRIGGERED, D.FAILED, D.ONBOARDED, D.REMOVED])
def test_another_officers_device_does_not_exist(client, officer, make, htmx, status):
    device = make.device(make.account(seed_status=S.ONBOARDED), status)
    client.get("/profile/devices")
    before = written()
    for number in (device.id, 10**6):
        for method, path in (("GET", ""), ("GET", "/remove"), ("POST", "/retry"), ("POST", "/remove")):
            address = f"/profile/devices/{number}{path}"
            data = {"csrf_token": client.csrf_token()} if method == "POST" else None
            client.get("/profile/devices")
            answer = client.htmx(method, address, data=data) if htmx else client.open(address, method=method, data=data)
            assert answer.status_code == 404, address
            client.get("/profile/devices")
    assert fresh(device).status is status
    assert written() == before


def test_a_row_that_asks_by_itself_keeps_no_session_alive(client, make, now, set_now, policy):
    account = make.account(seed_status=SeedStatus.INVITED)
    device = make.device(account)
    make.sign_in(client, account)
    for minutes in range(1, policy.session_idle_minutes + 1, 5):
        set_now(now + timedelta(minutes=minutes))
        assert client.htmx("GET", f"/profile/devices/{device.id}?shown=triggered").status_code == 204
    set_now(now + timedelta(minutes=policy.session_idle_minutes, seconds=1))
    answer = client.htmx("GET", f"/profile/devices/{device.id}?shown=triggered")
    assert answer.headers["HX-Redirect"].startswith("/log-in")
