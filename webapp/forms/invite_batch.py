"""The forms by which many are asked for at once (rule 5.2)."""

from __future__ import annotations

from wtforms import FileField, HiddenField, RadioField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its types
from wtforms.validators import Length, Optional

from webapp.domain.inviting import COLUMNS
from webapp.forms import PortalForm, squeeze


class UploadForm(PortalForm):
    """A list that is pasted or a file, which the view reads, and what holds for rows that do not say."""

    stale = "This page was open for too long, so nothing was sent. What you typed is kept: check it and submit again."

    file = FileField("A file")
    text = TextAreaField(
        "Or paste the list", filters=[lambda text: text and text.replace("\0", " ")], validators=[Optional()]
    )
    seed = RadioField(
        "Do they need SEED, where a row does not say?",
        choices=[SelectChoice("yes", "Yes"), SelectChoice("no", "No"), SelectChoice("", "Each row says it")],
        validators=[Optional()],
        validate_choice=False,
        default="",
    )
    reason = StringField(
        "Why do they need TechPass, where a row does not say?",
        filters=[squeeze],
        validators=[Length(max=300, message="The reason must have 300 characters or fewer")],
    )

    def otherwise(self) -> dict[str, str]:
        """The cells of rows that leave them empty."""
        return {"seed": self.seed.data or "", "reason": self.reason.data or ""}


class RowForm(PortalForm):
    """A row of a batch as it is mended. What is wrong with it, its verdict says."""

    email = StringField("Email address", filters=[squeeze])
    seed = StringField("SEED (yes or no)", filters=[squeeze])
    first_name = StringField("First name", filters=[squeeze])
    last_name = StringField("Last name", filters=[squeeze])
    organisation = StringField("Organisation", filters=[squeeze])
    agency = StringField("Sponsoring agency’s mail domain", filters=[squeeze])
    reason = StringField("Reason", filters=[squeeze])

    # What the fields held when they were shown.
    email_shown = HiddenField(filters=[squeeze])
    seed_shown = HiddenField(filters=[squeeze])
    first_name_shown = HiddenField(filters=[squeeze])
    last_name_shown = HiddenField(filters=[squeeze])
    organisation_shown = HiddenField(filters=[squeeze])
    agency_shown = HiddenField(filters=[squeeze])
    reason_shown = HiddenField(filters=[squeeze])

    def changed(self) -> dict[str, str]:
        """The cells that are not as they were shown, so that an older window undoes nothing."""
        return {name: self[name].data or "" for name in COLUMNS if self[name].data != self[f"{name}_shown"].data}
