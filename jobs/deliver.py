"""The job that sends what stands in the outbox; a commit wakes it, and cron does (decision 0005)."""

from __future__ import annotations

from jobs import stop
from webapp import clock, queue
from webapp.services import delivery


def deliver() -> None:
    """Send what is due. What is left when the time of a run is up, is left to the next."""
    queue.awake("deliver")
    if delivery.deliver(clock.now(), goes_on=lambda: not stop.is_set()).more:
        queue.wake("deliver")
