"""The record of what happened to whom, by whom, from where: rows are added, never changed or deleted."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.models.base import BigId, Id, Instant, enum_column, one_of


class Actor(StrEnum):
    VISITOR = "visitor"
    OFFICER = "officer"
    ADMIN = "admin"
    SYSTEM = "system"


_BACKWARDS: dict[str, Any] = {"postgresql_ops": {"at": "DESC NULLS LAST", "id": "DESC NULLS LAST"}}
"""An order that the whole log's index does not have: see `webapp.services.audit_log.listed`."""


class AuditEvent(Model):
    """One event. It names accounts by number alone, so that deleting personal data leaves a pseudonym (rule 3.5).

    Triggers refuse change and deletion, but for the peer's address, which may be forgotten.
    """

    id: Mapped[Id]
    at: Mapped[Instant]
    action: Mapped[str] = mapped_column(String(60))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    actor: Mapped[Actor] = mapped_column(enum_column(Actor))
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    peer: Mapped[str | None] = mapped_column(String(45))
    peer_salt: Mapped[str | None] = mapped_column(String(32))
    """Goes into the seal with the peer, and is forgotten with it, so that no seal gives the peer away."""
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)

    __table_args__ = (
        one_of("actor", Actor),
        # For the audit log, newest first: all of it, of one kind, by one person. What happened to one person is short.
        Index("ix_audit_event_at", "at", "id"),
        Index("ix_audit_event_action", "action", "at", "id", **_BACKWARDS),
        Index("ix_audit_event_actor", "actor_id", "at", "id", **_BACKWARDS),
    )


class AuditSeal(Model):
    """A link of the chain over the record: the hash of one event and of the seal before (rule 8.8).

    Triggers refuse change and deletion.
    """

    position: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    """1, 2, 3 … without a gap."""
    event_id: Mapped[int] = mapped_column(ForeignKey("audit_event.id"), unique=True)
    peer_mark: Mapped[str | None] = mapped_column(String(64))
    """Hash of the peer and its salt, which may be forgotten; None where there was none."""
    hash: Mapped[str] = mapped_column(String(64))
    sealed_at: Mapped[Instant]

    __table_args__ = (Index("ix_audit_seal_sealed_at", "sealed_at", "position"),)
