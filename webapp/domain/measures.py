"""What is counted by day: what happened, and what the clock alone will bring (rules 8.1 and 8.7)."""

from __future__ import annotations

from enum import StrEnum


class Measure(StrEnum):
    """A number for one day in Singapore."""

    # The same people from here to SEED, each once: what one step has of them, the step before has too.
    SIGNED_UP = "signed_up"
    """People who signed up, or whom an officer asked for."""
    APPROVED = "approved"
    ACTIVATED = "activated"
    SEED_ONBOARDED = "seed_onboarded"
    """People whose first device was onboarded."""
    EXPIRED = "expired"
    """TechPass invitations that ran out, each of which ended an account."""
    ENDED = "ended"
    """Accounts terminated, for whatever reason."""
    OLDEST_WAITING = "oldest_waiting"
    """How many hours the oldest open request had waited, when it was longest that day."""

    WILL_REMIND = "will_remind"
    WILL_EXPIRE = "will_expire"
    WILL_EXPIRE_SEED = "will_expire_seed"
    WILL_REMOVE_DEVICE = "will_remove_device"
    WILL_CHECK_INACTIVITY = "will_check_inactivity"
    """Accounts that nobody signs in to: reminded, disabled or terminated."""
    WILL_DELETE = "will_delete"
