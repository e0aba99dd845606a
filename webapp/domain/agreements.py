"""Agreements as plain text: a title, headings, paragraphs and lists (rule 3.9)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document: ``kind`` is heading, paragraph or list, whose items are its ``lines``."""

    kind: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.lines)


def title_and_blocks(text: str) -> tuple[str, tuple[Block, ...]]:
    """What a document's plain text holds.

    Blocks stand apart by an empty line. The first is the title; one that begins with ``# `` is a heading; one whose
    lines begin with ``- `` is a list, an indented line going on with the item above it.
    """
    title, *rest = [block.splitlines() for block in text.strip().split("\n\n")]
    return " ".join(title), tuple(_block(lines) for lines in rest)


def _block(lines: list[str]) -> Block:
    if lines[0].startswith("# "):
        return Block("heading", (lines[0][2:],))
    if not lines[0].startswith("- "):
        return Block("paragraph", tuple(line.strip() for line in lines))
    items: list[str] = []
    for line in lines:
        if line.startswith("- "):
            items.append(line[2:])
        else:
            items[-1] += " " + line.strip()
    return Block("list", tuple(items))
