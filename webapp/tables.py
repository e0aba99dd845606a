"""Tables taken in, as CSV, XLSX or pasted text, within bounds that are checked before what they bound is read (B2).

Whatever a file holds, reading it ends soon, takes little memory, and gives rows of text or a refusal in plain words.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import IO, TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from webapp.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Row = tuple[int, list[str]]
    """A row's number in the file, from 1, and its cells. Rows without any text are left out."""

MOST_BYTES = 4 * 1024 * 1024
"""Of a file."""
MOST_UNPACKED = 12 * 1024 * 1024
"""Of all that is read of a spreadsheet, once it is unpacked: 10,000 rows take a third of it."""
MOST_STRINGS = 150_000
_MOST_EVENTS = 550_000
"""Beginnings and ends of elements: 10,000 rows of the template have some 450,000."""
_DEEPEST = 100
"""Elements within each other."""
_MOST_NAMES = 1000
"""Of elements, attributes and namespaces."""
_MOST_QUIET = 512 * 1024
"""Bytes without an element: the longest text of a cell has less."""
MOST_COLUMNS = 30
_MOST_CELLS = 20 * MOST_COLUMNS
"""In a row, blank ones among them."""
LONGEST_CELL = 1000
"""Characters. A longer cell is cut one behind them, so that whoever judges its row sees that it is too long."""
_MOST_MEMBERS = 500
_MOST_SHEETS = 10
"""Of a workbook, that are looked at for the one to be read."""
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What spreadsheet programs use."""
_BLANK_ROWS = 5
"""Rows without text count too: at most so many times as many as rows are taken."""

csv.field_size_limit(MOST_BYTES)


class TableRefused(Exception):
    """What is no table, or too large a one; the message says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


_TOO_LARGE = f"The file is larger than {MOST_BYTES // 1024 // 1024} MB, the most that is taken at once"
_TOO_MUCH = "The spreadsheet holds more than can be read at once. Copy its rows into a new one, or save it as CSV"
_BROKEN = "The spreadsheet cannot be read. Save it anew as an Excel workbook (.xlsx) or as CSV, and choose that file"
_TOO_WIDE = f"A row has more than {MOST_COLUMNS} columns. Leave only those of the template"


def read(content: bytes, most_rows: int, is_head: Callable[[list[str]], bool] = lambda _: True) -> list[Row]:
    """The rows of a file: of text, or of a sheet of an Excel workbook. Raises `TableRefused`.

    Of sheets that are not hidden it is the first whose first row ``is_head``; the very first where there is none.
    """
    if len(content) > MOST_BYTES:
        raise TableRefused(_TOO_LARGE)
    if content.startswith(b"PK"):
        return _bounded(_xlsx(content, is_head), most_rows)
    if content.startswith((b"\xd0\xcf\x11\xe0", b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8")):
        raise TableRefused(
            "This is neither CSV nor an Excel workbook (.xlsx). Old or locked workbooks have to be saved anew, without "
            "a password"
        )
    return read_text(_decoded(content), most_rows)


def read_text(text: str, most_rows: int) -> list[Row]:
    """The rows of text: cells parted by comma, semicolon or tab, whichever its first line names or has most of.

    Where that line has an address, it names no columns, and each of the `addresses` is a row.
    """
    if len(text) > MOST_BYTES:
        raise TableRefused(_TOO_LARGE)
    text = text.removeprefix("\ufeff").replace("\0", " ")
    named = _NAMED.match(text)
    below = text[named.end() :] if named else text
    first = re.split(r"[\r\n]", below.lstrip(), maxsplit=1)[0]
    if "@" in first:
        return _bounded(((number, [each]) for number, each in enumerate(addresses(below), 1)), most_rows)
    separator = named[1] if named else max(",;\t", key=re.sub(r'"[^"]*"', "", first).count)
    cells = _tabs if separator == "\t" else partial(_csv, separator=separator)
    return _bounded(cells(below, lines_above=1 if named else 0), most_rows)


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    else:
        # What Excel writes in the West where it is not told otherwise, and never with a NUL.
        encodings = ["utf-8-sig", *([] if b"\0" in content else ["cp1252"])]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise TableRefused("The file’s letters cannot be read. Save it as “CSV UTF-8” and choose it again")


def _bounded(rows: Iterable[Row], most_rows: int) -> list[Row]:
    found: list[Row] = []
    for number, cells in rows:
        if number > (most_rows + 1) * _BLANK_ROWS:
            is_far = any(cells) and number - (found[-1][0] if found else 0) > most_rows
            far = f"There is something in row {number:,}, far below all else. Delete that row, and try again"
            raise TableRefused(far if is_far else too_many(most_rows))
        if len(found) > most_rows + 1:
            raise TableRefused(too_many(most_rows))
        while cells and not cells[-1].strip():
            cells.pop()
        if len(cells) > MOST_COLUMNS:
            raise TableRefused(_TOO_WIDE)
        cells = [_clean(cell) for cell in cells]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            found.append((number, cells))
    if len(found) > most_rows + 1:
        raise TableRefused(too_many(most_rows))
    return found


def too_many(most_rows: int) -> str:
    """What to say of more rows than are taken; the first one, which names the columns, is none of them."""
    return f"There are more than {most_rows:,} rows, the most that is taken at once"


def _clean(cell: str) -> str:
    """One line without anything that steers; cut where it is longer than any cell that is taken."""
    return one_line(cell[: 4 * LONGEST_CELL])[: LONGEST_CELL + 1]


# Text.


_NAMED = re.compile(r'"?sep=([,;\t|])"?[,;\t|]*(?:\r\n?|\n|$)', re.IGNORECASE)
"""The line by which Excel is told what parts the cells."""
_ENDS = ";；\r\n"
_SIGNS = ' \t,，、<>"()[]'
_WORD = re.compile(rf"[{_ENDS}]+|[^\s{_ENDS}{re.escape(_SIGNS)}]+")
_QUOTES = "'‘’“”"
_LINK = re.compile("^mailto:", re.IGNORECASE)
_LIKE_AN_ADDRESS = re.compile(r"\w\.\w\w")


def addresses(text: str) -> Iterator[str]:
    """Addresses without more, one by one, as a list or a mail's To field has them.

    What else there is comes in its place, so that it can be mended; "" for a name before an address in angle brackets.
    """
    begun = None
    for found in _WORD.finditer(text):
        word, at = found.group(), found.start()
        if begun is not None and ("@" in word or word[0] in _ENDS):
            is_name = text[at - 1] == "<" and not _LIKE_AN_ADDRESS.search(text, begun, at)
            yield "" if is_name else _other(text[begun:at])
            begun = None
        if "@" in word:
            yield _LINK.sub("", word).lstrip(_QUOTES).rstrip(_QUOTES + ".")
        elif begun is None and word[0] not in _ENDS:
            begun = at
    if begun is not None:
        yield _other(text[begun:])


def _other(text: str) -> str:
    """Text between addresses; nothing where it is only the mark or the number of a line."""
    return text.strip(_SIGNS) if any(map(str.isalpha, text)) else ""


_CELL = re.compile(r'(?:"((?:[^"]++|"")*+)"(?![^\t\r\n])|([^\t\r\n]*+))(\t[^\S\r\n]*+|\r\n?|\n|\Z)')
"""A cell, in quotation marks or as it stands, and what ends it, with the blank ones behind it."""


def _tabs(text: str, lines_above: int) -> Iterator[Row]:
    """Cells parted by tabs, as spreadsheet programs copy them: a mark counts only where one closes a whole cell."""
    cells: dict[int, str] = {}
    number, start, place, seen = 1, 0, 0, 0
    for found in _CELL.finditer(text):
        quoted, plain, end = found.groups()
        cell = plain or (quoted or "").replace('""', '"')
        if quoted and "@" in _below(cell):
            raise _misquoted(lines_above + len(re.findall(r"\r\n?|\n", text[:start])) + 1)
        if cell.strip():
            if place >= MOST_COLUMNS:
                raise TableRefused(_TOO_WIDE)
            cells[place] = cell
        place, seen = place + end.count("\t"), seen + 1
        if seen > _MOST_CELLS:
            raise TableRefused(_TOO_WIDE)
        if not end.startswith("\t"):
            yield number, [cells.get(column, "") for column in range(max(cells, default=-1) + 1)]
            cells, number, start, place, seen = {}, number + 1, found.end(), 0, 0


def _csv(text: str, separator: str, lines_above: int) -> Iterator[Row]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    before = 0
    try:
        for number, cells in enumerate(lines, 1):
            # A mark that is not closed where it should be is closed by the next one, with the rows between them inside.
            if lines.line_num > before + 1 and any("@" in _below(cell) for cell in cells):
                raise csv.Error
            before = lines.line_num
            yield number, cells
    except csv.Error:
        raise _misquoted(lines_above + before + 1) from None


def _misquoted(line: int) -> TableRefused:
    return TableRefused(
        f"Line {line} has a quotation mark out of place, or one that is not closed. Mend it, and put each text in one "
        "line"
    )


def _below(cell: str) -> str:
    """What a cell has below its first line."""
    return cell.replace("\r", "\n").partition("\n")[2]


# Excel workbooks.

_RELATION = re.compile(r"\}id$")


def _xlsx(content: bytes, is_head: Callable[[list[str]], bool]) -> Iterator[Row]:
    with _refused_if_broken():
        package = zipfile.ZipFile(io.BytesIO(content))
    with package:
        members = package.infolist()
        if len(members) > _MOST_MEMBERS or any(each.compress_type not in _PACKINGS for each in members):
            raise TableRefused(_BROKEN)
        parts = _Parts(package)
        names, epoch = _sheets(parts)
        cells = partial(_cells, parts, epoch=epoch, strings=list(_strings(parts)), days=_days(parts))
        headed = (name for name in names if is_head(_first_row(cells(name)))) if len(names) > 1 else iter(())
        yield from cells(next(headed, names[0]))


_OF_A_PACKAGE = (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, OSError, zlib.error)
"""What is raised of a file that is cut off, damaged, or packed as no spreadsheet program does."""
_OF_XML = (ParseError, DefusedXmlException, ValueError)
"""What is raised of a part that is no XML, or more than plain XML."""


@contextmanager
def _refused_if_broken() -> Iterator[None]:
    """Around what reads the bytes of others, and around nothing else: an error of our own is no broken file."""
    try:
        yield
    except (*_OF_A_PACKAGE, *_OF_XML, LookupError):  # The last: a part that is not there, letters that nobody knows.
        raise TableRefused(_BROKEN) from None
    except RuntimeError:  # What zipfile says of a password.
        raise TableRefused("The spreadsheet has a password. Save it without one, and choose it again") from None


class _Parts:
    """The parts of a workbook, of which no more is unpacked and read in all than the bounds allow."""

    def __init__(self, package: zipfile.ZipFile) -> None:
        self._package = package
        self.bytes = self.events = 0

    def has(self, name: str) -> bool:
        return name in self._package.namelist()

    def open(self, name: str) -> _Counted:
        return _Counted(self._package.open(name), self)


class _Counted:
    """A part that is read piece by piece, each counted as it comes out and not as the file says."""

    def __init__(self, stream: IO[bytes], parts: _Parts) -> None:
        self._stream, self._parts = stream, parts
        self._quiet_since = self._events = 0
        self.names: dict[str, str] = {}
        """Its elements' names, with and without the namespace."""
        self.other_names: set[str] = set()

    def read(self, size: int = -1) -> bytes:
        parts = self._parts
        if parts.events > self._events:
            self._quiet_since, self._events = parts.bytes, parts.events
        piece = self._stream.read(min(size, 65_536) if size > 0 else 65_536)
        parts.bytes += len(piece)
        if (
            parts.bytes > MOST_UNPACKED
            or parts.bytes > self._quiet_since + _MOST_QUIET
            or parts.events > _MOST_EVENTS
            or len(self.names) + len(self.other_names) > _MOST_NAMES
        ):
            raise TableRefused(_TOO_MUCH)
        return piece


def _elements(parts: _Parts, name: str) -> Iterator[tuple[str, str, Any]]:
    """The events of a part's XML, with the names of its elements; entities are refused. What has ended is let go."""
    with _refused_if_broken():
        part = parts.open(name)
        names, within = part.names, []
        for event, element in iterparse(part, events=("start", "end", "start-ns"), forbid_dtd=True):
            parts.events += 1
            if event == "start-ns":
                part.other_names.add(element[0])
                continue
            if event == "start":
                within.append(element)
                if len(within) > _DEEPEST:
                    raise TableRefused(_BROKEN)
                part.other_names.update(element.keys())
                if element.tag not in names:
                    names[element.tag] = element.tag.rpartition("}")[2]
            yield event, names[element.tag], element
            if event == "end":
                within.pop()
                element.clear()
                if within and len(within[-1]) > 1000:
                    within[-1].clear()


def _sheets(parts: _Parts) -> tuple[list[str], int]:
    """The names of the parts of the first sheets that are not hidden, one at least, and the day that counts as 0."""
    relations: list[str] = []
    targets: dict[str, str] = {}
    epoch = date(1899, 12, 30).toordinal()
    for event, name, element in _elements(parts, "xl/workbook.xml"):
        if event == "start" and name == "workbookPr" and element.get("date1904") in ("1", "true"):
            epoch = date(1904, 1, 1).toordinal()
        is_shown = event == "start" and name == "sheet" and element.get("state", "visible") == "visible"
        if is_shown and len(relations) < _MOST_SHEETS:
            relations += [value for key, value in element.attrib.items() if _RELATION.search(key)][:1]
    for event, name, element in _elements(parts, "xl/_rels/workbook.xml.rels"):
        if event == "start" and name == "Relationship" and element.get("Id") in relations:
            target = element.get("Target", "")
            targets[element.get("Id", "")] = target.removeprefix("/") if target.startswith("/") else f"xl/{target}"
    names = [targets[relation] for relation in relations if relation in targets]
    if not names:
        raise TableRefused("The spreadsheet has no sheet to read")
    return names, epoch


def _first_row(rows: Iterator[Row]) -> list[str]:
    """The first row that has any text; none where it is no row of a table."""
    try:
        return next((cells for _, cells in rows if any(cell.strip() for cell in cells)), [])
    except TableRefused:
        return []


_DAYS = frozenset([*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)])
"""The forms that need no writing down by which a number is shown as a day or a time."""
_NOT_OF_A_DAY = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]')
"""What a form has besides: text, gaps, colours, languages."""


def _days(parts: _Parts) -> set[int]:
    """The styles of cells that hold a day or a time, which is a number there."""
    name = "xl/styles.xml"
    if not parts.has(name):
        return set()
    days, forms, is_of_cells = set(_DAYS), [], False
    for event, tag, element in _elements(parts, name):
        if tag == "cellXfs":
            is_of_cells = event == "start"
        elif event == "start" and tag == "xf" and is_of_cells:
            forms.append(_whole(element.get("numFmtId"), 0))
        elif event == "start" and tag == "numFmt":
            code = _NOT_OF_A_DAY.sub("", element.get("formatCode", "")[:255])
            if re.search("[ymdhs]", code, re.IGNORECASE):
                days.add(_whole(element.get("numFmtId"), 0))
    return {style for style, form in enumerate(forms) if form in days}


def _strings(parts: _Parts) -> Iterator[str]:
    """The texts that cells point to, each cut as a cell is."""
    name = "xl/sharedStrings.xml"
    if not parts.has(name):
        return
    count, text, phonetic = 0, "", 0
    for event, tag, element in _elements(parts, name):
        if tag == "rPh":
            phonetic += 1 if event == "start" else -1
        elif event == "end" and tag == "t" and not phonetic:
            text += (element.text or "")[: 4 * LONGEST_CELL]
            text = text[: 4 * LONGEST_CELL]
        elif event == "end" and tag == "si":
            count += 1
            if count > MOST_STRINGS:
                raise TableRefused(_TOO_MUCH)
            yield text
            text = ""


def _cells(parts: _Parts, name: str, epoch: int, strings: list[str], days: set[int]) -> Iterator[Row]:
    number, seen, length = 0, 0, 0
    cells: dict[int, str] = {}
    kind, value, formula, place = "", "", None, 0
    for event, tag, element in _elements(parts, name):
        if event == "start":
            if tag == "row":
                # Rows go up, whatever the file says, so that no two have one number.
                number = max(_whole(element.get("r"), number + 1), number + 1)
                cells, seen, place = {}, 0, 0
            elif tag == "c":
                seen += 1
                if seen > _MOST_CELLS:
                    raise TableRefused(_TOO_WIDE)
                place = _column(element.get("r"), place + 1)
                kind, value, formula = element.get("t", "n"), "", None
                if kind == "n" and _whole(element.get("s"), 0) in days:
                    kind = "day"
        elif tag in ("v", "t"):
            value += (element.text or "")[: 4 * LONGEST_CELL]
        elif tag == "f":
            formula = element.text or ""
        elif tag == "c":
            text = _as_day(value, epoch) if kind == "day" and formula is None else _shown(kind, value, formula, strings)
            # Many cells may point to one text, so that there is more of it than was unpacked.
            length += len(text)
            if length > MOST_BYTES:
                raise TableRefused(_TOO_MUCH)
            if text:
                if place > MOST_COLUMNS:
                    raise TableRefused(_TOO_WIDE)
                cells[place] = text
        elif tag == "row":
            yield number, [cells.get(column, "") for column in range(1, max(cells, default=0) + 1)]
        elif tag == "sheetData":
            return


def _shown(kind: str, value: str, formula: str | None, strings: list[str]) -> str:
    """A cell as text. What a formula has come to is not taken: it is what somebody else's program says."""
    if formula is not None:
        return f"={formula}"
    if kind == "s":
        number = _whole(value, -1)
        return strings[number] if 0 <= number < len(strings) else ""
    if kind == "b":
        return "yes" if value.strip() == "1" else "no"
    if kind == "n" and re.fullmatch(r"-?\d+\.0+", value):
        return value.partition(".")[0]
    return value


def _as_day(value: str, epoch: int) -> str:
    """A number of days since ``epoch`` as a day, a time, or both; what is none stays as it is."""
    try:
        number = float(value)
        days, seconds = divmod(round(number * 24 * 3600), 24 * 3600)
        day = date.fromordinal(epoch + days).isoformat()
    except (ValueError, OverflowError):
        return value
    if number < 0:
        return value
    time = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}".removesuffix(":00")
    if number < 1:
        return time
    return f"{day} {time}" if seconds else day


def _whole(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.strip().isdigit() and len(text) < 10 else otherwise


def _column(reference: str | None, otherwise: int) -> int:
    """The number of a column by its letters, such as 28 for AB7."""
    letters = re.match(r"[A-Z]{1,3}", reference or "")
    if not letters:
        return otherwise
    number = 0
    for letter in letters.group():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
