"""Statements over thousands of accounts at once, for the sweeps: the database does the work, rows stay there.

Two sweeps at once must neither do a thing twice nor wait for each other. So each chunk is one short transaction that
first locks what it takes, passing over what others hold: the account's row, then the rows that belong to it. Whoever
changes an account's invitations, mails or sessions locks in the same order, which rules out deadlocks.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Text, any_, func, insert, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from webapp.extensions import db
from webapp.models import Account, Actor, AuditEvent

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, CursorResult, Select, UpdateBase
    from sqlalchemy.orm import InstrumentedAttribute

NOT_ON_HOLD: ColumnElement[bool] = ~Account.under_investigation
"""On hold, the clock alone does nothing to an account (rule 8.7). What is passed over so is due once it is released."""

CHUNK = 2500
"""Accounts in one transaction: some 0.2 seconds on PostgreSQL, during which only their own rows are locked."""


def among(column: InstrumentedAttribute[Any], values: Collection[int] | Collection[str]) -> ColumnElement[bool]:
    """``column IN values`` with all of them as one parameter: IN with thousands of them takes long to parse."""
    if db.session.get_bind().dialect.name == "postgresql":
        kind = BigInteger if isinstance(next(iter(values), 0), int) else Text
        return column == any_(literal(list(values), ARRAY(kind)))
    each = func.json_each(json.dumps(list(values))).table_valued("value")
    return column.in_(select(each.c.value))


def execute(statement: UpdateBase) -> int:
    """Run one statement over many rows and give their number. Objects in the session do not learn of it."""
    done: CursorResult[Any] = db.session.execute(  # type: ignore[assignment]
        statement, execution_options={"synchronize_session": False}
    )
    return done.rowcount


def count_up_to(query: Select[*tuple[Any, ...]], limit: int) -> int:
    """How many rows ``query`` has, counted no further than ``limit``. Its order is left out: for that all are read."""
    some = query.order_by(None).limit(limit).subquery()
    return db.session.scalar(select(func.count()).select_from(some)) or 0


def record_each(action: str, ids: Sequence[int], now: datetime, **detail: Any) -> None:
    """What `audit.record` does for the system, for each of the accounts ``ids``. No commit."""
    if not ids:
        return
    columns = AuditEvent.__table__.c
    row = {
        "at": literal(now, columns.at.type),
        "action": literal(action),
        "account_id": Account.id,
        "actor": literal(Actor.SYSTEM, columns.actor.type),
        "detail": literal(detail, columns.detail.type),
    }
    execute(insert(AuditEvent).from_select(list(row), select(*row.values()).where(among(Account.id, ids))))
