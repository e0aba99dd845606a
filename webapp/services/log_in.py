"""Logging in: a mailed code, then the authenticator's or a recovery code (rules 7.1 and 7.3).

Whether or not somebody has the address, the same rows are written and the same answers given, so that nobody learns
who has an account (promise 3). Each step locks the account, so that guesses made at once are counted one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from hmac import compare_digest
from typing import TYPE_CHECKING, NoReturn

from sqlalchemy import select, update

from webapp import emails
from webapp.domain.addresses import parse
from webapp.domain.browsers import describe
from webapp.domain.deadlines import inactivity, is_expired
from webapp.domain.lifecycle import LIVE, AccountStatus
from webapp.domain.tokens import LOG_IN_CODE, address_hash, derive_code, new_nonce
from webapp.extensions import db
from webapp.models import Account, LogInAttempt, SessionKind
from webapp.models.base import insert_row
from webapp.services import audit, authenticators, outbox, wrong_codes
from webapp.services.errors import AccountDisabled, AttemptOver, TooManyTries, WrongCode
from webapp.services.keys import secret_key, secret_keys
from webapp.services.sessions import open_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from webapp.domain.addresses import Address
    from webapp.domain.policy import Policy


class Stage(StrEnum):
    """What an attempt waits for."""

    CODE = "code"
    AUTHENTICATOR = "authenticator"
    NEW_AUTHENTICATOR = "new_authenticator"
    """The authenticator was reset and the link to set up another one not followed yet (rule 7.3)."""


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt, the address as read, and whether a code is mailed for it or was a moment ago."""

    attempt_id: int
    email: str
    sends_code: bool


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The token of the new session, and how many recovery codes are left if one was used."""

    token: str
    recovery_codes_left: int | None = None


def start(text: str, now: datetime, policy: Policy) -> Started:
    """Begin with an address. A code is mailed to its active holder, at most one a minute: attempts share it.

    Somebody whose account is not active yet is told by mail where it stands. Raises `AddressError`.
    """
    address = parse(text)
    # Locked, so that attempts begun at once see each other.
    holder = db.session.scalar(
        select(Account)
        .where(Account.email_folded == address.folded, Account.status.in_(LIVE))
        .with_for_update(key_share=True)
    )
    hashed = address_hash(secret_key(), address.folded)
    shared = db.session.execute(
        select(LogInAttempt.nonce, LogInAttempt.code_sent_at, LogInAttempt.expires_at)
        .where(
            LogInAttempt.address_hash == hashed,
            LogInAttempt.code_sent_at > now - timedelta(seconds=policy.login_code_cooldown_seconds),
            LogInAttempt.ended_at.is_(None),
            LogInAttempt.code_accepted_at.is_(None),
        )
        .order_by(LogInAttempt.code_sent_at.desc())
        .limit(1)
    ).first()
    nonce, sent_at, expires_at = shared or (new_nonce(), now, now + policy.login_code_life)
    values = {
        "account_id": holder.id if holder else None,
        "address_hash": hashed,
        "nonce": nonce,
        "created_at": now,
        "code_sent_at": sent_at,
        "expires_at": expires_at,
    }
    attempt_id = db.session.scalar(insert_row(LogInAttempt).values(values).returning(LogInAttempt.id))
    _mail_code(holder, address, LogInAttempt(id=attempt_id, **values), now)
    db.session.commit()
    assert attempt_id is not None
    return Started(attempt_id, address.typed, sends_code=shared is None)


def stage(attempt_id: int, now: datetime) -> Stage:
    """What the attempt waits for. Raises `AttemptOver`."""
    attempt = db.session.get(LogInAttempt, attempt_id)
    if attempt is None or _is_over(attempt, now):
        raise AttemptOver
    if attempt.code_accepted_at is None:
        return Stage.CODE
    assert attempt.account_id is not None
    return Stage.AUTHENTICATOR if authenticators.is_confirmed(attempt.account_id) else Stage.NEW_AUTHENTICATOR


def check_code(attempt_id: int, code: str, now: datetime, policy: Policy, *, known_browser: bool) -> None:
    """Accept the mailed code, once. Raises `AttemptOver`, `TooManyTries`, `WrongCode`, or `AccountDisabled`."""
    attempt, account = _take(attempt_id, now, policy, known_browser=known_browser)
    if attempt.code_accepted_at is not None:
        db.session.rollback()
        return
    expected = [derive_code(secret, LOG_IN_CODE, attempt.nonce) for secret in secret_keys()]
    right = any(compare_digest(one.encode(), code.encode()) for one in expected)
    if not right or account is None or account.status not in (AccountStatus.ACTIVE, AccountStatus.DISABLED):
        _wrong(attempt, now, known_browser=known_browser)
    # Others that share the code have lost it: it works once.
    db.session.execute(
        update(LogInAttempt)
        .where(LogInAttempt.address_hash == attempt.address_hash, LogInAttempt.nonce == attempt.nonce)
        .where(LogInAttempt.id != attempt.id)
        .values(ended_at=now)
    )
    attempt.code_accepted_at = now
    attempt.expires_at = now + policy.login_code_life
    attempt.tries = 0
    if account is not None and account.status is AccountStatus.DISABLED:
        attempt.ended_at = now
        disabled = AccountDisabled(is_locked=account.under_investigation)
        db.session.commit()
        raise disabled
    db.session.commit()


def finish_with_authenticator(
    attempt_id: int,
    code: str,
    by: audit.By,
    now: datetime,
    policy: Policy,
    user_agent: str,
    *,
    marked_at: datetime | None,
) -> LoggedIn:
    """The second step. ``marked_at`` is since when the browser is known, if it is.

    Raises `AttemptOver`, `TooManyTries`, `WrongCode` or `AccountDisabled`.
    """
    return _finish(attempt_id, code, authenticators.use_code, by, now, policy, user_agent, marked_at)


def finish_with_recovery_code(
    attempt_id: int,
    code: str,
    by: audit.By,
    now: datetime,
    policy: Policy,
    user_agent: str,
    *,
    marked_at: datetime | None,
) -> LoggedIn:
    """The second step without the phone; the code is used up. Raises what `finish_with_authenticator` does."""
    return _finish(attempt_id, code, authenticators.use_recovery_code, by, now, policy, user_agent, marked_at)


def end_attempts(account_id: int, now: datetime) -> None:
    """End what is under way for an account, as when its authenticator is replaced. No commit."""
    db.session.execute(
        update(LogInAttempt)
        .where(LogInAttempt.account_id == account_id, LogInAttempt.ended_at.is_(None))
        .values(ended_at=now)
    )


def _finish(
    attempt_id: int,
    code: str,
    use: Callable[[int, str, datetime], bool],
    by: audit.By,
    now: datetime,
    policy: Policy,
    user_agent: str,
    marked_at: datetime | None,
) -> LoggedIn:
    # What is counted goes by the mark alone, so that the count tells nothing of the account (promise 3).
    known_browser = marked_at is not None
    attempt, account = _take(attempt_id, now, policy, known_browser=known_browser)
    if attempt.code_accepted_at is None or account is None:
        db.session.rollback()
        raise AttemptOver
    if account.status is not AccountStatus.ACTIVE:
        disabled = AccountDisabled(is_locked=account.under_investigation)
        db.session.rollback()
        raise disabled
    if not use(account.id, code, now):
        _wrong(attempt, now, known_browser=known_browser)
    attempt.ended_at = now
    holder = audit.By.person(account, by.peer or "")
    if authenticators.forget_next_key(account.id):  # What was broken off before begins anew, with another key.
        audit.record("authenticator.replacement_cancelled", account.id, holder, now)
    account.idle_since = now
    account.inactivity_due_at = inactivity(now, account.changed_at, None, now, policy).next_check
    token = open_session(
        account,
        SessionKind.SIGNED_IN,
        now,
        policy,
        peer=by.peer or "",
        user_agent=user_agent,
        confirmed_at=now,
    )
    since = account.browsers_known_since
    if marked_at is None or (since is not None and marked_at < since.replace(microsecond=0)):
        outbox.post(emails.new_sign_in(account, attempt, now, describe(user_agent)))
    recovery = use is authenticators.use_recovery_code
    left = authenticators.recovery_codes_left(account.id) if recovery else None
    audit.record("log_in.succeeded", account.id, holder, now, method="recovery code" if recovery else "authenticator")
    db.session.commit()
    return LoggedIn(token, left)


def _mail_code(holder: Account | None, address: Address, attempt: LogInAttempt, now: datetime) -> None:
    """The mail of the code, under one key for all attempts that share it; written and taken back where nobody is."""
    written = db.session.begin_nested()
    if holder is None:
        nobody = Account(id=None, email=address.typed)
        outbox.post(emails.sign_in_code(nobody, attempt, now))
        written.rollback()
    else:
        if holder.status in (AccountStatus.ACTIVE, AccountStatus.DISABLED):
            outbox.post(emails.sign_in_code(holder, attempt, now))
        else:
            outbox.post(emails.already_have_account(holder, now, tried="log_in"))
        written.commit()
    outbox.wake()


def _take(
    attempt_id: int, now: datetime, policy: Policy, *, known_browser: bool
) -> tuple[LogInAttempt, Account | None]:
    """An attempt that goes on, and its account, both locked. Raises `AttemptOver` or `TooManyTries`."""
    account_id = db.session.scalar(select(LogInAttempt.account_id).where(LogInAttempt.id == attempt_id))
    account = db.session.scalar(
        select(Account)
        .where(Account.id == account_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    attempt = db.session.scalar(
        select(LogInAttempt)
        .where(LogInAttempt.id == attempt_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if attempt is None or _is_over(attempt, now):
        db.session.rollback()
        raise AttemptOver
    try:
        wrong_codes.refuse_too_many(attempt.address_hash, now, policy, known_browser=known_browser)
        if attempt.tries >= policy.login_code_tries:
            raise TooManyTries
    except TooManyTries:
        db.session.rollback()
        raise
    return attempt, account


def _is_over(attempt: LogInAttempt, now: datetime) -> bool:
    return attempt.ended_at is not None or is_expired(attempt.expires_at, now)


def _wrong(attempt: LogInAttempt, now: datetime, *, known_browser: bool) -> NoReturn:
    """Count a wrong code, and raise `WrongCode`."""
    wrong_codes.count(attempt.address_hash, now, known_browser=known_browser)
    attempt.tries += 1
    db.session.commit()
    raise WrongCode
