"""Mailed links: one row each, found by the hash of its token (rules 3.2, 3.6 to 3.8, 4.3 and 7.3)."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.domain.lifecycle import InvitationKind, InvitationState
from webapp.extensions import Model
from webapp.models.account import Account
from webapp.models.base import Id, Instant, enum_column, one_of, where


class Invitation(Model):
    """A link, its life and its end. One live link of a kind for an account; the database forbids two."""

    id: Mapped[Id]
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    kind: Mapped[InvitationKind] = mapped_column(enum_column(InvitationKind))
    state: Mapped[InvitationState] = mapped_column(enum_column(InvitationState), default=InvitationState.LIVE)
    nonce: Mapped[str] = mapped_column(String(32))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    issued_at: Mapped[Instant]
    expires_at: Mapped[Instant]
    remind_at: Mapped[Instant | None]
    """When the next reminder is due (rule 3.3)."""
    accepted_at: Mapped[Instant | None]
    ended_at: Mapped[Instant | None]
    """When it was used, replaced or swept as expired; an expired link is refused before that all the same."""
    extended_at: Mapped[Instant | None]
    """When an admin last moved ``expires_at`` (rule 8.3)."""
    resent_by_officer_at: Mapped[Instant | None]
    """Set where an officer asked for this very link: once a day (rule 3.8)."""

    account: Mapped[Account] = relationship(lazy="raise")

    __table_args__ = (
        one_of("kind", InvitationKind),
        one_of("state", InvitationState),
        Index("uq_invitation_live", "account_id", "kind", unique=True, **where(text("state = 'live'"))),
        Index("ix_invitation_expiry", "expires_at", **where(text("state = 'live'"))),
        Index("ix_invitation_reminder", "remind_at", **where(text("state = 'live' AND remind_at IS NOT NULL"))),
    )
