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
from webapp.services.sessions import end_all_sessions, signed_in_browsers

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.domain.policy import Policy
    from webapp.models import Account, BrowserSession


@dataclass(frozen=True, slots=True)
class Overview:
    """How an account is signed in to."""

    authenticator_since: datetime | None
    replacing: bool
    """Whether a new authenticator is being set up."""
    codes_left: int
    codes_made: int
    codes_saved: bool
    browsers: list[BrowserSession]


def overview(account: Account, now: datetime, policy: Policy) -> Overview:
    since, replacing = authenticators.stands(account.id)
    codes_left, codes_made = authenticators.count_recovery_codes(account.id)
    return Overview(
        authenticator_since=since,
        replacing=replacing,
        codes_left=codes_left,
        codes_made=codes_made,
        codes_saved=account.recovery_nonce is None,
        browsers=signed_in_browsers(account.id, now, policy),
    )


def begin_authenticator(session_id: int, now: datetime, policy: Policy) -> None:
    """Make the key of a new authenticator; the old one stays in force. Begun twice, it is the same key.

    Raises `ConfirmFirst` or `SessionOver`.
    """
    authenticators.begin_replacement(take(session_id, now, policy).account_id)
    db.session.commit()


def cancel_authenticator(account_id: int) -> None:
    """Forget the key of the new authenticator; the one in force stays so."""
    authenticators.forget_next_key(account_id)
    db.session.commit()


def replace_authenticator(session_id: int, code: str, by: audit.By, now: datetime, policy: Policy) -> None:
    """One code of the new authenticator puts it in force, in place of the old; all other sessions end.

    Raises `ConfirmFirst`, `SessionOver`, `WrongCode`, or `NotFound` where no new one is being set up (any more).
    """
    account = take(session_id, now, policy).account
    try:
        right = authenticators.replace(account.id, code, now)
    except NotFound:
        db.session.rollback()
        raise
    if not right:
        db.session.commit()  # Nothing was written; lets go of the row while the page is made.
        raise WrongCode
    end_all_sessions(account.id, keep=session_id)
    end_attempts(account.id, now)
    outbox.post(emails.authenticator_changed(account, now))
    audit.record("authenticator.replaced", account.id, by, now)
    db.session.commit()


def new_recovery_codes(session_id: int, by: audit.By, now: datetime, policy: Policy) -> None:
    """New recovery codes, which void the old at once. While new ones wait to be saved, they are left as they are.

    Raises `ConfirmFirst` or `SessionOver`.
    """
    account = take(session_id, now, policy).account
    if not authenticators.can_show_codes(account):
        authenticators.create_recovery_codes(account, policy)
        outbox.post(emails.recovery_codes_changed(account, now))
        audit.record("recovery_codes.changed", account.id, by, now)
    db.session.commit()


def save_recovery_codes(session_id: int, code: str, by: audit.By, now: datetime, policy: Policy) -> None:
    """One of the new codes typed back shows that they are saved; it is not used up by it.

    Raises `ConfirmFirst`, `SessionOver`, `WrongCode`, or `NotFound` where none wait to be saved (any more).
    """
    account = take(session_id, now, policy).account
    if account.recovery_nonce is None:
        db.session.commit()
        raise NotFound
    if not authenticators.is_recovery_code(account.id, code):
        db.session.commit()
        raise WrongCode
    account.recovery_saved_at = now
    account.recovery_nonce = None
    audit.record("recovery_codes.saved", account.id, by, now)
    db.session.commit()
