"""Parts of the sweep that stopped and wait for an admin (rule 8.7)."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.models.base import Instant


class HeldSweep(Model):
    """A part that would have ended more accounts than usual. The row goes once the part has run."""

    part: Mapped[str] = mapped_column(String(20), primary_key=True)
    held_at: Mapped[Instant]
    would_end: Mapped[int]
    """How many accounts, when it was last counted."""
    usual: Mapped[int]
    """Up to how many would have been usual."""
    allowed: Mapped[int | None]
    """How many an admin has let it end; it is held again where more are due by then."""
    allowed_at: Mapped[Instant | None]
    allowed_by_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
