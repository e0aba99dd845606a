"""The security page: confirming, a new authenticator, new recovery codes, signing out of browsers (rule 6.3)."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pyotp
import pytest
from sqlalchemy import func, select

from tests.onboarding import Visit, app_of, landing
from webapp.access import SESSION_TOKEN
from webapp.domain.tokens import address_hash
from webapp.extensions import db
from webapp.models import AuditEvent, Authenticator, BrowserSession, Mail, RecoveryCode, SessionKind, WrongCode
from webapp.services import authenticators, keys, sessions, wrong_codes

EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0"
SECURITY = "/profile/security"
CONFIRM, AUTHENTICATOR, CODES = f"{SECURITY}/confirm", f"{SECURITY}/authenticator", f"{SECURITY}/recovery-codes"
MINUTE = timedelta(minutes=1)

STYLES = pytest.mark.parametrize("htmx", [False, True], ids=["plain", "htmx"])


@pytest.fixture
def person(client, make):
    account = make.account(email="peter@tech.gov.sg")
    make.sign_in(client, account)
    return account


@pytest.fixture
def totp(make, person):
    return make.authenticator(person)


@pytest.fixture
def confirmed(person, totp, now):
    """Whoever is signed in has confirmed just now."""
    db.session.query(BrowserSession).update({"confirmed_at": now})
    db.session.commit()


def elsewhere(app, account, now, policy, user_agent=EDGE):
    """Another browser of the same person."""
    token = sessions.open_session(
        account, SessionKind.SIGNED_IN, now, policy, peer="203.0.113.7", user_agent=user_agent
    )
    db.session.commit()
    browser = app.test_client()
    with browser.session_transaction() as cookie:
        cookie[SESSION_TOKEN] = token
    return browser, db.session.scalar(select(func.max(BrowserSession.id)))


def count(table, **where):
    return db.session.scalar(select(func.count()).select_from(table).filter_by(**where))


def written():
    return [count(table) for table in (AuditEvent, Mail, BrowserSession, RecoveryCode, Authenticator)]


def shown_error(client, answer, says):
    """An error is told on a page of its own, once, beside the field; what was typed is gone."""
    page = html.unescape(client.get(landing(answer)).text)
    assert "<title>Error: " in page
    assert re.search(r'class="error-summary"[^>]* data-focus', page)
    assert re.search(f'id="code-error".*?{re.escape(says)}', page, re.DOTALL)
    assert re.search(r'<input[^>]* name="code"[^>]* value=""', page)
    assert "There is a problem" not in client.get(landing(answer)).text
    return page


def new_app(text):
    return pyotp.TOTP(Visit.typed_key(text))


# The page


def test_it_tells_how_one_logs_in_and_from_where(app, client, person, totp, now, policy):
    authenticators.create_recovery_codes(person, policy)
    person.recovery_nonce = None
    db.session.commit()
    elsewhere(app, person, now - 2 * timedelta(minutes=10), policy)
    page = client.get(SECURITY).text
    assert "In use since Tuesday, 24 November 2026, 10:00 Singapore time" in page
    assert "10 of 10 are left" in page
    assert "running out" not in page
    assert "Not saved yet" not in page
    assert page.index("This browser") < page.index("Edge on Windows")
    assert re.search(r"Last used 20 minutes ago, from 203\.0\.113\.7", page)
    assert "Sign out everywhere else" in page


@pytest.mark.parametrize(("used", "says"), [(7, None), (8, "running out"), (10, "no recovery codes left")])
def test_it_warns_before_the_recovery_codes_are_used_up(client, person, totp, now, policy, used, says):
    authenticators.create_recovery_codes(person, policy)
    for code in authenticators.codes_to_save(person)[:used]:
        authenticators.use_recovery_code(person.id, code, now)
    person.recovery_nonce = None
    db.session.commit()
    page = client.get(SECURITY).text
    assert f"{10 - used} of 10 are left" in page
    assert ("notice-warning" in page) == bool(says)
    assert says is None or says in page


def test_who_is_alone_is_not_offered_to_sign_out_elsewhere(client, person, totp):
    page = client.get(SECURITY).text
    assert "Sign out everywhere else" not in page
    assert "Sign out everywhere" in page


def test_a_browser_that_calls_itself_by_markup_is_named_in_our_words(app, client, person, now, policy):
    elsewhere(app, person, now, policy, user_agent="<script>alert(1)</script>")
    page = client.get(SECURITY).text
    assert "An unknown browser on an unknown system" in page
    assert "alert" not in page


# Confirming


@STYLES
@pytest.mark.parametrize("page", [AUTHENTICATOR, CODES])
def test_a_change_asks_for_a_code_first_and_goes_on_to_it(client, person, totp, now, htmx, page):
    asked = landing(client.get(page))
    assert asked == f"{CONFIRM}?next={page}"
    assert "Confirm that it is you" in client.get(asked).text
    answer = client.submit(asked, htmx=htmx, code=f" {totp.at(now)[:3]} {totp.at(now)[3:]}")
    assert landing(answer) == page
    assert client.get(page).status_code == 200
    assert landing(client.get(asked)) == page, "asked again"


@STYLES
@pytest.mark.parametrize(
    ("address", "page"),
    [
        (f"{AUTHENTICATOR}/start", AUTHENTICATOR),
        (AUTHENTICATOR, AUTHENTICATOR),
        (f"{CODES}/new", CODES),
        (CODES, CODES),
    ],
)
def test_nothing_is_changed_without_it(client, person, totp, htmx, address, page):
    client.get(SECURITY)
    before = written()
    answer = client.submit(address, htmx=htmx, code="123456")
    assert landing(answer) == f"{CONFIRM}?next={page}"
    assert written() == before
    assert db.session.scalar(select(Authenticator.next_encrypted_key)) is None


def test_the_file_of_codes_asks_for_it_too(client, person, totp, now, policy, set_now, confirmed):
    client.get(CODES)
    client.submit(f"{CODES}/new")
    assert client.get(f"{CODES}.txt").status_code == 200
    set_now(now + 11 * MINUTE)
    assert landing(client.get(f"{CODES}.txt")) == f"{CONFIRM}?next={CODES}"
    assert landing(client.get(CODES)) == f"{CONFIRM}?next={CODES}"


@STYLES
def test_a_recovery_code_does_as_well_and_is_used_up(client, person, totp, policy, htmx):
    authenticators.create_recovery_codes(person, policy)
    db.session.commit()
    code = authenticators.codes_to_save(person)[0]
    address = f"{CONFIRM}?next={AUTHENTICATOR}&by=recovery-code"
    assert html.escape(address) in client.get(f"{CONFIRM}?next={AUTHENTICATOR}").text
    client.get(address)
    assert landing(client.submit(address, htmx=htmx, code=code.upper())) == AUTHENTICATOR
    assert "You used a recovery code. You have 9 codes left." in client.get(AUTHENTICATOR).text
    assert db.session.scalar(select(func.count(RecoveryCode.used_at))) == 1


@STYLES
@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("", "Enter the 6-digit code"),
        ("12345", "The code has 6 digits"),
        ("x" * 5000, "The code has 6 digits"),
        ("１２３４５６", "The code has 6 digits"),
        ("000000", "This code is not right, or was used before"),
    ],
)
def test_a_code_that_is_not_right_is_told_and_confirms_nothing(client, person, totp, htmx, code, says):
    address = f"{CONFIRM}?next={CODES}"
    client.get(address)
    answer = client.submit(address, htmx=htmx, code=code)
    assert landing(answer) == address
    shown_error(client, answer, says)
    assert db.session.scalar(select(BrowserSession.confirmed_at)) is None


@pytest.mark.parametrize(("code", "says"), [("", "Enter one of your"), ("x" * 50, "12 letters"), ("aaaa", "not right")])
def test_so_is_a_recovery_code(client, person, totp, code, says):
    address = f"{CONFIRM}?next={CODES}&by=recovery-code"
    client.get(address)
    shown_error(client, client.submit(address, code=code), says)


def test_a_stale_form_says_to_enter_the_code_again(client, person, totp, now):
    client.get(CONFIRM)
    answer = client.submit(CONFIRM, code=totp.at(now), csrf_token="stale")
    assert "Enter the code again" in client.get(landing(answer)).text
    assert db.session.scalar(select(Authenticator.last_step)) == 0


def test_too_many_wrong_codes_end_by_themselves(client, person, totp, now, set_now):
    for _ in range(5):
        client.get(CONFIRM)
        client.submit(CONFIRM, code="000000" if totp.at(now) != "000000" else "000001")
    assert count(WrongCode) == 5
    client.get(CONFIRM)
    shown_error(client, client.submit(CONFIRM, code=totp.at(now)), "Wait 5 minutes")
    later = now + 5 * MINUTE
    set_now(later)
    client.get(CONFIRM)
    assert landing(client.submit(CONFIRM, code=totp.at(later))) == SECURITY


def test_too_many_in_a_day_say_to_come_back_tomorrow(client, person, totp, now, policy):
    for number in range(policy.wrong_codes_per_day):
        at = now - (10 + number) * MINUTE
        wrong_codes.count(address_hash(keys.secret_key(), person.email_folded), at, known_browser=True)
    db.session.commit()
    client.get(CONFIRM)
    page = shown_error(client, client.submit(CONFIRM, code=totp.at(now)), "Try again at this time tomorrow")
    assert "Wait 5 minutes" not in page


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/admin/requests",
        "/profile",
        f"{SECURITY}/../../log-out",
        f"{AUTHENTICATOR}/start",
        f"{CONFIRM}",
        f"{AUTHENTICATOR}?x=1",
        "😀",
        "",
    ],
)
def test_confirming_leads_on_to_a_page_of_security_alone(client, person, totp, now, following):
    """L8."""
    page = client.get(CONFIRM, query_string={"next": following}).text
    assert "Then choose on Security what to change" in page
    assert "Before you" not in page, "a change is named that this does not lead on to"
    client.get(CONFIRM)
    answer = client.post(
        CONFIRM, query_string={"next": following}, data={"csrf_token": client.csrf_token(), "code": totp.at(now)}
    )
    assert landing(answer) == SECURITY


# A new authenticator


@STYLES
def test_an_authenticator_is_replaced_without_a_gap(app, client, person, totp, confirmed, now, policy, set_now, htmx):
    other, _ = elsewhere(app, person, now, policy)
    page = client.get(AUTHENTICATOR)
    assert "stays in force" in page.text
    assert "otpauth" not in page.text
    assert "authenticator-key" not in page.text
    assert db.session.scalar(select(Authenticator.next_encrypted_key)) is None, "a GET began it"
    assert landing(client.submit(f"{AUTHENTICATOR}/start", htmx=htmx)) == AUTHENTICATOR
    page = client.get(AUTHENTICATOR).text
    new = new_app(page)
    assert new_app(client.get(AUTHENTICATOR).text).secret == new.secret, "a reload shows another key"
    assert "You are setting up a new authenticator" in client.get(SECURITY).text
    client.get(AUTHENTICATOR)
    shown_error(client, client.submit(AUTHENTICATOR, htmx=htmx, code=totp.at(now)), "This code is not right")
    assert other.get("/profile").status_code == 200
    client.get(AUTHENTICATOR)
    assert landing(client.submit(AUTHENTICATOR, htmx=htmx, code=new.at(now))) == SECURITY
    page = client.get(SECURITY).text
    assert "Your new authenticator is in force. All other browsers are signed out. You stay logged in here." in page
    assert app_of(person.id).secret == new.secret
    assert landing(other.get("/profile")).startswith("/log-in")
    assert db.session.scalars(select(Mail.kind)).all() == ["authenticator_changed"]
    # Back, and pressed again.
    answer = client.submit(AUTHENTICATOR, htmx=htmx, code=new.at(now + MINUTE / 2))
    assert "No new authenticator is being set up" in client.get(landing(answer)).text
    assert count(Mail) == 1
    assert "otpauth" not in client.get(AUTHENTICATOR).text
    assert "authenticator-key" not in client.get(AUTHENTICATOR).text


@STYLES
def test_a_replacement_is_cancelled(client, person, totp, confirmed, htmx):
    client.get(AUTHENTICATOR)
    client.submit(f"{AUTHENTICATOR}/start", htmx=htmx)
    client.get(AUTHENTICATOR)
    assert landing(client.submit(f"{AUTHENTICATOR}/cancel", htmx=htmx)) == SECURITY
    assert "stays the one it was" in client.get(SECURITY).text
    assert db.session.scalar(select(Authenticator.next_encrypted_key)) is None
    assert app_of(person.id).secret == totp.secret
    assert count(Mail) == 0
    client.submit(f"{AUTHENTICATOR}/cancel", htmx=htmx)
    page = client.get(SECURITY).text
    assert "There was nothing to cancel" in page
    assert "stays the one it was" not in page, "told of what may be replaced long since"
    assert count(AuditEvent, action="authenticator.replacement_cancelled") == 1


def test_what_another_browser_began_is_told_and_neither_shown_nor_gone_on_with(
    app, client, person, totp, confirmed, now, policy
):
    other, _ = elsewhere(app, person, now, policy)
    db.session.query(BrowserSession).update({"confirmed_at": now})
    db.session.commit()
    for address in (AUTHENTICATOR, CODES):
        other.get(address)
        other.submit(f"{address}/{'start' if address == AUTHENTICATOR else 'new'}")
    planted, codes = new_app(other.get(AUTHENTICATOR).text), Visit.codes(other.get(CODES).text)
    page = client.get(SECURITY).text
    assert "somebody began to set up a new one" in page
    assert "Go on setting it up" not in page
    assert "made in another browser" in page
    assert "Save them now" not in page
    assert "otpauth" not in client.get(AUTHENTICATOR).text
    assert not Visit.codes(client.get(CODES).text)
    assert landing(client.get(f"{CODES}.txt")) == CODES
    client.get(AUTHENTICATOR)
    client.submit(f"{AUTHENTICATOR}/start")
    assert new_app(client.get(AUTHENTICATOR).text).secret != planted.secret
    client.get(CODES)
    client.submit(f"{CODES}/new")
    assert not set(Visit.codes(client.get(CODES).text)) & set(codes)
    other.get(SECURITY)
    answer = other.submit(AUTHENTICATOR, code=planted.at(now))
    assert "No new authenticator is being set up in this browser" in other.get(landing(answer)).text
    assert app_of(person.id).secret == totp.secret


def test_the_key_is_hidden_once_the_ten_minutes_are_over_and_shown_after_the_next_code(
    client, person, totp, confirmed, now, set_now
):
    client.get(AUTHENTICATOR)
    client.submit(f"{AUTHENTICATOR}/start")
    new = new_app(client.get(AUTHENTICATOR).text)
    later = now + 11 * MINUTE
    set_now(later)
    asked = landing(client.submit(AUTHENTICATOR, code=new.at(later)))
    assert asked == f"{CONFIRM}?next={AUTHENTICATOR}"
    client.get(asked)
    assert landing(client.submit(asked, code=totp.at(later))) == AUTHENTICATOR
    assert new_app(client.get(AUTHENTICATOR).text).secret == new.secret, "what was scanned before is good no more"
    assert landing(client.submit(AUTHENTICATOR, code=new.at(later))) == SECURITY
    assert app_of(person.id).secret == new.secret


def test_somebody_who_has_none_is_told_so(client, person):
    page = client.get(SECURITY).text
    assert "You have no authenticator" in page
    assert AUTHENTICATOR not in page


# New recovery codes


@STYLES
def test_new_recovery_codes_are_made_and_shown_until_one_is_typed_back(client, person, totp, confirmed, htmx):
    page = client.get(CODES)
    assert "The old ones stop working at once" in page.text
    assert count(RecoveryCode) == 0, "a GET made them"
    assert landing(client.submit(f"{CODES}/new", htmx=htmx)) == CODES
    codes = Visit.codes(client.get(CODES).text)
    assert len(codes) == 10
    client.submit(f"{CODES}/new", htmx=htmx)
    assert Visit.codes(client.get(CODES).text) == codes, "pressed twice made others"
    assert "Not saved yet" in client.get(SECURITY).text
    file = client.get(f"{CODES}.txt")
    assert file.headers["Content-Disposition"] == 'attachment; filename="techpass-recovery-codes.txt"'
    assert all(f"{code}\r\n" in file.text for code in codes)
    client.get(CODES)
    page = shown_error(client, client.submit(CODES, htmx=htmx, code="aaaa-bbbb-cccc"), "not one of the codes above")
    assert Visit.codes(page) == codes
    client.get(CODES)
    assert landing(client.submit(CODES, htmx=htmx, code=codes[2].upper())) == SECURITY
    page = client.get(SECURITY).text
    assert "Your new recovery codes are saved" in page
    assert "10 of 10 are left" in page
    assert "Not saved yet" not in page
    assert not Visit.codes(client.get(CODES).text)
    assert landing(client.get(f"{CODES}.txt")) == CODES
    client.get(CODES)
    answer = client.submit(CODES, htmx=htmx, code=codes[2])
    assert "No new recovery codes of this browser wait" in client.get(landing(answer)).text
    assert db.session.scalars(select(Mail.kind)).all() == ["recovery_codes_changed"]


# Signing out


def sign_out(client, address, htmx, **fields):
    """What is said of it, on the page or in the fragment."""
    client.get(SECURITY)
    answer = client.submit(address, htmx=htmx, **fields)
    if not htmx:
        assert landing(answer) == SECURITY
        return client.get(SECURITY).text
    assert answer.status_code == 200
    assert answer.text.startswith("<section")
    assert "data-announce" in answer.text
    assert "data-focus" in answer.text
    return answer.text


@STYLES
def test_one_browser_is_signed_out_and_its_cookie_is_dead_at_once(app, client, person, totp, now, policy, htmx):
    """L6 and H4."""
    other, number = elsewhere(app, person, now, policy)
    third, _ = elsewhere(app, person, now, policy, user_agent="Firefox/1 Linux")
    other.get(SECURITY)
    page = sign_out(client, f"{SECURITY}/sessions/{number}/end", htmx)
    assert "The browser is signed out." in page
    assert "Edge on Windows" not in page
    assert "Firefox on Linux" in page
    page = sign_out(client, f"{SECURITY}/sessions/{number}/end", htmx)
    assert "That browser was signed out already." in page, "the second of two tabs"
    assert "Firefox on Linux" in page
    assert "Edge on Windows" not in page
    assert third.get("/profile").status_code == 200
    assert client.get("/profile").status_code == 200
    assert other.get(SECURITY).location == "/log-in?next=/profile/security"
    where = {"HX-Current-URL": f"http://localhost{SECURITY}"}
    answer = other.htmx("POST", f"{SECURITY}/sessions/end", data={"scope": "all"}, headers=where)
    assert answer.headers["HX-Redirect"] == "/log-in?next=/profile/security"
    assert count(BrowserSession) == 2, "a browser that was signed out signed others out"
    assert db.session.scalars(select(AuditEvent.detail)).all() == [{"count": 1}]


@STYLES
def test_everywhere_else_leaves_this_browser(app, client, person, totp, now, policy, htmx):
    others = [elsewhere(app, person, now, policy)[0] for _ in range(2)]
    page = sign_out(client, f"{SECURITY}/sessions/end", htmx, scope="others")
    assert "You are signed out everywhere else." in page
    assert [landing(other.get("/profile"))[:7] for other in others] == ["/log-in"] * 2
    assert client.get("/profile").status_code == 200
    assert "No other browser was signed in." in sign_out(client, f"{SECURITY}/sessions/end", htmx, scope="others")
    assert db.session.scalars(select(AuditEvent.detail)).all() == [{"count": 2}]


@STYLES
def test_everywhere_ends_on_the_start_page(app, client, make, person, totp, now, policy, htmx):
    stranger = app.test_client()
    make.sign_in(stranger, make.account())
    other, _ = elsewhere(app, person, now, policy)
    client.get(SECURITY)
    kept = client.get_cookie("techpass").value
    assert landing(client.submit(f"{SECURITY}/sessions/end", htmx=htmx, scope="all")) == "/"
    assert "You are signed out everywhere." in client.get("/").text
    client.set_cookie("techpass", kept)
    assert [landing(each.get("/profile"))[:7] for each in (client, other)] == ["/log-in"] * 2
    assert stranger.get("/profile").status_code == 200


@STYLES
def test_signing_this_browser_out_ends_on_the_start_page(client, person, totp, htmx):
    client.get(SECURITY)
    number = db.session.scalar(select(BrowserSession.id))
    assert landing(client.submit(f"{SECURITY}/sessions/{number}/end", htmx=htmx)) == "/"
    assert "You are logged out." in client.get("/").text
    with client.session_transaction() as cookie:
        assert SESSION_TOKEN not in cookie
    assert client.get("/profile").status_code == 303


@STYLES
def test_somebody_elses_browser_does_not_exist(app, client, make, person, totp, htmx):
    """Z2."""
    stranger = app.test_client()
    make.sign_in(stranger, make.account())
    number = db.session.scalar(select(func.max(BrowserSession.id)))
    client.get(SECURITY)
    before = written()
    said = [sign_out(client, f"{SECURITY}/sessions/{wanted}/end", htmx) for wanted in (number, 10**15)]
    assert "That browser was signed out already." in said[0]
    assert [re.sub(r'value="[^"]*"', "", page) for page in said] == [re.sub(r'value="[^"]*"', "", said[0])] * 2
    assert written() == before
    assert stranger.get("/profile").status_code == 200


@pytest.mark.parametrize("scope", [None, "", "x", "ALL", "others "])
def test_a_scope_that_is_none_ends_nothing(client, person, totp, scope):
    client.get(SECURITY)
    assert client.submit(f"{SECURITY}/sessions/end", scope=scope).status_code == 400
    assert count(BrowserSession) == 1


@pytest.mark.parametrize("address", [AUTHENTICATOR, f"{AUTHENTICATOR}/start", CODES, f"{CODES}/new"])
def test_a_browser_signed_out_in_the_middle_of_a_change_is_led_to_log_in(
    client, person, totp, confirmed, monkeypatch, address
):
    client.get(AUTHENTICATOR)
    client.submit(f"{AUTHENTICATOR}/start")
    client.get(AUTHENTICATOR)
    real = sessions.find_session

    def found_a_moment_before(*args, **kwargs):
        found = real(*args, **kwargs)
        sessions.end_all_sessions(person.id)
        db.session.commit()
        return found

    before = written()
    monkeypatch.setattr("webapp.access.find_session", found_a_moment_before)
    answer = client.submit(address, code="123456")
    monkeypatch.undo()
    assert landing(answer) == "/log-in"
    assert "You were signed out meanwhile" in client.get("/log-in").text
    assert [*written()[:2], *written()[3:]] == [*before[:2], *before[3:]]
