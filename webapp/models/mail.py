"""The outbox: each mail is a row, written in the transaction of what it tells (section 9)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.domain.lifecycle import MailState
from webapp.extensions import Model
from webapp.models.base import Id, Instant, enum_column, one_of, where


class Mail(Model):
    """One mail for one event: ``key`` names the event, and the database refuses a second row for it."""

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(String(120), unique=True)
    kind: Mapped[str] = mapped_column(String(40))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    recipient: Mapped[str] = mapped_column(String(113))
    context: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """What the template needs beyond the account; never a token or a code (decision 0003)."""
    urgent: Mapped[bool] = mapped_column(default=False)
    """Codes and answers that somebody waits for leave before reminders."""
    state: Mapped[MailState] = mapped_column(enum_column(MailState), default=MailState.QUEUED)
    created_at: Mapped[Instant]
    due_at: Mapped[Instant]
    """Not before this instant; moved on after a failed try, and while a worker holds it."""
    tries: Mapped[int] = mapped_column(default=0)
    message_id: Mapped[str | None] = mapped_column(String(120))
    sent_at: Mapped[Instant | None]
    last_answer: Mapped[str] = mapped_column(String(300), default="")

    __table_args__ = (
        one_of("state", MailState),
        Index("ix_mail_queue", "urgent", "due_at", "id", **where(text("state = 'queued'"))),
        Index("ix_mail_account", "account_id", "kind"),
        Index("ix_mail_failed", "id", **where(text("state = 'failed'"))),
        Index("ix_mail_failed_kind", "kind", "id", **where(text("state = 'failed'"))),
        # For the list of mails, newest first.
        Index("ix_mail_queued", "id", **where(text("state = 'queued'"))),
        Index("ix_mail_cancelled", "id", **where(text("state = 'cancelled'"))),
        Index("ix_mail_kind", "kind", "id"),
    )
