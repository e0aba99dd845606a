"""Forms: shape only - what is there, how long, in what format. Rules are asked of the services."""

from __future__ import annotations


def squeeze(text: str | None) -> str | None:
    """A filter for one-line fields: no line breaks or control characters reach a mail or a log (E1, M2)."""
    if text is None:
        return None
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
