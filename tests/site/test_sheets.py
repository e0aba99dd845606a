"""Tables given out: in no cell a formula, in no file what a spreadsheet program cannot hold (B5)."""

from __future__ import annotations

import csv
import io

import pytest
from openpyxl import load_workbook

from webapp import sheets

FORMULAS = [
    '=HYPERLINK("https://elsewhere.example","Click")',
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(1,1)",
    "=cmd|' /C calc'!A0",
    "  =1+1",
    "\u00a0=1+1",
    "\u200b=1+1",
    "\x00=1+1",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\tx",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20SUM(1)",
]
HARMLESS = [
    "Tan Wei Ling",
    "a=b",
    "1-2",
    "#N/A",
    "né@tech.gov.sg",
    "; =1+1",
    '"quoted"',
    "two\nlines",
    "'",
    "😀",
    "",
]


def from_csv(*cells: str | int | None) -> list[list[str]]:
    text = "".join(sheets.csv_lines([["Name"], list(cells)]))
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text[1:], newline="")))


def from_xlsx(rows, most=100):
    with sheets.xlsx(rows, "Sheet", [10], most, "=cut") as file:
        book = load_workbook(io.BytesIO(file.read()))
    return book.active


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_is_text(formula):
    text = sheets.plain(formula)
    assert from_csv(formula)[1] == ["'" + text]
    cell = from_xlsx([["Name"], [formula]])["A2"]
    assert cell.data_type == "s"
    assert cell.value.strip() == text.strip()
    assert cell.quotePrefix


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_formula_stays_as_it_is(text):
    assert from_csv(text)[1] == [text]
    cell = from_xlsx([["Name"], [text]])["A2"]
    assert (cell.value or "") == text
    assert cell.data_type == ("s" if text else "n")


def test_every_cell_is_quoted_so_that_a_semicolon_cuts_none_in_two():
    assert list(sheets.csv_lines([["x;=1+1", None]])) == ['\ufeff"x;=1+1",""\r\n']


def test_numbers_stay_numbers():
    assert from_csv(-5)[1] == ["-5"]
    assert from_xlsx([["n"], [-5]])["A2"].value == -5


def test_what_no_sheet_holds_is_taken_out():
    bad = "a\x00\x01\x0b\x1b[31m\x7f\ud800\ufffeb"
    assert from_csv(bad)[1] == ["a[31mb"]
    assert from_xlsx([["n"], [bad]])["A2"].value == "a[31mb"
    assert len(from_xlsx([["n"], ["x" * 40_000]])["A2"].value) == sheets.LONGEST_CELL


def test_a_sheet_ends_with_a_line_that_says_so():
    sheet = from_xlsx([["n"], *([number] for number in range(10))], most=4)
    assert [row[0].value for row in sheet.iter_rows()] == ["n", 0, 1, 2, "=cut"]
    assert sheet["A5"].data_type == "s"
    assert sheet["A1"].font.b
    assert from_xlsx([["n"], [1]], most=2).max_row == 2
    assert sheets.MOST_ROWS == 2**20


def test_rows_are_taken_as_they_are_sent():
    taken = []

    def rows():
        for number in range(3):
            taken.append(number)
            yield [number]

    lines = sheets.csv_lines(rows())
    assert taken == []
    next(lines)
    assert taken == [0]


def test_a_file_is_closed_once_it_is_sent():
    file = sheets.xlsx([["n"]], "Sheet", [10], 5, "cut")
    pieces = list(sheets.pieces(file, 100))
    assert len(pieces) > 2
    assert pieces[0].startswith(b"PK")
    assert file.closed
