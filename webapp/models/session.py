"""Signed-in browsers, kept here and not in the cookie, so that each can be ended at once (rule 6.3)."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.extensions import Model
from webapp.models.account import Account
from webapp.models.base import Id, Instant, enum_column, one_of, where


class SessionKind(StrEnum):
    SIGNED_IN = "signed_in"
    ONBOARDING = "onboarding"


class BrowserSession(Model):
    """A browser that is signed in, or is being onboarded; found by the hash of the token in its cookie."""

    __tablename__ = "session"

    id: Mapped[Id]
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    kind: Mapped[SessionKind] = mapped_column(enum_column(SessionKind))
    invitation_id: Mapped[int | None] = mapped_column(ForeignKey("invitation.id"), index=True)
    created_at: Mapped[Instant]
    last_seen_at: Mapped[Instant]
    expires_at: Mapped[Instant] = mapped_column(index=True)
    peer: Mapped[str] = mapped_column(String(45))
    user_agent: Mapped[str] = mapped_column(String(200))
    confirmed_at: Mapped[Instant | None]
    """When its holder last gave a code again, as changes of how to sign in ask for (rule 6.3)."""

    account: Mapped[Account] = relationship(lazy="raise")

    __table_args__ = (
        one_of("kind", SessionKind),
        Index("uq_session_onboarding", "account_id", unique=True, **where(text("kind = 'onboarding'"))),
    )
