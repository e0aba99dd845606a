"""The forms of the forecast: what is done with a selection, and a held part of the sweep let run (rule 8.7)."""

from __future__ import annotations

from datetime import date

from wtforms import HiddenField, SelectMultipleField, StringField
from wtforms.validators import DataRequired, Length, Regexp

from webapp.domain.lifecycle import InvitationKind
from webapp.forms import PortalForm, squeeze
from webapp.models.base import MAX_ID
from webapp.services.reasons import LONGEST_REASON
from webapp.services.selection import Action, Chosen

_REASON = (
    DataRequired("Enter a reason: it goes on record, so it must name nobody"),
    Length(max=LONGEST_REASON, message=f"The reason must have {LONGEST_REASON} characters or fewer"),
)


class SelectionForm(PortalForm):
    chosen = SelectMultipleField("People", choices=[], validate_choice=False)
    reason = StringField("Reason", filters=[squeeze], validators=_REASON)
    until = StringField("Extend until the end of", filters=[squeeze])
    action = HiddenField()

    def selection(self) -> list[Chosen]:
        """What was chosen; what is no line of a list is left out."""
        found = []
        for value in self.chosen.data or []:
            number, _, link = value.partition(".")
            if not (number.isascii() and number.isdigit() and len(number) < 20 and 0 < int(number) <= MAX_ID):
                continue
            found.append(Chosen(int(number), InvitationKind(link) if link in list(InvitationKind) else None))
        return found

    def what(self) -> Action | None:
        given = self.action.data
        return Action(given) if given in list(Action) else None

    def day(self) -> date | None:
        """The day that was entered; None where it is none."""
        try:
            return date.fromisoformat(self.until.data or "")
        except ValueError:
            return None


class AllowForm(PortalForm):
    seen = HiddenField(validators=[Regexp(r"\A[0-9]{1,12}\Z", message="Load the page again: the number is missing")])
    reason = StringField("Why it may run", filters=[squeeze], validators=_REASON)
