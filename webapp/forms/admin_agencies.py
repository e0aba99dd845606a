"""The forms of an agency and of a file of them (rules 1.6 and 8.4)."""

from __future__ import annotations

from typing import Any

from wtforms import BooleanField, FileField, HiddenField, RadioField, StringField, TextAreaField, ValidationError
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its types

from webapp.domain.addresses import AddressError, AgencyMode, parse_domain
from webapp.forms import PortalForm, squeeze
from webapp.services.agencies import AgencySettings

MODE_NAMES = {
    AgencyMode.OPEN: "Open",
    AgencyMode.INVITATION_ONLY: "Invitation only",
    AgencyMode.REFUSED: "Refused",
}
_MODES = [SelectChoice(mode.value, label) for mode, label in MODE_NAMES.items()]
FIELDS = ("domain", "name", "mode", "reason", "seed_eligible", "approves_automatically", "vendors_allowed")


class AgencyForm(PortalForm):
    """What an agency can have. ``version`` is that of the settings which the form was made from."""

    domain = StringField("Mail domain", filters=[squeeze])
    name = StringField("Name", filters=[squeeze])
    mode = RadioField("Who can sign up", choices=_MODES, validate_choice=False)
    reason = StringField("Reason", filters=[squeeze])
    seed_eligible = BooleanField("Offer SEED")
    approves_automatically = BooleanField("Approve requests automatically")
    vendors_allowed = BooleanField("Let vendors sign up themselves")
    version = HiddenField(filters=[squeeze])

    def validate_domain(self, field: StringField) -> None:
        try:
            field.data = parse_domain(field.data or "")
        except AddressError as error:
            raise ValidationError(str(error)) from error

    def validate(self, *args: Any, **kwargs: Any) -> bool:
        """Tells all at once, what the rules say of the settings too."""
        super().validate(*args, **kwargs)
        for name, words in self.settings().problems().items():
            if not (self[name].errors or (name == "reason" and self.mode.errors)):
                self[name].errors = [words]
        return not self.errors

    def validate_mode(self, field: RadioField) -> None:
        if field.data not in list(AgencyMode):
            raise ValidationError("Choose who can sign up")

    def settings(self) -> AgencySettings:
        """What the form says; open where it says no mode."""
        mode = AgencyMode(self.mode.data) if self.mode.data in list(AgencyMode) else AgencyMode.OPEN
        return AgencySettings(
            domain=self.domain.data or "",
            name=self.name.data or "",
            mode=mode,
            reason=(self.reason.data or "") if mode is AgencyMode.REFUSED else "",
            seed_eligible=bool(self.seed_eligible.data),
            approves_automatically=bool(self.approves_automatically.data),
            vendors_allowed=bool(self.vendors_allowed.data),
        )


class DismissForm(PortalForm):
    domain = StringField(filters=[squeeze])


class RemoveForm(PortalForm):
    """Nothing but the token."""


class ImportForm(PortalForm):
    """The lines, pasted or as they were shown; the file is read by the view."""

    stale = (
        "This page was open for too long, so nothing was imported. What you pasted is kept: check it and submit again."
    )

    file = FileField("CSV file")
    text = TextAreaField("Or paste its lines")
    from_file = HiddenField(filters=[squeeze])
    """Says "yes" where the lines that were shown came from a file."""
    version = HiddenField(filters=[squeeze])
