"""One line in the record for each thing that happens, in the same transaction as the thing itself."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from webapp.extensions import db
from webapp.models import Account, Actor, AuditEvent
from webapp.models.base import insert_row

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class By:
    """Who acts, and from where: what a use-case is told of its caller."""

    actor: Actor
    account_id: int | None = None
    peer: str | None = None

    @classmethod
    def visitor(cls, peer: str) -> By:
        return cls(Actor.VISITOR, None, peer)

    @classmethod
    def person(cls, account: Account, peer: str) -> By:
        return cls(Actor.ADMIN if account.is_admin else Actor.OFFICER, account.id, peer)


SYSTEM = By(Actor.SYSTEM)
"""The sweeps, automatic approval and the operator's commands."""


def record(action: str, account_id: int | None, by: By, now: datetime, **detail: Any) -> None:
    """Add ``action`` to the record. ``detail`` must hold no personal data: it outlives the account (rule 3.5)."""
    db.session.execute(
        insert_row(AuditEvent).values(
            at=now,
            action=action,
            account_id=account_id,
            actor=by.actor,
            actor_id=by.account_id,
            peer=by.peer,
            peer_salt=None if by.peer is None else secrets.token_hex(16),
            detail=detail,
        )
    )
