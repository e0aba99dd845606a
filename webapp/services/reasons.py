"""Reasons that go on record for good: one line of bounded length, which must name nobody (rule 3.5)."""

from __future__ import annotations

from webapp.services.errors import ReasonMissing
from webapp.texts import one_line

LONGEST_REASON = 200


def squeezed(reason: str) -> str:
    """``reason`` as one line of at most `LONGEST_REASON` characters. Raises `ReasonMissing` where it is empty."""
    line = one_line(reason)[:LONGEST_REASON].rstrip()
    if not line:
        raise ReasonMissing
    return line
