"""`mail` and `approve-to-mail`: how fast mails leave, and how soon one does that somebody waits for."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import joinedload

from tests import servers
from tests.bench import mailer
from tests.bench.load import Connection, Measured, get, post
from tests.bench.report import Result, say
from tests.bench.web import SECRET, gunicorn
from tests.factories import Factory
from webapp import create_app, emails
from webapp.access import SESSION_TOKEN
from webapp.dev.processes import tied_to_parent
from webapp.domain.lifecycle import AccountStatus, InvitationKind, MailState
from webapp.domain.tokens import derive_token, invitation_purpose, new_nonce, token_hash
from webapp.extensions import db
from webapp.models import Account, Agency, Invitation, Mail, Request, SessionKind
from webapp.services import invitations, keys, sessions
from webapp.services.delivery import deliver
from webapp.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

MAILS = 5000
ROUNDS = 3
JOBS = 300
APPROVALS = 200
_MOST_LOAD = 100_000


class DiscardingServer:
    """`tests.bench.discard` at work; ``accepted`` says at its end when the last mail to each recipient was taken."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.discard"],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=tied_to_parent(),
        )
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())
        self.accepted: dict[str, float] = {}

    def stop(self) -> None:
        self._process.terminate()
        printed, _ = self._process.communicate()
        self.accepted = json.loads(printed)


@contextmanager
def mail_server() -> Iterator[DiscardingServer]:
    server = DiscardingServer()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def _portal(mail_port: int) -> Iterator[tuple[Flask, dict[str, str]]]:
    """The portal in this process on a migrated PostgreSQL, and the environment for its other processes."""
    with servers.postgres() as database, servers.valkey() as redis_url:
        environ = {
            "APP_ENV": "production",
            "SECRET_KEY": SECRET,
            "MDM_WEBHOOK_SECRET": SECRET,
            "DATABASE_URL": database.url,
            "REDIS_URL": redis_url,
            "MAIL_SERVER": "127.0.0.1",
            "MAIL_PORT": str(mail_port),
            "PUBLIC_BASE_URL": "https://localhost",
            "TRUSTED_PROXIES": "1",
        }
        app = create_app(Settings.from_environment(environ))
        with app.app_context():
            from flask_migrate import upgrade

            upgrade()
            yield app, environ
            db.session.remove()
            db.engine.dispose()


def _fill(app: Flask) -> None:
    """Pending people with live invitations, each with the mail that invites and one that reminds."""
    now, policy, kind = datetime.now(UTC), app.config["POLICY"], InvitationKind.TECHPASS
    agency = db.session.scalar(select(Agency.id).where(Agency.domain == "tech.gov.sg"))
    addresses = [f"officer{number}@tech.gov.sg" for number in range(MAILS // 2)]
    people = [
        {
            "email": address,
            "email_folded": address,
            "agency_id": agency,
            "status": AccountStatus.PENDING,
            "created_at": now,
            "status_at": now,
            "changed_at": now,
            "seed_status_at": now,
        }
        for address in addresses
    ]
    db.session.execute(insert(Account), people)
    nonces = [(account_id, new_nonce()) for account_id in db.session.scalars(select(Account.id))]
    links = [
        {
            "account_id": account_id,
            "kind": kind,
            "nonce": nonce,
            "token_hash": token_hash(derive_token(keys.secret_key(), invitation_purpose(kind), nonce)),
            "issued_at": now,
            "expires_at": now + invitations.life(kind, policy),
        }
        for account_id, nonce in nonces
    ]
    db.session.execute(insert(Invitation), links)
    rows = []
    for link in db.session.scalars(select(Invitation).options(joinedload(Invitation.account, innerjoin=True))):
        rows.append(emails.techpass_onboarding(link.account, link, now))
        rows.append(emails.onboarding_reminder(link.account, link, 7, now))
    db.session.execute(insert(Mail), rows)
    db.session.commit()


def _queue_again() -> list[int]:
    """Every mail as it was before it was ever sent; their numbers."""
    unsent: dict[str, Any] = {"state": MailState.QUEUED, "tries": 0, "message_id": None, "sent_at": None}
    db.session.execute(update(Mail).values(due_at=Mail.created_at, last_answer="", **unsent))
    ids = list(db.session.scalars(select(Mail.id).order_by(Mail.id)))
    db.session.commit()
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE mail")
    return ids


def _by_hand(ids: list[int], settings: Settings) -> float:
    begun = time.perf_counter()
    mailer.send_all(ids, settings)
    return len(ids) / (time.perf_counter() - begun)


def _delivered() -> float:
    begun = time.perf_counter()
    summary = deliver(datetime.now(UTC), seconds=600)
    taken = time.perf_counter() - begun
    if summary.sent != MAILS:
        raise RuntimeError(f"not all were sent: {summary}")
    return MAILS / taken


def _by_jobs(environ: dict[str, str], kind: str, first: int) -> float:
    """Mails a second by one RQ job for each, done by RQ's worker of that name in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.mailer", kind, str(first), str(first + JOBS - 1)],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    answer = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"failed": JOBS}
    if answer["failed"]:
        raise RuntimeError(done.stderr)
    return JOBS / float(answer["seconds"])


def run_mail() -> list[Result]:
    with mail_server() as server, _portal(server.port) as (app, environ):
        _fill(app)
        settings = app.config["SETTINGS"]
        ids = _queue_again()
        _by_hand(ids[:200], settings)
        floors, ours = [], []
        for _ in range(ROUNDS):
            floors.append(_by_hand(ids, settings))
            ours.append(_delivered())
            _queue_again()
        jobs, quicker = (_by_jobs(environ, kind, ids[0]) for kind in ("Worker", "SimpleWorker"))
    floor, our = statistics.median(floors), statistics.median(ours)
    say(f"one job for each mail without a fork for each (SimpleWorker): {quicker:.0f}/s, {our / quicker:.1f} times")
    return [
        Result("mail", f"{floor:.0f}/s smtplib", f"{our:.0f}/s", our / floor, ">= 0.6", our / floor >= 0.6),
        Result("mail, a job each", f"{jobs:.1f}/s by RQ", f"{our:.0f}/s", our / jobs, ">= 10", our / jobs >= 10),
    ]


class SignUpPages(threading.Thread):
    """Somebody who fetches the sign-up page again and again, until told to stop."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.stopped = threading.Event()
        self.count = 0

    def run(self) -> None:
        connection = Connection(self.port)
        asked = get("/sign-up")
        while self.count < _MOST_LOAD and not self.stopped.is_set():
            connection.ask(asked)
            self.count += 1
        connection.close()


@contextmanager
def _worker(environ: dict[str, str]) -> Iterator[None]:
    """A real worker, at work as soon as the queue server knows of it."""
    from webapp import queue

    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.worker"],
        env=os.environ | environ,
        stderr=subprocess.DEVNULL,
        preexec_fn=tied_to_parent(),
    )
    try:
        servers.wait_until(lambda: queue.count_workers() > 0, "the worker")
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _load(port: int) -> Iterator[None]:
    drivers = [SignUpPages(port) for _ in range(2)]
    begun = time.perf_counter()
    for driver in drivers:
        driver.start()
    try:
        yield
    finally:
        for driver in drivers:
            driver.stopped.set()
        for driver in drivers:
            driver.join()
        rate = sum(driver.count for driver in drivers) / (time.perf_counter() - begun)
        say(f"meanwhile {rate:.0f} sign-up pages a second")


def _signed_in_admin(app: Flask, make: Factory) -> str:
    """The cookie of an admin who has signed in."""
    token = sessions.open_session(
        make.admin(), SessionKind.SIGNED_IN, make.now, make.policy, peer="127.0.0.1", user_agent="bench"
    )
    db.session.commit()
    signer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    return f"{app.config['SESSION_COOKIE_NAME']}={signer.dumps({SESSION_TOKEN: token})}"


def _approve(port: int, cookie: str, requests: dict[int, str]) -> dict[str, float]:
    """Approve each of ``requests`` (number to address) over HTTP; when the answer came, by address."""
    connection = Connection(port)
    _, page = connection.ask(get("/admin/requests", cookie))
    # The token is bound to a value in the cookie that this first page sets.
    cookie = re.search(rb"Set-Cookie: ([^;]+)", page).group(1).decode()  # type: ignore[union-attr]
    token = re.search(rb'name="csrf_token"[^>]*value="([^"]+)"', page).group(1).decode()  # type: ignore[union-attr]
    answered = {}
    for number, address in requests.items():
        asked = post(f"/admin/requests/{number}/approve", f"csrf_token={token}", Cookie=cookie)
        status, answer = connection.ask(asked)
        answered[address] = time.perf_counter()
        if status not in (302, 303):
            raise RuntimeError(f"{status}: {answer[:2000].decode(errors='replace')}")
    connection.close()
    return answered


def _is_all_sent() -> bool:
    sent = db.session.scalar(select(func.count()).select_from(Mail).where(Mail.state == MailState.SENT))
    db.session.rollback()
    return sent == APPROVALS


def run_approve_to_mail() -> list[Result]:
    with mail_server() as server, _portal(server.port) as (app, environ):
        make = Factory(datetime.now(UTC), app.config["POLICY"])
        for number in range(APPROVALS):
            make.request(f"applicant{number}@tech.gov.sg")
        rows = db.session.execute(select(Request.id, Account.email).join(Account, Account.id == Request.account_id))
        requests = dict(row.tuple() for row in rows)
        cookie = _signed_in_admin(app, make)
        with gunicorn("wsgi:app", environ) as port, _worker(environ), _load(port):
            answered = _approve(port, cookie, requests)
            servers.wait_until(_is_all_sent, "the last mail", seconds=60)
    # Both processes read the machine's one monotonic clock.
    taken = [(server.accepted[address] - at) * 1000 for address, at in answered.items()]
    measured = Measured(0, tuple(taken))
    p99 = measured.percentile(0.99) / 1000
    say(f"p50 {measured.median:.0f} ms, longest {max(taken):.0f} ms")
    return [Result("approve-to-mail p99", "", f"{p99 * 1000:.0f} ms", p99, "< 2 s", p99 < 2)]
