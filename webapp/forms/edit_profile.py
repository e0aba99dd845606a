"""The form of what an officer may change in the profile (rule 6.1)."""

from __future__ import annotations

from typing import Any

from wtforms import HiddenField, StringField, ValidationError
from wtforms.validators import Length

from webapp import mobiles
from webapp.forms import PortalForm, squeeze


class EditProfileForm(PortalForm):
    """All optional: a field left empty is forgotten."""

    first_name = StringField(
        "First name",
        filters=[squeeze],
        validators=[Length(max=60, message="The first name must have 60 characters or fewer")],
    )
    last_name = StringField(
        "Last name",
        filters=[squeeze],
        validators=[Length(max=60, message="The last name must have 60 characters or fewer")],
    )
    mobile = StringField("Mobile number", filters=[squeeze])
    department = StringField(
        "Department",
        filters=[squeeze],
        validators=[Length(max=120, message="The department must have 120 characters or fewer")],
    )

    # What the fields held when they were shown.
    first_name_shown = HiddenField(filters=[squeeze])
    last_name_shown = HiddenField(filters=[squeeze])
    mobile_shown = HiddenField(filters=[squeeze])
    department_shown = HiddenField(filters=[squeeze])

    def validate_mobile(self, field: StringField) -> None:
        if field.data:
            try:
                mobiles.read(field.data)
            except mobiles.MobileError as error:
                raise ValidationError(str(error)) from error

    def values(self) -> dict[str, Any]:
        """What is to be kept, by column; None for what was left empty. Only after the form was found valid."""
        return {
            "first_name": self.first_name.data or None,
            "last_name": self.last_name.data or None,
            "mobile": mobiles.read(self.mobile.data) if self.mobile.data else None,
            "department": self.department.data or None,
        }

    def shown(self) -> dict[str, Any]:
        """What `values` would have been of the form as it was shown."""
        try:
            mobile = mobiles.read(self.mobile_shown.data) if self.mobile_shown.data else None
        except mobiles.MobileError:
            mobile = None
        return {
            "first_name": self.first_name_shown.data or None,
            "last_name": self.last_name_shown.data or None,
            "mobile": mobile,
            "department": self.department_shown.data or None,
        }
