"""Confirming who one is, before changing how to sign in: a code given lately in this very session (rule 6.3).

``docs/decisions/0009-confirming.md`` says why.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from webapp.domain.lifecycle import AccountStatus
from webapp.domain.tokens import address_hash
from webapp.extensions import db
from webapp.models import Account, BrowserSession
from webapp.services import audit, authenticators, wrong_codes
from webapp.services.errors import ConfirmFirst, SessionOver, TooManyTries, WrongCode
from webapp.services.held import hold
from webapp.services.keys import secret_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from webapp.domain.policy import Policy


def is_confirmed(session: BrowserSession, now: datetime, policy: Policy) -> bool:
    """Whether a code was given in this session within the last minutes."""
    given = session.confirmed_at
    return given is not None and now - given <= timedelta(minutes=policy.confirmed_minutes)


def confirm_with_authenticator(session_id: int, code: str, by: audit.By, now: datetime, policy: Policy) -> None:
    """Raises `WrongCode`, also for a code that was used before, `TooManyTries` or `SessionOver`."""
    _confirm(session_id, code, authenticators.use_code, "authenticator", by, now, policy)


def confirm_with_recovery_code(session_id: int, code: str, by: audit.By, now: datetime, policy: Policy) -> int:
    """Without the phone; the code is used up. How many are left. Raises what `confirm_with_authenticator` does."""
    account = _confirm(session_id, code, authenticators.use_recovery_code, "recovery code", by, now, policy)
    return authenticators.recovery_codes_left(account.id)


def take(session_id: int, now: datetime, policy: Policy) -> BrowserSession:
    """The session of somebody who has confirmed lately, and its account, locked: for a change of how to sign in.

    Raises `ConfirmFirst` or `SessionOver`.
    """
    session = _lock(session_id)
    if not is_confirmed(session, now, policy):
        db.session.rollback()
        raise ConfirmFirst
    return session


def _confirm(
    session_id: int,
    code: str,
    use: Callable[[int, str, datetime], bool],
    method: str,
    by: audit.By,
    now: datetime,
    policy: Policy,
) -> Account:
    session = _lock(session_id)
    account = session.account
    hashed = address_hash(secret_key(), account.email_folded)
    # Whoever is signed in has passed both steps: a browser that is known, whatever it carries.
    try:
        wrong_codes.refuse_too_many(hashed, now, policy, known_browser=True)
    except TooManyTries:
        db.session.rollback()
        raise
    if not use(account.id, code, now):
        wrong_codes.count(hashed, now, known_browser=True)
        try:
            wrong_codes.refuse_too_many(hashed, now, policy, known_browser=True)
        except TooManyTries:  # From here on; those that are refused then are not counted, so this is said once.
            audit.record("identity.refused", account.id, by, now, method=method)
        db.session.commit()
        raise WrongCode
    session.confirmed_at = now
    audit.record("identity.confirmed", account.id, by, now, method=method)
    db.session.commit()
    return account


def _lock(session_id: int) -> BrowserSession:
    """A session and its account as they are now. Raises `SessionOver` where either has ended meanwhile."""
    account_id = db.session.scalar(select(BrowserSession.account_id).where(BrowserSession.id == session_id))
    account = hold(account_id)
    # Read once the row of the account is ours: whoever ends sessions holds it.
    session = db.session.scalar(
        select(BrowserSession)
        .where(BrowserSession.id == session_id)
        .options(joinedload(BrowserSession.account, innerjoin=True))
        .execution_options(populate_existing=True)
    )
    if account is None or session is None or account.status is not AccountStatus.ACTIVE:
        db.session.rollback()
        raise SessionOver
    return session
