"""Reasons that go on record for good: one line of bounded length, which must name nobody (rule 3.5)."""

from __future__ import annotations

from webapp.services.errors import ReasonMissing

LONGEST_REASON = 200


def squeezed(reason: str) -> str:
    """``reason`` as one line of at most `LONGEST_REASON` characters. Raises `ReasonMissing` where it is empty."""
    one_line = " ".join("".join(c if c.isprintable() else " " for c in reason).split())[:LONGEST_REASON].rstrip()
    if not one_line:
        raise ReasonMissing
    return one_line
