"""The form of the development page that stands in for a phone."""

from __future__ import annotations

from wtforms import StringField
from wtforms.validators import InputRequired, Length

from webapp.forms import PortalForm, squeeze


class KeyForm(PortalForm):
    key = StringField(
        "Key",
        filters=[squeeze],
        validators=[
            InputRequired("Enter the key from the page “Set up an authenticator”"),
            Length(max=500, message="A key has 500 characters or fewer"),
        ],
    )
