"""Days off beyond Singapore's public holidays, which a library knows (rule 4.2)."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Date, String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model


class Holiday(Model):
    """A day that admins have set as no business day."""

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
