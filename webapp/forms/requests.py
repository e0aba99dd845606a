"""The forms of a decision (rule 2.3)."""

from __future__ import annotations

from wtforms import StringField
from wtforms.validators import DataRequired, Length

from webapp.forms import PortalForm, squeeze


class RejectForm(PortalForm):
    reason = StringField(
        "Reason",
        filters=[squeeze],
        validators=[
            DataRequired("Enter a reason: the applicant is told it by email"),
            Length(max=500, message="The reason must have 500 characters or fewer"),
        ],
    )
