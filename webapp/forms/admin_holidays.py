"""The forms of days off (rules 4.2 and 8.4)."""

from __future__ import annotations

from datetime import date

from wtforms import StringField, TextAreaField, ValidationError

from webapp.forms import PortalForm, squeeze
from webapp.services.holidays import LONGEST_NAME, YEARS


class DayForm(PortalForm):
    day = StringField("Day", filters=[squeeze])
    name = StringField("Name", filters=[squeeze])

    def validate_day(self, field: StringField) -> None:
        if self.date() is None:
            raise ValidationError(f"Enter a date between {YEARS[0]} and {YEARS[-1]}, like 2026-12-24")

    def validate_name(self, field: StringField) -> None:
        if not field.data:
            raise ValidationError("Enter a name, like Christmas Eve")
        if len(field.data) > LONGEST_NAME:
            raise ValidationError(f"The name must have {LONGEST_NAME} characters or fewer")

    def date(self) -> date | None:
        """The day that was entered; None where it is no such day."""
        try:
            day = date.fromisoformat(self.day.data or "")
        except ValueError:
            return None
        return day if day.year in YEARS else None


class LinesForm(PortalForm):
    lines = TextAreaField("Days off, one a line")


class RemoveDayForm(PortalForm):
    day = StringField(filters=[squeeze])
