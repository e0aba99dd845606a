"""Reads what the mail catcher keeps, for the pages under ``/dev/inbox``."""

from __future__ import annotations

import email
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import default as policy
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

LONGEST_LIST = 200
"""So many of the newest mails are shown; older ones stay in the folder."""

_NAME = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9]{4,}\.eml")
_LONGEST_READ = 2 * 1024 * 1024
_LONGEST_HEADERS = 64 * 1024
_WEB_LINK = re.compile(r"https?://[^\s<>\"]+")
_AFTER_A_LINK = ".,;:!?)]}'’”"

# What the email package raises on messages that are none, by way of its parsers of headers and bodies.
_BROKEN = (MessageError, ValueError, LookupError, AttributeError, TypeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Entry:
    """A mail in the list."""

    name: str
    at: datetime
    """When it arrived."""
    to: str
    subject: str


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail as its recipient would see it, and its source."""

    entry: Entry
    headers: list[tuple[str, str]]
    text: str | None
    html: str | None
    source: str
    calendar: tuple[str, bytes] | None = None
    """The calendar file that is attached: its name, and what is in it."""
    problem: str = field(default="")
    """Why it could not be read as a mail; empty where it could."""


def entries(folder: Path, to: str = "") -> list[Entry]:
    """The mails in ``folder``, newest first; with ``to``, those whose recipient contains it, in any case."""
    names = sorted((path.name for path in _files(folder)), reverse=True)
    found: list[Entry] = []
    for name in names:
        entry = _entry(str(folder), name)
        if entry is not None and to.lower() in entry.to.lower():
            found.append(entry)
            if len(found) == LONGEST_LIST:
                break
    return found


def letter(folder: Path, name: str) -> Letter | None:
    """The mail kept as ``name``; None where there is none. Only a name of the mail catcher's reaches the disk."""
    entry = _entry(str(folder), name) if _NAME.fullmatch(name) else None
    if entry is None:
        return None
    raw = _read(folder / name, _LONGEST_READ)
    source = _lines(raw.decode("utf-8", errors="replace"))
    try:
        message = email.message_from_bytes(raw, policy=policy)
        headers = [(_printable(key), _printable(str(value))) for key, value in message.items()]
        text = _body(message, "plain")
        html = _body(message, "html")
        return Letter(entry, headers, text and _lines(text), html, source, _calendar(message))
    except _BROKEN as error:
        return Letter(entry, [], None, None, source, problem=f"{type(error).__name__}: {error}")


def with_links(text: str, origin: str) -> list[tuple[str, bool]]:
    """``text`` in pieces, each with whether it is a link to ``origin``; an address elsewhere is plain text."""
    pieces: list[tuple[str, bool]] = []
    end = 0
    for match in _WEB_LINK.finditer(text):
        address = match.group().rstrip(_AFTER_A_LINK)
        if not _is_at(address, origin):
            continue
        pieces += [(text[end : match.start()], False), (address, True)]
        end = match.start() + len(address)
    return [*pieces, (text[end:], False)]


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    except OSError:
        return []


@lru_cache(maxsize=4096)
def _entry(folder: str, name: str) -> Entry | None:
    """Kept in memory: a mail never changes once it is in the folder, and the list is asked for every few seconds."""
    try:
        at = datetime.strptime(name.partition("-")[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
        raw = _read(Path(folder) / name, _LONGEST_HEADERS)
    except (OSError, ValueError):
        return None
    try:
        message = email.message_from_bytes(raw.partition(b"\r\n\r\n")[0], policy=policy)
        to = str(message.get("X-Envelope-To") or message.get("To") or "")
        subject = str(message.get("Subject") or "")
    except _BROKEN:
        return Entry(name, at, "", "")
    return Entry(name, at, _printable(to), _printable(subject))


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most)


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    return None if part is None else str(part.get_content())


def _calendar(message: EmailMessage) -> tuple[str, bytes] | None:
    for part in message.iter_attachments():
        content = part.get_payload(decode=True)
        if part.get_content_type() == "text/calendar" and isinstance(content, bytes):
            return _printable(part.get_filename() or "deadline.ics"), content
    return None


def _lines(text: str) -> str:
    """``text`` without what no page may hold: control characters and the like."""
    return "".join(c if c.isprintable() or c in "\n\t" else "" if c == "\r" else "\ufffd" for c in text)


def _printable(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _is_at(address: str, origin: str) -> bool:
    try:
        asked, ours = urlsplit(address), urlsplit(origin)
    except ValueError:
        return False
    return (asked.scheme, asked.netloc) == (ours.scheme, ours.netloc)
