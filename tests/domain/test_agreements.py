"""Agreements as plain text: what a document's file may hold (rule 3.9)."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from webapp.domain.agreements import title_and_blocks
from webapp.domain.onboarding import Document

FOLDER = Path(__file__).parents[2] / "webapp/agreements"


def test_a_document_is_read_into_headings_paragraphs_and_lists():
    title, blocks = title_and_blocks("Terms\n\nFirst line\nand second.\n\n# 1. Use\n\n- one\n  goes on\n- two\n")
    assert title == "Terms"
    assert [(block.kind, block.lines) for block in blocks] == [
        ("paragraph", ("First line", "and second.")),
        ("heading", ("1. Use",)),
        ("list", ("one goes on", "two")),
    ]


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("Terms", []),
        ("Terms\n\nOne.", [("paragraph", "One.")]),
        ("Terms\n\nOne\n  two.\n", [("paragraph", "One two.")]),
        ("Terms\n\n# Use", [("heading", "Use")]),
        ("Terms\n\n#Use", [("paragraph", "#Use")]),
        ("Terms\n\n- one", [("list", "one")]),
        ("Terms\n\n- one\n  more\n- two", [("list", "one more two")]),
        ("Terms\n\n-- one", [("paragraph", "-- one")]),
        ("Terms\n\nOne: <b>&amp;", [("paragraph", "One: <b>&amp;")]),
    ],
)
def test_each_kind_of_block_is_told_by_how_it_begins(text, blocks):
    title, found = title_and_blocks(text)
    assert title == "Terms"
    assert [(block.kind, block.text) for block in found] == blocks


def test_a_title_may_take_two_lines():
    assert title_and_blocks("Terms\nof Use\n\nOne.")[0] == "Terms of Use"


@pytest.mark.parametrize("document", Document)
def test_every_document_has_versions_named_by_their_dates_and_reads_whole(document):
    files = sorted((FOLDER / document).glob("*"))
    assert files
    for file in files:
        assert date.fromisoformat(file.stem).isoformat() == file.stem
        text = file.read_text(encoding="utf-8")
        title, blocks = title_and_blocks(text)
        assert title
        assert {block.kind for block in blocks} == {"heading", "paragraph", "list"}
        words = re.findall(r"\w+", " ".join([title, *(block.text for block in blocks)]))
        assert words == re.findall(r"\w+", text), "something was lost in reading"
