"""The MDM system's reports: the signature, the clock and the words (rule 4.7)."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.domain.lifecycle import DeviceStatus
from webapp.domain.mdm import NotAReport, Report, is_signed, is_timely, read_report, sign

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
MINUTES_5 = timedelta(minutes=5)
ID = "8e2b3c44-5d6f-4a7b-8c9d-0e1f2a3b4c5d"
SECRET = "a secret of the MDM system, 012345"
GOOD = {"intune_device_id": ID, "status": "onboarded", "reported_at": "2026-11-24T10:00:00+08:00"}


def body(**changes) -> bytes:
    given = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    return json.dumps(given).encode()


def problems(raw: bytes) -> list[str]:
    with pytest.raises(NotAReport) as caught:
        read_report(raw, ID, NOW + MINUTES_5)
    return caught.value.problems


def test_the_signature_covers_the_timestamp_and_the_body():
    raw = b'{"a": "\xc3\xa9"}'
    expected = hmac.new(SECRET.encode(), b"1764000000:" + raw, hashlib.sha256).hexdigest()
    assert sign(SECRET, "1764000000", raw) == expected
    assert is_signed(SECRET, "1764000000", expected, raw)
    assert is_signed(SECRET, "1764000000", expected.upper(), raw)
    assert not is_signed(SECRET, "1764000001", expected, raw)
    assert not is_signed(SECRET, "1764000000", expected, raw + b" ")
    assert not is_signed(SECRET + "x", "1764000000", expected, raw)


@pytest.mark.parametrize("signature", ["", "0" * 64, "0" * 63, "g" * 64, "\uff10" * 64, "0" * 10_000, "é", "\x00" * 64])
def test_any_other_signature_is_not_it(signature):
    assert not is_signed(SECRET, "1764000000", signature, b"{}")


@pytest.mark.parametrize(
    ("seconds", "timely"), [(-301, False), (-300, True), (0, True), (300, True), (301, False), (-(10**9), False)]
)
def test_a_timestamp_is_good_for_five_minutes_either_way(seconds, timely):
    assert is_timely(str(int(NOW.timestamp()) + seconds), NOW, MINUTES_5) is timely


@pytest.mark.parametrize(
    "timestamp", ["", "now", "-1", "+1", "1.5", "1e9", " 1", "1_0", "\u0661", "9" * 13, "9" * 5000, "0x1", "\x00"]
)
def test_what_is_no_timestamp_is_not_timely(timestamp):
    assert not is_timely(timestamp, NOW, MINUTES_5)


@pytest.mark.parametrize("status", ["software_installed", "onboarded", "failed", "removed"])
def test_a_report_is_read(status):
    found = read_report(body(status=status, intune_device_id=ID.upper(), more="x"), ID.upper(), NOW)
    assert found == Report(ID, DeviceStatus(status), NOW)


def test_a_reason_is_one_line_of_characters_that_can_be_kept():
    reason = "  Not\r\nBcc: x\u0000 \ud800 enough\tspace\u2028 "
    assert read_report(body(status="failed", reason=reason), ID, NOW).reason == "Not Bcc: x enough space"
    assert read_report(body(status="failed", reason="x" * 300), ID, NOW).reason == "x" * 300
    assert read_report(body(status="failed", reason=" "), ID, NOW).reason == ""
    assert read_report(body(status="onboarded", reason=""), ID, NOW).reason == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"intune_device_id": ...}, "8-4-4-4-12"),
        ({"intune_device_id": f"{{{ID}}}"}, "8-4-4-4-12"),
        ({"intune_device_id": 5}, "8-4-4-4-12"),
        ({"intune_device_id": "\ud800"}, "8-4-4-4-12"),
        ({"intune_device_id": ID.replace("8", "9")}, "the one in the address"),
        ({"status": ...}, "status must be one of"),
        ({"status": "triggered"}, "status must be one of"),
        ({"status": ["failed"]}, "status must be one of"),
        ({"status": "ONBOARDED"}, "status must be one of"),
        ({"reported_at": ...}, "with its zone"),
        ({"reported_at": "2026-11-24T10:00:00"}, "with its zone"),
        ({"reported_at": "yesterday"}, "with its zone"),
        ({"reported_at": 1764000000}, "with its zone"),
        ({"reported_at": "0001-01-01T00:00:00+14:00"}, "with its zone"),
        ({"reported_at": "2026-11-24T10:00:00+08:00" + "0" * 40}, "with its zone"),
        ({"reported_at": "2026-11-24T10:05:01+08:00"}, "future"),
        ({"reported_at": "9999-12-31T23:59:59Z"}, "future"),
        ({"status": "failed", "reason": 5}, "a string"),
        ({"status": "failed", "reason": None}, "a string"),
        ({"status": "failed", "reason": "x" * 301}, "300 characters"),
        ({"reason": "because"}, "failed alone"),
    ],
)
def test_what_is_wrong_with_a_report_is_named(changes, words):
    (only,) = problems(body(**changes))
    assert words in only


def test_everything_that_is_wrong_is_named_at_once():
    assert len(problems(b"{}")) == 3


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"5",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"\x00",
        b"[" * 16_000,
        b'{"a":' * 3_000,
        b"9" * 16_000,
        b"NaN",
        '{"a": 1}'.encode("utf-16"),
        b'{"reported_at": ' + b"9" * 5000 + b"}",
        b'{"status": 1e400}',
        json.dumps({field: [{"a": 1}, None] for field in (*GOOD, "reason")}).encode(),
    ],
)
def test_whatever_the_body_is_it_is_told_what_is_wrong(raw):
    assert problems(raw)


@given(st.binary(max_size=300))
def test_rubbish_is_told_what_is_wrong(raw):
    assert problems(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys((*GOOD, "reason"), JSON)))
def test_values_of_any_type_are_told_what_is_wrong(values):
    assert problems(json.dumps(values).encode())


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=14))])))
def test_any_time_is_read_or_told_to_be_wrong(instant):
    try:
        found = read_report(body(reported_at=instant.isoformat()), ID, NOW)
    except NotAReport:
        return
    assert found.reported_at == instant
    assert found.reported_at <= NOW
