"""Onboard device to SEED: the officer's devices, each with how far it has come (rules 4.4 to 4.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, current_app, flash, render_template, request, url_for

from webapp import access, clock
from webapp.access import Audience, allow, by
from webapp.domain.devices import advice, read_device_id
from webapp.domain.lifecycle import DeviceStatus, OperatingSystem
from webapp.extensions import csrf, limiter
from webapp.forms.devices import SYSTEM_NAMES, DeviceForm
from webapp.forms.onboarding import AgreementForm
from webapp.htmx import go_to, wants_fragment
from webapp.services import device_removal, held_devices
from webapp.services import devices as service
from webapp.services.devices import NewDevice
from webapp.services.errors import (
    AgreementChanged,
    AgreementMissing,
    DeviceTaken,
    NoSeed,
    NotFound,
    TooManyDevices,
)

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from webapp.models import Device

blueprint = Blueprint("devices", __name__, url_prefix="/profile")

STATUS_NAMES = {
    DeviceStatus.TRIGGERED: "Triggered, waiting for software installation (step 1 of 2)",
    DeviceStatus.SOFTWARE_INSTALLED: "Software installed, waiting for backend onboarding (step 2 of 2)",
    DeviceStatus.ONBOARDED: "Onboarded",
    DeviceStatus.FAILED: "Failed",
    DeviceStatus.REMOVED: "Removed",
}

_TAKEN = (
    "This Intune Device ID is registered already. Check that it is this device’s own; if it is, raise a service request"
)
_NEWER_AGREEMENT = "Nothing was accepted: there is a newer version of this document. Please read it."


@blueprint.get("/devices")
@allow(Audience.OFFICER)
def index() -> ResponseReturnValue:
    return _page(DeviceForm(formdata=None))


@blueprint.post("/devices")
@allow(Audience.OFFICER)
@csrf.exempt  # The form checks its own token, and keeps what was typed.
@limiter.limit("60 per hour", key_func=access.person)
def register() -> ResponseReturnValue:
    form = DeviceForm()
    if not form.validate():
        return _page(form), 422
    new = NewDevice(
        name=form.name.data or "",
        operating_system=OperatingSystem(form.operating_system.data),
        serial_number=form.serial_number.data or "",
        intune_device_id=read_device_id(form.intune_device_id.data or ""),
    )
    try:
        device = service.register(access.signed_in.account_id, new, by(), clock.now(), current_app.config["POLICY"])
    except DeviceTaken:
        form.intune_device_id.errors = [_TAKEN]
        return _page(form), 422
    except NoSeed:
        return _done("Nothing was registered: you do not hold SEED.", "info")
    except TooManyDevices:
        return _done("Nothing was registered: remove your device first, then register the other one.", "info")
    except AgreementMissing:
        return _done("Nothing was registered: accept the policy below first.", "info")
    typed = (new.name, new.operating_system, new.serial_number)
    if not device.is_under_way or (device.name, device.operating_system, device.serial_number) != typed:
        # From a page that was open for long: what was typed now is not kept, and no mail follows.
        return _done(f"{device.name} is registered already. It stands below as it was.", "info")
    return _done(f"{device.name} is registered. We email you when it is onboarded.", "success")


@blueprint.post("/mdm-aup")
@allow(Audience.OFFICER)
@csrf.exempt  # The form checks its own token, and says beside the button when it is stale.
@limiter.limit("60 per hour", key_func=access.person)
def accept_policy() -> ResponseReturnValue:
    """What comes before the first device (rule 4.4)."""
    form = AgreementForm()
    if not form.validate():
        return _page(DeviceForm(formdata=None), agreement_form=form), 422
    try:
        service.accept_policy(access.signed_in.account_id, form.version.data or "", by(), clock.now())
    except AgreementChanged:
        return _done(_NEWER_AGREEMENT, "info")
    return _done("You have accepted the policy. Now register your device.", "success")


@blueprint.get("/devices/<id:device_id>")
@allow(Audience.OFFICER)
def row(device_id: int) -> ResponseReturnValue:
    """One device as it stands. Who says what is shown (``shown``) gets nothing unless that has changed."""
    device = _own(device_id)
    if not wants_fragment():
        return go_to(url_for("devices.index"))
    shown = request.args.get("shown")
    if not device.is_live(clock.now()):
        return _whole(f"{device.name} is removed.", "info")
    if shown == device.status:
        return "", 204
    stands = f"{device.name}: {STATUS_NAMES[device.status]}."
    return _row(device, message=f"Nothing was removed. {stands}" if "kept" in request.args else stands)


@blueprint.post("/devices/<id:device_id>/retry")
@allow(Audience.OFFICER)
@limiter.limit("60 per hour", key_func=access.person)
def retry(device_id: int) -> ResponseReturnValue:
    _own(device_id)
    try:
        done = service.retry(access.signed_in.account_id, device_id, by(), clock.now(), current_app.config["POLICY"])
    except NotFound:  # Removed meanwhile.
        return _whole("Nothing was changed: this device is removed.", "info")
    device = _own(device_id)
    message = f"We are trying to onboard {device.name} again." if done else "Nothing was changed: it has not failed."
    if wants_fragment():
        return _row(device, message=message, focus=True)
    flash(message, "success" if done else "info")
    return go_to(url_for("devices.index"))


@blueprint.get("/devices/<id:device_id>/remove")
@allow(Audience.OFFICER)
def ask_removal(device_id: int) -> ResponseReturnValue:
    """Says what removing means, and asks; without scripts on a page of its own."""
    device = _own(device_id)
    if not device.is_live(clock.now()):
        return _whole("This device is removed already.", "info")
    template = "devices/_remove.html" if wants_fragment() else "devices/remove.html"
    deadline = device_removal.deadline_without(device, clock.now(), current_app.config["POLICY"])
    return render_template(template, device=device, deadline=deadline)


@blueprint.post("/devices/<id:device_id>/remove")
@allow(Audience.OFFICER)
@limiter.limit("60 per hour", key_func=access.person)
def remove(device_id: int) -> ResponseReturnValue:
    device = _own(device_id)
    done = device_removal.remove(
        access.signed_in.account_id, device_id, by(), clock.now(), current_app.config["POLICY"]
    )
    message = f"{device.name} is removed from SEED." if done else f"{device.name} was removed already."
    return _done(message, "success" if done else "info")


def _own(device_id: int) -> Device:
    try:
        return held_devices.find(access.signed_in.account_id, device_id)
    except NotFound:
        abort(404)


def _known() -> dict[str, Any]:
    return {"status_names": STATUS_NAMES, "system_names": SYSTEM_NAMES, "advice": advice}


def _row(device: Device, *, message: str, focus: bool = False) -> str:
    return render_template("devices/_row.html", device=device, message=message, focus=focus, **_known())


def _page(form: DeviceForm, *, message: str = "", kind: str = "", agreement_form: AgreementForm | None = None) -> str:
    """Everything about the officer's devices: for htmx the part of the page that changes, else the page."""
    account = access.signed_in.account
    template = "devices/_devices.html" if wants_fragment() else "devices/page.html"
    return render_template(
        template,
        overview=service.overview(account, clock.now(), current_app.config["POLICY"]),
        form=form,
        agreement_form=agreement_form or AgreementForm(formdata=None),
        account=account,
        message=message,
        message_kind=kind,
        **_known(),
    )


def _done(message: str, kind: str) -> ResponseReturnValue:
    """How it stands after a change, with what was done."""
    if wants_fragment():
        return _page(DeviceForm(formdata=None), message=message, kind=kind)
    flash(message, kind)
    return go_to(url_for("devices.index"))


def _whole(message: str, kind: str) -> ResponseReturnValue:
    """`_done` for htmx that asked for a row: what else the page offers has changed with it."""
    answer = _done(message, kind)
    if isinstance(answer, str):
        return Response(answer, headers={"HX-Retarget": "#devices", "HX-Reswap": "outerHTML"})
    return answer
