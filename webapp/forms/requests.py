"""The forms of the queue: a rejection with its reason (rule 2.3), a question, a note (rule 8.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wtforms import SelectField, StringField, TextAreaField
from wtforms.validators import DataRequired, Length, ValidationError

from webapp.domain.lifecycle import RequestKind
from webapp.forms import PortalForm, squeeze

if TYPE_CHECKING:
    from typing import Self

COMMON_REASONS = {
    RequestKind.TECHPASS: (
        "We could not confirm that you work for this agency.",
        "This is the address of a mailbox that several people share. Sign up with your own.",
        "You have a TechPass with another address.",
        "Your work does not need the services that TechPass leads to.",
    ),
    RequestKind.SEED: (
        "A GSIB is never enrolled in SEED, and needs no SEED.",
        "Your agency manages this device itself.",
        "Your work does not need SEED.",
    ),
}
"""Whole sentences: the applicant reads them."""
_LONGEST_REASON = 500
_NONE = "Enter a reason: the applicant is told it by email"


class RejectForm(PortalForm):
    common = SelectField("Reason", choices=[], validate_choice=True)
    reason = StringField("Or in your own words", filters=[squeeze])

    def offer(self, *kinds: RequestKind) -> Self:
        """Offer the common reasons for ``kinds``."""
        listed = [text for kind in RequestKind if kind in kinds for text in COMMON_REASONS[kind]]
        self.common.choices = [("", "Choose one"), *((text, text) for text in listed)]
        self.common.data = self.common.data or ""
        return self

    def validate_reason(self, field: StringField) -> None:
        if not self.words:
            raise ValidationError(_NONE)
        if len(self.words) > _LONGEST_REASON:
            raise ValidationError(f"The reason must have {_LONGEST_REASON} characters or fewer")

    @property
    def words(self) -> str:
        """What the applicant is told: the reason that was chosen, and what was written."""
        return " ".join(part for part in (self.common.data, self.reason.data) if part)


class AskForm(PortalForm):
    question = TextAreaField(
        "Question",
        filters=[squeeze],
        validators=[
            DataRequired("Enter what you want to know"),
            Length(max=500, message="The question must have 500 characters or fewer"),
        ],
    )


class NoteForm(PortalForm):
    note = StringField(
        "Note",
        filters=[squeeze],
        validators=[
            DataRequired("Enter the note"),
            Length(max=500, message="The note must have 500 characters or fewer"),
        ],
    )
