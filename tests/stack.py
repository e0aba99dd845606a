"""The portal's real processes for browser tests: what ``./run`` starts, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from webapp.dev.processes import tied_to_parent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent

# Settings of the surrounding shell must not reach a test.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "PYTHONPATH", "COVERAGE_PROCESS_START")


class Stack:
    """A running portal. ``url`` is its address, ``data_dir`` its folder."""

    def __init__(self, folder: Path, environ: Mapping[str, str], *, parts: str, cwd: Path) -> None:
        self.clock_file = folder / "clock"
        self.url = ""
        self.environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        self.environ |= {"DATA_DIR": str(folder / "var"), "PORT": "0", "CLOCK_FILE": str(self.clock_file)}
        # What a test's admin decides is mailed at once.
        self.environ |= {"UNDO_SECONDS": "0"} | dict(environ)
        self.data_dir = Path(self.environ["DATA_DIR"])
        self._log = folder / "log"
        self._parts = parts
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None
        self.set_clock(timedelta(0))

    def start(self, seconds: float = 60) -> None:
        """Start the processes and wait until the portal answers; raises `RuntimeError` with their output."""
        self.ready_file.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "webapp.dev.supervisor", "--parts", self._parts],
                cwd=self._cwd,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=tied_to_parent(),
            )
        deadline = time.monotonic() + seconds
        while not self.ready_file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the portal did not start:\n{self.output}")
            time.sleep(0.02)
        self.url = self.settings["PUBLIC_BASE_URL"]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop all of it, as Ctrl-C does, and give the exit code."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.send_signal(number)
        return process.wait(30)

    @property
    def ready_file(self) -> Path:
        return self.data_dir / "ready"

    @property
    def output(self) -> str:
        """Everything that the processes have printed so far."""
        return self._log.read_text(errors="replace")

    @property
    def settings(self) -> dict[str, str]:
        """The environment of the portal's processes: what the test set, and what was chosen for it."""
        chosen = {}
        for line in (self.data_dir / "environment").read_text().splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            chosen[name] = "".join(shlex.split(value))
        return self.environ | chosen

    @property
    def mailbox(self) -> Path:
        """Where the mail catcher keeps what was sent, unless the test gave a mail server."""
        return self.data_dir / "mailbox"

    def set_clock(self, ahead: timedelta) -> None:
        """Have every process believe that it is ``ahead`` later than it is."""
        temporary = self.clock_file.with_suffix(".new")
        temporary.write_text(str(ahead.total_seconds()))
        temporary.replace(self.clock_file)

    def advance(self, by: timedelta) -> None:
        """Move the clock on, from where it stands."""
        self.set_clock(timedelta(seconds=float(self.clock_file.read_text())) + by)

    def pid(self, part: str) -> int:
        """The process id of ``web``, ``worker``, ``cron``, ``queue``, ``mail`` or ``supervisor``."""
        if part == "supervisor" and self._process is not None:
            return self._process.pid
        return int((self.data_dir / f"{part}.pid").read_text())

    def kill(self, part: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one part, which is then started again by the supervisor."""
        os.kill(self.pid(part), number)

    def flask(self, *arguments: str, seconds: float = 60) -> str:
        """Run an operator's command beside the portal and give what it printed; raises when it fails."""
        return self.run("flask", "--app", "wsgi", *arguments, seconds=seconds)

    def mdm(self, seconds: float = 60) -> str:
        """Have the stand-in for the MDM system move each device under way by one step; what it said of each."""
        return self.run("webapp.dev.mdm_simulator", "--once", seconds=seconds)

    def run(self, module: str, *arguments: str, seconds: float = 60) -> str:
        """Run ``python -m module`` with the portal's settings and give what it printed; raises when it fails."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self._cwd,
            env=self.settings,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{module} {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout


@contextlib.contextmanager
def stack(
    *,
    database_url: str = "",
    redis_url: str = "",
    mail: tuple[str, int] | None = None,
    env: Mapping[str, str] | None = None,
    parts: str = "web,worker,cron",
    cwd: Path = ROOT,
) -> Iterator[Stack]:
    """A running portal, migrated. What is not given is embedded: SQLite, the queue server, the mail catcher.

    ``parts`` may leave out worker or cron, and may add mdm; ``mail`` is a host and port; ``env`` adds settings.
    """
    environ = dict(env or {})
    if database_url:
        environ["DATABASE_URL"] = database_url
    if redis_url:
        environ["REDIS_URL"] = redis_url
    if mail:
        environ |= {"MAIL_SERVER": mail[0], "MAIL_PORT": str(mail[1])}
    with tempfile.TemporaryDirectory(prefix="portal-", ignore_cleanup_errors=True) as folder:
        portal = Stack(Path(folder), environ, parts=parts, cwd=cwd)
        try:
            portal.start()
            yield portal
        finally:
            portal.stop()
