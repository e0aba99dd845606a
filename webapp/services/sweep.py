"""The sweep: everything that falls due by the clock alone, in one order. Safe to run twice, at once, or after days."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from webapp.domain.deadlines import InactivityStep
from webapp.extensions import db
from webapp.services import brake, device_removal, expiry, inactivity, invited, purge, reminders

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Select

    from webapp.domain.policy import Policy

log = structlog.get_logger()


@dataclass
class Summary:
    """How many of each a sweep has done, and which parts it did not dare to begin."""

    done: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    """Part to how many accounts it would end."""
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Part:
    name: str
    run: Callable[[], dict[str, int]]
    ends: Select[*tuple[Any, ...]] | None = None
    """The accounts that it would end for good: with unusually many of them, it asks first."""


def sweep(now: datetime, policy: Policy, *, confirmed: bool = False) -> Summary:
    """Run all parts. One that would end unusually many accounts asks an admin first (rule 8.7), unless ``confirmed``.

    A part that fails is logged, named in the summary and does not keep the others from running.
    """
    summary = Summary()
    held = {row.part for row in brake.held()}
    db.session.rollback()
    for part in _parts(now, policy):
        try:
            if part.ends is not None and not confirmed:
                count = brake.check(part.name, part.ends, now, policy, was_held=part.name in held)
                if count is not None:
                    summary.held[part.name] = count
                    continue
            summary.done |= part.run()
            if part.ends is not None and part.name in held:
                brake.ran(part.name, part.ends, policy)
        except Exception:
            db.session.rollback()
            log.exception("a part of the sweep failed", part=part.name)
            summary.failed.append(part.name)
    if any(summary.done.values()):
        log.info("swept", **{name: count for name, count in summary.done.items() if count})
    return summary


def _parts(now: datetime, policy: Policy) -> list[_Part]:
    def expire() -> dict[str, int]:
        accounts, seeds = expiry.expire(now)
        invited.lapse(now, policy)
        return {"expired": accounts, "seed_expired": seeds}

    def look_after() -> dict[str, int]:
        done = inactivity.look_after(now, policy)
        return {
            "inactivity_reminded": done[InactivityStep.REMIND],
            "disabled": done[InactivityStep.DISABLE],
            "terminated_for_inactivity": done[InactivityStep.TERMINATE],
        }

    return [
        # Not held: who is terminated here has had the notice, which `expire` wrote.
        _Part("termination", lambda: {"terminated": expiry.terminate_notified(now)}),
        _Part("expiry", expire, expiry.overdue_accounts(now)),
        _Part("devices", lambda: {"devices_removed": device_removal.remove_overdue(now, policy)}),
        # After expiry, so that nobody is reminded of what has just ended.
        _Part("reminders", lambda: {"reminded": reminders.remind(now)}),
        _Part("inactivity", look_after, inactivity.ending(now, policy)),
        _Part("deletion", lambda: {"deleted": purge.purge(now)}, purge.due(now)),
        _Part("tidying", lambda: {"tidied": purge.tidy(now)}),
    ]
