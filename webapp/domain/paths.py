"""Where a page may lead on to after logging in: this site alone (case L8)."""

from __future__ import annotations

MAX_LENGTH = 500


def own_path(text: str | None) -> str | None:
    """``text`` if it is a path of this site, else None.

    Browsers read ``\\`` as ``/`` and leave out line breaks and tabs, so none of them may stand in it.
    """
    if not text or len(text) > MAX_LENGTH or not text.startswith("/") or text.startswith("//"):
        return None
    if "\\" in text or not text.isascii() or not text.isprintable() or " " in text:
        return None
    return text
