"""What counts once: solutions of the robot check, and signatures of the MDM system (rule 4.7)."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.models.base import Instant


class UsedSolution(Model):
    signature: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[Instant] = mapped_column(index=True)
