"""All that the portal knows of htmx-flask: whether a fragment is wanted, and the answers that only htmx understands."""

from __future__ import annotations

from typing import cast

from flask import Flask, Response, redirect, request
from htmx_flask import Htmx
from htmx_flask.requests import HtmxAwareRequest
from werkzeug.wrappers import Response as BaseResponse

_extension = Htmx()


def init_app(app: Flask) -> None:
    _extension.init_app(app)


def wants_fragment() -> bool:
    """Whether the answer is to be swapped into a page. Boosted requests and history restores get whole pages."""
    htmx = cast("HtmxAwareRequest", request).htmx
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def go_to(address: str) -> BaseResponse:
    """Send the browser to ``address``: 303 after a form; for htmx a whole page too, never a page in a fragment."""
    if wants_fragment():
        return Response(status=204, headers={"HX-Redirect": address})
    return redirect(address, code=303)
