"""Authenticators and recovery codes: made, confirmed, used once, reset (rules 3.9, 7.1 and 7.3)."""

from __future__ import annotations

from dataclasses import dataclass
from hmac import compare_digest
from typing import TYPE_CHECKING

import pyotp
import structlog
from cryptography.fernet import InvalidToken
from sqlalchemy import delete, func, insert, select, update

from webapp import emails
from webapp.domain.lifecycle import AccountStatus, InvitationKind
from webapp.domain.tokens import (
    derive_recovery_codes,
    new_nonce,
    readings_of_recovery_code,
    recovery_code_hash,
)
from webapp.extensions import db
from webapp.models import Account, Authenticator, RecoveryCode
from webapp.models.base import insert_new
from webapp.services import audit, outbox
from webapp.services.acting import begin, is_repeated
from webapp.services.errors import NotFound
from webapp.services.invitations import invite, live_invitation
from webapp.services.keys import decrypt, encrypt, secret_key, secret_keys
from webapp.services.sessions import end_all_sessions, forget_browsers

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.domain.policy import Policy

log = structlog.get_logger()

ISSUER = "TechPass"
STEP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Key:
    """What an authenticator app is told: the address its QR code holds, and the key to type instead."""

    address: str
    typed: str
    """In groups of four letters and digits; apps leave out the spaces."""


def create_key(account_id: int, now: datetime) -> None:
    """Give an account a key to set an authenticator up with, unless it has one already. No commit."""
    sealed = encrypt(pyotp.random_base32())
    row = {"account_id": account_id, "encrypted_key": sealed, "created_at": now, "last_step": 0}
    db.session.execute(insert_new(Authenticator), [row])


def key_to_set_up(account: Account) -> Key:
    """The key of an authenticator that is not confirmed yet. Raises `NotFound`: afterwards it is never shown."""
    sealed = db.session.scalar(
        select(Authenticator.encrypted_key).where(
            Authenticator.account_id == account.id, Authenticator.confirmed_at.is_(None)
        )
    )
    return _as_shown(sealed, account)


def _as_shown(sealed: str | None, account: Account) -> Key:
    if sealed is None:
        raise NotFound
    key = decrypt(sealed)
    address = pyotp.TOTP(key).provisioning_uri(name=account.email, issuer_name=ISSUER)
    return Key(address, " ".join(key[start : start + 4] for start in range(0, len(key), 4)))


def confirmed_at(account_id: int) -> datetime | None:
    """Since when the authenticator in force has been; None where there is none, or one still being set up."""
    return db.session.scalar(select(Authenticator.confirmed_at).where(Authenticator.account_id == account_id))


def stands(account_id: int) -> tuple[datetime | None, str | None]:
    """What `confirmed_at` gives, and which session sets up another one to replace it, by the hash of its token."""
    found = db.session.execute(
        select(Authenticator.confirmed_at, Authenticator.next_session_hash).where(
            Authenticator.account_id == account_id
        )
    ).first()
    return (found[0], found[1]) if found else (None, None)


def is_confirmed(account_id: int) -> bool:
    return confirmed_at(account_id) is not None


def confirm(account_id: int, code: str, now: datetime) -> bool:
    """Confirm a new authenticator by one of its codes; whether the code was right. No commit."""
    step = _matching_step(_key_in_force(account_id), code, now, account_id)
    if step is None:
        return False
    done = db.session.scalar(
        update(Authenticator)
        .where(Authenticator.account_id == account_id, Authenticator.confirmed_at.is_(None))
        .values(confirmed_at=now, last_step=step)
        .returning(Authenticator.account_id)
    )
    return done is not None


def use_code(account_id: int, code: str, now: datetime) -> bool:
    """Accept a code of a confirmed authenticator; whether it was right. The database's condition makes it count once.

    No commit.
    """
    step = _matching_step(_key_in_force(account_id), code, now, account_id)
    if step is None:
        return False
    done = db.session.scalar(
        update(Authenticator)
        .where(
            Authenticator.account_id == account_id,
            Authenticator.confirmed_at.is_not(None),
            Authenticator.last_step < step,
        )
        .values(last_step=step)
        .returning(Authenticator.account_id)
    )
    return done is not None


def begin_replacement(account_id: int, session_hash: str) -> bool:
    """Make the key of the app that is to replace the one in force; whether one was made (rule 6.3). No commit.

    A session that began keeps its key. One that another began is void: whoever sits there may have copied it.
    """
    done = db.session.scalar(
        update(Authenticator)
        .where(
            Authenticator.account_id == account_id,
            Authenticator.confirmed_at.is_not(None),
            Authenticator.next_session_hash.is_distinct_from(session_hash),
        )
        .values(next_encrypted_key=encrypt(pyotp.random_base32()), next_session_hash=session_hash)
        .returning(Authenticator.account_id)
    )
    return done is not None


def next_key(account: Account, session_hash: str) -> Key:
    """The key that is to replace the one in force. Raises `NotFound` where this session has begun no replacement."""
    return _as_shown(_sealed_next_key(account.id, session_hash), account)


def forget_next_key(account_id: int) -> bool:
    """Break a replacement off, whichever session began it: the one in force stays. Whether there was one. No commit."""
    done = db.session.scalar(
        update(Authenticator)
        .where(Authenticator.account_id == account_id, Authenticator.next_encrypted_key.is_not(None))
        .values(next_encrypted_key=None, next_session_hash=None)
        .returning(Authenticator.account_id)
    )
    return done is not None


def replace(account_id: int, session_hash: str, code: str, now: datetime) -> bool:
    """Put the new app in force by one of its codes; whether the code was right. One UPDATE: there is never none.

    Raises `NotFound` where this session has begun no replacement, or it is over. No commit.
    """
    sealed = _sealed_next_key(account_id, session_hash)
    if sealed is None:
        raise NotFound
    step = _matching_step(sealed, code, now, account_id)
    if step is None:
        return False
    done = db.session.scalar(
        update(Authenticator)
        .where(Authenticator.account_id == account_id, Authenticator.next_encrypted_key == sealed)
        .values(
            encrypted_key=sealed,
            next_encrypted_key=None,
            next_session_hash=None,
            last_step=step,
            created_at=now,
            confirmed_at=now,
        )
        .returning(Authenticator.account_id)
    )
    if done is None:
        raise NotFound
    return True


def _key_in_force(account_id: int) -> str | None:
    return db.session.scalar(select(Authenticator.encrypted_key).where(Authenticator.account_id == account_id))


def _sealed_next_key(account_id: int, session_hash: str) -> str | None:
    return db.session.scalar(
        select(Authenticator.next_encrypted_key).where(
            Authenticator.account_id == account_id, Authenticator.next_session_hash == session_hash
        )
    )


def _matching_step(sealed: str | None, code: str, now: datetime, account_id: int) -> int | None:
    """The time step that ``code`` belongs to: the present one, or one beside it where the phone's clock is off."""
    if sealed is None or not code.isascii():
        return None
    try:
        app = pyotp.TOTP(decrypt(sealed))
    except InvalidToken:
        # An operator took the secret away that it was sealed with; an admin resets such authenticators.
        log.error("an authenticator is sealed with a secret that is no longer configured", account=account_id)
        return None
    present = int(now.timestamp()) // STEP_SECONDS
    matching = [step for step in (present - 1, present, present + 1) if compare_digest(app.generate_otp(step), code)]
    return matching[-1] if matching else None


def create_recovery_codes(account: Account, policy: Policy, session_hash: str | None = None) -> None:
    """New recovery codes in place of all earlier ones; they can be shown until they are saved. No commit.

    ``session_hash`` is of the session that alone may show them; None where they are part of onboarding.
    """
    account.recovery_nonce = new_nonce()
    account.recovery_session_hash = session_hash
    account.recovery_saved_at = None
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.account_id == account.id))
    codes = derive_recovery_codes(secret_key(), account.recovery_nonce, policy.recovery_codes)
    db.session.execute(
        insert(RecoveryCode),
        [{"account_id": account.id, "code_hash": recovery_code_hash(secret_key(), code)} for code in codes],
    )


def codes_to_save(account: Account) -> list[str]:
    """The recovery codes, until one was typed back. Raises `NotFound` after that: they are never shown again."""
    if account.recovery_nonce is None:
        raise NotFound
    held = set(db.session.scalars(select(RecoveryCode.code_hash).where(RecoveryCode.account_id == account.id)))
    for secret in secret_keys():
        codes = derive_recovery_codes(secret, account.recovery_nonce, len(held))
        if codes and recovery_code_hash(secret, codes[0]) in held:
            return codes
    raise NotFound


def is_recovery_code(account_id: int, code: str) -> bool:
    """Whether ``code`` is one of the account's that was not used yet. It is not used up."""
    return (
        db.session.scalar(
            select(RecoveryCode.id).where(
                RecoveryCode.account_id == account_id,
                RecoveryCode.code_hash.in_(_hashes(code)),
                RecoveryCode.used_at.is_(None),
            )
        )
        is not None
    )


def use_recovery_code(account_id: int, code: str, now: datetime) -> bool:
    """Use a recovery code up; whether it was good. The database's condition makes it count once (L2). No commit."""
    done = db.session.scalars(
        update(RecoveryCode)
        .where(
            RecoveryCode.account_id == account_id,
            RecoveryCode.code_hash.in_(_hashes(code)),
            RecoveryCode.used_at.is_(None),
        )
        .values(used_at=now)
        .returning(RecoveryCode.id)
    ).all()
    return len(done) == 1


def count_recovery_codes(account_id: int) -> tuple[int, int]:
    """How many recovery codes are left, and of how many."""
    made, used = db.session.execute(
        select(func.count(), func.count(RecoveryCode.used_at)).where(RecoveryCode.account_id == account_id)
    ).one()
    return made - used, made


def recovery_codes_left(account_id: int) -> int:
    return count_recovery_codes(account_id)[0]


def _hashes(code: str) -> list[str]:
    return [
        recovery_code_hash(secret, reading) for secret in secret_keys() for reading in readings_of_recovery_code(code)
    ]


def reset_authenticator(
    account_id: int, reason: str, by: audit.By, now: datetime, policy: Policy, seen: int | None = None
) -> None:
    """An admin takes away a lost authenticator with its recovery codes, and signs its holder out (rule 7.3).

    An active person is mailed a link to set up a new one. Somebody still being onboarded begins that step again, from
    the link of the onboarding email, which is mailed once more. ``reason`` goes on record for good, so it must name
    nobody; ``seen`` is the last event that the form knew of (see `acting.is_repeated`). Raises `NotFound` for any other
    account, `OwnAccount` or `ReasonMissing`.
    """
    account, reason = begin(account_id, reason, by)
    if is_repeated(account, "authenticator.reset", seen):
        db.session.rollback()
        return
    if account.status not in (AccountStatus.PENDING, AccountStatus.ACTIVE):
        db.session.rollback()
        raise NotFound
    db.session.execute(delete(Authenticator).where(Authenticator.account_id == account.id))
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.account_id == account.id))
    account.recovery_nonce = account.recovery_session_hash = account.recovery_saved_at = None
    account.changed_at = now
    end_all_sessions(account.id)
    forget_browsers(account.id, now)
    audit.record("authenticator.reset", account.id, by, now, reason=reason)
    if account.status is AccountStatus.ACTIVE:
        invite(account, InvitationKind.AUTHENTICATOR, now, policy)
    else:
        create_key(account.id, now)
        link = live_invitation(account.id, InvitationKind.TECHPASS)
        if link is not None:
            outbox.post(emails.authenticator_setup(account, link, now))
    db.session.commit()
