"""Who asked for whom, and the batches that many are asked for with (section 5)."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.domain.lifecycle import InvitationKind, SeedStatus
from webapp.extensions import Model
from webapp.models.account import Account
from webapp.models.base import BigId, Id, Instant, enum_column, one_of, where


class Invitee(Model):
    """A person whom an officer asked TechPass for. One row for each such pair, however often they ask."""

    id: Mapped[Id]
    inviter_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    email: Mapped[str] = mapped_column(String(113))
    """As the inviter typed it."""
    email_folded: Mapped[str] = mapped_column(String(113))
    name: Mapped[str] = mapped_column(String(121), default="")
    seed_status: Mapped[SeedStatus] = mapped_column(enum_column(SeedStatus), default=SeedStatus.NOT_REQUIRED)
    """SEED as they asked for it: what the list says where no more is told."""
    is_theirs: Mapped[bool]
    """Whether the account came of this invitation. If not it was there before, which its inviter must not learn from
    us unless they share an agency (rule 5.2)."""
    link: Mapped[InvitationKind | None] = mapped_column(enum_column(InvitationKind))
    """The link that they would have been mailed had they been new, where they were not (decision 0011)."""
    lapses_at: Mapped[Instant | None]
    """When that link would run out."""
    reason: Mapped[str] = mapped_column(String(300), default="")
    answers: Mapped[str | None] = mapped_column(String(64))
    """A mark of all that was said of them when they were asked for last: a form that is sent twice has the same."""
    asked_at: Mapped[Instant]
    """When they were asked for last, or the email was sent again: once a day (rule 5.3)."""
    ended_at: Mapped[Instant | None]
    """When it was completed or ran out, and the inviter was mailed (rule 5.4)."""

    inviter: Mapped[Account] = relationship(lazy="raise", foreign_keys=[inviter_id])
    account: Mapped[Account] = relationship(lazy="raise", foreign_keys=[account_id])

    __table_args__ = (
        UniqueConstraint("inviter_id", "account_id"),
        one_of("seed_status", SeedStatus),
        one_of("link", InvitationKind),
        Index("ix_invitee_inviter", "inviter_id", "asked_at", "id"),
        Index("ix_invitee_email", "email_folded", "inviter_id"),
        Index("ix_invitee_lapses", "lapses_at", **where(text("lapses_at IS NOT NULL"))),
        Index("ix_invitee_open", "account_id", **where(text("is_theirs AND ended_at IS NULL"))),
        # A number is never given twice: by it the mail that tells how it ended is known to be written.
        {"sqlite_autoincrement": True},
    )


class BatchState(StrEnum):
    DRAFT = "draft"
    SENDING = "sending"
    DONE = "done"


class RowVerdict(StrEnum):
    """What is to be said of a row before it is sent (rule 5.2)."""

    READY = "ready"
    AGAIN = "again"
    """An earlier invitation has run out; it is sent anew."""
    MALFORMED = "malformed"
    TWICE = "twice"
    """The address stands in the file before."""
    INVITED = "invited"
    """Somebody who is invited already, or has an account, as far as the inviter may know."""
    NOT_ALLOWED = "not_allowed"


class RowOutcome(StrEnum):
    SENT = "sent"
    SKIPPED = "skipped"
    FAILED = "failed"


class Batch(Model):
    """Many people to be invited at once, by one officer."""

    id: Mapped[Id]
    inviter_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    name: Mapped[str] = mapped_column(String(120))
    """Of the file, or what stands for what was pasted."""
    state: Mapped[BatchState] = mapped_column(enum_column(BatchState), default=BatchState.DRAFT)
    created_at: Mapped[Instant]
    sent_at: Mapped[Instant | None]
    """When its inviter had it sent."""
    ended_at: Mapped[Instant | None]
    peer: Mapped[str] = mapped_column(String(45), default="")
    """From where it was sent, for the record."""

    __table_args__ = (
        one_of("state", BatchState),
        Index("ix_batch_inviter", "inviter_id", "id"),
        Index("ix_batch_sending", "id", **where(text("state = 'sending'"))),
    )


class BatchRow(Model):
    """One row of a batch: the cells as they stand, what is to be said of them, and what became of it."""

    batch_id: Mapped[int] = mapped_column(BigId, ForeignKey("batch.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    """The row's number in the file; the line of the names of the columns is 1."""
    email: Mapped[str] = mapped_column(String(200), default="")
    email_folded: Mapped[str] = mapped_column(String(200), default="")
    """By which the same person is found twice; empty where the address is malformed."""
    seed: Mapped[str] = mapped_column(String(200), default="")
    first_name: Mapped[str] = mapped_column(String(200), default="")
    last_name: Mapped[str] = mapped_column(String(200), default="")
    organisation: Mapped[str] = mapped_column(String(200), default="")
    agency: Mapped[str] = mapped_column(String(200), default="")
    """The sponsoring agency's mail domain, for a vendor."""
    reason: Mapped[str] = mapped_column(String(301), default="")
    """One character more than may be sent: what was longer stays too long."""
    verdict: Mapped[RowVerdict] = mapped_column(enum_column(RowVerdict))
    words: Mapped[str] = mapped_column(String(300), default="")
    """Why, in words: of the verdict, then of the outcome."""
    suggestion: Mapped[str] = mapped_column(String(113), default="")
    """The address that was probably meant."""
    outcome: Mapped[RowOutcome | None] = mapped_column(enum_column(RowOutcome))

    __table_args__ = (
        one_of("verdict", RowVerdict),
        one_of("outcome", RowOutcome),
        Index("ix_batch_row_email", "email_folded", "batch_id"),
        Index("ix_batch_row_verdict", "batch_id", "verdict", "number"),
        Index("ix_batch_row_outcome", "batch_id", "outcome", "number"),
    )
