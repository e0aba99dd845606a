"""The job that runs the sweep; cron asks for it each minute. It must run in an application context."""

from __future__ import annotations

from flask import current_app

from webapp import clock
from webapp.services import sweep as service


def sweep() -> dict[str, int]:
    """One sweep; how many of each it has done. Raises `RuntimeError` naming the parts that failed."""
    summary = service.sweep(clock.now(), current_app.config["POLICY"])
    if summary.failed:
        raise RuntimeError(f"parts of the sweep failed: {', '.join(summary.failed)}")
    return summary.done
