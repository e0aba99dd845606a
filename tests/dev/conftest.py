"""A stand-in for the portal's app, so that the process manager's own behaviour is tested in a second or two."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stack import ROOT

_FILES = {
    "wsgi.py": """
import os
import sys

from flask import Flask

if os.environ.get("BROKEN") == "web" and "prepare" not in sys.argv:
    raise RuntimeError("the stand-in is broken")
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return str(os.getpid()), int(os.environ.get("HEALTH", "200"))


@app.cli.command("prepare")
def prepare():
    print("Sign in as the first admin: /set-up/1")
    print("preparing", file=sys.stderr)
    sys.exit(3 if os.environ.get("BROKEN") == "prepare" else 0)


@app.cli.command("demo")
def demo():
    print("made sample data", file=sys.stderr)
""",
    # The package is the portal's own, but for the part that would load the whole app.
    "webapp/__init__.py": f"__path__.append({str(ROOT / 'webapp')!r})",
    "webapp/gunicorn_conf.py": """
import os

bind = os.environ["BIND"]
worker_class = "gthread"
control_socket_disable = True
""",
    "jobs/__init__.py": "",
    "jobs/cron.py": "import signal; signal.pause()",
    "jobs/worker.py": """
import os
import signal
import subprocess

# In a process group of its own, as a work horse is.
subprocess.Popen(["sleep", "600"], preexec_fn=os.setpgrp)
if os.environ.get("STUBBORN"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("stubborn" if os.environ.get("STUBBORN") else "working", flush=True)
while True:
    signal.pause()
""",
}


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to start the process manager in; its ``wsgi`` and ``jobs`` are found before the portal's."""
    folder = tmp_path_factory.mktemp("stand-in")
    for name, text in _FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder
