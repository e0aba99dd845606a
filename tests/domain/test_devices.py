"""Intune Device IDs as people paste them, how devices may go on, and what to do about a failure (rule 4.6)."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.domain.devices import NotADeviceId, advice, read_device_id
from webapp.domain.lifecycle import (
    DEVICE_TRANSITIONS,
    DeviceStatus,
    ForbiddenTransition,
    check_device_transition,
)

ID = "8e2b3c44-5d6f-4a7b-8c9d-0e1f2a3b4c5d"


@pytest.mark.parametrize(
    "text",
    [
        ID,
        ID.upper(),
        f"  {ID}\t\n",
        f"{{{ID}}}",
        f'"{ID}"',
        f"“{ID}”",
        f"'{ID.upper()}'",
        f"({ID})",
        f"Device ID: {ID}",
        f"Intune Device ID {ID}",
        f"intune device id = {{{ID}}}.",
        f"DeviceId : {ID}",
        f"CN={ID}",
        f'    "alis"<blob>="{ID}"',
        ID.replace("-", ""),
        ID.replace("-", "", 1),
        ID.replace("-", " - "),
        ID.replace("-", "\u2013"),
        ID.replace("-", "\u2011"),
        f"\ufeff{ID}\u200b",
        f"\u00a0{ID}\u3000",
        f"{ID} {ID.upper()}",
    ],
)
def test_an_id_is_found_in_what_people_paste(text):
    assert read_device_id(text) == ID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "C02XG2JHH3JK",
        ID[:-1],
        ID + "0",
        "x" + ID,
        ID.replace("8", "g"),
        ID.replace("8", "\uff18"),
        ID.replace("-", "_"),
        ID.replace("-", "--"),
        "8" * 31,
        "8" * 33,
        "8e2b3c445d6f4a7b8c9d0e1f2a3b4c5d" * 2,
        "\u212a" * 36,
        "-" * 200,
    ],
)
def test_what_is_no_id_is_told_what_one_looks_like(text):
    with pytest.raises(NotADeviceId, match=r"like 8e2b3c44-5d6f-4a7b-8c9d-0e1f2a3b4c5d\Z"):
        read_device_id(text)


def test_more_than_one_id_is_refused():
    with pytest.raises(NotADeviceId, match="more than one"):
        read_device_id(f"{ID}, {ID.replace('8', '9')}")


@pytest.mark.parametrize("digit", ["0", "f", "F"])
def test_an_id_that_stands_for_none_is_refused(digit):
    with pytest.raises(NotADeviceId, match="no device"):
        read_device_id("-".join(digit * length for length in (8, 4, 4, 4, 12)))


@given(st.uuids(), st.sampled_from(["{}", "{{{}}}", '"{}"', "Device ID: {}", " {} "]), st.booleans())
def test_any_guid_is_understood(guid, frame, upper):
    if len(set(guid.hex)) == 1:
        return
    text = frame.format(guid)
    assert read_device_id(text.upper() if upper else text) == str(guid)


@given(st.text(max_size=200))
def test_whatever_is_typed_gets_an_id_or_a_message(text):
    try:
        found = read_device_id(text)
    except NotADeviceId:
        return
    assert len(found) == 36


S = DeviceStatus
ALLOWED = {
    (S.TRIGGERED, S.SOFTWARE_INSTALLED),
    (S.TRIGGERED, S.ONBOARDED),
    (S.TRIGGERED, S.FAILED),
    (S.TRIGGERED, S.REMOVED),
    (S.SOFTWARE_INSTALLED, S.ONBOARDED),
    (S.SOFTWARE_INSTALLED, S.FAILED),
    (S.SOFTWARE_INSTALLED, S.REMOVED),
    (S.FAILED, S.TRIGGERED),
    (S.FAILED, S.SOFTWARE_INSTALLED),
    (S.FAILED, S.ONBOARDED),
    (S.FAILED, S.REMOVED),
    (S.ONBOARDED, S.REMOVED),
}


@pytest.mark.parametrize(("old", "new"), list(product(S, S)))
def test_a_device_goes_on_as_the_rules_allow_and_not_otherwise(old, new):
    assert (new in DEVICE_TRANSITIONS[old]) is ((old, new) in ALLOWED)
    if (old, new) in ALLOWED:
        check_device_transition(old, new)
    else:
        with pytest.raises(ForbiddenTransition, match=f"from {old} to {new}"):
            check_device_transition(old, new)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("Software installation error occurred while onboarding.", "Restart the device, keep it switched on"),
        ("BitLocker is off", "disk’s encryption"),
        ("FileVault not enabled", "disk’s encryption"),
        ("The device is not compliant", "Check status"),
        ("The OS version is out of date", "Update the device’s operating system"),
        ("Device not found in Intune", "Intune Device ID"),
        ("Insufficient disk space", "Free some space"),
        ("Not enough storage", "Free some space"),
        ("The disk is full", "Free some space"),
        ("Spaceship has left", "Restart the device, keep it connected"),
        ("Namespace is invalid", "Restart the device, keep it connected"),
        ("Workspace ONE is in the way", "Restart the device, keep it connected"),
        ("Failed to install update agent", "Restart the device, keep it switched on"),
        ("Conversion error 5", "Restart the device, keep it connected"),
        ("Agent version 4.2 reported error 5", "Restart the device, keep it connected"),
        ("Unsupported operating system", "Update the device’s operating system"),
        ("macOS 13 is not supported", "Update the device’s operating system"),
        ("Operating system update required", "Update the device’s operating system"),
        ("Please update Windows", "Update the device’s operating system"),
        ("macOS is too old", "Update the device’s operating system"),
        ("OS version below minimum", "Update the device’s operating system"),
        ("Minimum OS version is 14.4", "Update the device’s operating system"),
        ("The disk is not encrypted", "disk’s encryption"),
        ("Disk encryption is off", "disk’s encryption"),
        ("Decrypting the answer failed", "Restart the device, keep it connected"),
        ("Noncompliant device", "Check status"),
        ("Non-compliant: passcode missing", "Check status"),
        ("Compliance check failed", "Check status"),
        ("Firewalls are off", "Check status"),
        ("Device is not enrolled", "Intune Device ID"),
        ("Unknown device", "Intune Device ID"),
        ("Certificate not found", "Restart the device, keep it connected"),
        ("Reconnection quota", "Restart the device, keep it connected"),
        ("Connection timed out", "Restart the device, keep it switched on"),
        ("Time-out while installing", "Restart the device, keep it switched on"),
        ("Device is offline", "Restart the device, keep it switched on"),
        ("Unexpected error 0x80070005", "Restart the device, keep it connected"),
        ("", "Restart the device, keep it connected"),
    ],
)
def test_a_failure_comes_with_what_to_do(reason, told):
    assert told in advice(reason)
    assert "Retry" in advice(reason)
