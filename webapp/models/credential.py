"""What a person signs in with, and the tries at it (rules 3.9, 7.1 and 7.3)."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.models.base import BigId, Id, Instant


class Authenticator(Model):
    """The authenticator app of an account: its key, encrypted, and the last time step that was accepted."""

    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True, autoincrement=False)
    encrypted_key: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[Instant]
    confirmed_at: Mapped[Instant | None]
    last_step: Mapped[int] = mapped_column(BigId, default=0)
    """A code is accepted only for a later step than this: never twice (rule 7.1)."""
    next_encrypted_key: Mapped[str | None] = mapped_column(String(255))
    """The key of the app that is to replace this one, until a code confirms it (rule 6.3)."""
    next_session_hash: Mapped[str | None] = mapped_column(String(64))
    """Hash of the token of the session that began it: no other sees the key or puts it in force."""


class RecoveryCode(Model):
    """One recovery code, as a keyed hash; used once."""

    id: Mapped[Id]
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    code_hash: Mapped[str] = mapped_column(String(64))
    used_at: Mapped[Instant | None]

    __table_args__ = (Index("uq_recovery_code", "account_id", "code_hash", unique=True),)


class LogInAttempt(Model):
    """One browser's try to log in, from the address on; ``account_id`` is None where nobody has that address."""

    id: Mapped[Id]
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    address_hash: Mapped[str] = mapped_column(String(64))
    """Keyed hash of the address that was typed, so that strangers' addresses are counted and not kept."""
    nonce: Mapped[str] = mapped_column(String(32))
    """What the mailed code is derived from; attempts within the cooldown share the code that was mailed."""
    created_at: Mapped[Instant]
    code_sent_at: Mapped[Instant]
    expires_at: Mapped[Instant] = mapped_column(index=True)
    tries: Mapped[int] = mapped_column(default=0)
    code_accepted_at: Mapped[Instant | None]
    ended_at: Mapped[Instant | None]

    __table_args__ = (Index("ix_log_in_attempt_address", "address_hash", "code_sent_at"),)


class WrongCode(Model):
    """A wrong code, counted to end guessing; known browsers apart, so that a stranger locks nobody out."""

    id: Mapped[Id]
    address_hash: Mapped[str] = mapped_column(String(64))
    """Whose account it was tried at, if anybody's: counted alike for addresses that nobody has (rule 1.8)."""
    known_browser: Mapped[bool]
    at: Mapped[Instant] = mapped_column(index=True)

    __table_args__ = (Index("ix_wrong_code_address", "address_hash", "known_browser", "at"),)
