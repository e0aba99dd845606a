"""The queue and its processes: jobs only wake, so nothing is lost with the queue server (J1, J3; decision 0005)."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue
from rq.cron import CronScheduler
from rq.exceptions import SchedulerNotFound, StopRequested
from rq.registry import FailedJobRegistry
from sqlalchemy import select, text, update
from structlog.testing import capture_logs

from jobs import cron, stop, worker
from jobs.deliver import deliver
from tests.servers import smtp, valkey_server, wait_until
from webapp import emails, queue
from webapp.dev.processes import tied_to_parent
from webapp.domain.business_days import singapore_date
from webapp.domain.lifecycle import AccountStatus, MailState, RequestState
from webapp.domain.measures import Measure
from webapp.extensions import db
from webapp.models import Account, Agency, DailyCount, Invitation, Mail, Request
from webapp.services import audit, audit_chain, delivery, outbox, sweep

ROOT = Path(__file__).parents[2]
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def server(app, monkeypatch):
    """A mail server, and the portal pointed to it."""
    with smtp() as running:
        state = app.extensions["mail"]
        monkeypatch.setattr(state, "server", running.host)
        monkeypatch.setattr(state, "port", running.port)
        yield running


@pytest.fixture
def keep_signals():
    """What a worker does to this process's signals ends with the test."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)
    stop.clear()


@pytest.fixture
def work(app, keep_signals):
    """``work()`` does every job that waits."""
    return lambda: worker.PortalWorker(app).work(burst=True, logging_level="WARNING")


def ask_by_the_clock(app):
    """What cron does when the time of all its jobs has come."""
    connection = app.extensions["redis"]
    for job in cron._scheduler(connection).get_jobs():
        job.enqueue(connection)


def post(make, now, **changes):
    account = make.account()
    outbox.post(emails.authenticator_changed(account, now) | changes)
    db.session.commit()
    return account.email


def failed_jobs():
    return FailedJobRegistry(queue=queue.get_queue()).get_job_count(cleanup=False)


def waiting():
    return [job.func_name for job in queue.get_queue().jobs]


def broken(monkeypatch, app):
    monkeypatch.setitem(app.extensions, "redis", redis.Redis.from_url("unix:///nowhere/queue.sock"))


# Waking.


def test_a_commit_wakes_the_deliverer(app, make, now, server, work):
    recipient = post(make, now)
    assert waiting() == ["jobs.deliver.deliver"]
    work()
    assert len(server.to(recipient)) == 1
    assert db.session.scalars(select(Mail.state)).all() == [MailState.SENT]
    assert waiting() == []


def test_a_rollback_wakes_nobody(app, make, now):
    outbox.post(emails.authenticator_changed(make.account(), now))
    db.session.rollback()
    db.session.execute(select(Mail))
    db.session.commit()
    assert waiting() == []


def test_a_part_that_is_taken_back_does_not_take_back_the_rest(app, make, now):
    outbox.post(emails.authenticator_changed(make.account(), now))
    part = db.session.begin_nested()
    part.rollback()
    db.session.commit()
    assert waiting() == ["jobs.deliver.deliver"]


def test_only_jobs_that_exist_can_be_asked_for(app):
    with pytest.raises(KeyError):
        queue.wake_after_commit(db.session, "rm")


def test_a_job_that_waits_is_not_asked_for_again(app):
    for _ in range(3):
        queue.wake("deliver")
        queue.wake("sweep")
    assert waiting() == ["jobs.deliver.deliver", "jobs.sweep.sweep"]
    queue.awake("deliver")
    queue.wake("deliver")
    assert waiting() == ["jobs.deliver.deliver", "jobs.sweep.sweep", "jobs.deliver.deliver"]


def test_wake_ups_do_not_pile_up_without_a_worker(app, monkeypatch):
    monkeypatch.setattr(queue, "_MOST_WAITING", 3)
    for _ in range(10):
        queue.awake("deliver")  # As if half a minute had passed.
        queue.wake("deliver")
    assert len(waiting()) == 3


def test_a_run_that_leaves_something_asks_for_another(app, work, monkeypatch):
    summaries = iter([delivery.Summary(more=True), delivery.Summary()])
    monkeypatch.setattr(delivery, "deliver", lambda _now, **_options: next(summaries))
    queue.wake("deliver")
    work()
    assert list(summaries) == []


# What is lost is made good (J1, J3).


def test_a_mail_whose_wake_up_was_lost_is_sent_by_the_clock(app, make, now, server, work):
    recipient = post(make, now)
    app.extensions["redis"].flushall()
    work()
    assert server.messages == []
    ask_by_the_clock(app)
    work()
    assert len(server.to(recipient)) == 1


def test_a_process_killed_before_it_enqueued_delays_by_half_a_minute_at_most(app, make, now, server, work, monkeypatch):
    with monkeypatch.context() as killed:
        killed.setattr(Queue, "enqueue", lambda *_args, **_options: None)
        recipient = post(make, now)
    connection = app.extensions["redis"]
    assert 0 < connection.ttl("portal:woken:deliver") <= 30
    connection.delete("portal:woken:deliver")  # The half minute is over.
    ask_by_the_clock(app)
    work()
    assert len(server.to(recipient)) == 1


def test_emptying_the_queue_server_loses_nothing(app, make, now, server, work):
    recipients = [post(make, now) for _ in range(3)]
    app.extensions["redis"].flushall()
    for _ in range(3):
        ask_by_the_clock(app)
        work()
    assert [received.recipients for received in server.messages] == [[recipient] for recipient in recipients]


# The jobs.


def test_a_job_that_fails_is_kept_as_failed_and_the_worker_goes_on(app, work, now, monkeypatch):
    def fail(_now, **_options):
        raise RuntimeError("broken")

    monkeypatch.setattr(delivery, "deliver", fail)
    queue.wake("deliver")
    queue.wake("sweep")
    work()
    assert failed_jobs() == 1
    assert queue.cron_seen_at() == now
    queue.wake("deliver")
    assert waiting() == ["jobs.deliver.deliver"]


def test_the_sweep_shows_that_cron_is_alive(app, work, now):
    assert queue.cron_seen_at() is None
    ask_by_the_clock(app)
    work()
    assert queue.cron_seen_at() == now
    assert failed_jobs() == 0


def test_a_part_of_the_sweep_that_fails_is_a_failed_job(app, work, now, monkeypatch):
    monkeypatch.setattr(sweep, "sweep", lambda _now, _policy: sweep.Summary(failed=["deletion"]))
    queue.wake("sweep")
    work()
    assert failed_jobs() == 1
    (number,) = FailedJobRegistry(queue=queue.get_queue()).get_job_ids(cleanup=False)
    failed: Any = queue.get_queue().fetch_job(number)
    assert "parts of the sweep failed: deletion" in failed.latest_result().exc_string


def test_agencies_that_approve_at_once_do(app, make, now, work):
    db.session.execute(update(Agency).values(approves_automatically=Agency.domain == "tech.gov.sg"))
    other_agency = db.session.scalar(select(Agency.domain).where(Agency.domain != "tech.gov.sg").limit(1))
    db.session.commit()
    approved = [make.request().id for _ in range(3)]
    left = make.request(f"somebody@{other_agency}").id
    queue.wake("approve")
    work()
    db.session.expire_all()
    assert {request.id: request.state for request in db.session.scalars(select(Request))} == {
        **dict.fromkeys(approved, RequestState.APPROVED),
        left: RequestState.OPEN,
    }
    assert len(db.session.scalars(select(Account).where(Account.status == AccountStatus.PENDING)).all()) == 3
    assert len(db.session.scalars(select(Invitation)).all()) == 3
    assert failed_jobs() == 0


def test_the_numbers_by_day_are_counted_and_the_admins_told(app, make, now, work):
    make.admin()
    make.request(at=now - timedelta(days=1))
    queue.wake("count")
    queue.wake("digest")
    work()
    assert db.session.get_one(DailyCount, (singapore_date(now), Measure.OLDEST_WAITING)).count == 24
    assert len(db.session.scalars(select(Mail).where(Mail.kind == "admin_digest")).all()) == 1
    assert failed_jobs() == 0


def test_the_worker_notes_the_last_run_of_each_job(app, work, now, monkeypatch):
    monkeypatch.setattr(audit_chain, "seal", lambda *_args, **_options: 1 / 0)
    queue.wake("sweep")
    queue.wake("seal")
    work()
    assert queue.last_runs() == {"sweep": queue.Run(now, 0, ok=True), "seal": queue.Run(now, 0, ok=False)}


def test_a_job_that_failed_is_shown_with_its_error_run_again_and_gone(app, client, make, now, work, monkeypatch):
    make.sign_in(client, make.admin())
    with monkeypatch.context() as broken_disk:
        broken_disk.setattr(sweep, "sweep", lambda _now, _policy: sweep.Summary(failed=["deletion"]))
        queue.wake("sweep")
        work()
    page = client.get("/admin/jobs").text
    assert "RuntimeError: parts of the sweep failed: deletion" in page
    assert "in sweep\n    raise RuntimeError" in page
    (address,) = re.findall(r'action="(/admin/jobs/[^/"]+/retry)"', page)
    client.submit(address)
    work()
    assert failed_jobs() == 0
    page = client.get("/admin/jobs").text
    assert "parts of the sweep failed" not in page
    assert "jobs-failed" not in page
    assert queue.last_runs()["sweep"].ok


def test_what_an_error_of_the_database_was_given_stays_out_of_its_text(app, now, work, monkeypatch):
    def fail(_now, _policy):
        db.session.execute(text("SELECT nothing FROM nowhere WHERE a = :code"), {"code": "h" * 40})

    monkeypatch.setattr(sweep, "sweep", fail)
    queue.wake("sweep")
    work()
    (number,) = FailedJobRegistry(queue=queue.get_queue()).get_job_ids(cleanup=False)
    failed: Any = queue.get_queue().fetch_job(number)
    assert "nowhere" in failed.latest_result().exc_string
    assert "h" * 40 not in failed.latest_result().exc_string


# The queue server is down.


def test_with_the_queue_server_down_a_commit_is_a_commit(app, make, now, monkeypatch):
    broken(monkeypatch, app)
    with capture_logs() as logs:
        post(make, now)
        queue.wake("sweep")  # Not tried again for some seconds, since pages wait for it.
    assert [(line["event"], line["job"]) for line in logs] == [
        ("queue server unreachable, cron will catch up", "deliver")
    ]
    assert len(db.session.scalars(select(Mail)).all()) == 1
    monkeypatch.undo()
    assert waiting() == []
    queue.forget_failures()
    queue.wake("deliver")
    assert waiting() == ["jobs.deliver.deliver"]


def test_a_job_that_runs_as_the_queue_server_goes_down_goes_on(app, now, monkeypatch):
    broken(monkeypatch, app)
    with capture_logs() as logs:
        queue.awake("deliver")
        queue.note_cron(now)
    assert [line["event"] for line in logs] == ["queue server unreachable"]


# The processes, with doubles for what they run.


@pytest.fixture
def sleeps(app, keep_signals, monkeypatch):
    """The pauses that a process made instead of making them."""
    found: list[float] = []
    for module in (worker, cron):
        monkeypatch.setattr(module, "create_app", lambda: app)
        monkeypatch.setattr(module.time, "sleep", found.append)
    return found


def test_cron_goes_on_at_once_where_the_queue_server_was_emptied(sleeps, monkeypatch):
    outcomes = iter([SchedulerNotFound(), None])

    def start(_scheduler):
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome

    monkeypatch.setattr(CronScheduler, "start", start)
    cron.main()
    assert list(outcomes) == []
    assert sleeps == []


def test_cron_ends_well_when_it_is_told_to_while_it_pauses(sleeps, monkeypatch):
    def start(_scheduler):
        raise redis.ConnectionError

    def told(_seconds):
        raise StopRequested  # The scheduler's own handler is still in place.

    monkeypatch.setattr(CronScheduler, "start", start)
    monkeypatch.setattr("jobs.cron.time.sleep", told)
    cron.main()


def test_a_worker_starts_again_until_it_is_told_to_stop(sleeps, monkeypatch):
    outcomes = iter([redis.ConnectionError(), False, True])

    class Double:
        def __init__(self, _app):
            self.outcome = next(outcomes)

        def work(self, **_options):
            if isinstance(self.outcome, Exception):
                raise self.outcome
            if self.outcome:
                stop.set()

    monkeypatch.setattr(worker, "PortalWorker", Double)
    worker.main()
    assert list(outcomes) == []
    assert len(sleeps) == 2


@pytest.mark.parametrize("end", [None, StopRequested()])
def test_cron_starts_again_until_it_is_told_to_stop(sleeps, monkeypatch, end):
    outcomes = iter([redis.ConnectionError(), end])

    def start(_scheduler):
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome

    monkeypatch.setattr(CronScheduler, "start", start)
    cron.main()
    assert list(outcomes) == []
    assert len(sleeps) == 1


@pytest.mark.parametrize("module", [worker, cron])
def test_a_signal_while_it_pauses_ends_a_process_well(module):
    with pytest.raises(SystemExit) as ended:
        module._stop(signal.SIGTERM, None)
    assert ended.value.code == 0


def test_a_worker_that_is_told_to_stop_tells_its_job(app, make, now, server, keep_signals):
    post(make, now)
    worker.PortalWorker(app).handle_warm_shutdown_request()
    assert stop.is_set()
    deliver()
    assert server.messages == []


def test_cron_asks_for_each_job_that_there_is(app):
    assert set(queue.EVERY_SECONDS) == set(queue.WAKEABLE)
    jobs = cron._scheduler(app.extensions["redis"]).get_jobs()
    assert {job.name: job.interval for job in jobs} == queue.EVERY_SECONDS


# The processes themselves.


@contextlib.contextmanager
def process(module, environ, log):
    with log.open("ab") as output:
        running = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=tied_to_parent(),
        )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@pytest.mark.parametrize("app", ["sqlite"], indirect=True)  # The database has no part in it, and it takes long.
def test_worker_and_cron_outlive_the_queue_server_and_end_when_told(app, make, now, tmp_path):
    settings = app.config["SETTINGS"]
    logs = {name: tmp_path / name for name in ("worker", "cron")}

    def complained():
        return all("queue server unreachable" in log.read_text() for log in logs.values())

    with smtp() as mail, valkey_server() as redis_server:
        environ = os.environ | {
            "APP_ENV": "development",
            "SECRET_KEY": settings.secret_key,
            "PUBLIC_BASE_URL": settings.public_base_url,
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": redis_server.url,
            "MAIL_SERVER": mail.host,
            "MAIL_PORT": str(mail.port),
        }
        redis_server.stop()
        with (
            process("jobs.worker", environ, logs["worker"]) as a_worker,
            process("jobs.cron", environ, logs["cron"]) as a_cron,
        ):
            wait_until(complained, "both to miss the queue server", 60)
            first = post(make, LONG_AGO)
            redis_server.start()
            mail.wait_for(1, 60)
            redis_server.stop()
            second = post(make, LONG_AGO)
            redis_server.start()
            mail.wait_for(2, 60)
            assert [received.recipients for received in mail.messages] == [[first], [second]]
            for running in (a_worker, a_cron):
                running.send_signal(signal.SIGTERM)
            ended = [running.wait(20) for running in (a_worker, a_cron)]
            assert ended == [0, 0], logs["cron"].read_text()[-2000:]


# The record.


def test_cron_has_the_record_sealed_and_the_log_keeps_its_head(app, now, work):
    audit.record("mail.retried", None, audit.SYSTEM, now)
    db.session.commit()
    assert waiting() == [], "not by each commit"
    ask_by_the_clock(app)
    with capture_logs() as logs:
        work()
    head = audit_chain.head()
    assert head.position == 1
    assert [line for line in logs if line["event"] == "record sealed"] == [
        {"event": "record sealed", "log_level": "info", "position": 1, "hash": head.hash}
    ]
    db.session.rollback()  # SQLite would have the jobs wait for the end of what was read.
    ask_by_the_clock(app)
    with capture_logs() as logs:
        work()
    assert [line for line in logs if line["event"] == "record sealed"] == [], "nothing new, nothing to keep"
    assert failed_jobs() == 0


def test_a_run_of_sealing_that_leaves_something_asks_for_another(app, now, work, monkeypatch):
    monkeypatch.setattr(audit_chain, "MOST", 2)
    monkeypatch.setattr(audit_chain, "CHUNK", 1)
    for _ in range(5):
        audit.record("mail.retried", None, audit.SYSTEM, now)
    db.session.commit()
    queue.wake("seal")
    work()
    assert audit_chain.head().position == 5
