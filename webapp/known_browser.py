"""A browser that somebody signed in from before is remembered by it (``docs/decisions/0006-guessing-codes.md``).

It spares the mail about a new sign-in, and gives wrong codes a count of their own. It opens nothing.
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from flask import after_this_request, current_app, request

from webapp.domain.tokens import derive_key
from webapp.services.keys import secret_key, secret_keys

if TYPE_CHECKING:
    from flask import Response

LIFE = timedelta(days=180)


def _name() -> str:
    return str(current_app.config["SESSION_COOKIE_NAME"]) + "-known"


def _sign(secret: str, address: str, since: str) -> str:
    return hmac.digest(derive_key(secret, "known-browser"), f"{address}.{since}".encode(), "sha256").hex()


def remember(address: str, now: datetime) -> None:
    """Mark the browser as known to the holder of a folded address, in the answer to this request.

    The cookie holds a time and a signature, so that it does not tell whose it is.
    """
    since = str(int(now.timestamp()))
    value = f"{since}.{_sign(secret_key(), address, since)}"

    @after_this_request
    def _set(response: Response) -> Response:
        response.set_cookie(
            _name(),
            value,
            max_age=LIFE,
            secure=current_app.config["SESSION_COOKIE_SECURE"],
            httponly=True,
            samesite="Lax",
        )
        return response


def is_known(address: str, now: datetime) -> bool:
    """Whether the holder of a folded address signed in from this browser within the last half year."""
    return marked_at(address, now) is not None


def marked_at(address: str, now: datetime) -> datetime | None:
    """When the holder of a folded address last signed in from this browser, to the second; None if too long ago."""
    since, _, signature = request.cookies.get(_name(), "").partition(".")
    if not any(
        hmac.compare_digest(_sign(secret, address, since).encode(), signature.encode()) for secret in secret_keys()
    ):
        return None
    at = datetime.fromtimestamp(int(since), UTC)
    return at if now - at <= LIFE else None
