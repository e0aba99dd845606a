"""Column types and small pieces that all tables share."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Enum, Integer, insert, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import mapped_column
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from enum import StrEnum

    from sqlalchemy import Dialect


class UtcDateTime(TypeDecorator[datetime]):
    """An instant in UTC. It refuses one without a zone, and gives zones back on SQLite, which keeps none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs its zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


BigId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the type says INTEGER."""

Id = Annotated[int, mapped_column(BigId, primary_key=True)]
Instant = Annotated[datetime, mapped_column(UtcDateTime)]

MAX_ID = 2**63 - 1


def enum_column(values: type[StrEnum]) -> Enum:
    """The type of a column that holds one of ``values``, stored as its text; pair it with `one_of`."""
    return Enum(values, native_enum=False, values_callable=list, length=max(len(value) for value in values))


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """A closed set, checked by the database."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def insert_new(table: type[Any]) -> Any:
    """An INSERT that leaves out what a unique index forbids, on both databases. Takes rows as any INSERT does."""
    from webapp.extensions import db

    dialect = postgresql if db.session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(table.__table__).on_conflict_do_nothing()


def put_rows(table: type[Any], rows: list[dict[str, Any]]) -> None:
    """Put rows in their places, new or not: those of the same primary key are written over. All have the same columns.

    In a fixed order, two who write at once do not block each other. No commit.
    """
    from webapp.extensions import db

    dialect = postgresql if db.session.get_bind().dialect.name == "postgresql" else sqlite
    fresh = dialect.insert(table.__table__)
    keys = [column.name for column in table.__table__.primary_key]
    changed = {name: fresh.excluded[name] for name in rows[0] if name not in keys}
    db.session.execute(fresh.on_conflict_do_update(index_elements=keys, set_=changed), rows)


def insert_row(table: type[Any]) -> Any:
    """A plain INSERT. Unlike adding an object, it is one statement without the session's bookkeeping, a third of the
    time; for the rows that each sign-up writes (`./run bench sign-up`)."""
    return insert(table.__table__)


def insert_many(
    table: type[Any], rows: Sequence[dict[str, Any]], *, new: bool = False, returning: Sequence[str] = ()
) -> Sequence[Any]:
    """Insert rows that all have the same columns, thousands at once; with ``new``, but for what an index forbids.

    Gives the columns ``returning`` of what was inserted, in any order. PostgreSQL gets all rows as one value: as a
    statement each they take five times as long (`./run bench batch`). No commit.
    """
    from webapp.extensions import db

    if not rows:
        return []
    target = table.__table__
    if db.session.get_bind().dialect.name != "postgresql":
        statement = insert_new(table) if new else insert_row(table)
        if not returning:
            db.session.execute(statement, list(rows))
            return []
        return db.session.execute(statement.returning(*(target.c[name] for name in returning)), list(rows)).all()
    defaults = {
        column.name: column.default.arg
        for column in target.c
        if column.default is not None and column.default.is_scalar and column.name not in rows[0]
    }
    names = ", ".join(f'"{name}"' for name in (*rows[0], *defaults))
    source = f'json_populate_recordset(NULL::"{target.name}", CAST(:rows AS json))'
    # Names of our own tables and columns alone.
    sql = f'INSERT INTO "{target.name}" ({names}) SELECT {names} FROM {source}'  # noqa: S608
    sql += " ON CONFLICT DO NOTHING" if new else ""
    sql += f" RETURNING {', '.join(returning)}" if returning else ""
    given = json.dumps([defaults | row for row in rows], default=datetime.isoformat)
    done = db.session.execute(text(sql), {"rows": given})
    return done.all() if returning else []


def where(condition: Any) -> dict[str, Any]:
    """The arguments that make an index partial on both databases."""
    return {"sqlite_where": condition, "postgresql_where": condition}
