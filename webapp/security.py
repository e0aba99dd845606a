"""What holds for every request and every answer: Flask's settings, headers, and bounds on what comes in."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Flask, Response, abort, current_app, request
from werkzeug.datastructures import MultiDict
from werkzeug.routing import IntegerConverter

from webapp.domain.tokens import derive_key
from webapp.models.base import MAX_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from webapp.settings import Settings

    View = TypeVar("View", bound=Callable[..., Any])

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
FRAME_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'; sandbox"
)
"""For the HTML part of a mail alone, which needs its styles inline. It runs no script, loads nothing, leads nowhere."""

MOST_BYTES = 256 * 1024
"""Of a request, unless its view takes more."""

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Nothing that depends on a person is kept by browsers: Back after log-out shows nothing private.
    "Cache-Control": "no-store",
}


def flask_config(settings: Settings) -> dict[str, Any]:
    """Flask's and the extensions' configuration, from ours."""
    development_mail = {} if settings.mail_username else {"MAIL_USERNAME": None, "MAIL_PASSWORD": None}
    return {
        "SETTINGS": settings,
        "POLICY": settings.policy,
        "SECRET_KEY": derive_key(settings.secret_key, "cookies").hex(),
        "SECRET_KEY_FALLBACKS": [derive_key(key, "cookies").hex() for key in settings.secret_key_fallbacks],
        "SECRET_KEYS": settings.secret_keys,
        "TESTING": settings.app_env == "test",
        "PUBLIC_BASE_URL": settings.public_base_url,
        # By its loopback address the operator's own machine asks how the portal is.
        "TRUSTED_HOSTS": None if settings.is_development else [settings.public_host, "localhost", "127.0.0.1"],
        "REDIS_URL": settings.redis_url,
        # The prefix binds the cookie to this very host; browsers take it over https alone.
        "SESSION_COOKIE_NAME": "__Host-techpass" if settings.is_https else "techpass",
        "SESSION_COOKIE_SECURE": settings.is_https,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_REFRESH_EACH_REQUEST": False,
        "MAX_CONTENT_LENGTH": MOST_BYTES,
        "MAX_FORM_MEMORY_SIZE": 64 * 1024,
        "MAX_FORM_PARTS": 100,
        # A token lives as long as its cookie: a page left open over lunch can still be submitted.
        "WTF_CSRF_TIME_LIMIT": None,
        # Origins are compared by Sec-Fetch-Site in webapp.access; Referer may rightly be missing.
        "WTF_CSRF_SSL_STRICT": False,
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": {
            "pool_pre_ping": settings.database_url.startswith("postgresql"),
            # An error's text goes to logs and to failed jobs: without what was written, hashes and addresses among it.
            "hide_parameters": True,
        },
        "MAIL_SERVER": settings.mail_server,
        "MAIL_PORT": settings.mail_port,
        "MAIL_USE_TLS": settings.mail_use_tls,
        "MAIL_USERNAME": settings.mail_username,
        "MAIL_PASSWORD": settings.mail_password,
        "MAIL_DEFAULT_SENDER": settings.mail_default_sender,
        "MAIL_SUPPRESS_SEND": False,
        **development_mail,
    }


class IdConverter(IntegerConverter):
    """A row's number in an address: one too large for the database is no page, rather than an error."""

    def to_python(self, value: str) -> int:
        number = super().to_python(value[:20])
        return number if 0 < number <= MAX_ID else 0


def init_app(app: Flask) -> None:
    app.url_map.converters["id"] = IdConverter
    app.before_request(_make_room)
    app.before_request(_refuse_nul)
    app.after_request(_vary)

    @app.url_defaults
    def _mark_static_files(endpoint: str, values: dict[str, Any]) -> None:
        # Marked by its content, a file under static/ may be cached for a year.
        if endpoint == "static":
            values["v"] = _content_mark(f"{app.static_folder}/{values['filename']}")


class SecurityHeaders:
    """The outermost layer: no answer leaves without these headers, files and errors included (H1)."""

    def __init__(self, app: WSGIApplication, settings: Settings) -> None:
        self._app = app
        self._headers = dict(_HEADERS)
        if settings.is_https:
            self._headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            # What was set inside stays: a page of its own policy, a file that may be kept.
            given = {name.lower() for name, _ in headers}
            missing = [(name, value) for name, value in self._headers.items() if name.lower() not in given]
            return start_response(status, [*headers, *missing], *exc_info)

        return self._app(environ, start)


@cache
def _content_mark(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:10]


def takes_large_form(most_bytes: int = MOST_BYTES, pasted: str | None = None) -> Callable[[View], View]:
    """Let a view take a form of so many bytes, all of it text if need be, for files and lists that are pasted.

    The field ``pasted`` may hold a NUL, as copied text does at times; its form must replace it.
    """

    def mark(view: View) -> View:
        view.takes_bytes = most_bytes  # type: ignore[attr-defined]
        view.pasted = pasted  # type: ignore[attr-defined]
        return view

    return mark


def _make_room() -> None:
    """First of all, as whoever looks at the form has it read."""
    view = current_app.view_functions.get(request.endpoint or "")
    most_bytes = getattr(view, "takes_bytes", None)
    if most_bytes is not None:
        request.max_content_length = request.max_form_memory_size = most_bytes


def _refuse_nul() -> None:
    """No field, argument or address means a NUL, and PostgreSQL takes none (S5)."""
    pasted = getattr(current_app.view_functions.get(request.endpoint or ""), "pasted", None)
    if "\x00" in request.path or (request.query_string and _has_nul(request.args)) or _has_nul(request.form, pasted):
        abort(400)


def _has_nul(given: MultiDict[str, str], but: str | None = None) -> bool:
    return any("\x00" in name or ("\x00" in value and name != but) for name, value in given.items(multi=True))


def _vary(response: Response) -> Response:
    response.headers.add("Vary", "HX-Request")
    return response
