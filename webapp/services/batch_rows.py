"""The rows of a file of people to be invited: what its columns mean, and what is to be said of each (rule 5.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from webapp.domain.business_days import singapore_date
from webapp.domain.inviting import COLUMNS, EXAMPLES
from webapp.formatting import sg_short_day
from webapp.models import RowVerdict
from webapp.services import invite_fields
from webapp.services.inviting import Person
from webapp.services.known import Known, asked_before, known
from webapp.sheets import unguarded
from webapp.tables import LONGEST_CELL, TableRefused, addresses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from webapp.models import Account
    from webapp.services.invite_fields import Read

_CHUNK = 500
_SYNONYMS = {"e-mail": "email", "email address": "email", "e-mail address": "email", "organization": "organisation"}
_WHY = "why"
"""The column that the rows which were not sent have besides, when they are given out. It is not read."""
_EXAMPLES = frozenset(email for email, *_ in EXAMPLES)
_TOO_LONG = "longer than can be taken"


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it was given: its number in the file, and its cells by the names of the columns."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Judged:
    """What is to be said of a row: why in words, the address that was probably meant, and who it is if all is well."""

    row: Row
    verdict: RowVerdict
    words: str = ""
    suggestion: str = ""
    folded: str = ""
    person: Person | None = None


def template_rows() -> Iterator[Sequence[str]]:
    """The file that is offered to be filled in: the names of the columns, and an example of each kind."""
    yield COLUMNS
    yield from EXAMPLES


def cells_of(table: Sequence[tuple[int, list[str]]], otherwise: Mapping[str, str]) -> list[Row]:
    """The rows below the names of the columns, or addresses alone, as people paste them.

    ``otherwise`` are the cells of rows that leave them empty. Raises `TableRefused`.
    """
    if not table:
        raise TableRefused("There is nothing in it. Give one person a row")
    number, head = table[0]
    first = [_column(cell) for cell in head]
    if "email" not in first:
        # A list has one thing a row, of which the first need not be an address: a group's name, or a word above it all.
        is_list = all(len(cells) == 1 for _, cells in table)
        if any("@" in cell for _, cells in (table if is_list else table[:1]) for cell in cells):
            return _addresses(table, otherwise)
        raise TableRefused(
            f"The first row must name the columns, “email” among them. They are: {', '.join(COLUMNS)}. Row {number} "
            f"was read, which begins with “{next(filter(None, head))[:40]}”"
        )
    unknown = [cell for cell, name in zip(table[0][1], first, strict=True) if cell and name not in (*COLUMNS, _WHY)]
    named = [name for name in first if name]
    if unknown or len(set(named)) < len(named):
        wrong = f"“{unknown[0][:40]}” is not known" if unknown else "One is named twice"
        raise TableRefused(f"The first row must name each column once. {wrong}; they are: {', '.join(COLUMNS)}")
    if len(table) == 1:
        raise TableRefused("There are no rows below the names of the columns. Give one person a row")
    wide = [number for number, cells in table if len(cells) > len(first)]
    if wide:
        more = f" and {len(wide) - 5:,} more" if len(wide) > 5 else ""
        raise TableRefused(
            f"Some rows have more cells than the first one: {', '.join(map(str, wide[:5]))}{more}. Put text that has "
            "commas in quotation marks, and give every column a name"
        )
    rows = []
    for number, cells in table[1:]:
        given = {name: unguarded(cell) for name, cell in zip(first, cells, strict=False) if name}
        rows.append(Row(number, _filled(given, otherwise)))
    return rows


def begins_list(cells: Sequence[str]) -> bool:
    """Whether people can be read from a row on: it names the columns, or has an address."""
    return any(_column(cell) == "email" or "@" in cell for cell in cells)


def _column(cell: str) -> str:
    name = cell.strip().lower()
    return _SYNONYMS.get(name, name.replace(" ", "_"))


def _addresses(table: Sequence[tuple[int, list[str]]], otherwise: Mapping[str, str]) -> list[Row]:
    """A row for each address, and for whatever else there is."""
    found: list[str] = []
    for number, cells in table:
        if any(len(cell) > LONGEST_CELL and cell.count("@") > 1 for cell in cells):
            raise TableRefused(f"A cell in row {number} is too long. Give each address a row of its own")
        found += (each for cell in cells for each in addresses(cell) if each)
    return [Row(number, _filled({"email": each}, otherwise)) for number, each in enumerate(found, 1)]


def _filled(given: Mapping[str, str], otherwise: Mapping[str, str]) -> dict[str, str]:
    return {name: given.get(name) or otherwise.get(name, "") for name in COLUMNS}


def judge(rows: Sequence[Row], inviter: Account, now: datetime, seen: dict[str, int]) -> list[Judged]:
    """What is to be said of each of ``rows``, in some queries for every 500 of them.

    ``seen`` has the addresses of other rows with their numbers, and gets those of these.
    """
    found = []
    for start in range(0, len(rows), _CHUNK):
        understood = [(row, _understood(row)) for row in rows[start : start + _CHUNK]]
        folded = {read.address.folded for _, read in understood if read.address is not None}
        there = known(folded, inviter)
        own = asked_before(folded, inviter.id)
        for row, read in understood:
            found.append(_judged(row, read, inviter, now, seen, there, own))
    return found


def _understood(row: Row) -> Read:
    read = invite_fields.read(row.cells)
    for name, cell in row.cells.items():
        if cell.startswith("="):
            read.problems[name] = f"There is a formula in the column {name}. Put its result there as text"
        elif len(cell) > LONGEST_CELL:
            read.problems[name] = f"The text in the column {name} is {_TOO_LONG}"
    if read.problems:
        read.person = None
    return read


def _judged(
    row: Row,
    read: Read,
    inviter: Account,
    now: datetime,
    seen: dict[str, int],
    there: Mapping[str, Known],
    own: Mapping[str, datetime],
) -> Judged:
    folded = read.address.folded if read.address else ""
    if folded in _EXAMPLES:
        return Judged(row, RowVerdict.NOT_ALLOWED, "This is an example of the template", folded=folded)
    if folded:
        first = seen.setdefault(folded, row.number)
        if first != row.number:
            return Judged(row, RowVerdict.TWICE, f"The same address stands in row {first}", folded=folded)
        if folded == inviter.email_folded:
            return Judged(row, RowVerdict.NOT_ALLOWED, "This is your own address", folded=folded)
    if read.is_refused:
        return Judged(row, RowVerdict.NOT_ALLOWED, read.problems["email"], folded=folded)
    if read.person is None:
        words = ". ".join(read.problems.values())
        return Judged(row, RowVerdict.MALFORMED, words[:300], read.suggestion, folded)
    before = own.get(folded)
    one = there.get(folded)
    # Somebody of whom the inviter is told nothing is as new as one whom nobody knows (decision 0011).
    shown = one.as_told(inviter) if one is not None else None
    if shown is not None and not shown.has_run_out(now):
        return Judged(row, RowVerdict.INVITED, _told(shown), folded=folded)
    if shown is not None or before is not None:
        words = "An earlier invitation was not used in time" + (f", of {_day(before)}" if before else "")
        return Judged(row, RowVerdict.AGAIN, words, folded=folded, person=read.person)
    return Judged(row, RowVerdict.READY, folded=folded, person=read.person)


def _told(one: Known) -> str:
    """What is said of somebody who is there."""
    by = f" by {one.by}" if one.by else ""
    if one.is_unused:
        return f"Invited on {_day(one.link_issued_at or one.created_at)}{by}, and not used yet"
    if one.status == "requested":
        return f"Asked for on {_day(one.created_at)}{by}; an admin has yet to decide"
    return "They have a TechPass account"


def _day(at: datetime) -> str:
    return sg_short_day(singapore_date(at))
