"""The audit log: the record of everything, newest first, filtered, and given out as a table (rule 8.8).

The order is that of the time of each event, then of its number. Each filter alone is answered from an index that holds
this order; two at once cost no more than the narrower of them. Who asked from one network address must say when, since
no index leads there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, tuple_

from webapp.domain.business_days import SINGAPORE, start_of_day
from webapp.extensions import db
from webapp.models import Account, Actor, AuditEvent
from webapp.models.base import MAX_ID
from webapp.services import audit
from webapp.services.activity import WORDS, plainly

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Select

    from webapp.services.audit import By

WHERE_DAYS = 31
"""How many days may be searched for one network address."""
EXPORTED = "audit.exported"
COLUMNS = (
    "Event",
    "When (Singapore)",
    "Action",
    "What happened",
    "Who",
    "Who (account)",
    "As",
    "Whom",
    "Whom (account)",
    "From where",
    "Reason",
    "Before",
    "After",
    "More",
)
WIDTHS = (10, 28, 26, 44, 34, 10, 10, 34, 10, 18, 40, 30, 30, 30)
_CHUNK = 1000
_LONGEST = 113
_MOST_ACCOUNTS = 20
"""Accounts that one address has had, newest first, that are looked for."""
_GROUPS = {
    "sign_up": "Sign-up",
    "techpass": "TechPass",
    "seed": "SEED",
    "log_in": "Logging in",
    "not_me": "“This wasn’t me”",
    "audit": "Audit log",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The filters as they stand in the address, each empty for all."""

    action: str = ""
    by: str = ""
    whom: str = ""
    since: str = ""
    until: str = ""
    where: str = ""

    def __bool__(self) -> bool:
        return self != Asked()


@dataclass(frozen=True, slots=True)
class Filters:
    """What is looked for; None is all of it. ``problems`` say what in the address makes no sense: nothing is found."""

    action: str | None = None
    by: tuple[int, ...] | None = None
    whom: tuple[int, ...] | None = None
    since: date | None = None
    until: date | None = None
    where: str | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """The place of an event in the log: the page after it goes on from here."""

    at: datetime
    number: int


@dataclass(frozen=True, slots=True)
class Change:
    """A thing that was changed: ``before`` and ``after`` as words, empty where it was not there."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One event. ``who`` and ``whom`` are addresses, or what stands for them; ``more`` are names with values."""

    number: int
    at: datetime
    action: str
    what: str
    actor: Actor
    who: str
    who_id: int | None
    whom: str
    whom_id: int | None
    where: str
    reason: str
    changes: tuple[Change, ...]
    more: tuple[tuple[str, str], ...]

    @property
    def mark(self) -> Mark:
        return Mark(self.at, self.number)


def read(asked: Asked) -> Filters:
    """The filters that an address asks for."""
    action, by, whom, where = (_squeezed(each) for each in (asked.action, asked.by, asked.whom, asked.where))
    since, until = _day(asked.since), _day(asked.until)
    found = Filters(
        action=action or None,
        by=_accounts(by) if by else None,
        whom=_accounts(whom) if whom else None,
        since=since,
        until=until,
        where=where or None,
    )
    problems = []
    if found.by == ():
        problems.append(f"Nobody here has, or had, the address {by}.")
    if found.whom == () and whom != by:
        problems.append(f"Nobody here has, or had, the address {whom}.")
    if (asked.since and since is None) or (asked.until and until is None):
        problems.append("Enter dates like 2026-11-24.")
    elif since and until and until < since:
        problems.append("The second date is before the first.")
    elif where and not (since and until and (until - since).days < WHERE_DAYS):
        problems.append(f"To look for what came from one network address, give both dates, at most {WHERE_DAYS} days.")
    return replace(found, problems=tuple(problems))


def listed(filters: Filters, before: Mark | None, limit: int) -> list[Entry]:
    """The newest events that fit, at most ``limit``; those behind ``before`` if given."""
    if filters.problems:
        return []
    events = db.session.scalars(_query(filters, before).limit(limit)).all()
    addresses = _addresses(events)
    return [_entry(event, addresses) for event in events]


def groups() -> list[tuple[str, list[tuple[str, str]]]]:
    """All actions with their words, by what they are about."""
    found: dict[str, list[tuple[str, str]]] = {}
    for action in WORDS:
        kind = action.partition(".")[0]
        name = _GROUPS.get(kind) or kind.replace("_", " ").capitalize()
        found.setdefault(name, []).append((action, plainly(action, {})))
    return [(name, sorted(actions, key=lambda each: each[1])) for name, actions in sorted(found.items())]


def note_export(filters: Filters, form: str, by: By, now: datetime) -> None:
    """Put on record that the log was given out, and what of it; accounts by number, since a record names nobody."""
    asked: dict[str, Any] = {
        # What is none of ours may be anything, and stands here for good.
        "action": filters.action if filters.action in WORDS else None,
        "by": filters.by,
        "whom": filters.whom,
        "since": filters.since and filters.since.isoformat(),
        "until": filters.until and filters.until.isoformat(),
        "where": "one network address" if filters.where else None,
    }
    audit.record(
        EXPORTED,
        None,
        by,
        now,
        format=form,
        filters={name: value for name, value in asked.items() if value is not None},
    )
    db.session.commit()


def table(filters: Filters) -> Iterator[Sequence[str | int | None]]:
    """All events that fit, newest first, as rows below the names of their columns.

    Read some hundreds at a time, with nothing held open meanwhile: who downloads slowly keeps nobody waiting, and what
    is read this way is one state all the same, since the record only grows, at its new end.
    """
    yield COLUMNS
    before: Mark | None = None
    while True:
        entries = listed(filters, before, _CHUNK)
        db.session.rollback()
        for entry in entries:
            yield _row(entry)
        if len(entries) < _CHUNK:
            return
        before = entries[-1].mark


def _query(filters: Filters, before: Mark | None) -> Select[AuditEvent]:
    newest = (AuditEvent.at.desc(), AuditEvent.id.desc())
    if filters.action is not None or filters.by is not None:
        # The same order, but not by the name that the whole log's index has. An admin who left years ago did much:
        # PostgreSQL would read the log backwards for it, expecting some of it on each page, and find none for years.
        newest = (newest[0].nulls_last(), newest[1].nulls_last())
    query = select(AuditEvent).order_by(*newest)
    if filters.action is not None:
        query = query.where(AuditEvent.action == filters.action)
    if filters.by is not None:
        query = query.where(_is_one_of(AuditEvent.actor_id, filters.by))
    if filters.whom is not None:
        query = query.where(_is_one_of(AuditEvent.account_id, filters.whom))
    if filters.since is not None:
        query = query.where(AuditEvent.at >= start_of_day(filters.since))
    if filters.until is not None:
        query = query.where(AuditEvent.at < start_of_day(filters.until) + timedelta(days=1))
    if filters.where is not None:
        query = query.where(AuditEvent.peer == filters.where)
    if before is not None:
        # The first condition follows from the second; with both, each database starts where it should.
        key = tuple_(AuditEvent.at, AuditEvent.id)
        query = query.where(AuditEvent.at <= before.at, key < (before.at, before.number))
    return query


def _is_one_of(column: Any, ids: Sequence[int]) -> Any:
    return column == ids[0] if len(ids) == 1 else column.in_(ids)


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else None
    except ValueError:
        return None
    return day if day is not None and 1900 < day.year < 3000 else None


def _accounts(text: str) -> tuple[int, ...]:
    """The numbers of all accounts that an address has, or had, newest first; or the number that is given instead."""
    number = text.removeprefix("#")
    if number.isascii() and number.isdigit() and len(number) < 20:
        return (int(number),) if 0 < int(number) <= MAX_ID else ()
    query = select(Account.id).where(Account.email_folded == text.lower()).order_by(Account.id.desc())
    return tuple(db.session.scalars(query.limit(_MOST_ACCOUNTS)))


def _squeezed(text: str) -> str:
    return "".join(each for each in text if each.isprintable()).strip()[:_LONGEST]


def _addresses(events: Iterable[AuditEvent]) -> dict[int, str]:
    numbers = {number for event in events for number in (event.actor_id, event.account_id) if number is not None}
    if not numbers:
        return {}
    rows = db.session.execute(select(Account.id, Account.email).where(Account.id.in_(numbers)))
    return {row.id: row.email for row in rows}


def _entry(event: AuditEvent, addresses: dict[int, str]) -> Entry:
    detail = event.detail if isinstance(event.detail, dict) else {}
    return Entry(
        number=event.id,
        at=event.at,
        action=event.action,
        what=plainly(event.action, detail),
        actor=event.actor,
        who=addresses.get(event.actor_id or 0) or _unnamed(event, detail),
        who_id=event.actor_id,
        whom=addresses.get(event.account_id or 0, ""),
        whom_id=event.account_id,
        where=event.peer or "",
        reason=str(detail.get("reason") or ""),
        changes=tuple(_changes(detail)),
        more=tuple((_name(key), _words(value)) for key, value in sorted(detail.items()) if key not in _SHOWN),
    )


_SHOWN = ("reason", "before", "after")


def _unnamed(event: AuditEvent, detail: dict[str, Any]) -> str:
    if event.actor is Actor.SYSTEM:
        return "MDM system" if detail.get("source") == "mdm" else "The portal"
    return "A visitor"


def _changes(detail: dict[str, Any]) -> Iterator[Change]:
    before, after = detail.get("before"), detail.get("after")
    if before is None and after is None:
        return
    if not isinstance(before, dict | None) or not isinstance(after, dict | None):
        yield Change("", _words(before), _words(after))
        return
    old, new = before or {}, after or {}
    for key in dict.fromkeys((*old, *new)):
        yield Change(_name(key), _words(old.get(key)), _words(new.get(key)))


def _name(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _words(value: Any) -> str:
    match value:
        case None | "" | [] | {}:
            return ""
        case True:
            return "yes"
        case False:
            return "no"
        case str():
            return value
        case list() if all(isinstance(each, str | int) for each in value):
            return ", ".join(str(each) for each in value)
        case dict():
            return "; ".join(f"{_name(key).lower()}: {_words(each)}" for key, each in sorted(value.items()))
    return json.dumps(value)


def _row(entry: Entry) -> tuple[str | int | None, ...]:
    return (
        entry.number,
        entry.at.astimezone(SINGAPORE).isoformat(timespec="seconds"),
        entry.action,
        entry.what,
        entry.who,
        entry.who_id,
        str(entry.actor),
        entry.whom,
        entry.whom_id,
        entry.where,
        entry.reason,
        _pairs((change.name, change.before) for change in entry.changes),
        _pairs((change.name, change.after) for change in entry.changes),
        _pairs(entry.more),
    )


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return "; ".join(f"{name}: {value}" if name else value for name, value in pairs if value)
