"""Numbers by day, counted anew by a job so that no page counts a million rows (rules 8.1, 8.7 and 8.10)."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Date
from sqlalchemy.orm import Mapped, mapped_column

from webapp.domain.measures import Measure
from webapp.extensions import Model
from webapp.models.base import Instant, enum_column, one_of


class DailyCount(Model):
    """One number of one day in Singapore, as it was when last counted."""

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    measure: Mapped[Measure] = mapped_column(enum_column(Measure), primary_key=True)
    count: Mapped[int]
    counted_at: Mapped[Instant]

    __table_args__ = (one_of("measure", Measure),)
