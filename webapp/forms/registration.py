"""The form of an invited vendor's registration (rule 5.5)."""

from __future__ import annotations

from wtforms import StringField, ValidationError
from wtforms.validators import DataRequired, Length

from webapp import mobiles
from webapp.forms import PortalForm, squeeze


class RegistrationForm(PortalForm):
    """All of it is needed: an admin decides by it."""

    first_name = StringField(
        "First name",
        filters=[squeeze],
        validators=[
            DataRequired("Enter your first name"),
            Length(max=60, message="The first name must have 60 characters or fewer"),
        ],
    )
    last_name = StringField(
        "Last name",
        filters=[squeeze],
        validators=[
            DataRequired("Enter your last name"),
            Length(max=60, message="The last name must have 60 characters or fewer"),
        ],
    )
    organisation = StringField(
        "Organisation",
        filters=[squeeze],
        validators=[
            DataRequired("Enter the organisation that you work for"),
            Length(max=120, message="The organisation must have 120 characters or fewer"),
        ],
    )
    mobile = StringField("Mobile number", filters=[squeeze], validators=[DataRequired("Enter your mobile number")])

    def validate_mobile(self, field: StringField) -> None:
        try:
            mobiles.read(field.data or "")
        except mobiles.MobileError as error:
            raise ValidationError(str(error).replace(", or leave the field empty", "")) from error

    def values(self) -> dict[str, str]:
        """What is to be kept, by column. Only after the form was found valid."""
        return {
            "first_name": self.first_name.data or "",
            "last_name": self.last_name.data or "",
            "organisation": self.organisation.data or "",
            "mobile": mobiles.read(self.mobile.data or ""),
        }
