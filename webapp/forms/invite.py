"""The form by which an officer asks for one person (rule 5.1). What is wrong with it, the service says."""

from __future__ import annotations

from wtforms import RadioField, SelectField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its types
from wtforms.validators import Optional

from webapp.domain.inviting import COLUMNS
from webapp.forms import PortalForm, squeeze


class InviteForm(PortalForm):
    email = StringField("Their work email address", filters=[squeeze])
    first_name = StringField("First name", filters=[squeeze])
    last_name = StringField("Last name", filters=[squeeze])
    organisation = StringField("Organisation", filters=[squeeze])
    agency = SelectField("Sponsoring agency", validators=[Optional()], validate_choice=False, filters=[squeeze])
    seed = RadioField(
        "Do they need SEED for an internet device?",
        choices=[SelectChoice("yes", "Yes"), SelectChoice("no", "No")],
        validators=[Optional()],
        validate_choice=False,
    )
    reason = StringField("Why do they need TechPass?", filters=[squeeze])

    def offer(self, sponsors: list[tuple[str, str]]) -> InviteForm:
        """Offer these agencies, by mail domain and name, as sponsors."""
        self.agency.choices = [("", "Choose an agency"), *sponsors]
        return self

    def fields(self) -> dict[str, str]:
        """All of it, by name, as it was typed."""
        return {name: self[name].data or "" for name in COLUMNS}
