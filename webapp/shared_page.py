"""Pages that are the same for every visitor, rendered once: only the CSRF token differs.

Rendering took four fifths of the time of GET /sign-up, which is now some ten times as fast (`./run bench page`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import current_app, g, get_flashed_messages, render_template, session
from flask_wtf.csrf import generate_csrf

from webapp.access import SESSION_TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

_PLACE = "csrf-token-of-the-visitor"
"""Stands where the token goes. Both Flask-WTF's field and its ``csrf_token()`` look for one in ``g`` first."""


def render_shared(template: str, context: Callable[[], dict[str, Any]] = dict) -> str:
    """``template`` with ``context()``, which must not depend on the request.

    Somebody with a session, or with a message waiting, gets a page of their own.
    """
    if SESSION_TOKEN in session or get_flashed_messages():
        return render_template(template, **context())
    kept: dict[str, tuple[str, bool]] = current_app.extensions.setdefault("shared_pages", {})
    if template not in kept:
        g.csrf_token = _PLACE
        page = render_template(template, **context())
        del g.csrf_token
        kept[template] = page, _PLACE in page
    page, has_form = kept[template]
    return page.replace(_PLACE, generate_csrf()) if has_form else page
