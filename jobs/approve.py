"""The job that approves at agencies which approve at once (rule 2.2); a sign-up there wakes it, and cron does."""

from __future__ import annotations

from flask import current_app

from webapp import clock, queue
from webapp.services import requests


def approve_automatically() -> None:
    queue.awake("approve")
    while requests.approve_automatically(clock.now(), current_app.config["POLICY"]):
        pass
