"""Lists that go on by key, with their filters in the address (rule 8.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from flask import request, url_for

from webapp.models.base import MAX_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    Row = TypeVar("Row")

PAGE = 50
"""Rows on one page; services fetch one more, which tells that there is a next page."""


def key(name: str = "before") -> int | None:
    """The id after which a page goes on, from the address; None for the first page or where it is no id."""
    text = request.args.get(name, "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    return number if 0 < number <= MAX_ID else None


def cut(found: Sequence[Row], size: int = PAGE) -> tuple[Sequence[Row], bool]:
    """The rows to show, and whether there are more."""
    return found[:size], len(found) > size


def here(**changes: object) -> str:
    """The address of this list with ``changes`` to its arguments; None takes one out, and so does an empty one."""
    # What `url_for` takes for itself is none of a list's arguments, whatever an address may say.
    asked = {name: value for name, value in request.args.items() if name != "endpoint" and not name.startswith("_")}
    given = {**asked, **(request.view_args or {}), **changes}
    assert request.endpoint is not None
    return url_for(request.endpoint, **{name: value for name, value in given.items() if value not in (None, "")})
