"""How instants read on pages and in mails: always Singapore time, with the weekday and the zone named."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

from flask import Flask

from webapp import clock

SINGAPORE = timezone(timedelta(hours=8), "Singapore time")
"""Singapore has kept UTC+8 without daylight saving since 1982."""


def sg_date(instant: datetime) -> str:
    """Like "Thursday, 24 December 2026"."""
    local = instant.astimezone(SINGAPORE)
    return f"{local:%A}, {local.day} {local:%B %Y}"


def sg_datetime(instant: datetime) -> str:
    """Like "Thursday, 24 December 2026, 23:59 Singapore time"."""
    return f"{sg_date(instant)}, {instant.astimezone(SINGAPORE):%H:%M} Singapore time"


def document_date(version: str) -> str:
    """An agreement's version, which is its date, like "2 November 2026"."""
    day = date.fromisoformat(version)
    return f"{day.day} {day:%B %Y}"


def ago(instant: datetime, now: datetime) -> str:
    """Like "3 days ago", for ages in lists."""
    minutes = max(0, int((now - instant).total_seconds() // 60))
    for size, unit in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size:
            count = minutes // size
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"


def init_app(app: Flask) -> None:
    app.add_template_filter(sg_date)
    app.add_template_filter(sg_datetime)
    app.add_template_filter(document_date)
    app.add_template_filter(ago)
    settings = app.config["SETTINGS"]
    app.context_processor(lambda: {"now": clock.now(), "policy": settings.policy, "settings": settings})
