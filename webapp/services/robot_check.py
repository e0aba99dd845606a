"""The robot check: ALTCHA, hosted by ourselves; a puzzle that a browser solves, and each solution counts once."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import altcha

from webapp.domain.tokens import derive_key
from webapp.extensions import db
from webapp.models import UsedSolution
from webapp.models.base import insert_new
from webapp.services.errors import RobotCheckFailed
from webapp.services.keys import secret_key

if TYPE_CHECKING:
    from datetime import datetime

LIFE = timedelta(minutes=20)
_COST = 5000
_MAX_LENGTH = 4000


def _secrets() -> tuple[str, str]:
    """The secret that signs challenges, and the one that signs their answers (which spares solving them again here)."""
    return derive_key(secret_key(), "robot-check").hex(), derive_key(secret_key(), "robot-check-key").hex()


def challenge(now: datetime, cost: int | None = None) -> dict[str, Any]:
    """A new puzzle for the widget. Nothing is kept of it: it carries its own signature."""
    hmac_secret, hmac_key_secret = _secrets()
    return altcha.create_challenge(
        "PBKDF2/SHA-256",
        cost=cost or _COST,
        counter=secrets.randbelow(100) + 50,
        expires_at=now + LIFE,
        hmac_secret=hmac_secret,
        hmac_key_secret=hmac_key_secret,
    ).to_dict()


def is_solved(solution: str) -> bool:
    """Whether a solution is right and in time; it may have been used."""
    try:
        _verified_signature(solution)
    except RobotCheckFailed:
        return False
    return True


def use(solution: str, now: datetime) -> None:
    """Accept a solution, once. Raises `RobotCheckFailed`. No commit: a form that is refused leaves it usable."""
    signature = _verified_signature(solution)
    added = db.session.scalar(
        insert_new(UsedSolution).values(signature=signature, expires_at=now + LIFE).returning(UsedSolution.signature)
    )
    if added is None:
        raise RobotCheckFailed


def _verified_signature(solution: str) -> str:
    if not solution or len(solution) > _MAX_LENGTH:
        raise RobotCheckFailed
    try:
        signature = json.loads(base64.b64decode(solution, validate=True))["challenge"]["signature"]
        hmac_secret, hmac_key_secret = _secrets()
        result = altcha.verify_solution(solution, hmac_secret, hmac_key_secret=hmac_key_secret)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, binascii.Error) as error:
        raise RobotCheckFailed from error
    if not result.verified or not isinstance(signature, str):
        raise RobotCheckFailed
    return signature[:64]
