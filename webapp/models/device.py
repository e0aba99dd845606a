"""Internet devices that are onboarded to SEED (rules 4.5 to 4.7)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.domain.deadlines import is_expired
from webapp.domain.lifecycle import DeviceStatus, OperatingSystem, check_device_transition
from webapp.extensions import Model
from webapp.models.account import Account
from webapp.models.base import Id, Instant, enum_column, one_of, where


class Device(Model):
    """A device and how far it has come. One Intune Device ID once among those that are not removed."""

    id: Mapped[Id]
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    name: Mapped[str] = mapped_column(String(60))
    operating_system: Mapped[OperatingSystem] = mapped_column(enum_column(OperatingSystem))
    serial_number: Mapped[str] = mapped_column(String(40))
    intune_device_id: Mapped[str] = mapped_column(String(36))
    """In lower case, 8-4-4-4-12."""
    status: Mapped[DeviceStatus] = mapped_column(enum_column(DeviceStatus), default=DeviceStatus.TRIGGERED)
    registered_at: Mapped[Instant]
    status_at: Mapped[Instant]
    reported_at: Mapped[Instant]
    """The clock of the MDM system's latest report: an older one arrives late and changes nothing."""
    reason: Mapped[str] = mapped_column(String(300), default="")
    """Why it failed, in the MDM system's words."""
    remove_at: Mapped[Instant | None]
    """When it is removed unless it gets further; None once it is onboarded or has failed."""

    account: Mapped[Account] = relationship(lazy="raise")

    __table_args__ = (
        one_of("operating_system", OperatingSystem),
        one_of("status", DeviceStatus),
        Index("uq_device_live", "intune_device_id", unique=True, **where(text("status != 'removed'"))),
        Index("ix_device_removal", "remove_at", **where(text("remove_at IS NOT NULL"))),
    )

    @property
    def is_under_way(self) -> bool:
        return self.status in (DeviceStatus.TRIGGERED, DeviceStatus.SOFTWARE_INSTALLED)

    def is_live(self, now: datetime) -> bool:
        """Whether it still counts at ``now``: what is past its time is removed, swept or not (promise 5)."""
        return self.status is not DeviceStatus.REMOVED and not (self.remove_at and is_expired(self.remove_at, now))

    def move(self, status: DeviceStatus, now: datetime, *, remove_at: datetime | None = None) -> None:
        """Change the status. Raises `ForbiddenTransition` where the rules do not allow it (rule 4.6)."""
        check_device_transition(self.status, status)
        self.status, self.status_at, self.remove_at, self.reason = status, now, remove_at, ""
