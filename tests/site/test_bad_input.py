"""Whatever is sent to whatever address gets an answer below 500, and writes nothing (promise 7, S5)."""

from __future__ import annotations

import io
from functools import cache
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import EnvironBuilder

from tests.onboarding import Walk
from webapp.access import SESSION_TOKEN, Audience, audience_of
from webapp.domain.lifecycle import AccountStatus, DeviceStatus, InvitationKind, SeedStatus
from webapp.domain.onboarding import Step
from webapp.extensions import db
from webapp.models import Account
from webapp.services.account_actions import Action

FIELDS = (
    "email",
    "seed",
    "first_name",
    "mobile",
    "altcha",
    "code",
    "version",
    "reason",
    "name",
    "operating_system",
    "serial_number",
    "intune_device_id",
    "next",
    "domain",
    "mode",
    "text",
    "file",
    "day",
    "lines",
    "kind",
    "until",
    "role",
    "note",
    "scope",
    "question",
    "answer",
    "request",
    "common",
    "csrf_token",
    "other",
)
FORM = "application/x-www-form-urlencoded"

TEXTS = {
    "emoji": "😀👩‍👩‍👧‍👦",
    "look-alike": "pаyl@tеch.gov.sg",  # Cyrillic letters
    "kelvin": "\u212aim@tech.gov.sg",
    "line-breaks": "a@tech.gov.sg\r\nBcc: b@tech.gov.sg",
    "right-to-left": "\u202ea@tech.gov.sg",
    "long": "a" * 60_000,
    "sql": "'; DROP TABLE account; --",
    "markup": "<script>alert(1)</script>{{ 7 * 7 }}",
    "number": str(10**400),
    "blank": " \u3000\u200b",
}


def every(value: str) -> dict[str, str]:
    return dict.fromkeys(FIELDS, value)


def file(name: str, content: bytes) -> dict[str, Any]:
    return {"data": {field: (io.BytesIO(content), name) for field in FIELDS}, "content_type": "multipart/form-data"}


BODIES: dict[str, dict[str, Any]] = {
    **{name: {"data": every(text[: 60_000 // len(FIELDS)])} for name, text in TEXTS.items()},
    "nul": {"data": every("\x00")},
    "nul in a name": {"data": {"co\x00de": "1"}},
    "nul, escaped": {"data": b"code=%00&email=%00", "content_type": FORM},
    "broken UTF-8": {"data": b"code=\xff\xfe&email=\xc3\x28", "content_type": FORM},
    "broken UTF-8, escaped": {"data": b"code=%FF%FE&email=%C3%28&csrf_token=%FF", "content_type": FORM},
    "surrogates": {"data": b"code=%ED%A0%80&email=%ED%A0%80", "content_type": FORM},
    "half an escape": {"data": b"code=%&email=%f", "content_type": FORM},
    "a megabyte": {"data": {"code": "x" * 1_000_000}},
    "a hundred kilobytes": {"data": {"email": "x" * 100_000, "code": "x" * 100_000}},
    "ten thousand fields": {"data": {f"f{number}": "x" for number in range(10_000)}},
    "ten thousand parts": {
        "data": {f"f{number}": "x" for number in range(10_000)},
        "content_type": "multipart/form-data",
    },
    "a field many times": {"data": b"&".join([b"code=1&email=a"] * 50), "content_type": FORM},
    "a file": file("a.txt", b"content"),
    "a file named with NUL": file("a\x00.txt", b"\x00"),
    "multipart rubbish": {"data": b"--x\r\nrubbish", "content_type": "multipart/form-data; boundary=x"},
    "multipart without a boundary": {"data": b"x", "content_type": "multipart/form-data"},
    "multipart, unknown charset": {
        "data": b'--x\r\nContent-Disposition: form-data; name="code"\r\nContent-Type: text/plain; charset=nope\r\n\r\n'
        b"\xff\r\n--x--\r\n",
        "content_type": "multipart/form-data; boundary=x",
    },
    "JSON": {"json": every("x")},
    "JSON of other types": {"json": {field: [{"a": 1}, None, 5] for field in FIELDS}},
    "JSON numbers": {"json": dict.fromkeys(FIELDS, 5)},
    "a JSON list": {"json": [1, 2]},
    "JSON rubbish": {"data": b"{", "content_type": "application/json"},
    "XML": {"data": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>', "content_type": "text/xml"},
    "no type": {"data": b"\x00\xff", "content_type": ""},
    "an unknown charset": {"data": b"code=1", "content_type": f"{FORM}; charset=nope"},
    "nothing": {},
}

JOB_NUMBERS = ("%00", "%ff", "1", "x" * 5000, "..%2f..%2fetc", "portal:last-runs", f"{UUID(int=1)}%0a", UUID(int=1))

ADDRESSES = [
    "/%00",
    "/sign-up%00",
    "/requests/%00",
    "/invitations/%00",
    "/invitations/%ff%fe",
    "/invitations/" + "x" * 43,
    "/invitations/" + "x" * 20_000,
    "/invitations/%E2%84%AA" + "x" * 42,
    "/seed/" + "😀" * 43,
    "/registration/%00",
    "/registration/" + "x" * 43,
    "/registration/" + "x" * 20_000,
    "/set-up-authenticator/..%2f..%2fetc",
    "/requests/../../etc/passwd",
    "/onboarding/nothing",
    "/onboarding/%00",
    f"/admin/requests/{10**20}",
    f"/admin/requests/{10**4000}",
    f"/admin/requests/{2**63}",
    f"/admin/requests/{2**63 - 1}",
    "/admin/requests/0",
    "/admin/requests/-1",
    "/admin/requests/1.5",
    "/admin/requests/\u0661",
    "/admin/requests/%00",
    f"/admin/requests/{10**20}/reject",
    f"/admin/requests/{10**20}/ask",
    f"/admin/requests/reject?request={10**400}&request=x&request={2**63 - 1}",
    f"/admin/requests?agency={10**400}&kind=x&age={10**400}&seed=%00&question=😀&q=%F0%9F%98%80%25",
    f"/admin/mail?state=%00&kind=😀&to=%00%F0%9F%98%80%25&before={10**400}",
    f"/admin/mail/{10**20}",
    f"/admin/mail/{2**63 - 1}/html",
    "/admin/mail/0/retry",
    *(f"/admin/jobs/{number}/{act}" for number in JOB_NUMBERS for act in ("retry", "forget")),
    "/admin/jobs?shown=%00.%ff",
    f"/profile/devices/{10**20}",
    f"/profile/devices/{2**63}/retry",
    "/profile/devices/0/remove",
    "/profile/devices/%00",
    "/profile/devices/1?shown=%ff",
    "/api/mdm/devices/%00",
    "/api/mdm/devices/" + "x" * 5000,
    f"/profile/security/sessions/{10**20}/end",
    f"/profile/security/sessions/{2**63 - 1}/end",
    "/profile/security/sessions/%00/end",
    "/profile/security/confirm?next=%00&by=%ff",
    "/profile/security/confirm?next=//elsewhere.example",
    "/not-me/1/" + "😀" * 43,
    "/not-me/1/%00",
    f"/not-me/{10**20}/" + "x" * 43,
    f"/not-me/{2**63 - 1}/" + "x" * 43,
    "/not-me/0/" + "x" * 5000,
    *(f"/profile/activity?before={before}" for before in ("", "0", "-1", "%00", "\u0661", 2**63, 10**20, "9" * 5000)),
    *(
        f"/admin/audit?{field}={value}"
        for field in ("action", "by", "whom", "from", "to", "where", "before")
        for value in ("%00", "%ff", "x" * 5000, 10**20, "\u0661", "9999-12-31", "2026-11-24T02:00:00%2B00:00_1")
    ),
    f"/admin/accounts/{10**20}",
    f"/admin/accounts/{2**63 - 1}/hold",
    "/admin/accounts/1/%00",
    "/admin/accounts/1/" + "x" * 5000,
    *(
        f"/admin/accounts?{field}={value}"
        for field in ("q", "agency", "status", "role", "before")
        for value in ("%00", "%ff", "x" * 5000, "a " * 500, "%25_%5c", 10**20, 2**63 - 1, "\u0661", "-1")
    ),
    f"/admin/accounts/1?before={2**63 - 1}",
    f"/admin/agencies/{10**20}",
    "/admin/agencies/%00/delete",
    *(f"/admin/agencies?{field}={value}" for field in ("q", "mode", "after") for value in ("%00", "%ff", "x" * 5000)),
    "/admin/agencies/new?domain=" + "x" * 5000,
    *(f"/admin/holidays?year={year}" for year in ("%00", "-1", "0000", "9999", "\u0661" * 4, 10**20, "x" * 5000)),
    *(f"/admin/holidays/remove?day={day}" for day in ("", "%00", "x", "0001-01-01", "9999-12-31", "2026-02-30")),
    *(
        f"/admin/forecast?kind={kind}&{name}={value}"
        for kind in ("expire", "on_hold", "%00")
        for name in ("day", "after", "before")
        for value in ("%00", "9999-12-31", "0001-01-01T00:00:00%2B14:00_1", f"2026-11-24T02:00:00%2B00:00_{2**63}")
    ),
    *(f"/admin/forecast/rehearsal?at={value}&what={value}&after={value}" for value in ("%00", "9999-12-31", "x_1")),
    f"/admin/forecast/rehearsal/expired/{10**20}",
    "/admin/forecast/rehearsal/%00/1",
    "/admin/forecast/held/%00",
    "/static/%00",
    "/static/../webapp/settings.py",
    "/static/" + "x" * 5000,
    "/?device=%00",
    "/?device=%ff&whom=" + "x" * 5000,
    "/sign-up?email=%00",
    "/log-in?next=%00",
    "/log-in?next=//elsewhere.example",
    "/log-in?next=%ff%5c%0d%0aSet-Cookie:%20x=1",
    "/?" + "&".join(["a=1"] * 5000),
    *(
        f"/admin/requests?after={after}"
        for after in (
            "",
            "_",
            "x_1",
            "2026-11-24T02:00:00_1",
            f"2026-11-24T02:00:00%2B00:00_{10**20}",
            f"2026-11-24T02:00:00%2B00:00_{2**63}",
            "2026-11-24T02:00:00%2B00:00_-1",
            "2026-11-24T02:00:00%2B00:00_\u0661",
            "0001-01-01T00:00:00%2B14:00_1",
            "9999-12-31T23:59:59-14:00_1",
            "0001-01-01T00:00:00%2B00:00_1",
            "%00_1",
            "2026-11-24T02:00:00%2B00:00_" + "9" * 5000,
        )
    ),
]


def written() -> list[int]:
    return [db.session.scalar(select(func.count()).select_from(table)) or 0 for table in db.metadata.sorted_tables]


@pytest.fixture
def forms(app, make) -> list[tuple[FlaskClient, str]]:
    """The address of every form, each with a browser of somebody who may use it."""
    waiting = make.request(seed=True)
    pending, token = make.invitation()
    tokens = {
        "invitations": token,
        "seed": make.invitation(kind=InvitationKind.SEED)[1],
        "authenticator_setup": make.invitation(make.account(), InvitationKind.AUTHENTICATOR)[1],
        "registration": make.invitation(make.account(AccountStatus.REQUESTED), InvitationKind.REGISTRATION)[1],
        "receipts": make.receipt_token(db.session.get_one(Account, pending.account_id)),
    }
    browsers = {audience: app.test_client() for audience in Audience}
    walk = Walk.begin(make)
    walk.to(Step.AUTHENTICATOR)
    with browsers[Audience.ONBOARDING].session_transaction() as cookie:
        cookie[SESSION_TOKEN] = walk.sid
    officer = make.account(seed_status=SeedStatus.INVITED)
    make.invitation(officer, InvitationKind.SEED)
    device = make.device(officer, DeviceStatus.FAILED)
    make.sign_in(browsers[Audience.OFFICER], officer)
    make.sign_in(browsers[Audience.INVITER], officer)
    make.sign_in(browsers[Audience.ADMIN], make.admin())
    found = []
    for rule in app.url_map.iter_rules():
        audience = audience_of(app, rule.endpoint)
        if "POST" in (rule.methods or ()) and audience is not None:
            address = rule.rule.replace("<id:request_id>", str(waiting.id)).replace("<id:session_id>", "1")
            address = address.replace("<id:mail_id>", "1").replace("<id:device_id>", str(device.id))
            address = (
                address.replace("<id:agency_id>", "1")
                .replace("<id:account_id>", str(officer.id))
                .replace("<id:invitee_id>", "1")
                .replace("<id:batch_id>", "1")
                .replace("<id:row>", "1")
            )
            address = address.replace("<uuid:number>", str(UUID(int=1)))
            address = address.replace("<intune_device_id>", device.intune_device_id)
            address = address.replace("<token>", tokens.get(rule.endpoint.partition(".")[0], "x" * 43))
            actions = list(Action) if "<action>" in address else [""]
            found += [(browsers[audience], address.replace("<action>", action)) for action in actions]
    assert len(found) > 15
    return found


@cache
def body_of(name: str) -> dict[str, Any]:
    """What goes over the wire, written once: ten thousand parts take longer to write than to refuse."""
    builder = EnvironBuilder(method="POST", **BODIES[name])
    environ = builder.get_environ()
    builder.close()
    return {"data": environ["wsgi.input"].read(), "content_type": environ.get("CONTENT_TYPE")}


@pytest.mark.parametrize("body", BODIES)
def test_every_form_answers_whatever_it_is_sent_and_writes_nothing(forms, body):
    before = written()
    for browser, address in forms:
        answer = browser.post(address, **body_of(body))
        assert answer.status_code in (200, 303, 400, 404, 409, 410, 413, 415, 422), (address, answer.status_code)
    assert written() == before


def test_every_address_answers_however_it_is_mangled(client, make):
    make.sign_in(client, make.admin())
    before = written()
    for address in ADDRESSES:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE"):
            answer = client.open(address, method=method)
            assert answer.status_code < 500, (method, address[:80], answer.status_code)
    assert written() == before


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": "techpass=rubbish"},
        {"Cookie": "techpass=\xff\xfe; techpass-known=1.2.3"},
        {"Cookie": "techpass-known=..; techpass=" + "x" * 5000},
        {"Cookie": "=;;;==; \x7f"},
        {"User-Agent": "\xff" * 5000},
        {"User-Agent": ""},
        {"HX-Request": "\xff", "HX-Target": "😀".encode().decode("latin-1")},
        {"HX-Request": "true", "HX-Current-URL": "x" * 5000, "HX-Current-URL-URI-AutoEncoded": "true"},
        {"HX-Request": "true", "HX-Current-URL": "https://[elsewhere.example"},
        {"HX-Request": "true", "HX-Prompt": "%ff", "HX-Prompt-URI-AutoEncoded": "true"},
        {"Accept-Language": "x" * 5000},
        {"Content-Length": "rubbish"},
        {"X-Forwarded-For": "\xff, , rubbish", "X-Forwarded-Proto": "rubbish", "X-Forwarded-Host": "elsewhere.example"},
        {"Range": "bytes=9999999999999999999-"},
        {"If-None-Match": "\xff", "If-Modified-Since": "rubbish"},
        {"Sec-Fetch-Site": "\xff"},
        {"Authorization": "Bearer \xff"},
        {"Referer": "\xff", "Origin": "null"},
    ],
    ids=lambda headers: "+".join(headers),
)
def test_every_page_answers_whatever_headers_come(client, make, headers):
    _, token = make.invitation()
    before = written()
    static = "/static/app.css"
    for address in ("/", "/sign-up", "/log-in", f"/invitations/{token}", "/profile", "/metrics", "/nowhere", static):
        for method in ("GET", "POST"):
            builder = EnvironBuilder(path=address, method=method)
            environ = builder.get_environ()
            builder.close()
            for name, value in headers.items():
                key = name.upper().replace("-", "_")
                environ[key if key.startswith("CONTENT_") else f"HTTP_{key}"] = value
            answer = client.open(environ)
            assert answer.status_code < 500, (method, address)
    assert written() == before


def test_what_is_typed_comes_back_inert(client, make):
    make.sign_in(client, make.admin())
    request = make.request()
    client.get(f"/admin/requests/{request.id}/reject")
    bad = '"><script>alert(1)</script>' + "x" * 500
    page = client.submit(f"/admin/requests/{request.id}/reject", reason=bad).text
    assert "<script>alert" not in page
    page = client.post("/sign-up", data={"email": bad[:100]}).text
    assert "<script>alert" not in page
