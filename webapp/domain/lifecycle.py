"""The closed sets of states, and which may follow which (sections 3 and 4 of the rules)."""

from __future__ import annotations

from enum import StrEnum


class ForbiddenTransition(Exception):
    """A change of state that the rules do not allow."""


class AccountStatus(StrEnum):
    REQUESTED = "requested"
    REJECTED = "rejected"
    PENDING = "pending"
    ACTIVE = "active"
    DISABLED = "disabled"
    TERMINATED = "terminated"
    DELETED = "deleted"


LIVE = (AccountStatus.REQUESTED, AccountStatus.PENDING, AccountStatus.ACTIVE, AccountStatus.DISABLED)
"""The statuses of which one address can have but one account."""

ACCOUNT_TRANSITIONS: dict[AccountStatus, frozenset[AccountStatus]] = {
    # Terminated where an invited vendor does not register in time (rule 5.5).
    AccountStatus.REQUESTED: frozenset({AccountStatus.REJECTED, AccountStatus.PENDING, AccountStatus.TERMINATED}),
    AccountStatus.REJECTED: frozenset({AccountStatus.DELETED}),
    AccountStatus.PENDING: frozenset({AccountStatus.ACTIVE, AccountStatus.TERMINATED}),
    AccountStatus.ACTIVE: frozenset({AccountStatus.DISABLED, AccountStatus.TERMINATED}),
    AccountStatus.DISABLED: frozenset({AccountStatus.ACTIVE, AccountStatus.TERMINATED}),
    AccountStatus.TERMINATED: frozenset({AccountStatus.DELETED}),
    AccountStatus.DELETED: frozenset(),
}


def check_account_transition(old: AccountStatus, new: AccountStatus) -> None:
    """Raises `ForbiddenTransition` unless an account may go from ``old`` to ``new``."""
    if new not in ACCOUNT_TRANSITIONS[old]:
        raise ForbiddenTransition(f"an account cannot go from {old} to {new}")


ACCOUNT_UNDONE: dict[AccountStatus, frozenset[AccountStatus]] = {
    AccountStatus.PENDING: frozenset({AccountStatus.REQUESTED}),
    AccountStatus.REJECTED: frozenset({AccountStatus.REQUESTED}),
}
"""What taking a decision back at once after it may do, and nothing else (rule 8.2)."""


def check_account_undone(old: AccountStatus, new: AccountStatus) -> None:
    """Raises `ForbiddenTransition` unless a decision that led to ``old`` may be taken back to ``new``."""
    if new not in ACCOUNT_UNDONE.get(old, ()):
        raise ForbiddenTransition(f"an account cannot be put back from {old} to {new}")


class AccountType(StrEnum):
    """Public officers sign up and invite others; vendors are invited (rules 1.3 and 5.1)."""

    OFFICER = "officer"
    VENDOR = "vendor"


class SeedStatus(StrEnum):
    NOT_REQUIRED = "not_required"
    INELIGIBLE = "ineligible"
    REQUESTED = "requested"
    REJECTED = "rejected"
    INVITED = "invited"
    EXPIRED = "expired"
    ONBOARDED = "onboarded"
    WITHDRAWN = "withdrawn"
    SUSPENDED = "suspended"


SEED_TRANSITIONS: dict[SeedStatus, frozenset[SeedStatus]] = {
    SeedStatus.NOT_REQUIRED: frozenset({SeedStatus.REQUESTED}),
    # Once the agency has become eligible.
    SeedStatus.INELIGIBLE: frozenset({SeedStatus.REQUESTED}),
    SeedStatus.REQUESTED: frozenset({SeedStatus.INVITED, SeedStatus.REJECTED, SeedStatus.WITHDRAWN}),
    SeedStatus.REJECTED: frozenset({SeedStatus.REQUESTED}),
    SeedStatus.INVITED: frozenset(
        {SeedStatus.ONBOARDED, SeedStatus.EXPIRED, SeedStatus.WITHDRAWN, SeedStatus.SUSPENDED}
    ),
    SeedStatus.EXPIRED: frozenset({SeedStatus.REQUESTED}),
    # Its device removed, somebody is invited to onboard another one.
    SeedStatus.ONBOARDED: frozenset({SeedStatus.INVITED, SeedStatus.SUSPENDED}),
    SeedStatus.WITHDRAWN: frozenset({SeedStatus.REQUESTED}),
    SeedStatus.SUSPENDED: frozenset({SeedStatus.INVITED, SeedStatus.ONBOARDED}),
}


def check_seed_transition(old: SeedStatus, new: SeedStatus) -> None:
    """Raises `ForbiddenTransition` unless SEED may go from ``old`` to ``new``."""
    if new not in SEED_TRANSITIONS[old]:
        raise ForbiddenTransition(f"SEED cannot go from {old} to {new}")


SEED_UNDONE: dict[SeedStatus, frozenset[SeedStatus]] = {
    SeedStatus.INVITED: frozenset({SeedStatus.REQUESTED}),
    SeedStatus.REJECTED: frozenset({SeedStatus.REQUESTED}),
}
"""`ACCOUNT_UNDONE`, for SEED."""


def check_seed_undone(old: SeedStatus, new: SeedStatus) -> None:
    """Raises `ForbiddenTransition` unless a decision that led to ``old`` may be taken back to ``new``."""
    if new not in SEED_UNDONE.get(old, ()):
        raise ForbiddenTransition(f"SEED cannot be put back from {old} to {new}")


class RequestKind(StrEnum):
    TECHPASS = "techpass"
    SEED = "seed"


class RequestState(StrEnum):
    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    """By the applicant: "I don't need SEED" (rule 4.5)."""


class InvitationKind(StrEnum):
    """What a mailed link leads to.

    Onboarding, SEED onboarding, a new authenticator (rule 7.3), or the registration of an invited vendor (rule 5.5).
    """

    TECHPASS = "techpass"
    SEED = "seed"
    AUTHENTICATOR = "authenticator"
    REGISTRATION = "registration"


class InvitationState(StrEnum):
    LIVE = "live"
    USED = "used"
    REPLACED = "replaced"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class DeviceStatus(StrEnum):
    """How far the MDM system has come with a device (rule 4.6)."""

    TRIGGERED = "triggered"
    """Waiting for software installation, step 1 of 2."""
    SOFTWARE_INSTALLED = "software_installed"
    """Waiting for backend onboarding, step 2 of 2."""
    ONBOARDED = "onboarded"
    FAILED = "failed"
    REMOVED = "removed"


DEVICE_TRANSITIONS: dict[DeviceStatus, frozenset[DeviceStatus]] = {
    DeviceStatus.TRIGGERED: frozenset(
        {DeviceStatus.SOFTWARE_INSTALLED, DeviceStatus.ONBOARDED, DeviceStatus.FAILED, DeviceStatus.REMOVED}
    ),
    DeviceStatus.SOFTWARE_INSTALLED: frozenset({DeviceStatus.ONBOARDED, DeviceStatus.FAILED, DeviceStatus.REMOVED}),
    # Tried again by its holder, or good news from the MDM system after all.
    DeviceStatus.FAILED: frozenset(
        {DeviceStatus.TRIGGERED, DeviceStatus.SOFTWARE_INSTALLED, DeviceStatus.ONBOARDED, DeviceStatus.REMOVED}
    ),
    DeviceStatus.ONBOARDED: frozenset({DeviceStatus.REMOVED}),
    DeviceStatus.REMOVED: frozenset(),
}


def check_device_transition(old: DeviceStatus, new: DeviceStatus) -> None:
    """Raises `ForbiddenTransition` unless a device may go from ``old`` to ``new``."""
    if new not in DEVICE_TRANSITIONS[old]:
        raise ForbiddenTransition(f"a device cannot go from {old} to {new}")


class OperatingSystem(StrEnum):
    MACOS = "macos"
    WINDOWS = "windows"


class Role(StrEnum):
    OFFICER = "officer"
    AUDITOR = "auditor"
    """Sees what admins see, and changes nothing (rule 8.9)."""
    ADMIN = "admin"


class MailState(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"
