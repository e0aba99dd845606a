"""How one signs in, changed by oneself: a new authenticator, new recovery codes (rule 6.3).

Each change asks for a code given lately (`webapp.services.confirming`), locks the account and tells its holder by mail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from webapp import emails
from webapp.extensions import db
from webapp.services import audit, authenticators, outbox
from webapp.services.confirming import take
from webapp.services.errors import NotFound, WrongCode
from webapp.services.log_in import end_attempts
from webapp.services.sessions import end_on_record, forget_browsers, signed_in_browsers

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.domain.policy import Policy
    from webapp.models import BrowserSession


@dataclass(frozen=True, slots=True)
class Overview:
    """How an account is signed in to."""

    authenticator_since: datetime | None
    replacing: bool
    """Whether a new authenticator is being set up in this session."""
    replacing_elsewhere: bool
    codes_left: int
    codes_made: int
    codes_saved: bool
    codes_shown: bool
    """Whether they were made in this session, which shows them until they are saved."""
    browsers: list[BrowserSession]


def overview(session: BrowserSession, now: datetime, policy: Policy) -> Overview:
    account = session.account
    since, replaced_in = authenticators.stands(account.id)
    codes_left, codes_made = authenticators.count_recovery_codes(account.id)
    return Overview(
        authenticator_since=since,
        replacing=replaced_in == session.token_hash,
        replacing_elsewhere=replaced_in not in (None, session.token_hash),
        codes_left=codes_left,
        codes_made=codes_made,
        codes_saved=account.recovery_nonce is None,
        codes_shown=_made_here(session),
        browsers=signed_in_browsers(account.id, now, policy),
    )


def begin_authenticator(session_id: int, by: audit.By, now: datetime, policy: Policy) -> None:
    """Make the key of a new authenticator; the old one stays in force. Begun twice in a session, it is the same key.

    What another session has begun is void. Raises `ConfirmFirst` or `SessionOver`.
    """
    session = take(session_id, now, policy)
    if authenticators.begin_replacement(session.account_id, session.token_hash):
        audit.record("authenticator.replacement_begun", session.account_id, by, now)
    db.session.commit()


def new_key(session: BrowserSession) -> authenticators.Key:
    """The key of the new authenticator. Raises `NotFound` where this very session has begun none."""
    return authenticators.next_key(session.account, session.token_hash)


def cancel_authenticator(account_id: int, by: audit.By, now: datetime) -> bool:
    """Forget the key of the new authenticator, whichever session began it; the one in force stays so.

    Whether there was one.
    """
    done = authenticators.forget_next_key(account_id)
    if done:
        audit.record("authenticator.replacement_cancelled", account_id, by, now)
    db.session.commit()
    return done


def replace_authenticator(session_id: int, code: str, by: audit.By, now: datetime, policy: Policy) -> None:
    """One code of the new authenticator puts it in force, in place of the old; all other sessions end.

    No browser of before is known any more.

    Raises `ConfirmFirst`, `SessionOver`, `WrongCode`, or `NotFound` where this session sets up no new one (any more).
    """
    session = take(session_id, now, policy)
    account = session.account
    try:
        right = authenticators.replace(account.id, session.token_hash, code, now)
    except NotFound:
        db.session.rollback()
        raise
    if not right:
        db.session.commit()  # Nothing was written; lets go of the row while the page is made.
        raise WrongCode
    end_attempts(account.id, now)
    outbox.post(emails.authenticator_changed(account, now))
    audit.record("authenticator.replaced", account.id, by, now)
    end_on_record(account.id, by, now, policy, keep=session_id)
    forget_browsers(account.id, now)
    db.session.commit()


def new_recovery_codes(session_id: int, by: audit.By, now: datetime, policy: Policy) -> None:
    """New recovery codes, which void the old at once. Those of this session that wait to be saved are left as they are.

    Raises `ConfirmFirst` or `SessionOver`.
    """
    session = take(session_id, now, policy)
    account = session.account
    try:
        codes_to_save(session)
    except NotFound:
        authenticators.create_recovery_codes(account, policy, session.token_hash)
        outbox.post(emails.recovery_codes_changed(account, now))
        audit.record("recovery_codes.changed", account.id, by, now)
    db.session.commit()


def codes_to_save(session: BrowserSession) -> list[str]:
    """The new codes, until one was typed back. Raises `NotFound` after that, and in any session but their own."""
    if not _made_here(session):
        raise NotFound
    return authenticators.codes_to_save(session.account)


def _made_here(session: BrowserSession) -> bool:
    """Whether recovery codes wait to be saved that this session made."""
    account = session.account
    return account.recovery_nonce is not None and account.recovery_session_hash == session.token_hash


def save_recovery_codes(session_id: int, code: str, by: audit.By, now: datetime, policy: Policy) -> None:
    """One of the new codes typed back shows that they are saved; it is not used up by it.

    Raises `ConfirmFirst`, `SessionOver`, `WrongCode`, or `NotFound` where none of this session wait for it (any more).
    """
    session = take(session_id, now, policy)
    account = session.account
    if not _made_here(session):
        db.session.commit()
        raise NotFound
    if not authenticators.is_recovery_code(account.id, code):
        db.session.commit()
        raise WrongCode
    account.recovery_saved_at = now
    account.recovery_nonce = account.recovery_session_hash = None
    audit.record("recovery_codes.saved", account.id, by, now)
    db.session.commit()
