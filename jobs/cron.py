"""``python -m jobs.cron``: asks for the jobs by the clock. Run exactly one; a second one would only ask twice."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress

import redis
import structlog
from rq.cron import CronJob, CronScheduler
from rq.exceptions import SchedulerNotFound, StopRequested

from webapp import create_app, queue

log = structlog.get_logger()

_PAUSE_SECONDS = 2.0


class _Wake(CronJob):
    """A job that is asked for the way that pages ask: not again while it waits already, so that nothing piles up."""

    def enqueue(self, connection: redis.Redis) -> None:  # type: ignore[override]
        queue.wake(self.name)


def _scheduler(connection: redis.Redis) -> CronScheduler:
    scheduler = CronScheduler(connection, logging_level="WARNING")
    for name, seconds in queue.EVERY_SECONDS.items():
        path = queue.WAKEABLE[name]
        scheduler.get_jobs().append(_Wake(queue.QUEUE_NAME, func_name=path, interval=seconds, name=name))
    return scheduler


def _stop(*_: object) -> None:
    sys.exit(0)


def main() -> None:
    """Ask until a signal comes. While the queue server is away it is asked again and again; then all jobs at once."""
    app = create_app()
    with app.app_context(), suppress(StopRequested):  # Told to stop while the scheduler gives up, too.
        while True:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, _stop)  # Until the scheduler takes over, and while it pauses.
            try:
                _scheduler(app.extensions["redis"]).start()  # type: ignore[no-untyped-call]
            except SchedulerNotFound:
                # The queue server came back empty between two looks at it: what it knew of us is gone.
                log.warning("queue server was emptied")
            except redis.RedisError as error:
                log.warning("queue server unreachable", error=type(error).__name__)
                time.sleep(_PAUSE_SECONDS)
            else:
                return


if __name__ == "__main__":
    main()
