"""The one clock. Views, jobs and commands ask it and pass the answer on; services and rules take ``now``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

_offset_file: Path | None = None


def use_offset_file(path: str | None) -> None:
    """Add the seconds written in ``path`` to every answer; None ends it.

    For development and tests, where a story of 30 days is told in a minute. Production settings refuse it.
    """
    global _offset_file
    _offset_file = Path(path) if path else None


def now() -> datetime:
    """The present instant, in UTC with its zone."""
    instant = datetime.now(UTC)
    if _offset_file is not None:
        try:
            instant += timedelta(seconds=float(_offset_file.read_text() or 0))
        except FileNotFoundError:
            return instant
    return instant


def machines_seconds() -> float:
    """The seconds that libraries count by: the machine's own, which no offset moves."""
    return datetime.now(UTC).timestamp()
