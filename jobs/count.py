"""The job that keeps the numbers by day, past and ahead; cron asks for it each minute (rules 8.1 and 8.7)."""

from __future__ import annotations

from flask import current_app

from webapp import clock, queue
from webapp.services import forecast, statistics


def count() -> None:
    """What happened is counted each minute, what the clock will bring every few."""
    queue.awake("count")
    now = clock.now()
    statistics.count(now)
    forecast.keep_counted(now, current_app.config["POLICY"])
