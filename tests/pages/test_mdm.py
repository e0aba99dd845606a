"""The MDM system's endpoint: signed, each report once, an answer to whatever comes (rule 4.7; promise 7)."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from webapp.domain.lifecycle import DeviceStatus, SeedStatus
from webapp.domain.mdm import LONGEST_BODY, sign
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Device, Invitation, Mail, UsedSolution

SECRET = "a secret of the MDM system for tests, 0123456789"
ID = "8e2b3c44-5d6f-4a7b-8c9d-0e1f2a3b4c5d"
ADDRESS = f"/api/mdm/devices/{ID}"
D = DeviceStatus


@pytest.fixture(autouse=True)
def _secret(app, monkeypatch):
    monkeypatch.setitem(app.config, "SETTINGS", replace(app.config["SETTINGS"], mdm_webhook_secret=SECRET))


@pytest.fixture
def device(make):
    account = make.account(seed_status=SeedStatus.INVITED)
    return make.device(account, intune_device_id=ID)


@pytest.fixture
def report(client, now):
    """``report("onboarded")`` sends a signed report; ``raw`` in place of its body, ``at`` as its timestamp."""

    def send(status="onboarded", *, raw=None, at=None, address=ADDRESS, secret=SECRET, headers=None, **changes):
        body = {"intune_device_id": ID, "status": status, "reported_at": now.isoformat()} | changes
        raw = json.dumps(body).encode() if raw is None else raw
        timestamp = str(int((at or now).timestamp()))
        signed = {"X-Timestamp": timestamp, "X-Signature": sign(secret, timestamp, raw)} | (headers or {})
        given = {name: value for name, value in signed.items() if value is not None}
        return client.post(address, data=raw, headers=given, content_type="application/json")

    return send


def written() -> list[object]:
    tables = (Account, Device, Invitation, Mail, AuditEvent, UsedSolution)
    counts = [db.session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]
    return [*counts, *db.session.scalars(select(Device.status))]


def fresh(thing):
    return db.session.get_one(type(thing), thing.id, populate_existing=True)


def test_a_signed_report_moves_the_device_along(report, device):
    answer = report("software_installed")
    assert (answer.status_code, answer.json) == (200, {"result": "changed"})
    assert fresh(device).status is D.SOFTWARE_INSTALLED
    assert db.session.scalar(select(func.count()).select_from(UsedSolution)) == 1


def test_a_failure_comes_with_its_reason(report, device):
    assert report("failed", reason="BitLocker\r\nis off").status_code == 200
    assert fresh(device).reason == "BitLocker is off"


def test_what_is_late_or_leads_nowhere_is_taken_and_changes_nothing(report, device, now):
    report("onboarded")
    assert report("failed", at=now + timedelta(seconds=1)).json == {"result": "late"}
    later = (now + timedelta(seconds=1)).isoformat()
    assert report("failed", reported_at=later).json == {"result": "ignored"}
    assert fresh(device).status is D.ONBOARDED


def test_the_address_may_be_in_capitals(report, device):
    assert report(address=ADDRESS.replace(ID, ID.upper())).json == {"result": "changed"}


def test_without_a_secret_there_is_no_such_thing(report, device, app, monkeypatch):
    monkeypatch.setitem(app.config, "SETTINGS", replace(app.config["SETTINGS"], mdm_webhook_secret=""))
    before = written()
    answer = report(secret="")
    assert answer.status_code == 404
    assert answer.json == {"problems": ["no MDM system is set up"]}
    assert written() == before


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Signature": None},
        {"X-Signature": ""},
        {"X-Signature": "0" * 64},
        {"X-Signature": "é" * 64},
        {"X-Signature": "sha256=" + "0" * 64},
        {"X-Timestamp": None},
        {"X-Timestamp": ""},
        {"X-Timestamp": "now"},
        {"X-Timestamp": "9" * 4000},
        {"X-Timestamp": "1764000000.5"},
        {"X-Timestamp": "\u0661"},
    ],
)
def test_without_its_signature_nothing_happens(report, device, headers):
    before = written()
    encoded = {name: value and value.encode().decode("latin-1") for name, value in headers.items()}
    answer = report(headers=encoded)
    assert answer.status_code == 401
    assert answer.json["problems"]
    assert written() == before


def test_another_secret_is_refused(report, device):
    before = written()
    assert report(secret=SECRET + "x").status_code == 401
    assert written() == before


@pytest.mark.parametrize(("seconds", "status"), [(-301, 401), (-300, 200), (300, 200), (301, 401)])
def test_a_report_is_good_for_five_minutes(report, device, now, seconds, status):
    before = written()
    assert report(at=now + timedelta(seconds=seconds)).status_code == status
    assert (written() == before) is (status == 401)


@pytest.mark.parametrize("what", ["body", "timestamp"])
def test_what_was_signed_cannot_be_changed(client, device, now, what):
    raw = json.dumps({"intune_device_id": ID, "status": "failed", "reported_at": now.isoformat()}).encode()
    timestamp = str(int(now.timestamp()))
    signature = sign(SECRET, timestamp, raw)
    sent = raw.replace(b"failed", b"onboarded") if what == "body" else raw
    told = str(int(timestamp) + 1) if what == "timestamp" else timestamp
    headers = {"X-Timestamp": told, "X-Signature": signature}
    answer = client.post(ADDRESS, data=sent, headers=headers, content_type="application/json")
    assert answer.status_code == 401
    assert fresh(device).status is D.TRIGGERED


@pytest.mark.parametrize("upper", [False, True])
def test_a_report_is_taken_once(client, device, now, upper):
    raw = json.dumps({"intune_device_id": ID, "status": "onboarded", "reported_at": now.isoformat()}).encode()
    timestamp = str(int(now.timestamp()))
    signature = sign(SECRET, timestamp, raw)
    answers = []
    for again in (False, True):
        headers = {"X-Timestamp": timestamp, "X-Signature": signature.upper() if again and upper else signature}
        answers.append(client.post(ADDRESS, data=raw, headers=headers, content_type="application/json"))
    assert [answer.status_code for answer in answers] == [200, 409]
    assert db.session.scalar(select(func.count()).select_from(Mail)) == 1


def test_a_used_signature_is_kept_for_as_long_as_it_could_be_good(report, device, now):
    report(at=now + timedelta(minutes=5))
    assert db.session.scalars(select(UsedSolution.expires_at)).one() > now + timedelta(minutes=10)


def test_sent_many_times_at_once_it_is_taken_once(app, device, now):
    raw = json.dumps({"intune_device_id": ID, "status": "onboarded", "reported_at": now.isoformat()}).encode()
    timestamp = str(int(now.timestamp()))
    headers = {"X-Timestamp": timestamp, "X-Signature": sign(SECRET, timestamp, raw)}
    db.session.rollback()

    def send(_number: int) -> int:
        with app.app_context():
            answer = app.test_client().post(ADDRESS, data=raw, headers=headers, content_type="application/json")
            return int(answer.status_code)

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(send, range(16)))
    assert sorted(codes) == [200] + [409] * 15
    assert db.session.scalar(select(func.count()).select_from(Mail)) == 1


def test_a_report_for_another_devices_address_is_refused(report, device, make, now):
    other = make.device(make.account(seed_status=SeedStatus.INVITED))
    before = written()
    answer = report(address=f"/api/mdm/devices/{other.intune_device_id}")
    assert answer.status_code == 422
    assert answer.json == {"problems": ["intune_device_id must be the one in the address"]}
    assert written() == before


def test_an_unknown_device_is_not_found_and_its_report_can_be_sent_again(report, make):
    before = written()
    assert report().status_code == 404
    assert written() == before
    make.device(make.account(seed_status=SeedStatus.INVITED), intune_device_id=ID)
    assert report().status_code == 200


def test_everything_that_is_wrong_is_told(report, device):
    before = written()
    answer = report("triggered", reported_at="yesterday", reason=5)
    assert answer.status_code == 422
    assert len(answer.json["problems"]) == 3
    assert written() == before


def test_a_body_that_is_too_large_is_refused(report, device):
    before = written()
    assert report(raw=b"x" * (LONGEST_BODY + 1)).status_code == 413
    assert report(raw=b"x" * 1_000_000).status_code == 413
    assert report(raw=b" " * LONGEST_BODY).status_code == 422
    assert written() == before


@pytest.mark.parametrize("mime", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""])
def test_only_json_is_taken(client, device, mime):
    answer = client.post(ADDRESS, data=b"{}", content_type=mime)
    assert answer.status_code == 415
    assert answer.json == {"problems": ["Content-Type must be application/json"]}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused(client, device, method):
    assert client.open(ADDRESS, method=method).status_code == 405


RAW = {
    "nothing": b"",
    "a list": b"[]",
    "a number": b"1e999",
    "a large number": b"9" * 16_000,
    "a large number inside": b'{"status": ' + b"9" * 10_000 + b"}",
    "NUL": b'{"status": "\\u0000", "reason": "\\u0000"}',
    "raw NUL": b"\x00" * 100,
    "broken UTF-8": b'{"status": "\xff\xfe"}',
    "half a character": b'{"status": "failed", "reason": "\\ud800"}',
    "deep nesting": b"[" * 16_000,
    "a BOM": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW.keys())
def test_whatever_is_signed_gets_an_answer(report, device, raw):
    before = written()
    answer = report(raw=raw)
    assert answer.status_code == 422
    assert answer.json["problems"]
    assert written() == before


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("intune_device_id", "status", "reported_at", "reason"), ANY)))
def test_whatever_the_fields_hold_gets_an_answer(report, device, values):
    answer = report(raw=json.dumps(values).encode())
    assert answer.status_code in (413, 422)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=[]), max_size=400))
def test_whatever_the_reason_is_it_is_kept_or_refused(report, device, make, now, reason):
    device = fresh(device)
    device.status, device.reported_at = D.TRIGGERED, now - timedelta(minutes=5)
    db.session.execute(delete(UsedSolution))
    db.session.execute(delete(Mail))
    db.session.commit()
    answer = report("failed", reason=reason)
    assert answer.status_code in (200, 422)
    if answer.status_code == 200:
        kept = fresh(device).reason
        assert kept.isprintable()
        assert len(kept) <= 300
    db.session.rollback()


@pytest.mark.parametrize("path", ["%00", "%ff%fe", "x" * 5000, "😀", "..%2f..", ID[:-1], "{" + ID + "}", "%0d%0aX:1"])
def test_whatever_the_address_is_it_gets_an_answer(report, device, path):
    before = written()
    assert report(address=f"/api/mdm/devices/{path}").status_code in (400, 404, 422)
    assert written() == before
