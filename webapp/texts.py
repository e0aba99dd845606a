"""Text that others gave, as one line."""

from __future__ import annotations

_JOINERS = "\u200c\u200d"
"""Invisible, and within a word a part of how it is written in Sinhala, Persian and other scripts."""


def one_line(text: str) -> str:
    """``text`` without anything that steers, and no more than one space between its words."""
    if text.isprintable():  # Nearly every text is, and of many it matters.
        return " ".join(text.split())
    words = "".join(c if c.isprintable() or c in _JOINERS else " " for c in text).split()
    return " ".join(kept for word in words if (kept := word.strip(_JOINERS)))
