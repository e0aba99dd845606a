"""Agencies as a CSV file: given out, and taken in all at once or not at all (rules 1.6 and 8.4)."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from webapp.domain.addresses import AgencyMode
from webapp.domain.lifecycle import RequestKind
from webapp.extensions import db
from webapp.models import Agency
from webapp.services import agencies, agency_changes
from webapp.services.agencies import AgencySettings, settings_of
from webapp.services.agency_effects import MOST, approvals, counted, open_requests
from webapp.services.errors import ChangedMeanwhile, DomainTaken, ImportRefused
from webapp.services.sets import count_up_to
from webapp.sheets import unguarded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from webapp.services import audit

COLUMNS = ("domain", "name", "mode", "reason", "seed_eligible", "approves_automatically", "vendors_allowed")
MOST_ROWS = 500
MOST_KILOBYTES = 200
TOO_LARGE = f"The file is larger than {MOST_KILOBYTES} KB, the most that is taken at once"
NOTHING = "Choose a CSV file, or paste its lines"

_MODES = {str(mode).replace("_", " "): mode for mode in AgencyMode}
_BOOLEANS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


class Verdict(StrEnum):
    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the file: what it would do, or what is wrong with it."""

    line: int
    domain: str
    verdict: Verdict
    settings: AgencySettings | None = None
    before: AgencySettings | None = None
    problems: tuple[str, ...] = ()

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        return self.before.changes_to(self.settings) if self.before and self.settings else {}


@dataclass(frozen=True, slots=True)
class Preview:
    """What a file would do, line by line, and what follows from it all."""

    rows: Sequence[Row]
    follows: Sequence[str]

    def count(self, verdict: Verdict) -> int:
        return sum(row.verdict == verdict for row in self.rows)

    @property
    def to_do(self) -> int:
        return self.count(Verdict.NEW) + self.count(Verdict.CHANGED)

    @property
    def version(self) -> str:
        """A mark of what would be done: it is another one once somebody has changed one of these agencies."""
        told = [(row.domain, row.verdict, row.before and row.before.version) for row in self.rows]
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def file_rows() -> Iterator[Sequence[str]]:
    """All agencies as the rows of a file, its header first; the import takes it back as it is."""
    yield COLUMNS
    for settings in agencies.every():
        yield [_shown(value) for value in settings.values().values()]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value.replace("_", " ") if isinstance(value, AgencyMode) else str(value)


def decode(content: bytes) -> str:
    """The text of an uploaded file. Raises `ImportRefused`."""
    if len(content) > MOST_KILOBYTES * 1024:
        raise ImportRefused(TOO_LARGE)
    if not content.strip():
        raise ImportRefused("The file is empty")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ImportRefused("The file is not in UTF-8. Save it as “CSV UTF-8” and choose it again") from None


def preview(text: str) -> Preview:
    """What the lines in ``text`` would do. Raises `ImportRefused` for what is no such file at all."""
    known = {agency.domain: agency for agency in db.session.scalars(select(Agency))}
    rows = _judged(text, {domain: settings_of(agency) for domain, agency in known.items()})
    return Preview(rows, _what_follows(rows, {domain: agency.id for domain, agency in known.items()}))


def apply(text: str, version: str, by: audit.By, now: datetime) -> int:
    """Do what `preview` told, in one transaction; how many agencies were added or changed.

    Raises `ImportRefused` if a line is wrong, `ChangedMeanwhile` if the file would do something else by now, and
    `OwnRequest` for whoever would have their own request approved by it (rule 2.2). Then nothing is done.
    """
    known = {
        agency.domain: agency
        for agency in db.session.scalars(
            select(Agency).order_by(Agency.id).with_for_update(key_share=True).execution_options(populate_existing=True)
        )
    }
    try:
        found = Preview(_judged(text, {domain: settings_of(agency) for domain, agency in known.items()}), ())
        if found.count(Verdict.WRONG):
            raise ImportRefused("Mend what is wrong first")
        if found.version != version:
            raise ChangedMeanwhile
    except (ImportRefused, ChangedMeanwhile):
        db.session.rollback()
        raise
    for row in found.rows:
        if row.settings is not None and row.verdict is Verdict.CHANGED:
            agency_changes.update(known[row.domain], row.settings, by, now)
        elif row.settings is not None and row.verdict is Verdict.NEW:
            try:
                agency_changes.insert(row.settings, by, now)
            except DomainTaken:  # Somebody else added it at this instant.
                raise ChangedMeanwhile from None
    db.session.commit()
    agencies.forget()
    return found.to_do


def _judged(text: str, known: Mapping[str, AgencySettings]) -> list[Row]:
    rows: list[Row] = []
    lines: dict[str, int] = {}
    for line, cells in _cells(text):
        row = _judge(line, cells, known)
        first = lines.setdefault(row.domain, line)
        if row.domain and first != line:
            row = Row(line, row.domain, Verdict.WRONG, problems=(f"This domain stands in line {first} already",))
        rows.append(row)
    if not rows:
        raise ImportRefused("There is no line below the header")
    return rows


def _cells(text: str) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Each line below the header with its number: its cells by column, or what is wrong with it as a whole."""
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise ImportRefused(NOTHING)
    if len(text.encode(errors="replace")) > MOST_KILOBYTES * 1024:
        raise ImportRefused(TOO_LARGE)
    if "\x00" in text:
        raise ImportRefused("This is not a text file")
    header = text.lstrip().partition("\n")[0]
    delimiter = ";" if header.count(";") > header.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    count = 0
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not columns:
                columns = [cell.strip().lower() for cell in cells]
                if sorted(columns) != sorted(COLUMNS):
                    raise ImportRefused(f"The first line must name the columns: {delimiter.join(COLUMNS)}")
                continue
            count += 1
            if count > MOST_ROWS:
                raise ImportRefused(f"There are more than {MOST_ROWS} lines, the most that is taken at once")
            wrong = f"The line has {len(cells)} cells instead of {len(COLUMNS)}"
            same = len(cells) == len(columns)
            yield reader.line_num, dict(zip(columns, cells, strict=True)) if same else wrong
    except csv.Error:
        raise ImportRefused(f"Line {reader.line_num} is not CSV: look for a quotation mark out of place") from None


def _judge(line: int, cells: dict[str, str] | str, known: Mapping[str, AgencySettings]) -> Row:
    if isinstance(cells, str):
        return Row(line, "", Verdict.WRONG, problems=(cells,))
    domain = _text(cells["domain"], "").removeprefix("@").lower()
    before = known.get(domain)
    problems = []
    mode = _MODES.get(cells["mode"].strip().lower().replace("_", " "))
    if mode is None:
        problems.append(f"mode must be one of {', '.join(_MODES)}")
    options = {}
    for name in ("seed_eligible", "approves_automatically", "vendors_allowed"):
        options[name] = _BOOLEANS.get(cells[name].strip().lower())
        if options[name] is None:
            problems.append(f"{name} must be yes or no")
    settings = AgencySettings(
        domain=domain,
        name=_text(cells["name"], before.name if before else ""),
        mode=mode or AgencyMode.OPEN,
        reason=_text(cells["reason"], before.reason if before else ""),
        **{name: bool(value) for name, value in options.items()},
    )
    if not problems and settings == before:
        return Row(line, domain, Verdict.UNCHANGED, settings, before)
    if mode is None:
        settings_problems = {name: words for name, words in settings.problems().items() if name != "reason"}
    else:
        settings_problems = settings.problems()
    problems += settings_problems.values()
    if problems:
        return Row(line, domain, Verdict.WRONG, problems=tuple(problems))
    return Row(line, domain, Verdict.CHANGED if before else Verdict.NEW, settings, before)


def _text(cell: str, known: str) -> str:
    """What a cell says, which may be what is ``known`` with its apostrophe."""
    text = " ".join(cell.split())
    return text if text == known else unguarded(text)


def _what_follows(rows: Sequence[Row], ids: Mapping[str, int]) -> list[str]:
    """What the lines mean for people, together; the numbers are those of agencies that exist already."""
    changed = [(row, row.changes) for row in rows if row.verdict is Verdict.CHANGED]
    said = []
    automatic = [ids[row.domain] for row, changes in changed if changes.get("approves_automatically") == (False, True)]
    if automatic:
        at_once = approvals(automatic).at_once
        them = counted(at_once, "open request is", "open requests are") if at_once else "No open request is"
        said.append(f"{them} approved at once, within the next minute, where approval becomes automatic.")
    ineligible = [row for row, changes in changed if changes.get("seed_eligible") == (True, False)]
    if ineligible:
        said.append("Where SEED is no longer offered nobody new can ask for it. Who holds it or is invited keeps it.")
        by_hand = [ids[row.domain] for row in ineligible if row.settings and not row.settings.approves_automatically]
        waiting = count_up_to(open_requests(by_hand, RequestKind.SEED), MOST + 1)
        if waiting:
            them = counted(waiting, "open SEED request stays", "open SEED requests stay")
            said.append(f"{them} there until you decide.")
    if any(row.settings and row.settings.mode is not AgencyMode.OPEN and "mode" in changes for row, changes in changed):
        said.append(
            "People of agencies that are not open any more keep their accounts, invitations and open requests. Who "
            "tries to sign up there is told why not."
        )
    return said
