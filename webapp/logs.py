"""Structured logs: a line a request, with the route and never the address, since addresses carry tokens."""

from __future__ import annotations

import logging
import sys
import time

import click
import structlog
from flask import Flask, Response, g, request

log = structlog.get_logger()
_started = False

_QUIET = ("static", "health.healthz", "dev_inbox.inbox")
"""Asked for every few seconds, and of no interest."""


def configure(*, development: bool) -> None:
    """Set up the logs of this process, once."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if development
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def init_app(app: Flask) -> None:
    global _started
    settings = app.config["SETTINGS"]
    if settings.app_env != "test" and not _started:
        _started = True
        configure(development=settings.is_development)
        if (
            click.get_current_context(silent=True) is None
        ):  # An operator's command logs what it does, not how it starts.
            log.info("starting", **settings.masked())

    @app.before_request
    def _start() -> None:
        g.started = time.perf_counter()

    @app.after_request
    def _log_request(response: Response) -> Response:
        if settings.app_env != "test" and request.endpoint not in _QUIET:
            log.info(
                "request",
                method=request.method,
                route=request.url_rule.rule if request.url_rule else "(none)",
                status=response.status_code,
                ms=round((time.perf_counter() - g.get("started", time.perf_counter())) * 1000, 1),
                htmx="HX-Request" in request.headers,
            )
        return response
