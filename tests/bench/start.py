"""`start`: `./run` warm, to the first answered request; beside a Python that imports the same app and no more."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests import servers
from tests.bench.report import Result
from tests.stack import ROOT
from webapp.dev.environment import free_port

ROUNDS = 5
GOAL_SECONDS = 3.0


def _start_once(folder: str) -> float:
    port = free_port()
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environ |= {"DATA_DIR": folder, "PORT": str(port)}
    begun = time.perf_counter()
    process = subprocess.Popen(
        [ROOT / "run"], env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        servers.wait_until(lambda: _answers(port), "the first answer", seconds=120)
        return time.perf_counter() - begun
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/sign-up", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _import_once() -> float:
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "import webapp.views.sign_up, webapp.cli, flask_migrate"], check=True, cwd=ROOT
    )
    return time.perf_counter() - begun


def run_start() -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="start-") as folder:
        data = str(Path(folder) / "var")
        _start_once(data)  # The first makes the database.
        ours, floors = [], []
        for _ in range(ROUNDS):
            floors.append(_import_once())
            ours.append(_start_once(data))
    floor, our = statistics.median(floors), statistics.median(ours)
    goal = f"< {GOAL_SECONDS:.0f} s"
    return [Result("start", f"{floor:.2f} s to import it", f"{our:.2f} s", our / floor, goal, our < GOAL_SECONDS)]
