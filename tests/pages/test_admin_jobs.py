"""The admins' page of what works by itself: verdict, jobs by the clock, workers, what failed (rule 8.6)."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from uuid import UUID

import pytest
import redis
from rq import SimpleWorker
from rq.cron import CronScheduler
from rq.job import JobStatus
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer
from sqlalchemy import select

from jobs import cron
from webapp import queue
from webapp.extensions import db
from webapp.models import AuditEvent
from webapp.models.session import BrowserSession
from webapp.services import job_board

TRACE = 'Traceback (most recent call last):\n  File "deliver.py", line 1, in deliver\nRuntimeError: no space left'
MINUTE = timedelta(minutes=1)


@pytest.fixture
def admin(client, make):
    account = make.admin("boss@tech.gov.sg")
    make.sign_in(client, account)
    return account


@pytest.fixture
def well(app, now):
    """A worker listens and cron asks."""
    worker = SimpleWorker([queue.get_queue()], connection=app.extensions["redis"], serializer=JSONSerializer)
    worker.register_birth()
    worker.set_state("idle")
    ask()
    queue.note_cron(now)
    return worker


def ask():
    """What cron does once; the jobs that it asks for are taken away again."""
    scheduler = cron._scheduler(queue.get_queue().connection)
    scheduler.register_birth()
    scheduler.enqueue_jobs()
    scheduler.save()
    queue.get_queue().empty()
    for name in queue.WAKEABLE:
        queue.awake(name)


def fail(name="deliver", error=TRACE):
    """A job that has failed; its number."""
    waiting = queue.get_queue()
    path = queue.WAKEABLE.get(name, name)
    job = waiting.enqueue(path, result_ttl=0, failure_ttl=86400, job_timeout=600)
    waiting.remove(job)
    job.set_status(JobStatus.FAILED)
    Result.create_failure(job, 86400, error)
    # RQ orders them by whole seconds, and by number within one.
    FailedJobRegistry(queue=waiting).add(job, ttl=86400 + len(failed()), exc_string=error)
    return job.id


def failed():
    return set(FailedJobRegistry(queue=queue.get_queue()).get_job_ids(cleanup=False))


def waiting():
    return [job.func_name for job in queue.get_queue().jobs]


def recorded():
    rows = db.session.scalars(select(AuditEvent).where(AuditEvent.action.like("job.%")).order_by(AuditEvent.id))
    return [(row.action, row.actor_id, row.detail) for row in rows]


def read(answer):
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


def poll(client, page):
    (address,) = re.findall(r'id="job-board"[^>]*?hx-get="([^"]+)"', page.text, re.DOTALL)
    return client.htmx("GET", unescape(address))


def go_down(app, monkeypatch):
    monkeypatch.setitem(app.extensions, "redis", redis.Redis.from_url("unix:///nowhere/queue.sock"))


# The verdict.


def test_all_is_well(client, admin, well):
    said = read(client.get("/admin/jobs"))
    assert "All is well" in said
    for words in ("Send emails", "5 seconds", "Every", "Keep deadlines", "Seal the audit log", "5 minutes", "Nothing"):
        assert words in said
    assert "Failed jobs" not in said


def test_without_a_worker_or_cron_it_says_so(client, admin):
    said = read(client.get("/admin/jobs"))
    assert "No worker is running" in said
    assert "Cron is silent: it was never seen." in said
    assert "None since the queue server started" in said
    assert said.count("Unknown") == len(queue.WAKEABLE), "when each runs next"


def test_a_worker_that_was_killed_is_none(app, client, admin, well):
    assert queue.count_workers() == 1
    app.extensions["redis"].delete(well.key)  # As its time in the queue server passes: none is left to tidy up.
    assert queue.count_workers() == 0
    assert "No worker is running" in read(client.get("/admin/jobs"))


def test_cron_is_silent_since_it_was_last_seen(client, admin, well, now):
    queue.note_cron(now - 3 * MINUTE)
    said = read(client.get("/admin/jobs"))
    assert "Cron is silent: nothing was done by the clock since 24 Nov 2026, 09:57" in said


def test_a_cron_without_a_sign_of_life_is_silent(app, client, admin, well):
    for scheduler in CronScheduler.all(app.extensions["redis"]):
        app.extensions["redis"].zincrby("rq:cron_schedulers", -queue.CRON_LATE_SECONDS - 1, scheduler.name)
    assert "Cron is silent" in read(client.get("/admin/jobs"))


def start(app, worker, name="sweep"):
    """Have the worker be at a job."""
    queue.wake(name)
    job = queue.get_queue().get_jobs(0, 1)[0]
    queue.get_queue().remove(job)
    execution = worker.prepare_execution(job)
    with app.extensions["redis"].pipeline() as pipeline:
        job.prepare_for_execution(worker.name, pipeline)
        pipeline.execute()
    assert StartedJobRegistry(queue=queue.get_queue()).get_job_count(cleanup=False) == 1
    return job, execution


def test_what_a_worker_does_is_shown(app, client, admin, well):
    start(app, well)
    said = read(client.get("/admin/jobs"))
    assert "All is well" in said
    assert f"Process {well.pid} on {well.hostname} Keep deadlines" in said
    assert "Running Keep deadlines, since 24 Nov 2026" in said


@pytest.mark.parametrize(("minutes", "told"), [(4, False), (6, True)])
def test_a_job_that_runs_for_long_is_told(app, client, admin, well, minutes, told):
    job, _ = start(app, well)
    job.started_at -= minutes * MINUTE
    job.save(include_meta=False, include_result=False)
    said = read(client.get("/admin/jobs"))
    assert ("1 job seems stuck" in said) is told
    assert ("Runs long" in said) is told


def test_a_job_whose_worker_is_gone_is_told(app, client, admin, well):
    start(app, well)
    app.extensions["redis"].delete(well.key)
    said = read(client.get("/admin/jobs"))
    assert "1 job seems stuck" in said
    assert "Its worker is gone" in said


@pytest.mark.parametrize(("minutes", "told"), [(9, False), (11, True)])
def test_a_job_that_waits_for_long_is_told(client, admin, well, minutes, told):
    queue.wake("seal")
    (job,) = queue.get_queue().jobs
    job.enqueued_at -= minutes * MINUTE
    job.save(include_meta=False, include_result=False)
    said = read(client.get("/admin/jobs"))
    assert "Waiting Seal the audit log, the first since 24 Nov 2026, 09:" in said
    assert ("Jobs have waited since" in said) is told
    assert ("Waits long" in said) is told


def test_the_last_run_and_the_next_are_told(client, admin, well, now):
    queue.note_run("jobs.sweep.sweep", now - 2 * MINUTE, now - MINUTE, ok=True)
    queue.note_run("jobs.count.count", now, now, ok=False)
    queue.note_run("jobs.of.another.time", now, now, ok=True)
    said = read(client.get("/admin/jobs"))
    assert "minute 24 Nov 2026, 09:59 Done Took 60 seconds 10:00" in said
    assert "minute 24 Nov 2026, 10:00 Failed" in said


# What failed.


def test_a_failed_job_is_told_with_its_error(client, admin, well):
    fail()
    said = read(client.get("/admin/jobs"))
    assert "1 job has failed" in said
    assert "RuntimeError: no space left" in said
    assert 'File "deliver.py", line 1' in said
    assert "Run all again" not in said, "for one there is its own button"


def test_what_has_succeeded_since_needs_nothing(client, admin, well, now):
    fail()
    queue.note_run("jobs.deliver.deliver", now, now + 5 * MINUTE, ok=True)
    said = read(client.get("/admin/jobs"))
    assert "It has succeeded since then, so nothing needs to be done." in said
    assert "Succeeded since" in said


def test_the_newest_are_shown_and_the_others_counted(client, admin, well, monkeypatch):
    monkeypatch.setattr(job_board, "SHOWN", 2)
    for number in range(4):
        fail(error=f"Error: number {number}")
    page = client.get("/admin/jobs")
    assert "4 jobs have failed" in read(page)
    assert "2 more are not shown." in read(page)
    assert re.findall(r'jobs-error">Error: (number \d)', page.text) == ["number 3", "number 2"]


def test_a_job_that_is_none_of_ours_and_an_error_that_was_not_kept_are_shown_too(client, admin, well):
    number = fail("old.job")
    queue.get_queue().connection.delete(Result.get_key(number))
    said = read(client.get("/admin/jobs"))
    assert "old.job" in said
    assert "Its error was not kept." in said


def test_an_error_is_inert_cut_and_tells_no_secrets(client, admin, well):
    lines = [
        "START",
        "x" * job_board.LONGEST,
        "[SQL: UPDATE mail]",
        "[parameters: ('hash-of-a-code',)]",
        "DETAIL:  Key (email)=(somebody@tech.gov.sg) already exists.",
        "redis.ConnectionError: redis://:pass-word@queue/0 <script>alert(1)</script>",
    ]
    fail(error="\n".join(lines))
    page = client.get("/admin/jobs")
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text
    assert "Its beginning is left out" in page.text
    for hidden in ("START", "xxx", "hash-of-a-code", "somebody@tech", "pass-word"):
        assert hidden not in page.text
    assert "[SQL: UPDATE mail]" in page.text


# Running again, and forgetting.


def outcome(client, answer, htmx):
    """What is said, wherever it is said."""
    assert answer.status_code == (200 if htmx else 303)
    return read(answer if htmx else client.get("/admin/jobs"))


both = pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])


@both
def test_a_failed_job_is_run_again(client, admin, well, htmx):
    number = fail("sweep")
    client.get("/admin/jobs")
    said = outcome(client, client.submit(f"/admin/jobs/{number}/retry", htmx=htmx), htmx)
    assert "“Keep deadlines” runs again as soon as a worker is free." in said
    assert "Failed jobs" not in said
    assert waiting() == ["jobs.sweep.sweep"]
    assert recorded() == [("job.retried", admin.id, {"job": "sweep", "number": number})]


@both
def test_a_failed_job_is_forgotten(client, admin, well, htmx):
    number = fail()
    kept = fail()
    client.get("/admin/jobs")
    said = outcome(client, client.submit(f"/admin/jobs/{number}/forget", htmx=htmx), htmx)
    assert "The failed “Send emails” is forgotten." in said
    assert failed() == {kept}
    assert queue.get_queue().fetch_job(number) is None
    assert waiting() == []
    assert recorded() == [("job.forgotten", admin.id, {"job": "deliver", "number": number})]


@both
def test_all_are_run_again_each_job_once(client, admin, well, htmx):
    numbers = [fail(), fail("sweep"), fail()]
    client.get("/admin/jobs")
    said = outcome(client, client.submit("/admin/jobs/retry", htmx=htmx), htmx)
    assert "run again as soon as a worker is free." in said
    assert failed() == set()
    assert sorted(waiting()) == ["jobs.deliver.deliver", "jobs.sweep.sweep"]
    assert queue.get_queue().fetch_job(numbers[0]) is None, "the newest of each runs, the others are forgotten"
    assert recorded() == [("job.retried", admin.id, {"jobs": ["deliver", "sweep"], "count": 3})]


@both
@pytest.mark.parametrize("act", ["retry", "forget"])
def test_what_has_not_failed_is_left_alone(client, admin, well, act, htmx):
    client.get("/admin/jobs")
    fail()
    client.get("/admin/jobs")
    queue.wake("seal")
    (job,) = queue.get_queue().jobs
    for number in (job.id, str(UUID(int=1))):
        said = outcome(client, client.submit(f"/admin/jobs/{number}/{act}", htmx=htmx), htmx)
        assert "Nothing was changed: the job is not among the failed any more." in said
    assert waiting() == ["jobs.seal.seal"]
    assert len(failed()) == 1
    assert recorded() == []


@pytest.mark.parametrize("act", ["retry", "forget"])
def test_who_comes_second_by_a_hair_changes_nothing(client, admin, well, monkeypatch, act):
    number = fail()
    client.get("/admin/jobs")
    find = job_board._find

    def found_then_run_again(asked):
        job = find(asked)
        FailedJobRegistry(queue=queue.get_queue()).requeue(asked)
        return job

    monkeypatch.setattr(job_board, "_find", found_then_run_again)
    assert "Nothing was changed" in read(client.submit(f"/admin/jobs/{number}/{act}", htmx=True))
    assert waiting() == ["jobs.deliver.deliver"], "once, and still there"


def test_with_nothing_failed_all_again_changes_nothing(client, admin, well):
    fail()
    client.get("/admin/jobs")
    queue.get_queue().connection.delete("rq:failed:portal")
    assert "Nothing was changed" in read(client.submit("/admin/jobs/retry", htmx=True))
    assert recorded() == []


@pytest.mark.parametrize("number", ["1", "x" * 5000, "portal:last-runs", "..%2f..", f"{UUID(int=1)}%0a"])
def test_what_is_no_number_of_a_job_is_no_page(client, admin, well, number):
    fail()
    client.get("/admin/jobs")
    for act in ("retry", "forget"):
        assert client.submit(f"/admin/jobs/{number}/{act}").status_code == 404
    assert len(failed()) == 1


def test_an_auditor_sees_all_of_it_and_changes_nothing(client, make, well):
    make.sign_in(client, make.auditor())
    numbers = {fail(), fail()}
    page = client.get("/admin/jobs")
    assert "2 jobs have failed" in read(page)
    assert "no space left" in page.text
    assert "Run again" not in page.text
    assert "Forget" not in page.text
    client.get("/profile")
    for act in (f"{min(numbers)}/retry", f"{min(numbers)}/forget", "retry"):
        assert client.submit(f"/admin/jobs/{act}").status_code == 404
    assert failed() == numbers


# The queue server is down.


def test_with_the_queue_server_down_the_page_says_so(app, client, admin, well, monkeypatch):
    go_down(app, monkeypatch)
    page = client.get("/admin/jobs")
    assert page.status_code == 200
    assert "The queue server does not answer" in read(page)
    assert ">Try again</a>" in page.text
    assert "No worker" not in page.text


@both
@pytest.mark.parametrize("act", ["{}/retry", "{}/forget", "retry"])
def test_with_the_queue_server_down_nothing_is_changed(app, client, admin, well, monkeypatch, act, htmx):
    number = fail()
    client.get("/admin/jobs")
    with monkeypatch.context() as down:
        go_down(app, down)
        answer = client.submit(f"/admin/jobs/{act.format(number)}", htmx=htmx)
        assert "Nothing was changed: the queue server does not answer." in outcome(client, answer, htmx)
    assert failed() == {number}
    assert recorded() == []


def test_what_was_asked_for_is_on_record_before_the_queue_server_goes_down(client, admin, well, monkeypatch):
    number = fail()
    client.get("/admin/jobs")

    def gone(_number):
        raise redis.ConnectionError

    monkeypatch.setattr(job_board, "_requeue", gone)
    assert "does not answer" in read(client.submit(f"/admin/jobs/{number}/retry", htmx=True))
    assert [action for action, _, _ in recorded()] == ["job.retried"]


# It asks for itself.


def test_the_board_is_swapped_only_where_it_has_changed_and_told_where_the_verdict_has(client, admin, well, now):
    page = client.get("/admin/jobs")
    assert 'hx-trigger="every 10s"' in page.text
    assert "data-announce" not in page.text
    assert poll(client, page).status_code == 204
    queue.note_run("jobs.sweep.sweep", now, now, ok=True)
    quiet = poll(client, page)
    assert "data-announce" not in quiet.text
    fail()
    told = poll(client, quiet)
    assert 'data-announce="1 job has failed"' in told.text
    assert "<html" not in told.text
    assert poll(client, told).status_code == 204


def test_a_board_that_asks_for_itself_keeps_no_session_alive(client, admin, well, now, set_now):
    page = client.get("/admin/jobs")
    before = db.session.scalars(select(BrowserSession.last_seen_at)).all()
    set_now(now + 10 * MINUTE)
    poll(client, page)
    db.session.expire_all()
    assert db.session.scalars(select(BrowserSession.last_seen_at)).all() == before
    client.get("/admin/jobs")
    db.session.expire_all()
    assert db.session.scalars(select(BrowserSession.last_seen_at)).all() != before


def test_what_stays_open_and_what_has_the_focus_is_found_again(client, admin, well):
    fail()
    page = client.get("/admin/jobs")
    assert re.search(r'<details class="jobs-trace" id="[^"]+" hx-preserve="true">', page.text)
    board = page.text[page.text.index('id="job-board"') : page.text.index("</main>")]
    assert all(" id=" in tag for tag in re.findall(r"<(?:a|button|summary|pre)\b[^>]*>", board))
