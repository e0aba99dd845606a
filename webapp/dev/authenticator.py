"""An authenticator app for whoever has no phone at hand, for the page ``/dev/authenticator``. It keeps no key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyotp

if TYPE_CHECKING:
    from datetime import datetime


class NotAKey(ValueError):
    """What was typed is neither a key nor an ``otpauth://`` address."""


@dataclass(frozen=True, slots=True)
class Code:
    digits: str
    seconds_left: int
    """From now until the next code, at least 1."""


def current_code(typed: str, now: datetime) -> Code:
    """The code that an app would show at ``now``, from the typed key or the QR code's address. Raises `NotAKey`."""
    try:
        totp = _totp(typed)
        step = int(totp.interval)
        if step < 1:
            raise NotAKey("a code lasts at least a second")
        return Code(totp.at(now), step - int(now.timestamp()) % step)
    except (ValueError, TypeError) as error:
        raise NotAKey(str(error)) from error


def _totp(typed: str) -> pyotp.TOTP:
    if typed.lower().startswith("otpauth:"):
        found = pyotp.parse_uri(typed)
        if not isinstance(found, pyotp.TOTP):
            raise NotAKey("not a key of time-based codes")
        return found
    key = "".join(c for c in typed if not c.isspace() and c not in "-=").upper()
    return pyotp.TOTP(key)
