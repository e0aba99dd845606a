"""The job that sends batches of invitations (rule 5.2); who submits one wakes it, and cron does."""

from __future__ import annotations

import time

from flask import current_app

from jobs import stop
from webapp import clock, queue
from webapp.services import batch_sending

_SECONDS = 20
"""After so long other jobs get their turn."""


def invite() -> None:
    queue.awake("invite")
    until = time.monotonic() + _SECONDS
    policy = current_app.config["POLICY"]
    more = batch_sending.send_some(clock.now(), policy, lambda: not stop.is_set() and time.monotonic() < until)
    if more and not stop.is_set():
        queue.wake("invite")
