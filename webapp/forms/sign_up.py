"""The sign-up form (rule 1.7)."""

from __future__ import annotations

from wtforms import HiddenField, RadioField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its types
from wtforms.validators import Optional

from webapp.forms import PortalForm


class SignUpForm(PortalForm):
    email = StringField("Email address")
    seed = RadioField(
        "Do you want to onboard your internet device to SEED?",
        choices=[SelectChoice("yes", "Yes"), SelectChoice("no", "No")],
        validators=[Optional()],
    )
    altcha = HiddenField("I'm not a robot")

    def wants_seed(self) -> bool | None:
        """The answer to the SEED question; None if it was not answered."""
        return {"yes": True, "no": False}.get(self.seed.data or "")
