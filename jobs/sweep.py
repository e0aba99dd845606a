"""The job that runs the sweep; cron asks for it each minute."""

from __future__ import annotations

from flask import current_app

from webapp import clock, queue
from webapp.services import sweep as service


def sweep() -> None:
    """One sweep. Raises `RuntimeError` naming the parts that failed, so that they show as a failed job."""
    queue.awake("sweep")
    now = clock.now()
    queue.note_cron(now)
    summary = service.sweep(now, current_app.config["POLICY"])
    if summary.failed:
        raise RuntimeError(f"parts of the sweep failed: {', '.join(summary.failed)}")
