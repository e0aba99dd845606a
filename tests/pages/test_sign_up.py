"""The sign-up page, with htmx and without: the same outcome (rules 1.1 to 1.11)."""

from __future__ import annotations

import json
import re

import pytest
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter
from sqlalchemy import func, select

from webapp.domain.lifecycle import AccountStatus
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Mail, Request, UsedSolution

STYLES = pytest.mark.parametrize("htmx", [False, True], ids=["page", "htmx"])


def nothing_written() -> bool:
    tables = (Account, Request, Mail, AuditEvent, UsedSolution)
    return all(db.session.scalar(select(func.count()).select_from(table)) == 0 for table in tables)


def fill(client, make, *, htmx=False, **changes):
    client.get("/sign-up")
    fields = {"email": "peter_wilson@tech.gov.sg", "seed": "yes", "altcha": make.solution()} | changes
    return client.submit("/sign-up", htmx=htmx, **fields)


@STYLES
def test_an_officer_signs_up(client, make, htmx):
    answer = fill(client, make, htmx=htmx)
    if htmx:
        assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, "/sign-up/received")
    else:
        assert (answer.status_code, answer.location) == (303, "/sign-up/received")
    assert "We have received your request" in client.get("/sign-up/received").text
    account = db.session.scalars(select(Account)).one()
    assert (account.email, account.status) == ("peter_wilson@tech.gov.sg", AccountStatus.REQUESTED)


@STYLES
@pytest.mark.parametrize("status", [None, "requested", "pending", "active", "disabled", "terminated"])
def test_the_answer_never_tells_whether_an_account_exists(client, make, htmx, status):
    if status:
        account = make.account(AccountStatus(status), "peter_wilson@tech.gov.sg")
        if status == "pending":
            make.invitation(account)
    answer = fill(client, make, htmx=htmx)
    assert answer.status_code == (204 if htmx else 303)
    names = sorted(name for name, _ in answer.headers)
    assert (answer.text if htmx else re.sub(r"\s+", "", answer.text)).count("peter") == 0
    assert "Set-Cookie" not in names
    assert db.session.scalar(select(func.count()).select_from(Mail)) == 1


@STYLES
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"email": ""}, "Enter your organisational email address"),
        ({"email": "peter"}, "in the format name@agency.gov.sg"),
        ({"email": "p" * 65 + "@tech.gov.sg"}, "64 characters or fewer"),
        ({"email": "p" * 60000 + "@tech.gov.sg"}, "113 characters or fewer"),
        ({"email": "peter😀@tech.gov.sg"}, "letters A to Z"),
        ({"email": "p\u0131ter@tech.gov.sg"}, "letters A to Z"),
        ({"email": "a@tech.gov.sg\r\nBcc: b@tech.gov.sg"}, "in the format"),
        ({"email": "a@litemail.gov.sg"}, "Upgrade to a standard mailbox first"),
        ({"email": "a@gmail.com"}, "Personal email addresses cannot sign up"),
        ({"email": "a@acme.com"}, "Only addresses like"),
        ({"email": "a@dsta.gov.sg"}, "by invitation only"),
        ({"email": "a_FROM.ACME@tech.gov.sg"}, "Vendors and contractors"),
        ({"seed": None}, "Select yes if you want to onboard"),
        ({"seed": "maybe"}, "Select yes if you want to onboard"),
        ({"altcha": ""}, "wait for the check to finish"),
        ({"altcha": "rubbish"}, "wait for the check to finish"),
        ({"csrf_token": "stale"}, "open for too long"),
        ({"csrf_token": None}, "open for too long"),
    ],
)
def test_bad_input_gets_a_message_keeps_the_values_and_writes_nothing(client, make, htmx, changes, says):
    answer = fill(client, make, htmx=htmx, **changes)
    assert answer.status_code == 422
    assert says in answer.text.replace("&#39;", "'")
    assert "There is a problem" in answer.text
    if "email" not in changes:
        assert 'value="peter_wilson@tech.gov.sg"' in answer.text
    if "seed" not in changes and "email" not in changes:
        assert re.search(r"<input[^>]*checked[^>]*value=\"yes\"", answer.text)
    assert nothing_written()


@STYLES
def test_every_field_empty_tells_of_each(client, make, htmx):
    answer = fill(client, make, htmx=htmx, email="", seed=None, altcha="")
    assert answer.text.count('class="field-error"') == 3
    assert answer.status_code == 422


def test_a_solved_robot_check_is_kept_while_another_field_is_mended(client, make):
    solution = make.solution()
    answer = fill(client, make, email="peter", altcha=solution)
    assert f'name="altcha" value="{solution}"' in answer.text
    assert "altcha-widget" not in answer.text
    assert fill(client, make, altcha=solution).status_code == 303


def test_a_replayed_robot_check_is_refused(client, make):
    solution = make.solution()
    assert fill(client, make, altcha=solution).status_code == 303
    answer = fill(client, make, email="other@tech.gov.sg", altcha=solution)
    assert answer.status_code == 422
    assert "wait for the check to finish" in answer.text
    assert "altcha-widget" in answer.text
    assert db.session.scalar(select(func.count()).select_from(Account)) == 1


@pytest.mark.parametrize(
    ("field", "value"), [("email", "a\x00@tech.gov.sg"), ("altcha", "\x00"), ("seed", "\x00"), ("other", "\x00")]
)
def test_a_nul_is_refused_with_a_plain_page(client, make, field, value):
    answer = fill(client, make, **{field: value})
    assert answer.status_code == 400
    assert nothing_written()


@pytest.mark.parametrize(
    ("kwargs", "status"),
    [
        ({"json": {"email": "a@tech.gov.sg"}}, 422),
        ({"data": b"\xff\xfe\x00email", "content_type": "application/x-www-form-urlencoded"}, 422),
        ({"data": b"email=\xff\xfe", "content_type": "application/x-www-form-urlencoded"}, 422),
        ({"data": b"email=%FF%FE", "content_type": "application/x-www-form-urlencoded"}, 422),
        ({"data": {"email": "x" * 300_000}}, 413),
        ({"data": {f"f{n}": "x" for n in range(10_000)}, "content_type": "multipart/form-data"}, 413),
        ({"data": b"--x\r\nrubbish", "content_type": "multipart/form-data; boundary=x"}, 422),
    ],
)
def test_other_shapes_of_input_get_an_answer(client, kwargs, status):
    answer = client.post("/sign-up", **kwargs)
    assert answer.status_code == status
    assert nothing_written()


def test_extra_fields_change_nothing(client, make):
    fill(client, make, role="admin", status="active", seed_status="onboarded")
    account = db.session.scalars(select(Account)).one()
    assert (account.role, account.status, account.seed_status) == ("officer", "requested", "requested")


@pytest.mark.parametrize(
    ("email", "says", "seed"),
    [
        ("peter@tech.gov.sg", "you can sign up", "yes"),
        ("PETER@TECH.GOV.SG", "you can sign up", "yes"),
        ("a@schools.gov.sg", "SEED does not apply", "no"),
        ("a@litemail.gov.sg", "Upgrade to a standard mailbox first", "yes"),
        ("a@dsta.gov.sg", "by invitation only", "yes"),
        ("a@gmail.com", "Personal email addresses", "yes"),
        ("a@nowhere.gov.sg", "We do not know the agency nowhere.gov.sg yet", "yes"),
    ],
)
def test_the_address_is_judged_as_one_types(client, email, says, seed):
    answer = client.htmx("POST", "/sign-up/check", data={"email": email})
    assert answer.status_code == 200
    assert says in answer.text
    assert f'data-seed="{seed}"' in answer.text
    assert "<html" not in answer.text


@pytest.mark.parametrize("email", ["", "p", "peter@", "peter@tech.", "peter@tech.gov.s", "peter\x7f", "p" * 5000])
def test_nobody_is_told_off_half_way_through_a_word(client, email):
    answer = client.htmx("POST", "/sign-up/check", data={"email": email})
    assert (answer.status_code, answer.text.strip()) == (200, "")


def test_the_check_says_the_same_whether_or_not_an_account_exists(client, make):
    before = client.htmx("POST", "/sign-up/check", data={"email": "peter@tech.gov.sg"}).text
    make.account(email="peter@tech.gov.sg")
    assert client.htmx("POST", "/sign-up/check", data={"email": "peter@tech.gov.sg"}).text == before


def test_opened_as_a_page_the_check_leads_to_the_form(client):
    assert client.post("/sign-up/check", data={"email": "a@tech.gov.sg"}).location == "/sign-up"


def test_the_robot_check_is_served_by_ourselves_and_says_what_to_do_without_scripts(client):
    page = client.get("/sign-up").text
    assert "https://" not in re.sub(r'<a [^>]*href="[^"]*"', "", page)
    assert "check needs scripts" in page
    challenge = json.loads(client.get("/captcha/challenge").text)
    assert challenge["signature"]


def test_one_address_is_limited_and_then_one_peer(client, make):
    statuses = [fill(client, make, email="peter@tech.gov.sg").status_code for _ in range(6)]
    assert statuses == [303] * 5 + [429]
    statuses = [client.post("/sign-up", data={"email": f"o{number}"}).status_code for number in range(195)]
    assert statuses == [422] * 194 + [429]


def test_what_is_refused_does_not_count_for_the_address(app, client, make):
    used = make.solution()
    assert fill(client, make, email="other@tech.gov.sg", altcha=used).status_code == 303
    refused: list[dict[str, str | None]] = [
        {"csrf_token": None},
        {"altcha": ""},
        {"altcha": used},
        {"seed": None},
        {"email": ""},
        {"email": "peter@tech"},
    ]
    for changes in refused:
        for _ in range(6):
            assert fill(client, make, **{"email": "peter@tech.gov.sg", **changes}).status_code == 422
    statuses = [
        fill(client, make, email=email).status_code for email in ["peter@tech.gov.sg", " Peter@TECH.gov.sg"] * 3
    ]
    assert statuses == [303] * 5 + [429]
    assert not [key for key in app.extensions["redis"].scan_iter() if b"tech.gov.sg" in key]


@STYLES
@pytest.mark.parametrize("known", [False, True])
def test_whoever_is_limited_is_told_for_how_long(app, client, make, htmx, known):
    if known:
        make.account(email="peter_wilson@tech.gov.sg")
    for _ in range(5):
        fill(client, make, htmx=htmx)
    redis = app.extensions["redis"]
    (key,) = [key for key in redis.scan_iter() if b"/sign_up/" in key]
    redis.expire(key, 2390)
    answer = fill(client, make, htmx=htmx)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2390")
    assert "Try again in 40 minutes." in answer.text
    redis.expire(key, 1)
    assert "Try again in 1 minute." in fill(client, make, htmx=htmx).text


def test_a_forged_forwarded_header_does_not_escape_the_limit(client, make):
    for number in range(200):
        client.post("/sign-up", data={"email": f"o{number}"}, headers={"X-Forwarded-For": f"198.51.100.{number}"})
    answer = client.post("/sign-up", data={"email": "p"}, headers={"X-Forwarded-For": "198.51.100.99"})
    assert answer.status_code == 429


def test_the_limits_hold_and_the_page_works_with_the_queue_server_down(app, client, make, monkeypatch):
    import redis

    monkeypatch.setitem(app.extensions, "redis", redis.Redis(unix_socket_path="/nowhere/queue.sock"))
    nowhere = FixedWindowRateLimiter(storage_from_string("redis+unix:///nowhere/queue.sock", wrap_exceptions=True))
    monkeypatch.setitem(app.extensions, "limits", nowhere)
    statuses = [fill(client, make, seed=seed).status_code for seed in [None, "yes"] * 5]
    assert statuses == [422, 303] * 5
    answer = fill(client, make)
    assert answer.status_code == 429
    assert 3000 < int(answer.headers["Retry-After"]) <= 3600
    assert db.session.scalar(select(func.count()).select_from(Mail)) == 2
