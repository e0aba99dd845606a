"""The form that registers a device (rule 4.6)."""

from __future__ import annotations

from wtforms import RadioField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its types
from wtforms.validators import AnyOf, DataRequired, InputRequired, Length, Regexp, ValidationError

from webapp.domain.devices import NotADeviceId, read_device_id
from webapp.domain.lifecycle import OperatingSystem
from webapp.forms import PortalForm, squeeze

SYSTEM_NAMES = {OperatingSystem.MACOS: "macOS", OperatingSystem.WINDOWS: "Windows"}


class DeviceForm(PortalForm):
    operating_system = RadioField(
        "Operating system",
        choices=[SelectChoice(system.value, name) for system, name in SYSTEM_NAMES.items()],
        validators=[
            InputRequired("Choose the device’s operating system"),
            AnyOf([system.value for system in SYSTEM_NAMES], message="Choose the device’s operating system"),
        ],
        validate_choice=False,
    )
    name = StringField(
        "Device name",
        filters=[squeeze],
        validators=[
            DataRequired("Enter a name by which you know the device"),
            Length(max=60, message="The name must have 60 characters or fewer"),
        ],
    )
    serial_number = StringField(
        "Serial number",
        filters=[squeeze],
        validators=[
            DataRequired("Enter the device’s serial number"),
            Length(max=40, message="The serial number must have 40 characters or fewer"),
            Regexp(
                r"\A[A-Za-z0-9][A-Za-z0-9 ./_-]*\Z",
                message="The serial number has letters and digits, like C02XG2JHH3JK. Copy it as it stands there",
            ),
        ],
    )
    intune_device_id = StringField(
        "Intune Device ID",
        filters=[squeeze],
        validators=[
            DataRequired("Enter the device’s Intune Device ID"),
            Length(max=200, message="Enter the Intune Device ID alone: this text is too long"),
        ],
    )

    def validate_intune_device_id(self, field: StringField) -> None:
        """Keeps what was typed; `read_device_id` gives what was meant."""
        try:
            read_device_id(field.data or "")
        except NotADeviceId as error:
            raise ValidationError(str(error)) from None
