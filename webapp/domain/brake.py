"""How many accounts a part of the sweep may end before it asks an admin (rule 8.7)."""

from __future__ import annotations

from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from webapp.domain.policy import Policy

HISTORY_DAYS = 30
"""From how many of the last days it is seen what is usual."""

ALLOWED_FOR = timedelta(hours=1)
"""How long an admin's leave holds: after that, what is due may be something else than what was looked at."""


def usual(ended: Iterable[int], policy: Policy) -> int:
    """Up to how many accounts it is usual to end at once.

    ``ended`` are the accounts that ended on each of the last days; days on which none did say nothing. Without any day
    that has some, only the limit counts.
    """
    days = [count for count in ended if count > 0]
    if not days:
        return policy.sweep_limit
    return min(policy.sweep_limit, max(policy.sweep_floor, int(policy.sweep_median_times * median(days))))


def never_unusual(policy: Policy) -> int:
    """Up to how many it is usual whatever the last days were like: a sweep with so few need not look."""
    return min(policy.sweep_limit, policy.sweep_floor)


def may_run(due: int, allowed: int | None, allowed_at: datetime | None, now: datetime) -> bool:
    """Whether an admin has let ``due`` accounts be ended: no more than were looked at, and not long ago."""
    if allowed is None or allowed_at is None:
        return False
    return due <= allowed and now <= allowed_at + ALLOWED_FOR
