"""What officers type about their devices, and what to do about what the MDM system says (rule 4.6)."""

from __future__ import annotations

import re

_HYPHENS = re.compile(r"\s*[-\u2010-\u2015\u2212]\s*")
_ID = re.compile(
    r"(?<![0-9A-Za-z-])([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})(?![0-9A-Za-z-])",
    re.ASCII | re.IGNORECASE,
)
_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff]")
_NOBODYS = frozenset("0f")
"""Digits that alone make up an ID which stands for none."""

EXAMPLE = "8e2b3c44-5d6f-4a7b-8c9d-0e1f2a3b4c5d"


class NotADeviceId(ValueError):
    """The text holds no Intune Device ID; the message says what one looks like."""


def read_device_id(text: str) -> str:
    """The one Intune Device ID in ``text``, in lower case, 8-4-4-4-12.

    It is found in what people paste: in braces or quotes, after a label, in any case, with spaces around. Raises
    `NotADeviceId`.
    """
    found = {"-".join(match.groups()).lower() for match in _ID.finditer(_HYPHENS.sub("-", _INVISIBLE.sub("", text)))}
    if len(found) > 1:
        raise NotADeviceId("Enter one Intune Device ID: this text holds more than one")
    if not found:
        raise NotADeviceId(
            "Enter the Intune Device ID: 32 digits and letters from a to f in five groups, like " + EXAMPLE
        )
    (only,) = found
    if len(set(only.replace("-", ""))) == 1 and only[0] in _NOBODYS:
        raise NotADeviceId("This ID belongs to no device. Read it from the device again, as the steps above say")
    return only


_SYSTEM = r"\b(?:os|operating system|macos|windows)\b"
_ADVICE = {
    r"\b(?:device|mac|computer)\b.*\bnot found\b|\bnot (?:found in intune|enrolled|registered)\b|"
    r"\bunknown device\b|\bno such device\b": (
        "Check that Company Portal on the device says that it is enrolled, and that the Intune Device ID here is the "
        "device’s own; if it is not, remove the device here and register it anew. Then choose Retry."
    ),
    r"\b(?:un)?encrypt(?:ed|ion)?\b|\bfilevault\b|\bbitlocker\b": (
        "Turn on the disk’s encryption (FileVault on a Mac, BitLocker on Windows), wait until it has finished, then "
        "choose Retry."
    ),
    rf"{_SYSTEM}.*\b(?:versions?|updates?|upgrade|old|older|outdated|unsupported|not supported)\b|"
    rf"\b(?:update|upgrade|old|outdated|unsupported)\b.*{_SYSTEM}|\bout of date\b|\boutdated\b": (
        "Update the device’s operating system, restart it, then choose Retry."
    ),
    r"\b(?:non-?)?complian(?:t|ce)\b|\bpass(?:code|word)s?\b|\bfirewalls?\b": (
        "Open Company Portal on the device, choose Check status, and do what it asks for. Then choose Retry."
    ),
    r"\b(?:disk|free|enough|more|no|of|storage) space\b|\bspace (?:left on|on)\b|\bstorage\b|\bdisk (?:is )?full\b": (
        "Free some space on the device’s disk, restart it, then choose Retry."
    ),
    r"\b(?:re)?install(?:ed|ing|ation|er)?s?\b|\bsoftware\b|\bnetwork\b|\boffline\b|"
    r"\b(?:dis)?connect(?:ed|ion|ivity)?\b|\btimed?[ -]?out\b": (
        "Restart the device, keep it switched on and connected to the internet, then choose Retry."
    ),
}
_OTHERWISE = "Restart the device, keep it connected to the internet, then choose Retry."


def advice(reason: str) -> str:
    """What an officer can do about a failure, from the MDM system's own words."""
    return next((told for words, told in _ADVICE.items() if re.search(words, reason, re.IGNORECASE)), _OTHERWISE)
