"""Logging in and out by the pages (rules 7.1 and 7.3), and where they lead."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pyotp
import pytest
from sqlalchemy import func, select

from webapp import known_browser
from webapp.domain.lifecycle import AccountStatus
from webapp.domain.tokens import LOG_IN_CODE, address_hash, derive_code
from webapp.extensions import db
from webapp.models import Authenticator, BrowserSession, LogInAttempt, Mail, WrongCode
from webapp.services import accounts, audit, authenticators, keys, wrong_codes

EMAIL = "peter@tech.gov.sg"


@pytest.fixture
def person(make):
    return make.account(email=EMAIL)


@pytest.fixture
def totp(make, person):
    return make.authenticator(person)


def mailed_code():
    nonce = db.session.scalars(select(LogInAttempt.nonce).order_by(LogInAttempt.id.desc()).limit(1)).one()
    return derive_code(keys.secret_key(), LOG_IN_CODE, nonce)


def sessions():
    return db.session.scalar(select(func.count()).select_from(BrowserSession))


def without_what_differs(page):
    """A page without its token and without the address that was typed."""
    return re.sub(r'value="[^"]*"', "", page).replace(EMAIL, "…").replace("other@tech.gov.sg", "…")


def begin(client, email=EMAIL, following=""):
    client.get(f"/log-in{following}")
    return client.submit(f"/log-in{following}", email=email)


def refused(client, answer):
    """The page on which an answer tells what is wrong: one of its own, so that Back never asks to send it again."""
    assert answer.status_code == 303
    page = client.get(answer.location)
    assert page.status_code == 200
    assert "<title>Error: " in page.text
    assert re.search(r'class="error-summary"[^>]* data-focus', page.text)
    return page


def to_the_authenticator(client, following=""):
    begin(client, following=following)
    client.get("/log-in/code")
    return client.submit("/log-in/code", code=mailed_code())


def log_in(client, totp, now, following=""):
    to_the_authenticator(client, following)
    client.get("/log-in/authenticator")
    return client.submit("/log-in/authenticator", code=totp.at(now))


def test_an_officer_logs_in_sees_the_profile_and_logs_out(client, person, totp, now):
    assert begin(client).location == "/log-in/code"
    page = client.get("/log-in/code")
    assert EMAIL in page.text
    code = mailed_code()
    assert client.submit("/log-in/code", code=f" {code[:3]} {code[3:]} ").location == "/log-in/authenticator"
    client.get("/log-in/authenticator")
    assert client.submit("/log-in/authenticator", code=totp.at(now)).location == "/profile"
    profile = client.get("/profile")
    assert EMAIL in profile.text
    assert "GovTech" in profile.text or "tech.gov.sg" in profile.text
    assert client.submit("/log-out").location == "/"
    assert sessions() == 0
    assert "You are logged out" in client.get("/").text
    assert client.get("/profile").location == "/log-in?next=/profile"


def test_the_cookie_of_before_log_out_opens_nothing(client, app, person, totp, now):
    log_in(client, totp, now)
    client.get("/profile")
    name = app.config["SESSION_COOKIE_NAME"]
    kept = client.get_cookie(name).value
    client.submit("/log-out")
    client.set_cookie(name, kept)
    assert client.get("/profile").status_code == 303


def test_a_session_planted_before_log_in_is_not_the_one_after(client, make, person, totp, now):
    planted = make.sign_in(client, make.account(AccountStatus.DISABLED))
    log_in(client, totp, now)
    with client.session_transaction() as cookie:
        assert cookie["sid"] != planted
        assert "log_in" not in cookie


@pytest.mark.parametrize("status", [None, "requested", "rejected", "pending", "active", "disabled", "terminated"])
def test_the_answers_never_tell_whether_an_account_exists(app, client, make, status):
    if status:
        make.account(AccountStatus(status), EMAIL)
    first = begin(client)
    page = client.get(first.location)
    wrong = client.submit("/log-in/code", code="000000" if mailed_code() != "000000" else "000001")
    told = refused(client, wrong)
    nobody = app.test_client()
    begin(nobody, "other@tech.gov.sg")
    same = nobody.get("/log-in/code")
    assert without_what_differs(same.text) == without_what_differs(page.text)
    code = "000000" if mailed_code() != "000000" else "000001"
    wrong_too = nobody.submit("/log-in/code", code=code)
    assert {name for name, _ in wrong_too.headers} == {name for name, _ in wrong.headers}
    assert wrong_too.location == wrong.location
    assert without_what_differs(refused(nobody, wrong_too).text) == without_what_differs(told.text)


@pytest.mark.parametrize(
    ("email", "says"),
    [
        ("", "Enter your organisational email address"),
        ("peter", "in the format"),
        ("x" * 300 + "@tech.gov.sg", "113 characters or fewer"),
        ("peter😀@tech.gov.sg", "letters A to Z"),
        ("a@tech.gov.sg\r\nBcc: b@tech.gov.sg", "in the format"),
    ],
)
def test_an_address_that_is_none_is_told_and_kept(client, email, says):
    page = html.unescape(refused(client, begin(client, email)).text)
    assert says in page
    assert "There is a problem" in page
    assert f'value="{" ".join(email.split())}"'[:200] in " ".join(page.split())
    assert db.session.scalar(select(func.count()).select_from(LogInAttempt)) == 0


@pytest.mark.parametrize("page", ["code", "authenticator", "recovery"])
@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("", "Enter"),
        ("12345", "not right|6 digits"),
        ("x" * 5000, "6 digits|letters and digits"),
        ("１２３４５６", "6 digits|not right"),
        ("😀", "6 digits|not right"),
    ],
)
def test_a_code_that_is_none_is_told_beside_the_field(client, person, totp, page, code, says):
    begin(client) if page == "code" else to_the_authenticator(client)
    client.get(f"/log-in/{page}")
    answer = refused(client, client.submit(f"/log-in/{page}", code=code))
    assert re.search(f'id="code-error".*?({says})', answer.text, re.DOTALL)
    assert re.search(r'<input[^>]* name="code"[^>]* value=""', answer.text), "a code is typed anew"
    assert "There is a problem" not in client.get(f"/log-in/{page}").text, "told twice"
    assert sessions() == 0


def test_what_was_wrong_on_one_page_is_not_told_on_another(client, person):
    begin(client)
    client.get("/log-in/code")
    client.submit("/log-in/code", code="1")
    assert "There is a problem" not in client.get("/log-in").text
    assert "There is a problem" not in client.get("/log-in/code").text


@pytest.mark.parametrize("address", ["/log-in", "/log-in/code"])
def test_a_stale_form_is_told_and_keeps_what_was_typed(client, person, address):
    begin(client)
    client.get(address)
    page = refused(client, client.submit(address, email=EMAIL, code="123456", csrf_token="stale")).text
    assert "open for too long" in page
    assert EMAIL in page
    assert "123456" not in page
    assert ("Enter the code again" if address.endswith("code") else "Your answers are kept") in page


@pytest.mark.parametrize("address", ["/log-in/code", "/log-in/authenticator", "/log-in/recovery"])
def test_a_step_without_the_ones_before_leads_to_the_first(client, person, address):
    assert client.get(address).location.startswith("/log-in")
    client.get("/log-in")
    assert (
        client.submit(address, code="123456" if "recovery" not in address else "abcd-efgh-2345").location == "/log-in"
    )


def test_each_page_leads_to_the_step_that_waits(client, person, totp):
    begin(client)
    assert client.get("/log-in/authenticator").location == "/log-in/code"
    assert client.get("/log-in/recovery").location == "/log-in/code"
    client.get("/log-in/code")
    client.submit("/log-in/code", code=mailed_code())
    assert client.get("/log-in/code").location == "/log-in/authenticator"


def test_what_took_too_long_begins_anew_and_still_leads_on(client, person, now, set_now):
    begin(client, following="?next=/profile")
    set_now(now + timedelta(minutes=11))
    answer = client.get("/log-in/code")
    assert answer.location == "/log-in?next=/profile"
    assert "took too long" in client.get(answer.location).text


def test_a_second_start_within_the_minute_says_that_the_code_was_sent(client, person):
    begin(client)
    client.get("/log-in/code")
    answer = client.submit("/log-in", email=EMAIL)
    assert "less than a minute ago" in client.get(answer.location).text
    assert db.session.scalar(select(func.count()).select_from(Mail)) == 1


def test_too_many_wrong_codes_say_what_to_do(client, person):
    begin(client)
    client.get("/log-in/code")
    wrong = "000000" if mailed_code() != "000000" else "000001"
    for _ in range(5):
        assert "not right" in refused(client, client.submit("/log-in/code", code=wrong)).text
    answer = client.submit("/log-in/code", code=mailed_code())
    assert "Wait 5 minutes" in refused(client, answer).text
    assert db.session.scalar(select(func.count()).select_from(WrongCode)) == 5


@pytest.mark.parametrize("there", [True, False], ids=["known-address", "unknown-address"])
def test_too_many_in_a_day_say_to_come_back_tomorrow(client, make, now, policy, there):
    """Promise 3: whoever has the address, if anybody."""
    if there:
        make.account(email=EMAIL)
    hashed = address_hash(keys.secret_key(), EMAIL)
    for number in range(policy.wrong_codes_per_day):
        wrong_codes.count(hashed, now - timedelta(minutes=10 + number), known_browser=False)
    db.session.commit()
    begin(client)
    client.get("/log-in/code")
    page = refused(client, client.submit("/log-in/code", code="000000")).text
    assert "Too many wrong codes today. Nothing was checked. Try again at this time tomorrow" in page
    assert "5 minutes" not in page


def test_a_recovery_code_lets_in_and_tells_how_many_are_left(client, person, totp, policy):
    authenticators.create_recovery_codes(person, policy)
    db.session.commit()
    code = authenticators.codes_to_save(person)[3]
    to_the_authenticator(client)
    assert "/log-in/recovery" in client.get("/log-in/authenticator").text
    client.get("/log-in/recovery")
    assert client.submit("/log-in/recovery", code=code.upper().replace("-", " ")).location == "/profile"
    assert "You have 9 codes left" in client.get("/profile").text


def test_who_is_disabled_is_told_after_the_right_code(client, make):
    make.account(AccountStatus.DISABLED, EMAIL)
    begin(client)
    client.get("/log-in/code")
    answer = client.submit("/log-in/code", code=mailed_code())
    assert answer.status_code == 403
    assert "Your TechPass is disabled" in answer.text


def test_whose_authenticator_was_reset_is_led_to_the_mail(client, person):
    to_the_authenticator(client)
    page = client.get("/log-in/authenticator")
    assert "Set up your new authenticator first" in page.text
    assert client.get("/log-in/recovery").location == "/log-in/authenticator"


@pytest.mark.parametrize(
    ("following", "leads"),
    [
        ("/profile?tab=1", "/profile?tab=1"),
        ("/admin/requests", "/admin/requests"),
        ("https://evil.example/", "/profile"),
        ("//evil.example/", "/profile"),
        ("/\\evil.example", "/profile"),
        ("\\\\evil.example", "/profile"),
        ("javascript:alert(1)", "/profile"),
        ("/%0d%0aSet-Cookie:x", "/profile"),
        ("profile", "/profile"),
    ],
)
def test_logging_in_leads_on_within_this_site_alone(client, person, totp, now, following, leads):
    """L8."""
    assert log_in(client, totp, now, f"?next={following}").location == leads
    assert client.get(f"/log-in?next={following}").location == leads


def test_a_known_browser_is_not_told_of_and_not_locked_out_by_strangers(app, client, person, totp, now, set_now):
    log_in(client, totp, now)
    client.get("/profile")
    client.submit("/log-out")
    stranger = app.test_client()
    begin(stranger)
    stranger.get("/log-in/code")
    wrong = "000000" if mailed_code() != "000000" else "000001"
    for _ in range(5):
        refused(stranger, stranger.submit("/log-in/code", code=wrong))
    later = now + timedelta(minutes=2)
    set_now(later)
    assert log_in(client, totp, later).location == "/profile"
    assert db.session.scalar(select(func.count()).select_from(Mail).where(Mail.kind == "new_sign_in")) == 1


def new_sign_ins():
    return db.session.scalar(select(func.count()).select_from(Mail).where(Mail.kind == "new_sign_in"))


@pytest.mark.parametrize("forgotten", ["locked", "reset", "everywhere"])
def test_a_browser_of_before_is_told_of_again_once_the_account_was_in_doubt(
    client, make, person, totp, now, policy, set_now, forgotten
):
    log_in(client, totp, now)
    client.get("/profile")
    at = now + timedelta(minutes=2)
    set_now(at)
    by = audit.SYSTEM
    if forgotten == "locked":
        accounts.lock(person.id, "in doubt", by, at, policy)
        accounts.enable(person.id, "looked at", by, at, policy)
    elif forgotten == "reset":
        authenticators.reset_authenticator(person.id, "lost", by, at, policy)
        totp = make.authenticator(person)
    else:
        client.get("/profile/security")
        client.submit("/profile/security/sessions/end", scope="all")
    assert new_sign_ins() == 1
    for minutes, mails in ((4, 2), (6, 2)):  # Told of once; then it is known again.
        client.get("/")
        with client.session_transaction() as cookie:
            cookie.clear()
        at = now + timedelta(minutes=minutes)
        set_now(at)
        assert log_in(client, totp, at).location == "/profile"
        assert new_sign_ins() == mails


@pytest.mark.parametrize("change", ["others", "replaced"])
def test_the_browser_that_makes_others_unknown_stays_known(app, client, person, totp, now, set_now, change):
    other = app.test_client()
    log_in(client, totp, now)
    at = now + timedelta(minutes=2)
    set_now(at)
    log_in(other, totp, at)
    assert new_sign_ins() == 2
    at = now + timedelta(minutes=4)
    set_now(at)
    client.get("/profile/security")
    if change == "others":
        client.submit("/profile/security/sessions/end", scope="others")
    else:
        client.submit("/profile/security/authenticator/start")
        client.get("/profile/security/authenticator")
        totp = pyotp.TOTP(new_key(person.id))
        client.submit("/profile/security/authenticator", code=totp.at(at))
    for minutes, browser, mails in ((6, client, 2), (8, other, 3)):
        with browser.session_transaction() as cookie:
            cookie.clear()
        at = now + timedelta(minutes=minutes)
        set_now(at)
        assert log_in(browser, totp, at).location == "/profile"
        assert new_sign_ins() == mails


def new_key(account_id):
    return keys.decrypt(db.session.get_one(Authenticator, account_id).next_encrypted_key or "")


@pytest.mark.parametrize("value", ["", "x", "1.2", "1764000000.", "abc.def", "1764000000." + "0" * 64])
def test_a_forged_mark_makes_no_browser_known(app, now, value):
    with app.test_request_context("/", headers={"Cookie": f"techpass-known={value}"}):
        assert not known_browser.is_known(EMAIL, now)


def test_a_browser_is_known_to_its_owner_for_half_a_year(app, client, person, totp, now):
    log_in(client, totp, now)
    mark = client.get_cookie("techpass-known").value
    assert "peter" not in mark
    with app.test_request_context("/", headers={"Cookie": f"techpass-known={mark}"}):
        assert known_browser.is_known(EMAIL, now + known_browser.LIFE)
        assert not known_browser.is_known(EMAIL, now + known_browser.LIFE + timedelta(seconds=1))
        assert not known_browser.is_known("other@tech.gov.sg", now)


def test_one_address_is_limited_and_others_are_not(client, person):
    client.get("/log-in")
    token = client.csrf_token()
    statuses = [client.post("/log-in", data={"email": EMAIL, "csrf_token": token}).status_code for _ in range(21)]
    assert statuses == [303] * 20 + [429]
    assert client.post("/log-in", data={"email": "b@tech.gov.sg", "csrf_token": token}).status_code == 303


def test_what_is_refused_does_not_count_for_the_address(client, person):
    client.get("/log-in")
    token = client.csrf_token()
    for form in ({"email": EMAIL}, {"email": "", "csrf_token": token}, {"email": "peter", "csrf_token": token}):
        for _ in range(21):
            assert client.post("/log-in", data=form).location == "/log-in"
    assert client.post("/log-in", data={"email": EMAIL, "csrf_token": token}).location == "/log-in/code"


def test_a_session_ends_when_idle_and_at_its_end(client, person, totp, now, set_now):
    log_in(client, totp, now)
    for minutes in range(29, 12 * 60, 29):
        set_now(now + timedelta(minutes=minutes))
        assert client.get("/profile").status_code == 200
    set_now(now + timedelta(hours=12))
    assert client.get("/profile").status_code == 303


def test_half_an_hour_without_a_click_ends_it(client, person, totp, now, set_now):
    log_in(client, totp, now)
    set_now(now + timedelta(minutes=31))
    assert client.htmx("GET", "/profile").headers["HX-Redirect"].startswith("/log-in")


def test_logging_out_twice_says_the_same(client, make):
    make.sign_in(client, make.account())
    client.get("/profile")
    assert client.submit("/log-out").location == "/"
    assert client.post("/log-out").location == "/"
    assert "You are logged out" in client.get("/").text


def test_a_press_after_the_session_ended_leads_to_logging_in_and_back(client, make, app):
    request = make.request()
    make.sign_in(client, make.admin())
    client.get("/admin/requests")
    db.session.query(BrowserSession).delete()
    db.session.commit()
    where = {"HX-Current-URL": "http://localhost/admin/requests?after=x"}
    for answer in (
        client.htmx("POST", f"/admin/requests/{request.id}/approve", headers=where),
        client.htmx("GET", f"/admin/requests/{request.id}/reject", headers=where),
    ):
        assert answer.status_code == 204
        assert answer.headers["HX-Redirect"] == "/log-in?next=/admin/requests?after%3Dx"
    for evil in ("https://evil.example//evil.example/x", "https://[evil.example/x", "http://a]b/x"):
        answer = client.htmx("POST", f"/admin/requests/{request.id}/approve", headers={"HX-Current-URL": evil})
        assert answer.headers["HX-Redirect"] == "/log-in"


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "htmx"])
def test_who_is_not_logged_in_any_more_learns_that_nothing_was_changed(client, make, htmx):
    make.sign_in(client, make.account())
    client.get("/profile/edit")
    db.session.query(BrowserSession).delete()
    db.session.commit()
    client.submit("/profile/edit", htmx=htmx, first_name="Peter")
    assert "so nothing was changed. Log in, then do it again." in client.get("/log-in").text
