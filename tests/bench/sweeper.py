"""One sweep in a process of its own, for `tests.bench.sweep`: its time, memory and longest transaction, as JSON."""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from datetime import UTC, datetime
from typing import Any

from flask import Flask, current_app
from flask_migrate import upgrade
from sqlalchemy import event

from webapp import create_app
from webapp.extensions import db
from webapp.services.sweep import sweep
from webapp.settings import Settings


def make_app(url: str) -> Flask:
    """The portal on the database of ``url``, without a queue server."""
    return create_app(
        Settings(
            app_env="test",
            secret_key="a secret for benchmarks alone 0123456789",
            public_base_url="http://localhost",
            database_url=url,
            redis_url="unix:///nonexistent",
            mail_server="127.0.0.1",
        )
    )


def _watch() -> list[float]:
    """The seconds that each transaction of the engine takes from now on."""
    taken: list[float] = []
    begun = [0.0]

    def begin(_connection: Any) -> None:
        begun[0] = time.perf_counter()

    def end(_connection: Any) -> None:
        taken.append(time.perf_counter() - begun[0])

    event.listen(db.engine, "begin", begin)
    event.listen(db.engine, "commit", end)
    event.listen(db.engine, "rollback", end)
    return taken


def _sweep() -> dict[str, Any]:
    taken = _watch()
    policy = current_app.config["POLICY"]
    begun = time.perf_counter()
    summary = sweep(datetime.now(UTC), policy, confirmed=True)
    seconds = time.perf_counter() - begun
    assert not summary.failed
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "done": summary.done, "longest": max(taken), "peak_mb": peak}


def main(what: str, url: str, runs: str = "1") -> None:
    with make_app(url).app_context():
        if what == "migrate":
            upgrade()
            answer: dict[str, Any] = {}
        else:
            sweeps = [_sweep() for _ in range(int(runs))]
            answer = sweeps[-1] | {"seconds": statistics.median(one["seconds"] for one in sweeps)}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
