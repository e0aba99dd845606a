"""The job that tells the admins once a day what waits; cron asks for it every few minutes (rule 8.1)."""

from __future__ import annotations

from webapp import clock, queue
from webapp.services import digest


def send() -> None:
    queue.awake("digest")
    digest.send(clock.now())
