"""Wrong codes are counted, to end guessing (rule 7.1): at logging in, and at confirming who one is.

Known browsers have a count of their own, so that a stranger locks nobody out
(``docs/decisions/0006-guessing-codes.md``). Callers hold the account's lock, so that guesses made at once are counted
one by one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import case, func, select

from webapp.extensions import db
from webapp.models import WrongCode
from webapp.models.base import insert_row
from webapp.services.errors import TooManyTries

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.domain.policy import Policy

_FEW_MINUTES = timedelta(minutes=5)
_DAY = timedelta(days=1)


def refuse_too_many(address_hash: str, now: datetime, policy: Policy, *, known_browser: bool) -> None:
    """Raises `TooManyTries` where no more codes are checked for an address at present; it ends by itself."""
    today, lately = db.session.execute(
        select(func.count(), func.coalesce(func.sum(case((WrongCode.at > now - _FEW_MINUTES, 1), else_=0)), 0)).where(
            WrongCode.address_hash == address_hash,
            WrongCode.known_browser == known_browser,
            WrongCode.at > now - _DAY,
        )
    ).one()
    if today >= policy.wrong_codes_per_day:
        raise TooManyTries(today=True)
    if lately >= policy.wrong_codes_per_5_minutes:
        raise TooManyTries


def count(address_hash: str, now: datetime, *, known_browser: bool) -> None:
    """Note one. No commit."""
    db.session.execute(insert_row(WrongCode).values(address_hash=address_hash, known_browser=known_browser, at=now))
