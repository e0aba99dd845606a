"""`sign-up`, `page` and `check`: requests a second against a bare Flask app, both under the same gunicorn."""

from __future__ import annotations

import base64
import json
import os
import re
import statistics
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import altcha

from tests import servers
from tests.bench.load import Connection, Measured, get, post, run_load
from tests.bench.report import Result, say
from webapp import create_app
from webapp.dev.environment import free_port
from webapp.dev.processes import tied_to_parent
from webapp.services import robot_check
from webapp.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask

ROUNDS = 5
SECRET = "a secret for benchmarks alone 0123456789"


@contextmanager
def gunicorn(app: str, environ: dict[str, str]) -> Iterator[int]:
    """``app`` under gunicorn as `./run web` starts it; its port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", app, "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "4",
         "--worker-class", "gthread", "--log-level", "error"],
        env=os.environ | environ,
        stderr=subprocess.DEVNULL,
        preexec_fn=tied_to_parent(),
    )  # fmt: skip
    try:
        servers.wait_until(lambda: _answers(port), f"{app} to answer")
        yield port
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        connection = Connection(port)
    except OSError:
        return False
    connection.close()
    return True


@contextmanager
def both() -> Iterator[tuple[int, int, Flask]]:
    """The bare app and ours on the same PostgreSQL: their ports, and ours in this process for its secrets."""
    with servers.postgres() as database, servers.valkey() as redis_url:
        environ = {
            "APP_ENV": "production",
            "SECRET_KEY": SECRET,
            "MDM_WEBHOOK_SECRET": SECRET,
            "DATABASE_URL": database.url,
            "REDIS_URL": redis_url,
            "MAIL_SERVER": "127.0.0.1",
            "PUBLIC_BASE_URL": "https://localhost",
            "TRUSTED_PROXIES": "1",
        }
        app = create_app(Settings.from_environment(environ))
        with app.app_context():
            from flask_migrate import upgrade

            upgrade()
        with gunicorn("tests.bench.bare:app", environ) as bare, gunicorn("wsgi:app", environ) as ours:
            yield bare, ours, app


def compare(
    name: str,
    goal: float,
    bare_port: int,
    our_port: int,
    bare: Callable[[], list[bytes]],
    ours: Callable[[], list[bytes]],
    expected: int = 200,
) -> tuple[Result, list[Measured]]:
    """Rounds of the two in turn; the ratio of their medians."""
    run_load(bare_port, bare()[:200], 200)
    run_load(our_port, ours()[:200], expected)
    floors, measured = [], []
    for _ in range(ROUNDS):
        floors.append(run_load(bare_port, bare(), 200))
        measured.append(run_load(our_port, ours(), expected))
    floor = statistics.median(round_.rate for round_ in floors)
    rate = statistics.median(round_.rate for round_ in measured)
    result = Result(name, f"{floor:.0f}/s bare app", f"{rate:.0f}/s", rate / floor, f">= {goal}", rate / floor >= goal)
    return result, measured


def run_page() -> list[Result]:
    results = []
    with both() as (bare, ours, _app):
        for path in ("/sign-up", "/"):
            asked = [get(path)] * 2000
            result, _ = compare(f"page {path}", 0.6, bare, ours, lambda: [get("/")] * 2000, asked.copy)
            results.append(result)
        connection = Connection(ours)
        size = len(connection.ask(get("/sign-up"))[1])
        connection.close()
        say(f"/sign-up is {size} bytes of HTML before compression")
    return results


def run_check() -> list[Result]:
    bodies = [f"email={quote(f'officer{number}@tech.gov.sg')}&seed=yes" for number in range(2000)]
    requests = [post("/sign-up/check", body, HX_Request="true") for body in bodies]
    with both() as (bare, ours, _app):
        result, measured = compare("check", 0.7, bare, ours, lambda: [get("/")] * 2000, lambda: requests)
        spread = statistics.median(one.percentile(0.99) / one.median for one in measured)
        return [result, Result("check p99/p50", "", f"{spread:.2f}", spread, "< 3", spread < 3)]


def run_sign_up() -> list[Result]:
    count = 600
    with both() as (bare, ours, app):
        connection = Connection(ours)
        _, answer = connection.ask(get("/sign-up"))
        connection.close()
        cookie = re.search(rb"Set-Cookie: ([^;]+)", answer).group(1).decode()  # type: ignore[union-attr]
        token = re.search(rb'name="csrf_token"[^>]*value="([^"]+)"', answer).group(1).decode()  # type: ignore[union-attr]
        counter = iter(range(10**9))

        def sign_ups() -> list[bytes]:
            made = []
            with app.app_context():
                for number in (next(counter) for _ in range(count)):
                    fields = {
                        "csrf_token": token,
                        "email": f"officer{number}@tech.gov.sg",
                        "seed": "yes" if number % 2 else "no",
                        "altcha": _solution(),
                    }
                    body = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())
                    peer = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
                    made.append(post("/sign-up", body, Cookie=cookie, X_Forwarded_For=peer))
            return made

        def inserts() -> list[bytes]:
            return [post("/", f"email=officer{number}%40tech.gov.sg") for number in range(count)]

        result, _ = compare("sign-up", 0.5, bare, ours, inserts, sign_ups, expected=303)
        return [result]


def _solution() -> str:
    """A fresh solved robot check. The puzzle is made easy: what the server verifies costs the same."""
    from datetime import UTC, datetime

    robot_check._COST = 1
    challenge = altcha.Challenge.from_dict(robot_check.challenge(datetime.now(UTC)))
    solved = altcha.solve_challenge(challenge)
    assert solved is not None
    return base64.b64encode(
        json.dumps({"challenge": challenge.to_dict(), "solution": solved.to_dict()}).encode()
    ).decode()
