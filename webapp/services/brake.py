"""The brake: a part of the sweep that would end unusually many accounts does nothing and asks an admin (rule 8.7)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import delete, func, select, update

from webapp import queue
from webapp.domain.brake import HISTORY_DAYS, may_run, never_unusual, usual
from webapp.domain.business_days import singapore_date
from webapp.domain.measures import Measure
from webapp.extensions import db
from webapp.models import Account, DailyCount, HeldSweep
from webapp.models.base import insert_new
from webapp.services import audit
from webapp.services.errors import AlreadyAllowed, MoreFallDue, NotFound
from webapp.services.reasons import squeezed
from webapp.services.sets import count_up_to

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Select

    from webapp.domain.policy import Policy

log = structlog.get_logger()

HELD = "sweep.held"
ALLOWED = "sweep.allowed"


def held() -> Sequence[HeldSweep]:
    """The parts that wait for an admin, those that wait longest first."""
    return db.session.scalars(
        select(HeldSweep).order_by(HeldSweep.held_at, HeldSweep.part).execution_options(populate_existing=True)
    ).all()


def check(part: str, ending: Select[*tuple[Any, ...]], now: datetime, policy: Policy, *, was_held: bool) -> int | None:
    """Before ``part`` runs: how many accounts it would end, where that is unusual and nobody has allowed it; else None.

    ``ending`` chooses those accounts; ``was_held`` is whether the part was among `held` when the sweep began. What is
    held is written down, and once in the record. Commits.
    """
    # Before anything is counted: where another sweep has just done what was allowed, the count must see that too, and
    # no admin's leave may be written over by a sweep that did not see it.
    row = db.session.get(HeldSweep, part, with_for_update=True, populate_existing=True) if was_held else None
    most = never_unusual(policy)
    count = count_up_to(ending, most + 1)
    if count > most:
        most = usual(_ended_lately(now), policy)
        count = count_up_to(ending, most + 1)
    if count <= most:
        if row is not None:
            db.session.delete(row)
        db.session.commit()
        return None
    count = db.session.scalar(select(func.count()).select_from(ending.order_by(None).subquery())) or 0
    if row is not None and may_run(count, row.allowed, row.allowed_at, now):
        db.session.rollback()
        return None
    _hold(part, count, most, now)
    return count


def ran(part: str, ending: Select[*tuple[Any, ...]], policy: Policy) -> None:
    """After ``part`` has run: an admin's leave is used up. Commits.

    It stays while another sweep is still at what was allowed, or that would look unusual to the next one.
    """
    unheld = never_unusual(policy)
    if count_up_to(ending, unheld + 1) <= unheld:
        db.session.execute(delete(HeldSweep).where(HeldSweep.part == part))
    db.session.commit()


def _hold(part: str, count: int, most: int, now: datetime) -> None:
    log.error(
        "sweep held: it would end unusually many accounts; look at the forecast, or with `sweep --dry-run`",
        part=part,
        would_end=count,
        usual=most,
    )
    begun = db.session.scalar(
        insert_new(HeldSweep).values(part=part, held_at=now, would_end=count, usual=most).returning(HeldSweep.part)
    )
    if begun is not None:
        audit.record(HELD, None, audit.SYSTEM, now, part=part, would_end=count, usual=most)
    else:
        db.session.execute(
            update(HeldSweep)
            .where(HeldSweep.part == part)
            .values(would_end=count, usual=most, allowed=None, allowed_at=None, allowed_by_id=None)
        )
    db.session.commit()


def _ended_lately(now: datetime) -> Sequence[int]:
    """How many accounts ended on each of the last days before today."""
    today = singapore_date(now)
    return db.session.scalars(
        select(DailyCount.count).where(
            DailyCount.measure == Measure.ENDED,
            DailyCount.day >= today - timedelta(days=HISTORY_DAYS),
            DailyCount.day < today,
        )
    ).all()


def is_allowed(row: HeldSweep, now: datetime) -> bool:
    """Whether the next sweep does what is held, as things stand."""
    return may_run(row.would_end, row.allowed, row.allowed_at, now)


def allow(part: str, seen: int, reason: str, by: audit.By, now: datetime) -> int:
    """Let a held part end as many accounts as the admin has ``seen``, at the next sweep, which is woken; how many.

    Should more be due by then it is held again, and after an hour as well. ``reason`` goes on record for good, so it
    must name nobody. Whoever lets it run twice is answered twice, and it is done once.

    Raises `ReasonMissing`, `NotFound` where nothing is held any more, `AlreadyAllowed` or `MoreFallDue`.
    """
    reason = squeezed(reason)
    row = db.session.get(HeldSweep, part, with_for_update=True, populate_existing=True)
    if row is None:
        db.session.rollback()
        raise NotFound
    if row.allowed is not None and row.allowed_at is not None and is_allowed(row, now):
        allowed, allowed_at, allowed_by_id = row.allowed, row.allowed_at, row.allowed_by_id
        db.session.rollback()
        if allowed_by_id == by.account_id:
            return allowed
        email = db.session.scalar(select(Account.email).where(Account.id == allowed_by_id))
        raise AlreadyAllowed(email or "another admin", allowed_at)
    if row.would_end > seen:
        more = row.would_end
        db.session.rollback()
        raise MoreFallDue(more)
    row.allowed, row.allowed_at, row.allowed_by_id = row.would_end, now, by.account_id
    audit.record(ALLOWED, None, by, now, part=part, allowed=row.would_end, usual=row.usual, reason=reason)
    queue.wake_after_commit(db.session, "sweep")
    db.session.commit()
    return row.would_end
