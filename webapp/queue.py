"""The way to the workers. Jobs only wake them: what is to be done stands in the database."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import redis
import structlog
from flask import Flask, current_app
from rq import Queue, Worker
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer
from sqlalchemy import event

if TYPE_CHECKING:
    from rq.worker import BaseWorker
    from sqlalchemy.orm import Session, SessionTransaction, scoped_session

log = structlog.get_logger()

QUEUE_NAME = "portal"
WAKEABLE = {
    "deliver": "jobs.deliver.deliver",
    "approve": "jobs.approve.approve_automatically",
    "sweep": "jobs.sweep.sweep",
    "invite": "jobs.invite.invite",
    "seal": "jobs.seal.seal",
    "count": "jobs.count.count",
    "digest": "jobs.digest.send",
}
"""The jobs that may be asked for. Cron asks for each too, so that a lost wake-up costs at most a minute."""

EVERY_SECONDS = {"deliver": 5, "approve": 60, "invite": 10, "sweep": 60, "seal": 30, "count": 60, "digest": 300}
"""How often cron asks for each job. A wake-up that was lost is made good by the next of these."""

_PENDING_SECONDS = 30
_MOST_WAITING = 100
"""With no worker about, wake-ups do not pile up beyond this; they are all alike."""
_PAUSE_AFTER_FAILURE_SECONDS = 5.0
_paused_until = 0.0


def connect(app: Flask) -> redis.Redis:
    """A connection with short time limits, since people wait for the pages that use it."""
    return redis.Redis.from_url(app.config["REDIS_URL"], socket_connect_timeout=0.5, socket_timeout=2.0)


def init_app(app: Flask, session: scoped_session[Any]) -> None:
    app.extensions["redis"] = connect(app)

    @event.listens_for(session, "after_commit")
    def _wake_what_was_asked(session: Session) -> None:
        for name in sorted(session.info.pop("wake", ())):
            wake(name)

    @event.listens_for(session, "after_soft_rollback")
    def _forget_what_was_asked(session: Session, ended: SessionTransaction) -> None:
        # What a part asked for that is taken back to its savepoint is asked for in vain; it does no harm.
        if ended.parent is None:
            session.info.pop("wake", None)


def wake_after_commit(session: Session | scoped_session[Any], name: str) -> None:
    """Have the job ``name`` run once the transaction is committed; after a rollback nothing is asked for."""
    if name not in WAKEABLE:
        raise KeyError(name)
    session.info.setdefault("wake", set()).add(name)


def get_queue() -> Queue:
    return Queue(QUEUE_NAME, connection=current_app.extensions["redis"], serializer=JSONSerializer)


def _flag(name: str) -> str:
    return f"portal:woken:{name}"


def wake(name: str) -> None:
    """Enqueue the job ``name`` unless one waits already. With the queue server down, cron does it later."""
    global _paused_until
    if time.monotonic() < _paused_until:
        return
    try:
        if current_app.extensions["redis"].set(_flag(name), "1", nx=True, ex=_PENDING_SECONDS):
            waiting = get_queue()
            if waiting.count < _MOST_WAITING:
                waiting.enqueue(WAKEABLE[name], result_ttl=0, failure_ttl=86400, job_timeout=600)
    except redis.RedisError as error:
        _paused_until = time.monotonic() + _PAUSE_AFTER_FAILURE_SECONDS
        log.warning("queue server unreachable, cron will catch up", job=name, error=type(error).__name__)


def awake(name: str) -> None:
    """To be called by a job as its first act: from here on a new wake-up enqueues a new run, so that none is missed."""
    try:
        current_app.extensions["redis"].delete(_flag(name))
    except redis.RedisError:
        log.warning("queue server unreachable", job=name)


def forget_failures() -> None:
    """Try the queue server again at once, instead of after the pause that follows a failure."""
    global _paused_until
    _paused_until = 0.0


CRON_LATE_SECONDS = 120
_CRON_SEEN = "portal:cron-seen"


def note_cron(now: datetime) -> None:
    """To be called by the jobs that only cron starts: leaves the mark by which `/readyz` sees that cron is alive."""
    with contextlib.suppress(redis.RedisError):
        current_app.extensions["redis"].set(_CRON_SEEN, now.isoformat(), ex=86400)


def cron_seen_at() -> datetime | None:
    """When cron last ran a job. Raises `redis.RedisError`."""
    seen = current_app.extensions["redis"].get(_CRON_SEEN)
    return datetime.fromisoformat(seen.decode()) if seen else None


_LAST_RUNS = "portal:last-runs"


@dataclass(frozen=True, slots=True)
class Run:
    """The last run of a job: when it ended, how long it took, and whether it did what it should."""

    ended_at: datetime
    seconds: int
    ok: bool


def name_of(path: str | None) -> str | None:
    """The name of the job that is called by ``path``; None if there is none (any more)."""
    return next((name for name, known in WAKEABLE.items() if known == path), None)


def note_run(path: str | None, began: datetime, ended: datetime, ok: bool) -> None:
    """To be called by the worker after each job: RQ itself forgets at once what has succeeded (``result_ttl=0``)."""
    if (name := name_of(path)) is not None:
        run = json.dumps([ended.isoformat(), int((ended - began).total_seconds()), ok])
        with contextlib.suppress(redis.RedisError):
            current_app.extensions["redis"].hset(_LAST_RUNS, name, run)


def last_runs() -> dict[str, Run]:
    """The last run of each job that has run since the queue server was empty. Raises `redis.RedisError`."""
    found = {}
    for name, value in current_app.extensions["redis"].hgetall(_LAST_RUNS).items():
        ended, seconds, ok = json.loads(value)
        found[name.decode()] = Run(datetime.fromisoformat(ended), seconds, ok)
    return found


def workers() -> list[BaseWorker]:
    """The workers that live, by name. Raises `redis.RedisError`.

    RQ's own count keeps those that were killed until another worker tidies up: with the last one gone, for ever.
    """
    return sorted(Worker.all(queue=get_queue(), serializer=JSONSerializer), key=lambda each: each.name)


def count_workers() -> int:
    """How many workers listen. Raises `redis.RedisError`."""
    return len(workers())


def count_failed() -> int:
    """How many jobs failed in the last day. Raises `redis.RedisError`."""
    return FailedJobRegistry(queue=get_queue()).get_job_count(cleanup=False)


def waits_since() -> datetime | None:
    """Since when the job waits that is next; None if none waits. Raises `redis.RedisError`."""
    first = get_queue().get_jobs(0, 1)
    return first[0].enqueued_at if first else None
