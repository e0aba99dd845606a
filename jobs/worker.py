"""``python -m jobs.worker``: does the jobs, one after the other, until it is told to stop.

Run as many as are needed: jobs claim their rows, so that none is done twice (decision 0005).
"""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

import redis
import structlog
from flask import Flask
from rq import SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from jobs import stop
from webapp import clock, create_app, queue
from webapp.extensions import db

log = structlog.get_logger()

_PAUSE_SECONDS = 2.0


class PortalWorker(SimpleWorker):
    """Does each job in this process and in the app's context: a fork for each would cost more than most jobs do.

    Should a job take the process down, whoever keeps it running starts it again, and cron asks for the job once more.
    """

    def __init__(self, app: Flask) -> None:
        self.app = app
        super().__init__(
            [queue.QUEUE_NAME],
            # Its own connection: it waits for jobs much longer than a page may wait for the queue server.
            connection=redis.Redis.from_url(app.config["REDIS_URL"], socket_connect_timeout=2),
            serializer=JSONSerializer,
            worker_ttl=60,
            maintenance_interval=60,
        )

    def perform_job(self, job: Job, *args: Any, **kwargs: Any) -> bool:
        with self.app.app_context():
            began = clock.now()
            try:
                done = bool(super().perform_job(job, *args, **kwargs))
            finally:
                db.session.remove()
            queue.note_run(job.func_name, began, clock.now(), done)
            return done

    def handle_warm_shutdown_request(self) -> None:
        stop.set()
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]


def _stop(*_: object) -> None:
    sys.exit(0)


def main() -> None:
    """Work until a signal comes. While the queue server is away it is asked again and again."""
    app = create_app()
    while True:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _stop)  # Until the worker takes over, and while it pauses.
        try:
            worker = PortalWorker(app)
            worker.work(logging_level="WARNING")
            if stop.is_set():
                return
        except redis.RedisError as error:
            log.warning("queue server unreachable", error=type(error).__name__)
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    main()
