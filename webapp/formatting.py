"""How instants read on pages and in mails: always Singapore time, with the weekday and the zone named."""

from __future__ import annotations

from datetime import date, datetime

from flask import Flask

from webapp import clock, mobiles
from webapp.domain.business_days import SINGAPORE, is_at_risk, is_overdue, singapore_date


def sg_day(day: date) -> str:
    """A day that has no time, like "Friday, 27 November 2026"."""
    return f"{day:%A}, {day.day} {day:%B %Y}"


def sg_date(instant: datetime) -> str:
    """The day of an instant, like "Thursday, 24 December 2026"."""
    return sg_day(singapore_date(instant))


def sg_datetime(instant: datetime) -> str:
    """Like "Thursday, 24 December 2026, 23:59 Singapore time"."""
    return f"{sg_date(instant)}, {instant.astimezone(SINGAPORE):%H:%M} Singapore time"


def sg_short(instant: datetime) -> str:
    """For lists whose heading names the zone, like "24 Dec 2026, 23:59"."""
    at = instant.astimezone(SINGAPORE)
    return f"{at.day} {at:%b %Y, %H:%M}"


def sg_short_day(day: date) -> str:
    """For tables and plots, like "24 Dec 2026"."""
    return f"{day.day} {day:%b %Y}"


def sg_time(instant: datetime) -> str:
    """For where the day is named beside it, like "23:59"."""
    return f"{instant.astimezone(SINGAPORE):%H:%M}"


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
    app.add_template_filter(sg_day)
    app.add_template_filter(sg_date)
    app.add_template_filter(sg_datetime)
    app.add_template_filter(sg_short)
    app.add_template_filter(sg_short_day)
    app.add_template_filter(sg_time)
    app.add_template_filter(document_date)
    app.add_template_filter(ago)
    app.add_template_filter(mobiles.shown, "mobile")
    # {% if due_on is at_risk(now) %} and {% if due_on is overdue(now) %}: rule 4.2, for a day and an instant.
    app.add_template_test(lambda due_on, instant: is_at_risk(due_on, singapore_date(instant)), "at_risk")
    app.add_template_test(lambda due_on, instant: is_overdue(due_on, singapore_date(instant)), "overdue")
    settings = app.config["SETTINGS"]
    app.context_processor(lambda: {"now": clock.now(), "policy": settings.policy, "settings": settings})
