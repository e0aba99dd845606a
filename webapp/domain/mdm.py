"""The MDM system's reports: how they are signed, and what one says (rule 4.7, ``docs/mdm.md``)."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from webapp.domain.lifecycle import DeviceStatus

LONGEST_BODY = 16 * 1024
"""Bytes of a report."""
LONGEST_REASON = 300

_REPORTED = (
    DeviceStatus.SOFTWARE_INSTALLED,
    DeviceStatus.ONBOARDED,
    DeviceStatus.FAILED,
    DeviceStatus.REMOVED,
)
_SIGNATURE = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Report:
    """How far the MDM system says that a device has come, and when that was so."""

    intune_device_id: str
    status: DeviceStatus
    reported_at: datetime
    reason: str = ""


class NotAReport(ValueError):
    """A body that is not a report; ``problems`` names everything that is wrong with it."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The signature of a report: HMAC-SHA256 over ``timestamp:body``, in hexadecimal."""
    return hmac.new(secret.encode(), timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()


def is_signed(secret: str, timestamp: str, signature: str, body: bytes) -> bool:
    """Whether ``signature`` is the one that `sign` gives, compared in constant time."""
    if not _SIGNATURE.fullmatch(signature) or not _TIMESTAMP.fullmatch(timestamp):
        return False
    return hmac.compare_digest(sign(secret, timestamp, body), signature.lower())


def is_timely(timestamp: str, now: datetime, tolerance: timedelta) -> bool:
    """Whether ``timestamp``, in seconds since 1970, is within ``tolerance`` of ``now``, either way."""
    if not _TIMESTAMP.fullmatch(timestamp):
        return False
    return abs(now.timestamp() - int(timestamp)) <= tolerance.total_seconds()


def read_report(body: bytes, intune_device_id: str, latest: datetime) -> Report:
    """The report in ``body``, of the device in the address; its clock may be no later than ``latest``.

    The address is not signed, so the body has to name the device too. What else the body holds is passed over. Raises
    `NotAReport`.
    """
    given = _object(body)
    problems: list[str] = []
    named = given.get("intune_device_id")
    if not isinstance(named, str) or not _ID.fullmatch(named.lower()):
        problems.append("intune_device_id must be a string, in groups of 8-4-4-4-12 hexadecimal digits")
    elif named.lower() != intune_device_id.lower():
        problems.append("intune_device_id must be the one in the address")
    status = next((each for each in _REPORTED if given.get("status") == each.value), None)
    if status is None:
        problems.append("status must be one of " + ", ".join(_REPORTED))
    reported_at = _instant(given.get("reported_at"))
    if reported_at is None:
        problems.append("reported_at must be a date and time with its zone, like 2026-11-24T10:00:00+08:00")
    elif reported_at > latest:
        problems.append("reported_at lies too far in the future")
    reason = given.get("reason", "")
    if not isinstance(reason, str):
        problems.append("reason must be a string")
    else:
        reason = _one_line(reason)
        if len(reason) > LONGEST_REASON:
            problems.append(f"reason must have {LONGEST_REASON} characters or fewer")
        if reason and status is not DeviceStatus.FAILED:
            problems.append("reason belongs to the status failed alone")
    if problems or status is None or reported_at is None:
        raise NotAReport(*problems)
    return Report(str(named).lower(), status, reported_at, reason)


def _object(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body.decode())
    # Numbers of thousands of digits are a ValueError, nesting without end a RecursionError.
    except (ValueError, RecursionError):
        raise NotAReport("the body must be JSON in UTF-8") from None
    if not isinstance(given, dict):
        raise NotAReport("the body must be a JSON object")
    return given


def _instant(text: object) -> datetime | None:
    if not isinstance(text, str) or len(text) > 40:
        return None
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else None
    except (ValueError, OverflowError):  # Not a date; one that UTC has no year for.
        return None


def _one_line(text: str) -> str:
    """Without line breaks, control characters or halves of a character: it stands on pages and in mails (E1, M2)."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
