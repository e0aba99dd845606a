"""Sending a batch, some hundred rows at a time: each row once, whatever is killed in between (rule 5.2, B4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from sqlalchemy import select, update

from webapp.extensions import db
from webapp.models import Account, Actor, Batch, BatchRow, BatchState, RowOutcome
from webapp.services import audit
from webapp.services.batch import SENDABLE, as_given, summary
from webapp.services.batch_rows import judge
from webapp.services.errors import MayNotInvite
from webapp.services.inviting import Result, ask_for_each, hold_inviter
from webapp.services.sets import execute

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from webapp.domain.policy import Policy

log = structlog.get_logger()

CHUNK = 500
"""Rows in one transaction: what a killed worker had not committed, the next one does."""
_RIGHT_LOST = "You could not ask for others any more"
_NOT_DONE = {
    Result.TOO_SOON: "They were invited meanwhile",
    Result.WAITS: "A request for them waits for an admin",
    Result.HOLDS: "They have a TechPass account",
}


def send_some(now: datetime, policy: Policy, goes_on: Callable[[], bool]) -> bool:
    """Go on with batches that are being sent, oldest first, chunk by chunk; whether something is left.

    Of two at once each takes another batch.
    """
    while goes_on():
        batch = db.session.scalar(
            select(Batch)
            .where(Batch.state == BatchState.SENDING)
            .order_by(Batch.id)
            .limit(1)
            .with_for_update(skip_locked=True)
            .execution_options(populate_existing=True)
        )
        if batch is None:
            db.session.rollback()
            return False
        rows = _waiting(batch.id, CHUNK)
        by = _by(batch)
        if not rows:
            _finish(batch, by, now)
            continue
        batch_id, numbers = batch.id, [row.number for row in rows]
        try:
            _send(batch, rows, by, now, policy)
            db.session.commit()
        except MayNotInvite:
            _fail(batch_id, [], _RIGHT_LOST)
        except Exception:
            # Whatever it is, it must not keep the others from being sent: one by one it is found.
            db.session.rollback()
            log.exception("a part of a batch failed", batch=batch_id)
            _send_each(batch_id, numbers, now, policy, goes_on)
    return True


def _by(batch: Batch) -> audit.By:
    return audit.By(Actor.OFFICER, batch.inviter_id, batch.peer or None)


def _waiting(batch_id: int, limit: int) -> Sequence[BatchRow]:
    return db.session.scalars(
        select(BatchRow)
        .where(BatchRow.batch_id == batch_id, BatchRow.outcome.is_(None))
        .order_by(BatchRow.number)
        .limit(limit)
        .execution_options(populate_existing=True)
    ).all()


def _send(batch: Batch, rows: Sequence[BatchRow], by: audit.By, now: datetime, policy: Policy) -> None:
    """Ask for whoever is ready still, and note what became of each row. No commit. Raises `MayNotInvite`."""
    inviter: Account = hold_inviter(by)
    told: dict[tuple[RowOutcome, str], list[int]] = {}
    people = {}
    to_send = [row for row in rows if row.verdict in SENDABLE]
    for row in rows:
        if row.verdict not in SENDABLE:
            told.setdefault((RowOutcome.SKIPPED, row.words), []).append(row.number)
    # What was ready when it was looked at may not be any more.
    for judged in judge([as_given(row) for row in to_send], inviter, now, {}):
        if judged.person is not None:
            people[judged.row.number] = judged.person
        else:
            told.setdefault((RowOutcome.SKIPPED, judged.words[:300]), []).append(judged.row.number)
    outcomes = ask_for_each(list(people.values()), inviter, by, now, policy)
    for number, outcome in zip(people, outcomes, strict=True):
        words = _NOT_DONE.get(outcome.result, "")
        told.setdefault((RowOutcome.SKIPPED if words else RowOutcome.SENT, words), []).append(number)
    for (became, why), numbers in told.items():
        execute(
            update(BatchRow)
            .where(BatchRow.batch_id == batch.id, BatchRow.number.in_(numbers))
            .values(outcome=became, words=why)
        )


def _send_each(
    batch_id: int, numbers: Sequence[int], now: datetime, policy: Policy, goes_on: Callable[[], bool]
) -> None:
    for number in numbers:
        if not goes_on():
            return
        batch = db.session.scalar(
            select(Batch).where(Batch.id == batch_id, Batch.state == BatchState.SENDING).with_for_update()
        )
        row = db.session.get(BatchRow, (batch_id, number), populate_existing=True)
        if batch is None or row is None or row.outcome is not None:
            db.session.rollback()
            continue
        try:
            _send(batch, [row], _by(batch), now, policy)
            db.session.commit()
        except MayNotInvite:
            _fail(batch_id, [], _RIGHT_LOST)
            return
        except Exception:
            db.session.rollback()
            log.exception("a row of a batch failed", batch=batch_id, row=number)
            _fail(batch_id, [number], "It could not be done. Try it again, or ask for them one by one")


def _fail(batch_id: int, numbers: Sequence[int], words: str) -> None:
    """Note rows as failed: these, or all that wait."""
    waits = update(BatchRow).where(BatchRow.batch_id == batch_id, BatchRow.outcome.is_(None))
    if numbers:
        waits = waits.where(BatchRow.number.in_(numbers))
    execute(waits.values(outcome=RowOutcome.FAILED, words=words))
    db.session.commit()


def _finish(batch: Batch, by: audit.By, now: datetime) -> None:
    counted = {str(outcome): count for outcome, count in summary(batch.id).outcomes.items()}
    batch.state, batch.ended_at = BatchState.DONE, now
    audit.record("batch.sent", batch.inviter_id, by, now, batch=batch.id, **counted)
    db.session.commit()
