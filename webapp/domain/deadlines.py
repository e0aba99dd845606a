"""When reminders, expiry and inactivity fall due (rules 3.2, 3.3, 3.4, 3.10 and 4.3).

Instants are UTC and exact: a day is 24 hours, so a machine in a daylight-saving zone counts the same days.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from webapp.domain.policy import Policy

DAY = timedelta(days=1)


def is_expired(expires_at: datetime, now: datetime) -> bool:
    """Valid *until the end of* that instant (rule 3.2): at ``expires_at`` itself a link still works."""
    return now > expires_at


def invitation_day(issued_at: datetime, now: datetime) -> int:
    """Whole days since the invitation was issued; day 23 begins 23 times 24 hours after it."""
    return (now - issued_at) // DAY


def first_reminder(issued_at: datetime, expires_at: datetime, policy: Policy) -> datetime | None:
    """When the first daily reminder of a TechPass invitation is due (rule 3.3); None if it expires before."""
    return _within(issued_at + policy.reminders_from_day * DAY, expires_at)


def next_reminder(issued_at: datetime, expires_at: datetime, now: datetime) -> datetime | None:
    """When the reminder after the one of ``now``'s day is due.

    Counted from ``now`` and not from the last reminder: after an outage of ten days there is no burst.
    """
    return _within(issued_at + (invitation_day(issued_at, now) + 1) * DAY, expires_at)


def reminder_once_extended(issued_at: datetime, expires_at: datetime, now: datetime, policy: Policy) -> datetime | None:
    """When the next reminder of an extended TechPass invitation is due: daily in its last days, as many as ever.

    They keep to whole days since the invitation was issued, so that no two come on one of them (rule 3.3).
    """
    last_days = policy.invitation_days - policy.reminders_from_day
    day = -((issued_at - (expires_at - last_days * DAY)) // DAY)
    return _within(issued_at + max(day, invitation_day(issued_at, now) + 1) * DAY, expires_at)


def next_seed_reminder(expires_at: datetime, now: datetime, policy: Policy) -> datetime | None:
    """When the next reminder of a SEED invitation is due after ``now`` (rule 4.3); None after the last one."""
    marks = [expires_at - days * DAY for days in (policy.seed_first_reminder_days, policy.seed_last_reminder_days)]
    return min((mark for mark in marks if mark > now), default=None)


def seed_reminder(expires_at: datetime, now: datetime, policy: Policy) -> int:
    """Which reminder is due at ``now``: the days before expiry that it is named by. After an outage, the later one."""
    last = policy.seed_last_reminder_days
    return last if now >= expires_at - last * DAY else policy.seed_first_reminder_days


def _within(due: datetime, expires_at: datetime) -> datetime | None:
    return due if due < expires_at else None


class InactivityStep(StrEnum):
    REMIND = "remind"
    DISABLE = "disable"
    TERMINATE = "terminate"


@dataclass(frozen=True, slots=True)
class Inactivity:
    """What is due now for an account nobody signs in to, and when to look at it next."""

    step: InactivityStep | None
    next_check: datetime
    day: int
    acts_at: datetime
    """When it comes to disabling or terminating: the deadline that reminders name."""


def inactivity(
    idle_since: datetime, changed_at: datetime, disabled_at: datetime | None, now: datetime, policy: Policy
) -> Inactivity:
    """Rule 3.10 for one account: idle since ``idle_since``, last changed by a person at ``changed_at``.

    Active: a reminder each day from day 60, disabled at day 90. Disabled: a reminder each day from day 173,
    terminated at day 180, and never without the week of reminders, should the sweep have been off. A change in the
    last 5 days postpones all of it.
    """
    day = (now - idle_since) // DAY
    if disabled_at is None:
        remind_from = idle_since + policy.inactive_remind_days * DAY
        act_from, act = idle_since + policy.inactive_disable_days * DAY, InactivityStep.DISABLE
        after_act = idle_since + policy.disabled_remind_days * DAY
    else:
        remind_from = max(idle_since + policy.disabled_remind_days * DAY, disabled_at)
        act_from = remind_from + (policy.inactive_terminate_days - policy.disabled_remind_days) * DAY
        act, after_act = InactivityStep.TERMINATE, now
    quiet_until = changed_at + policy.recent_change_days * DAY
    acts_at = max(act_from, quiet_until)
    if now < max(remind_from, quiet_until):
        return Inactivity(None, max(remind_from, quiet_until), day, acts_at)
    if now >= act_from:
        return Inactivity(act, max(after_act, now), day, acts_at)
    return Inactivity(InactivityStep.REMIND, min(idle_since + (day + 1) * DAY, acts_at), day, acts_at)


def idle_since_on_enabling(now: datetime, policy: Policy) -> datetime:
    """A re-enabled account has 5 days to sign in once (rule 3.10): its inactivity counts as if day 85 had come."""
    return now - (policy.inactive_disable_days - policy.enabled_sign_in_days) * DAY
