"""Sealing the record, and finding what was done to it behind the portal's back (rule 8.8, decision 0010)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import String, Text, cast, exists, func, or_, select, type_coerce
from sqlalchemy.exc import IntegrityError

from webapp.domain.chain import START, Facts, link, mark
from webapp.extensions import db
from webapp.models import AuditEvent, AuditSeal
from webapp.models.base import insert_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Row, Select

    Line = Row[*tuple[Any, ...]]

CHUNK = 2500
"""Events in one transaction: some tenths of a second, during which nobody waits but another sealer."""
MOST = 100_000
"""Events in one run, so that other jobs get their turn; whoever runs it asks for the next."""
SETTLED = timedelta(hours=1)
"""No transaction takes longer: what was given a number before a seal this old has been committed since, or never."""
LATE = timedelta(minutes=10)
"""Sealing that lags by more deserves a word."""

_COLUMNS = (
    AuditEvent.id,
    AuditEvent.at,
    AuditEvent.action,
    AuditEvent.account_id,
    type_coerce(AuditEvent.actor, String).label("actor"),
    AuditEvent.actor_id,
    AuditEvent.peer,
    AuditEvent.peer_salt,
    # As it is stored: what is no JSON any more must be found, not stumbled over.
    cast(AuditEvent.detail, Text).label("detail"),
)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest seal. Who keeps it elsewhere can tell later that the chain was neither cut nor made anew."""

    position: int = 0
    hash: str = START
    sealed_at: datetime | None = None

    @classmethod
    def read(cls, text: str) -> Head:
        """A head as it was written down, POSITION:HASH. Raises `ValueError`."""
        position, _, digest = text.strip().partition(":")
        if not re.fullmatch("[0-9]{1,18}", position) or not re.fullmatch("[0-9a-f]{64}", digest):
            raise ValueError(text)
        return cls(int(position), digest)

    def __str__(self) -> str:
        return f"{self.position}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a run of `seal` did, and whether it left something to the next."""

    count: int
    more: bool


@dataclass(frozen=True, slots=True)
class Verified:
    """How many seals `verify` has read, the newest, and how many findings it told."""

    count: int
    head: Head
    findings: int


def head() -> Head:
    """The newest seal; position 0 where nothing is sealed yet."""
    query = select(AuditSeal.position, AuditSeal.hash, AuditSeal.sealed_at).order_by(AuditSeal.position.desc())
    found = db.session.execute(query.limit(1)).first()
    return Head(*found) if found else Head()


def is_late(now: datetime) -> bool:
    """Whether sealing stands still: the newest of the events that are older than `LATE` has no seal."""
    newest = (
        select(AuditEvent.id).where(AuditEvent.at <= now - LATE).order_by(AuditEvent.at.desc(), AuditEvent.id.desc())
    )
    last = newest.limit(1).subquery()
    query = select(~exists().where(AuditSeal.event_id == last.c.id)).select_from(last)
    return bool(db.session.scalar(query))


def seal(now: datetime, goes_on: Callable[[], bool] = lambda: True) -> Sealed:
    """Seal what is on record and not sealed yet, in the order of its numbers. Commits chunk by chunk.

    Of two at once one gives up: the position is the table's key.
    """
    after = _settled(now)
    count = 0
    while count < MOST and goes_on():
        last = head()
        rows = db.session.execute(_unsealed(after).limit(CHUNK)).all()
        if not rows or not _extend(last, rows, now):
            break
        count += len(rows)
        after = rows[-1].id
    else:
        return Sealed(count, more=True)
    db.session.rollback()
    return Sealed(count, more=False)


def _settled(now: datetime) -> int:
    """The number of an event below which none comes any more: one that was sealed `SETTLED` ago, or 0.

    A lower number was given before it, to a transaction that has ended by now.
    """
    query = select(AuditSeal.event_id).where(AuditSeal.sealed_at <= now - SETTLED)
    return db.session.scalar(query.order_by(AuditSeal.sealed_at.desc(), AuditSeal.position.desc()).limit(1)) or 0


def _unsealed(after: int) -> Select[*tuple[Any, ...]]:
    # The second condition on the seals follows from the others; the database does not know, and would read them all.
    sealed = exists().where(AuditSeal.event_id == AuditEvent.id, AuditSeal.event_id > after)
    return select(*_COLUMNS).where(AuditEvent.id > after, ~sealed).order_by(AuditEvent.id)


def _extend(last: Head, rows: Sequence[Line], now: datetime) -> bool:
    """Put a seal on each of ``rows`` and commit; False where another sealer was first."""
    seals = []
    previous = last.hash
    for position, row in enumerate(rows, last.position + 1):
        peer_mark = mark(row.peer, row.peer_salt)
        previous = link(previous, position, _facts(row), peer_mark)
        seals.append(
            {"position": position, "event_id": row.id, "peer_mark": peer_mark, "hash": previous, "sealed_at": now}
        )
    try:
        db.session.execute(insert_row(AuditSeal), seals)
    except IntegrityError:
        db.session.rollback()
        if head().position == last.position:
            raise
        return False
    db.session.commit()
    return True


def _facts(row: Line) -> Facts:
    try:
        detail = json.loads(row.detail)
    except ValueError:
        detail = row.detail
    return Facts(row.id, row.at, row.action, row.account_id, row.actor, row.actor_id, detail)


def verify(now: datetime, known: Head | None, tell: Callable[[str], None]) -> Verified:
    """Read the whole chain against the record, and ``tell`` of each thing that does not fit.

    ``known`` is a head that was kept elsewhere: the chain must still hold it. Holds nothing open between chunks.
    """
    findings = 0

    def found(words: str) -> None:
        nonlocal findings
        findings += 1
        tell(words)

    count, last, met = 0, Head(), known is None or known.position == 0
    for row in _walk():
        count += 1
        if row.position != last.position + 1:
            _tell_gap(found, last.position + 1, row)
        elif row.id is not None and link(last.hash, row.position, _facts(row), row.peer_mark) != row.hash:
            found(
                f"Event {row.event_id} does not fit the seal at position {row.position}: "
                "it, its seal or the one before was changed or moved."
            )
        if row.id is None:
            found(f"Event {row.event_id} is missing; it was sealed at position {row.position}.")
        elif row.peer is not None and mark(row.peer, row.peer_salt) != row.peer_mark:
            found(f"Event {row.event_id} does not fit its seal: from where it came was changed.")
        if known is not None and row.position == known.position:
            met = True
            if row.hash != known.hash:
                found(f"Event {row.event_id}: the seal at position {row.position} is not the one that you know.")
        last = Head(row.position, row.hash, row.sealed_at)
    if known is not None and not met:
        found(f"The chain ends at position {last.position}: position {known.position}, which you know, is missing.")
    for first, end in _never_sealed(now):
        which = f"Event {first} has" if first == end else f"Events {first} to {end} have"
        found(f"{which} no seal: put in behind the portal's back, or sealing has stopped.")
    return Verified(count, last, findings)


def _tell_gap(found: Callable[[str], None], expected: int, row: Line) -> None:
    if row.position < expected:
        found(f"Event {row.event_id} is sealed out of place, at position {row.position}.")
    elif row.position == expected + 1:
        found(f"The seal at position {expected} is missing.")
    else:
        found(f"The seals at positions {expected} to {row.position - 1} are missing.")


def _walk() -> Iterator[Line]:
    """Each seal with its event, in the order of the chain."""
    after: int | None = None
    while True:
        query = (
            select(
                AuditSeal.position,
                AuditSeal.event_id,
                AuditSeal.peer_mark,
                AuditSeal.hash,
                AuditSeal.sealed_at,
                *_COLUMNS,
            )
            .outerjoin(AuditEvent, AuditEvent.id == AuditSeal.event_id)
            .order_by(AuditSeal.position)
            .limit(CHUNK)
        )
        rows = db.session.execute(query if after is None else query.where(AuditSeal.position > after)).all()
        db.session.rollback()
        if not rows:
            return
        yield from rows
        after = rows[-1].position


def _never_sealed(now: datetime) -> Iterator[tuple[int, int]]:
    """Events that should have been sealed by now, as ranges of numbers that follow each other."""
    settled = _settled(now)
    row_number = func.row_number().over(order_by=AuditEvent.id)
    missing = (
        select(AuditEvent.id, (AuditEvent.id - row_number).label("run"))
        .where(
            or_(AuditEvent.at <= now - SETTLED, AuditEvent.id <= settled),
            ~exists().where(AuditSeal.event_id == AuditEvent.id),
        )
        .subquery()
    )
    ranges = select(func.min(missing.c.id), func.max(missing.c.id)).group_by(missing.c.run)
    rows = db.session.execute(ranges.order_by(func.min(missing.c.id))).all()
    db.session.rollback()
    for row in rows:
        yield row[0], row[1]
