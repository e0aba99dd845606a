"""What works by itself, as the queue server knows it: jobs by the clock, workers, what failed (rule 8.6)."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import redis
from rq.cron import CronScheduler
from rq.exceptions import DeserializationError, InvalidJobOperation, NoSuchJobError
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.utils import now as queue_now

from webapp import queue
from webapp.extensions import db
from webapp.services import audit
from webapp.services.admin_start import JOB_LATE
from webapp.services.errors import NotFound, QueueDown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from webapp.queue import Run

    _Entry = tuple[bytes, dict[bytes, bytes]]

SHOWN = 50
"""Failed jobs that are shown, the newest."""
MOST = 1000
"""Failed jobs that are run again at once, the newest."""
RUN_LONG = timedelta(minutes=5)
"""No run takes that long: mails are sent for half a minute at a time, and after ten minutes RQ breaks a job off."""
LONGEST = 10_000
"""Characters of an error that are shown, its last."""
_LINE = 300
_WAITING_READ = 100


class Problem(StrEnum):
    """What an admin should know, the most pressing first."""

    QUEUE_DOWN = "queue_down"
    NO_WORKER = "no_worker"
    CRON_SILENT = "cron_silent"
    STUCK = "stuck"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ByClock:
    """A job that cron asks for."""

    name: str
    every: int
    """Seconds."""
    last: Run | None
    """None if it has not run since the queue server was empty."""
    next_at: datetime | None
    """None while cron is silent."""


@dataclass(frozen=True, slots=True)
class Running:
    name: str
    since: datetime | None
    worker: str
    is_long: bool
    is_lost: bool
    """Its worker is gone: RQ counts it among the failed once its time is up."""


@dataclass(frozen=True, slots=True)
class AtWork:
    """A worker."""

    name: str
    host: str
    process: int | None
    state: str
    doing: Running | None
    began_at: datetime | None
    seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Failed:
    id: str
    name: str
    at: datetime | None
    error: str
    """Its last line."""
    traceback: str
    is_cut: bool
    has_succeeded_since: bool


@dataclass(frozen=True, slots=True)
class Board:
    """All of it at one instant; while the queue server is down nothing but that."""

    is_down: bool = False
    by_clock: Sequence[ByClock] = ()
    waiting: Sequence[tuple[str, int]] = ()
    """The names of what waits, with how often each does."""
    waits_since: datetime | None = None
    waits_long: bool = False
    running: Sequence[Running] = ()
    workers: Sequence[AtWork] = ()
    cron_seen_at: datetime | None = None
    cron_is_silent: bool = False
    failed: Sequence[Failed] = ()
    failed_count: int = 0

    @property
    def waiting_count(self) -> int:
        return sum(count for _, count in self.waiting)

    @property
    def stuck_count(self) -> int:
        return sum(each.is_long or each.is_lost for each in self.running)

    @property
    def problems(self) -> list[Problem]:
        there = {
            Problem.QUEUE_DOWN: self.is_down,
            Problem.NO_WORKER: not self.is_down and not self.workers,
            Problem.CRON_SILENT: self.cron_is_silent,
            # Without a worker everything waits: that is told already.
            Problem.STUCK: self.stuck_count > 0 or (self.waits_long and bool(self.workers)),
            Problem.FAILED: self.failed_count > 0,
        }
        return [problem for problem in Problem if there[problem]]


def read(now: datetime) -> Board:
    """All that the queue server knows. It never raises for a queue server that is down: that is told."""
    try:
        return _read(now)
    except redis.RedisError:
        return Board(is_down=True)


def _read(now: datetime) -> Board:
    # RQ goes by the machine's time, the portal by its clock, which may be ahead in development. The page tells its.
    ahead = now - queue_now()
    # What runs is read first: a worker that takes a job meanwhile is not one that is gone.
    started = StartedJobRegistry(queue=queue.get_queue()).get_job_ids(cleanup=False)
    begun = _jobs(started)
    workers = queue.workers()
    names = {worker.name for worker in workers}
    running = [_running(job, names, now, ahead) for job in begun]
    doing = {each.worker: each for each in running}
    waiting = queue.get_queue().get_jobs(0, _WAITING_READ)
    waits_since = _told(waiting[0].enqueued_at, ahead) if waiting else None
    ran = queue.last_runs()
    schedule = _schedule()
    cron_seen = queue.cron_seen_at()
    is_late = cron_seen is None or (now - cron_seen).total_seconds() > queue.CRON_LATE_SECONDS
    failed, failed_count = _failed(ran, ahead)
    return Board(
        by_clock=[
            ByClock(name, every, _shown(ran.get(name)), _minute(_told((schedule or {}).get(name), ahead)))
            for name, every in queue.EVERY_SECONDS.items()
        ],
        waiting=sorted(Counter(_name(job) for job in waiting).items()),
        waits_since=_minute(waits_since),
        waits_long=waits_since is not None and now - waits_since > JOB_LATE,
        running=running,
        workers=[
            AtWork(
                worker.name,
                worker.hostname or "",
                worker.pid,
                str(worker.get_state()),
                doing.get(worker.name),
                _minute(_told(worker.birth_date, ahead)),
                _minute(_told(worker.last_heartbeat, ahead)),
            )
            for worker in workers
        ],
        cron_seen_at=_minute(cron_seen),
        # Without a worker what cron asks for is not done, so that its mark grows old: then its heartbeat alone tells.
        cron_is_silent=schedule is None or (bool(workers) and is_late),
        failed=failed,
        failed_count=failed_count,
    )


def _told(at: datetime | None, ahead: timedelta) -> datetime | None:
    return None if at is None else at + ahead


def _minute(at: datetime | None) -> datetime | None:
    """As exactly as the page tells it: what differs by seconds alone is no change of it."""
    return None if at is None else at.replace(second=0, microsecond=0)


def _shown(run: Run | None) -> Run | None:
    return None if run is None else replace(run, ended_at=run.ended_at.replace(second=0, microsecond=0))


def _jobs(numbers: list[str]) -> list[Job]:
    """The jobs of these numbers, without those whose time in the queue server is over."""
    found = Job.fetch_many(numbers, connection=queue.get_queue().connection, serializer=JSONSerializer)
    return [job for job in found if job is not None]


def _name(job: Job) -> str:
    """The name by which cron knows it, or what it calls where that is none of ours."""
    try:
        return queue.name_of(job.func_name) or job.func_name or "unknown"
    except DeserializationError:
        return "unknown"


def _running(job: Job, workers: set[str], now: datetime, ahead: timedelta) -> Running:
    since = _told(job.started_at, ahead)
    worker = job.worker_name or ""
    is_long = since is not None and now - since > RUN_LONG
    return Running(_name(job), _minute(since), worker, is_long, worker not in workers)


def _schedule() -> dict[str, datetime | None] | None:
    """When cron asks for each job next; None while no cron gives a sign of life."""
    schedule: dict[str, datetime | None] = {}
    lives = False
    for scheduler in CronScheduler.all(queue.get_queue().connection, cleanup=False):
        seen = scheduler.last_heartbeat
        if seen is not None and (queue_now() - seen).total_seconds() <= queue.CRON_LATE_SECONDS:
            lives = True
            schedule |= {job.name: job.next_enqueue_time for job in scheduler.get_jobs()}
    return schedule if lives else None


def _failed(ran: dict[str, Run], ahead: timedelta) -> tuple[list[Failed], int]:
    """The newest of what failed, and how many there are."""
    registry = _registry()
    # RQ keeps what failed for a day, and tidies up while a worker runs: what is over is not counted before that either.
    count = registry.get_job_count(cleanup=True)
    jobs = _jobs(registry.get_job_ids(0, SHOWN - 1, desc=True, cleanup=False))
    with queue.get_queue().connection.pipeline(transaction=False) as pipeline:
        for job in jobs:
            key = Result.get_key(job.id)  # type: ignore[no-untyped-call]
            pipeline.xrevrange(key, "+", "-", count=1)
        results = pipeline.execute()
    return [_as_failed(job, result, ran, ahead) for job, result in zip(jobs, results, strict=True)], count


def _as_failed(
    job: Job, found: list[tuple[bytes, dict[bytes, bytes]]], ran: dict[str, Run], ahead: timedelta
) -> Failed:
    at, text = job.ended_at, ""
    if found:
        number, payload = found[0]
        result = Result.restore(job.id, number.decode(), payload, connection=job.connection, serializer=JSONSerializer)
        at, text = result.created_at, result.exc_string or ""
    text = _harmless(text).strip() or "Its error was not kept."
    at = _told(at, ahead)
    last = ran.get(_name(job))
    return Failed(
        id=job.id,
        name=_name(job),
        at=_minute(at),
        error=text.rsplit("\n", 1)[-1].strip()[:_LINE],
        traceback=_end(text),
        is_cut=len(text) > LONGEST,
        has_succeeded_since=last is not None and last.ok and at is not None and last.ended_at > at,
    )


def _end(text: str) -> str:
    """What is shown of an error: its end, from the beginning of a line."""
    if len(text) <= LONGEST:
        return text
    end = text[-LONGEST:]
    return end.partition("\n")[2] or end


def _harmless(text: str) -> str:
    """Without what errors of other programs may quote: rows, what a statement was given, passwords in addresses."""
    text = re.sub(r"^(\s*)(DETAIL: |\[parameters: ).*$", r"\1\2(not shown)", text, flags=re.MULTILINE)
    return re.sub(r"://[^/@\s]*@", "://(not shown)@", text)


def retry(now: datetime, by: audit.By, number: str) -> str:
    """Run a failed job again; its name. Raises `NotFound` where it is not among the failed, and `QueueDown`.

    The record is written first, as what was asked for: should the queue server go down in between, it tells of
    something that did not come about; the other way round, something would have been done that nobody is on record for.
    """
    with _answering():
        name = _name(_find(number))
        audit.record("job.retried", None, by, now, job=name, number=number)
        db.session.commit()
        _requeue(number)
        return name


def forget(now: datetime, by: audit.By, number: str) -> str:
    """Take a job from the failed ones for good; its name. Raises as `retry` does, and has its order."""
    with _answering():
        job = _find(number)
        name = _name(job)
        audit.record("job.forgotten", None, by, now, job=name, number=number)
        db.session.commit()
        if not _registry().remove(number):
            raise NotFound  # It was run again meanwhile: it waits or runs, and is left alone.
        job.delete(remove_from_queue=False)
        return name


def retry_all(now: datetime, by: audit.By) -> list[str]:
    """Run all again that failed, at most `MOST`; the names of what runs. Raises as `retry` does.

    Each run of a job does all that is due, so that one of each name is enough; the others of its name are forgotten.
    """
    with _answering():
        jobs = _jobs(_registry().get_job_ids(0, MOST - 1, desc=True))
        newest = {_name(job): job for job in reversed(jobs)}
        if not newest:
            raise NotFound
        audit.record("job.retried", None, by, now, jobs=sorted(newest), count=len(jobs))
        db.session.commit()
        chosen = {job.id for job in newest.values()}
        for job in jobs:
            if job.id in chosen:
                with suppress(NotFound):  # Somebody else was faster: it runs.
                    _requeue(job.id)
            elif _registry().remove(job.id):
                job.delete(remove_from_queue=False)
        return list(newest)


def _registry() -> FailedJobRegistry:
    return FailedJobRegistry(queue=queue.get_queue())


def _find(number: str) -> Job:
    """A failed job. Raises `NotFound`."""
    if number not in _registry():
        raise NotFound
    found = _jobs([number])
    if not found:
        raise NotFound
    return found[0]


def _requeue(number: str) -> None:
    try:
        _registry().requeue(number)
    except (InvalidJobOperation, NoSuchJobError):
        raise NotFound from None


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise QueueDown from error
