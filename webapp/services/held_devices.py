"""Devices as whoever changes them finds them: somebody's own, and locked until the transaction ends (rule 4.6).

The account's row is locked first, then the device's (see `webapp.services.held`), so that a button pressed twice, a
report and the sweep do one thing after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from webapp.domain.lifecycle import DeviceStatus
from webapp.extensions import db
from webapp.models import Device
from webapp.services.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from webapp.models import Account


def find(account_id: int, device_id: int) -> Device:
    """Somebody's own device, whatever has become of it. Raises `NotFound`, for another's too (Z2)."""
    device = db.session.get(Device, device_id)
    if device is None or device.account_id != account_id:
        raise NotFound
    return device


def live_devices(account_id: int) -> Sequence[Device]:
    """Somebody's devices that are not removed, also those that the sweep will remove soon."""
    return db.session.scalars(
        select(Device)
        .where(Device.account_id == account_id, Device.status != DeviceStatus.REMOVED)
        .order_by(Device.id)
        .execution_options(populate_existing=True)
    ).all()


def lock_row(device_id: int) -> Device | None:
    """A device, whatever has become of it; the caller holds its account's row."""
    return db.session.scalar(
        select(Device)
        .where(Device.id == device_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


def lock_device(account: Account, device_id: int, now: datetime) -> Device:
    """A live device of ``account``, whose row the caller holds. Raises `NotFound`."""
    device = lock_row(device_id)
    if device is None or device.account_id != account.id or not device.is_live(now):
        db.session.rollback()
        raise NotFound
    return device
