"""The forms of what admins do with somebody's account (rules 8.2 and 8.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wtforms import DateField, HiddenField, RadioField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its types
from wtforms.validators import DataRequired, InputRequired, Length

from webapp.forms import PortalForm, squeeze
from webapp.services import notes
from webapp.services.reasons import LONGEST_REASON

if TYPE_CHECKING:
    from collections.abc import Sequence


class DayField(DateField):
    """A day; what is none says how one looks."""

    def process_formdata(self, valuelist: list[str]) -> None:
        try:
            super().process_formdata(valuelist)
        except ValueError:
            raise ValueError("Enter the day like 2027-01-31: year, month and day") from None


def _reason() -> StringField:
    return StringField(
        "Reason",
        filters=[squeeze],
        validators=[
            DataRequired("Enter a reason"),
            Length(max=LONGEST_REASON, message=f"The reason must have {LONGEST_REASON} characters or fewer"),
        ],
    )


class ActionForm(PortalForm):
    """Why it is done; the kinds below ask before for what more there is to choose."""

    stale = "This page was open for too long, so nothing was done. Check your answers and submit again."

    seen = HiddenField(filters=[squeeze])
    stands = HiddenField(filters=[squeeze])
    """How the account stood when the form was shown."""
    reason = _reason()

    def last_seen(self) -> int | None:
        """The last event on record when the form was shown; None where that is garbled."""
        text = self.seen.data or ""
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


class ResendForm(ActionForm):
    kind = RadioField("Which one", validators=[InputRequired("Choose which one")])
    reason = _reason()


class ExtendForm(ActionForm):
    kind = RadioField("Which one", validators=[InputRequired("Choose which one")])
    until = DayField("Works until the end of", validators=[InputRequired("Enter the last day")])
    reason = _reason()


class RoleForm(ActionForm):
    role = RadioField("New role", validators=[InputRequired("Choose the new role")])
    reason = _reason()


def offer(field: RadioField, choices: Sequence[tuple[str, str]]) -> None:
    """Give a field its (value, words) pairs; a single one is chosen already."""
    field.choices = [SelectChoice(value, words) for value, words in choices]
    if len(choices) == 1 and not field.data:
        field.data = choices[0][0]


class NoteForm(PortalForm):
    note = StringField(
        "Add a note",
        filters=[squeeze],
        validators=[
            DataRequired("Enter the note"),
            Length(max=notes.LONGEST, message=f"A note must have {notes.LONGEST} characters or fewer"),
        ],
    )
