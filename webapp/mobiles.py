"""Mobile numbers: as people type them, as they are kept (E.164), and as they are shown (rule 6.1)."""

from __future__ import annotations

import re

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

_HOME = "SG"
"""Numbers without a country code are read as Singapore's."""

_TYPED = re.compile(r"[\d\s+＋()./\-\u2010-\u2015\uff0d]{1,40}")
"""What numbers are written with. The library would also read letters, and what stands before or after a number."""

_MOBILE = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
"""Some countries do not tell the two apart by number."""


class MobileError(ValueError):
    """A number that is not a mobile one; the message says how to mend it."""


def read(typed: str) -> str:
    """The number in its international form, like ``+6591234567``. Raises `MobileError`."""
    # As links have them, and as the phones of offices want them dialled.
    typed = re.sub(r"^tel:", "", typed.strip(), flags=re.IGNORECASE)
    typed = re.sub(r"^00(?=\s?[3-79])", "+", typed)
    try:
        number = phonenumbers.parse(typed, _HOME) if _TYPED.fullmatch(typed) else None
    except NumberParseException:
        number = None
    if number is None or not phonenumbers.is_valid_number(number):
        raise MobileError(
            "This is not a number that we know. Enter 8 digits for Singapore, like 9123 4567, or begin with the "
            "country code, like +44 7911 123456"
        )
    if phonenumbers.number_type(number) not in _MOBILE:
        raise MobileError("This is not a mobile number. Enter the number of a mobile phone, or leave the field empty")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def shown(number: str) -> str:
    """A kept number as it is read, like ``+65 9123 4567``."""
    return phonenumbers.format_number(phonenumbers.parse(number), PhoneNumberFormat.INTERNATIONAL)
