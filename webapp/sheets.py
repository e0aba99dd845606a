"""Tables given out as CSV and XLSX, in which no cell is ever a formula (B5)."""

from __future__ import annotations

import csv
import re
import tempfile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from openpyxl.cell import Cell
    from openpyxl.worksheet._write_only import WriteOnlyWorksheet

    Value = str | int | None

LONGEST_CELL = 32_767
"""Characters that a spreadsheet program keeps in one cell."""
MOST_ROWS = 1_048_576
"""Rows of one sheet."""

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What XML has no place for, and other characters that steer a terminal or a viewer."""
_FORMULA = re.compile(r"[\t\r\n]|[\s\u200b-\u200f\u2060\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that some program takes for a formula: behind spaces, and in the full-width forms too."""


def plain(value: Value) -> str:
    """The text of a cell, without what no sheet can hold."""
    text = "" if value is None else _FORBIDDEN.sub("", str(value))
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"


def looks_like_formula(text: str) -> bool:
    """Whether some program would calculate a cell that begins so, behind spaces too."""
    return bool(_FORMULA.match(text))


def csv_lines(rows: Iterable[Sequence[Value]]) -> Iterator[str]:
    """The lines of a CSV file, made row by row. What looks like a formula gets an apostrophe in front.

    Each cell is quoted, so that no other separator than the comma cuts one in two; the mark in front of it all tells
    spreadsheet programs that it is UTF-8.
    """
    lines = _Lines()
    writer = csv.writer(lines, quoting=csv.QUOTE_ALL)
    start = "\ufeff"
    for row in rows:
        writer.writerow([value if isinstance(value, int) else _guarded(plain(value)) for value in row])
        yield start + lines.taken()
        start = ""


def _guarded(text: str) -> str:
    return f"'{text}" if looks_like_formula(text) else text


def unguarded(text: str) -> str:
    """A cell without the apostrophe that our own files put before what looks like a formula."""
    return text[1:] if text.startswith("'") and looks_like_formula(text[1:]) else text


class _Lines:
    """Where the CSV writer leaves its line, to be taken at once."""

    def __init__(self) -> None:
        self._line = ""

    def write(self, line: str) -> None:
        self._line = line

    def taken(self) -> str:
        return self._line


def xlsx(rows: Iterable[Sequence[Value]], title: str, widths: Sequence[int], most: int, last_line: str) -> IO[bytes]:
    """An XLSX file with one sheet, in a temporary file that stands at its beginning; the caller closes it.

    The first of ``rows`` are the columns' names. Text is stored as text, whatever it begins with. After ``most`` rows
    comes ``last_line`` and no more. Rows go to the disk as they come, so that memory stays bounded.
    """
    from openpyxl import Workbook  # Takes a moment to load, and few processes need it.

    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    sheet.freeze_panes = "A2"
    for number, width in enumerate(widths):
        sheet.column_dimensions[chr(ord("A") + number)].width = width
    for number, row in enumerate(rows):
        if number == most:
            sheet.append([_text(sheet, last_line)])
            break
        sheet.append(
            [value if isinstance(value, int) else _text(sheet, plain(value), bold=number == 0) for value in row]
        )
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it.
    try:
        book.save(file)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _text(sheet: WriteOnlyWorksheet, text: str, *, bold: bool = False) -> Cell | str | None:
    """A cell that holds ``text`` and nothing else: openpyxl would take "=…" for a formula and "#N/A" for an error."""
    if not text:
        return None
    if text[0] not in "=#" and not bold and not looks_like_formula(text):
        return text
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font

    cell = WriteOnlyCell(sheet, value=text)
    cell.data_type = "s"
    if bold:
        cell.font = Font(bold=True)
    else:
        cell.quotePrefix = True  # So that it stays text when somebody edits the cell.
    return cell


def pieces(file: IO[bytes], size: int = 65_536) -> Iterator[bytes]:
    """What ``file`` holds, a piece at a time; closes it."""
    with file:
        while piece := file.read(size):
            yield piece
