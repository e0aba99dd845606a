"""A stand-in for the MDM system, for development: ``python -m webapp.dev.mdm_simulator --help``.

It moves devices along by signed reports to the portal's own endpoint, as the real one does (rule 4.7): software
installed after some seconds, onboarded after some more. Two kinds of Intune Device ID are for trying out more: a device
whose ID ends with "f" fails once and succeeds after Retry, one whose ID begins with "0000" is never heard of.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from sqlalchemy import select

from webapp import clock, create_app
from webapp.domain.lifecycle import DeviceStatus
from webapp.domain.mdm import sign
from webapp.extensions import db
from webapp.models import Device

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from flask import Flask

STEP = timedelta(seconds=4)
"""How long each step takes."""
_LOOK_SECONDS = 2.0
_SILENT, _FAILING = "0000", "f"
REASON = "Software installation error occurred while onboarding."


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m webapp.dev.mdm_simulator",
        description="Stands in for the MDM system: moves devices along by signed reports.",
        epilog="Reads the portal's settings from the environment; MDM_PORTAL_URL says where to report, if not at "
        "PUBLIC_BASE_URL.",
    )
    parser.add_argument("--once", action="store_true", help="move each device under way by one step, and end")
    options = parser.parse_args(arguments)
    app = create_app()
    settings = app.config["SETTINGS"]
    if not settings.is_development or not settings.mdm_webhook_secret:
        print("The simulator is for development, and needs MDM_WEBHOOK_SECRET.", file=sys.stderr)
        return 1
    portal = os.environ.get("MDM_PORTAL_URL") or settings.public_base_url
    if options.once:
        return 0 if move_along(app, portal, timedelta(0)) else 1
    while True:
        move_along(app, portal, STEP)
        time.sleep(_LOOK_SECONDS)


def move_along(app: Flask, portal: str, after: timedelta) -> bool:
    """Report the next step of each device that has been where it is for ``after``; whether all reports were taken."""
    now = clock.now()
    with app.app_context():
        under_way = db.session.scalars(
            select(Device)
            .where(Device.status.in_((DeviceStatus.TRIGGERED, DeviceStatus.SOFTWARE_INSTALLED)))
            .order_by(Device.id)
        ).all()
        reports = [_next(device, now) for device in under_way if _is_due(device, now, after)]
    secret = app.config["SETTINGS"].mdm_webhook_secret
    taken = [_send(portal, secret, report, now) for report in reports]
    return all(taken)


def _is_due(device: Device, now: datetime, after: timedelta) -> bool:
    waited = device.is_live(now) and now - device.status_at >= after
    return waited and not device.intune_device_id.startswith(_SILENT)


def _next(device: Device, now: datetime) -> dict[str, str]:
    report = {"intune_device_id": device.intune_device_id, "reported_at": now.isoformat()}
    if device.status is DeviceStatus.SOFTWARE_INSTALLED:
        return report | {"status": DeviceStatus.ONBOARDED}
    is_first_try = device.status_at == device.registered_at
    if is_first_try and device.intune_device_id.endswith(_FAILING):
        return report | {"status": DeviceStatus.FAILED, "reason": REASON}
    return report | {"status": DeviceStatus.SOFTWARE_INSTALLED}


def _send(portal: str, secret: str, report: dict[str, str], now: datetime) -> bool:
    """Send one report; whether the portal took it. A later look sends it anew."""
    body, timestamp = json.dumps(report).encode(), str(int(now.timestamp()))
    request = Request(
        f"{portal}/api/mdm/devices/{report['intune_device_id']}",
        data=body,
        headers={
            "Content-Type": "application/json",
            "X-Timestamp": timestamp,
            "X-Signature": sign(secret, timestamp, body),
        },
    )
    try:
        # The portal is on this machine, whatever proxy the environment names.
        with build_opener(ProxyHandler({})).open(request, timeout=10) as answer:
            result = json.load(answer)["result"]
    except HTTPError as error:
        with error:
            print(f"{report['intune_device_id']}: {error.code} {error.read(500).decode(errors='replace')}", flush=True)
        return False
    except (URLError, OSError) as error:
        print(f"the portal cannot be reached ({error})", flush=True)
        return False
    print(f"{report['intune_device_id']}: {report['status']}, {result}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
