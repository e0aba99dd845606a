"""The record of what happened to whom, by whom, from where: rows are added, never changed or deleted."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.models.base import Id, Instant, enum_column, one_of


class Actor(StrEnum):
    VISITOR = "visitor"
    OFFICER = "officer"
    ADMIN = "admin"
    SYSTEM = "system"


class AuditEvent(Model):
    """One event. It names accounts by number alone, so that deleting personal data leaves a pseudonym (rule 3.5).

    Triggers refuse change and deletion, but for the peer's address, which may be forgotten.
    """

    id: Mapped[Id]
    at: Mapped[Instant] = mapped_column(index=True)
    action: Mapped[str] = mapped_column(String(60))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    actor: Mapped[Actor] = mapped_column(enum_column(Actor))
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    peer: Mapped[str | None] = mapped_column(String(45))
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)

    __table_args__ = (one_of("actor", Actor),)
