"""My activity: what happened to my account, and by whom (rule 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request

from webapp import access
from webapp.access import Audience, allow
from webapp.models.base import MAX_ID
from webapp.services import activity as service

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("activity", __name__)


@blueprint.get("/profile/activity")
@allow(Audience.OFFICER)
def index() -> ResponseReturnValue:
    """Newest first, a page at a time by key."""
    found = service.happened(access.signed_in.account_id, _before())
    shown, more = found[: service.PAGE], len(found) > service.PAGE
    following = shown[-1].number if more else None
    return render_template("activity/page.html", entries=shown, following=following, paged="before" in request.args)


def _before() -> int | None:
    text = request.args.get("before", "")
    # At most the digits of the greatest id: longer ones cost time to read.
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_ID))):
        return None
    number = int(text)
    return number if 0 < number <= MAX_ID else None
