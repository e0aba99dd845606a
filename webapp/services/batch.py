"""A batch of people to be invited, before it is sent: rows are judged, mended, removed, or all given up (rule 5.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, update

from webapp import queue
from webapp.domain.inviting import COLUMNS
from webapp.extensions import db
from webapp.models import Account, Batch, BatchRow, BatchState, RowOutcome, RowVerdict
from webapp.models.base import insert_row
from webapp.services import audit
from webapp.services.batch_rows import Judged, Row, cells_of, judge
from webapp.services.errors import ChangedMeanwhile, NotFound, TooManyDrafts
from webapp.services.invite_fields import LONGEST
from webapp.services.inviting import hold_inviter
from webapp.services.sets import among, execute
from webapp.tables import TableRefused, too_many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from webapp.domain.policy import Policy

MOST_DRAFTS = 5
PAGE = 100
BATCHES = 20
"""Batches that are listed, the newest."""
SENDABLE = (RowVerdict.READY, RowVerdict.AGAIN)
TO_MEND = (RowVerdict.MALFORMED, RowVerdict.NOT_ALLOWED, RowVerdict.TWICE)
_LONGEST = dict.fromkeys(COLUMNS, 200) | {"reason": LONGEST["reason"] + 1}
"""Characters that are kept of each cell: more than may be sent, so that what is too long stays so."""


@dataclass(frozen=True, slots=True)
class Summary:
    """How many rows of each verdict and outcome a batch has, and how many with an address that was probably meant."""

    verdicts: Mapping[RowVerdict, int]
    outcomes: Mapping[RowOutcome, int]
    suggestions: int

    @property
    def rows(self) -> int:
        return sum(self.verdicts.values())

    @property
    def sendable(self) -> int:
        return sum(self.verdicts.get(verdict, 0) for verdict in SENDABLE)

    @property
    def to_mend(self) -> int:
        return sum(self.verdicts.get(verdict, 0) for verdict in TO_MEND)

    @property
    def done(self) -> int:
        return sum(self.outcomes.values())


def begin(
    name: str,
    table: Sequence[tuple[int, list[str]]],
    otherwise: Mapping[str, str],
    by: audit.By,
    now: datetime,
    policy: Policy,
) -> int:
    """Keep a table as a draft, each row judged; its number.

    Raises `MayNotInvite`, `webapp.tables.TableRefused`, or `TooManyDrafts` with so many drafts that are not sent.
    """
    rows = cells_of(table, otherwise)
    if len(rows) > policy.batch_rows:
        raise TableRefused(too_many(policy.batch_rows))
    inviter = hold_inviter(by)
    drafts = select(func.count()).where(Batch.inviter_id == inviter.id, Batch.state == BatchState.DRAFT)
    if (db.session.scalar(drafts) or 0) >= MOST_DRAFTS:
        db.session.rollback()
        raise TooManyDrafts
    batch = Batch(inviter_id=inviter.id, name=name[:120], state=BatchState.DRAFT, created_at=now)
    db.session.add(batch)
    db.session.flush()
    judged = judge(rows, inviter, now, {})
    if judged:
        db.session.execute(insert_row(BatchRow), [{"batch_id": batch.id, **_values(each)} for each in judged])
    db.session.commit()
    return batch.id


def _values(judged: Judged) -> dict[str, Any]:
    cells = {name: judged.row.cells[name][: _LONGEST[name]] for name in COLUMNS}
    return cells | {
        "number": judged.row.number,
        "email_folded": judged.folded,
        "verdict": judged.verdict,
        "words": judged.words[:300],
        "suggestion": judged.suggestion[:113],
    }


def get(batch_id: int, inviter_id: int) -> Batch:
    """One's own batch. Raises `NotFound`."""
    query = select(Batch).where(Batch.id == batch_id, Batch.inviter_id == inviter_id)
    found = db.session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise NotFound
    return found


def own(inviter_id: int) -> Sequence[Batch]:
    """One's own batches, newest first."""
    return db.session.scalars(
        select(Batch).where(Batch.inviter_id == inviter_id).order_by(Batch.id.desc()).limit(BATCHES)
    ).all()


def summary(batch_id: int) -> Summary:
    """How its rows stand: counted in the database, whatever their number."""
    rows = db.session.execute(
        select(BatchRow.verdict, BatchRow.outcome, func.count(), func.count(func.nullif(BatchRow.suggestion, "")))
        .where(BatchRow.batch_id == batch_id)
        .group_by(BatchRow.verdict, BatchRow.outcome)
    ).all()
    verdicts: dict[RowVerdict, int] = {}
    outcomes: dict[RowOutcome, int] = {}
    suggestions = 0
    for verdict, outcome, count, suggested in rows:
        suggestions += suggested
        verdicts[verdict] = verdicts.get(verdict, 0) + count
        if outcome is not None:
            outcomes[outcome] = outcomes.get(outcome, 0) + count
    return Summary(verdicts, outcomes, suggestions)


def page(
    batch_id: int,
    verdicts: Sequence[RowVerdict] = (),
    outcome: RowOutcome | None = None,
    after: int | None = None,
    limit: int = PAGE + 1,
) -> Sequence[BatchRow]:
    """Rows in the order of the file, of some verdicts or one outcome: one more than a page tells that there is more."""
    query = select(BatchRow).where(BatchRow.batch_id == batch_id).order_by(BatchRow.number).limit(limit)
    if verdicts:
        query = query.where(BatchRow.verdict.in_(verdicts))
    if outcome is not None:
        query = query.where(BatchRow.outcome == outcome)
    if after is not None:
        query = query.where(BatchRow.number > after)
    return db.session.scalars(query).all()


def row(batch_id: int, number: int) -> BatchRow:
    """One row. Raises `NotFound`."""
    found = db.session.get(BatchRow, (batch_id, number), populate_existing=True)
    if found is None:
        raise NotFound
    return found


def change(
    batch_id: int, number: int, cells: Mapping[str, str], by: audit.By, now: datetime, *, suggested: bool = False
) -> Sequence[BatchRow]:
    """Mend a row of a draft; it is judged anew, and so is each row with the address that it had or has.

    Returns the other rows of which something else is to be said now, a page of them at most. Raises `MayNotInvite` or
    `NotFound`; or `ChangedMeanwhile` where the address was ``suggested`` for the row, and is not any more.
    """
    inviter = _hold_draft(batch_id, by)
    found = row(batch_id, number)
    # The row's own address: it was taken already, by a second press of the button.
    if suggested and cells["email"] not in (found.suggestion, found.email):
        raise ChangedMeanwhile
    before = found.email_folded
    for name in COLUMNS:
        if name in cells:
            setattr(found, name, cells[name][: _LONGEST[name]])
    db.session.flush()
    changed = _judge_mended(batch_id, [found], {before}, inviter, now)
    db.session.commit()
    return [each for each in changed if each is not found][:PAGE]


def use_suggestions(batch_id: int, by: audit.By, now: datetime) -> int:
    """Take, wherever there is one, the address that was probably meant; in how many rows of the draft.

    Raises `MayNotInvite` or `NotFound`.
    """
    inviter = _hold_draft(batch_id, by)
    query = select(BatchRow.email_folded, BatchRow.suggestion)
    slips = db.session.execute(query.where(BatchRow.batch_id == batch_id, BatchRow.suggestion != "")).all()
    meant = {slip.email_folded: slip.suggestion for slip in slips}
    # With them the rows that have the same slip, which say that it stands twice in the file.
    rows = _of_addresses(batch_id, set(meant))
    for each in rows:
        each.email = meant[each.email_folded]
    _judge_mended(batch_id, rows, set(meant), inviter, now)
    db.session.commit()
    return len(rows)


def remove(batch_id: int, number: int, by: audit.By, now: datetime) -> Sequence[BatchRow]:
    """Take a row out of a draft; returns what `change` does. Raises `MayNotInvite` or `NotFound`."""
    inviter = _hold_draft(batch_id, by)
    found = row(batch_id, number)
    db.session.delete(found)
    db.session.flush()
    changed = _judge_mended(batch_id, [], {found.email_folded}, inviter, now)
    db.session.commit()
    return changed[:PAGE]


def reset(batch_id: int, by: audit.By) -> None:
    """Give a draft up, with all its rows. Raises `MayNotInvite` or `NotFound`."""
    _hold_draft(batch_id, by)
    execute(delete(BatchRow).where(BatchRow.batch_id == batch_id))
    execute(delete(Batch).where(Batch.id == batch_id))
    db.session.commit()


def send(batch_id: int, by: audit.By, now: datetime) -> bool:
    """Have a draft sent by the job; False if it is on its way already. Raises `MayNotInvite` or `NotFound`."""
    inviter = hold_inviter(by)
    get(batch_id, inviter.id)
    begun = db.session.scalar(
        update(Batch)
        .where(Batch.id == batch_id, Batch.inviter_id == inviter.id, Batch.state == BatchState.DRAFT)
        .values(state=BatchState.SENDING, sent_at=now, peer=(by.peer or "")[:45])
        .returning(Batch.id)
    )
    if begun is None:
        db.session.rollback()
        return False
    audit.record("batch.begun", inviter.id, by, now, batch=batch_id, rows=summary(batch_id).sendable)
    queue.wake_after_commit(db.session, "invite")
    db.session.commit()
    return True


def _hold_draft(batch_id: int, by: audit.By) -> Account:
    """The inviter, with the draft locked until the transaction ends."""
    inviter = hold_inviter(by)
    query = select(Batch.id).where(
        Batch.id == batch_id, Batch.inviter_id == inviter.id, Batch.state == BatchState.DRAFT
    )
    if db.session.scalar(query.with_for_update()) is None:
        db.session.rollback()
        raise NotFound
    return inviter


def _of_addresses(batch_id: int, addresses: set[str]) -> Sequence[BatchRow]:
    """The rows of these addresses, in the order of the file."""
    wanted = [address for address in addresses if address]
    if not wanted:
        return []
    query = select(BatchRow).where(among(BatchRow.email_folded, wanted), BatchRow.batch_id == batch_id)
    return db.session.scalars(query.order_by(BatchRow.number)).all()


def _judge_mended(
    batch_id: int, mended: Sequence[BatchRow], before: set[str], inviter: Account, now: datetime
) -> list[BatchRow]:
    """Judge the ``mended`` rows anew, then each row of an address that one has or had ``before``.

    Returns those of which something else is to be said than before.
    """
    _judge_again(mended, inviter, now)
    return _judge_again(_of_addresses(batch_id, before | {each.email_folded for each in mended}), inviter, now)


def _judge_again(rows: Sequence[BatchRow], inviter: Account, now: datetime) -> list[BatchRow]:
    """Those of which something else is to be said than before."""
    changed = []
    for kept, judged in zip(rows, judge([as_given(each) for each in rows], inviter, now, {}), strict=True):
        values = _values(judged)
        said = {name: values[name] for name in ("email_folded", "verdict", "words", "suggestion")}
        if any(getattr(kept, name) != value for name, value in said.items()):
            changed.append(kept)
            for name, value in said.items():
                setattr(kept, name, value)
    db.session.flush()
    return changed


def as_given(kept: BatchRow) -> Row:
    """A kept row as it stood in the file."""
    return Row(kept.number, {name: getattr(kept, name) for name in COLUMNS})
