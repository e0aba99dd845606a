"""Error pages: each says what happened, what was not done, and what to do now."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import structlog
from flask import Flask, Response, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, SecurityError, TooManyRequests

from webapp.extensions import db

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

log = structlog.get_logger()

_WITH_A_PAGE = frozenset({400, 403, 404, 405, 409, 410, 413, 415, 429, 500, 503})


def init_app(app: Flask) -> None:
    app.register_error_handler(CSRFError, _stale_form)
    app.register_error_handler(SecurityError, _other_host)
    app.register_error_handler(HTTPException, _known)
    app.register_error_handler(Exception, _unexpected)


def _page(code: int, **context: Any) -> str:
    return render_template(f"errors/{code if code in _WITH_A_PAGE else 400 if code < 500 else 500}.html", **context)


def _stale_form(_error: CSRFError) -> ResponseReturnValue:
    return render_template("errors/stale.html"), 400


def _other_host(_error: SecurityError) -> ResponseReturnValue:
    """Plain text: a page's links would need a host, and the request's is not ours (T5)."""
    return Response("This is not an address of the portal. Nothing was saved or changed.\n", 400, mimetype="text/plain")


def _known(error: HTTPException) -> ResponseReturnValue:
    code = error.code or 500
    if code < 400:
        return error.get_response()
    response = error.get_response()
    seconds = error.retry_after if isinstance(error, TooManyRequests) else None
    response.set_data(_page(code, minutes=math.ceil(seconds / 60) if isinstance(seconds, int) else None))
    response.content_type = "text/html; charset=utf-8"
    return response


def _unexpected(error: Exception) -> ResponseReturnValue:
    db.session.rollback()
    log.exception("unexpected error", endpoint=request.endpoint, error=type(error).__name__)
    return _page(500), 500
