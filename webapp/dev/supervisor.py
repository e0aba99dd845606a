"""``python -m webapp.dev.supervisor``: starts all that a development portal needs, and stops all of it.

One thread, one loop: the children's output, their deaths and the signals all arrive in `Supervisor._turn`.
Every child dies with this process even if that is killed (Linux), and what survives a crash all the same is
found by its mark at the next start.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from webapp.dev import processes
from webapp.dev.environment import (
    EnvironmentProblem,
    development_settings,
    open_port,
    save_settings,
    socket_path,
    write_private,
)
from webapp.dev.parts import (
    LineReader,
    Part,
    flask_part,
    job_part,
    mail_part,
    mdm_part,
    queue_part,
    web_part,
)
from webapp.dev.probes import HealthProbe, port_answers, queue_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
# They were asked to end when the process manager died.
_LEFT_BEHIND_SECONDS = 1.0


class StartFailed(Exception):
    """The portal cannot run; the message says which part failed."""


class Stopped(Exception):
    """Somebody asked for the end, by Ctrl-C or a signal."""


class Supervisor:
    """The parts of one portal, with its data in ``data_dir``."""

    def __init__(self, data_dir: Path, port: int, *, demo: bool = False, parts: tuple[str, ...] = ()) -> None:
        self.data_dir = data_dir
        self.port = port
        self.demo = demo
        self.wanted = parts or ("web", "worker", "cron", "mdm")
        self.parts: list[Part] = []
        self.ready = False
        self.stop_requests = 0
        self.environ = dict(os.environ)
        self._selector = selectors.DefaultSelector()
        self._listener: socket.socket | None = None

    # The life of the portal, from top to bottom

    def run(self) -> int:
        """Start, serve, stop. Gives the exit code: 0 when somebody stopped it, 1 when it could not start."""
        self._listen_to_signals()
        try:
            with self._lock():
                try:
                    self._start()
                    self._pump(lambda: False)
                except Stopped:
                    self._say("\nStopping...")
                finally:
                    self._stop()
        except (StartFailed, EnvironmentProblem) as problem:
            self._say(f"\n{problem}")
            return 1
        return 0

    def _start(self) -> None:
        processes.adopt_orphans()
        left = processes.end_marked(f"{self.data_dir}:", _LEFT_BEHIND_SECONDS)
        if left:
            self._say(f"Ended {left} process(es) that a crash had left behind.")
        self._listener = open_port(self.port)
        self.port = self._listener.getsockname()[1]
        chosen = development_settings(self.data_dir, self.port)
        save_settings(self.data_dir, chosen)
        self.environ |= chosen | {"PYTHONUNBUFFERED": "1"}
        # The first migration must not race with the first request; later ones are over before anybody asks.
        new = "DATABASE_URL" in chosen and not (self.data_dir / "techpass.db").exists()
        web = web_part(self._listener.fileno())
        prepare = flask_part("prepare")

        if "REDIS_URL" in chosen:
            queue = socket_path(self.data_dir)
            self._add(queue_part(self.data_dir, queue))
            self._wait(lambda: queue_answers(queue), "The queue server")
        self._add(prepare)
        if not new and not self.demo:
            self._add(web)
        if "MAIL_SERVER" in chosen:
            self._add(mail_part(self.data_dir, int(chosen["MAIL_PORT"])))
        self._finish(prepare)
        said = prepare.said
        if self.demo:
            demo = self._add(flask_part("demo"))
            self._finish(demo)
            said += demo.said
        if web not in self.parts:
            self._add(web)
        self._await_health()
        if "MAIL_SERVER" in chosen:
            self._wait(lambda: port_answers(int(chosen["MAIL_PORT"])), "The mail catcher")
        for name in ("worker", "cron"):
            if name in self.wanted:
                self._add(job_part(name))
        if "mdm" in self.wanted:
            self._add(mdm_part(self.port))
        self.ready = True
        self._greet(said.decode(errors="replace"))

    def _await_health(self) -> None:
        probe = HealthProbe(self.port, urlsplit(self.environ["PUBLIC_BASE_URL"]).netloc)
        try:
            self._wait(probe.answered, "The web server")
        finally:
            probe.close()
        if probe.status != 200:
            raise StartFailed(f"The web server answers /healthz with {probe.status}; its output above says why.")

    def _greet(self, said: str) -> None:
        url = self.environ["PUBLIC_BASE_URL"]
        write_private(self.data_dir / "ready", f"http://127.0.0.1:{self.port}\n")
        lines = ["", f"  TechPass Portal   {url}"]
        if "MAIL_PORT" in self.environ and self.environ.get("DEV_MAILBOX"):
            lines.append(f"  Mails it sent     {url}/dev/inbox")
        lines.append(f"  Authenticator     {url}/dev/authenticator")
        lines += ["", *(f"  {line}" for line in said.strip().splitlines())]
        lines += ["", f"  Data in {self.data_dir}. Ctrl-C stops everything.", ""]
        self._say("\n".join(lines))

    def _stop(self) -> None:
        """End the parts in order, by force where they take too long; leave nothing behind."""
        (self.data_dir / "ready").unlink(missing_ok=True)
        servers = [part for part in self.parts if part.name in ("queue", "mail")]
        asked_before = self.stop_requests
        for group in ([part for part in self.parts if part not in servers], servers):
            for part in group:
                part.restart_at = 0.0
                part.send(signal.SIGTERM)
            deadline = time.monotonic() + _STOP_SECONDS
            while any(part.running for part in group):
                # Whoever asks twice is in a hurry.
                if time.monotonic() > deadline or self.stop_requests > asked_before:
                    for part in group:
                        part.send(signal.SIGKILL)
                self._turn(0.05)
        processes.end_marked(f"{self.data_dir}:", 0)
        self._turn(0)
        queue = socket_path(self.data_dir)
        queue.unlink(missing_ok=True)
        if not queue.is_relative_to(self.data_dir):
            queue.parent.rmdir()

    # What the life is made of

    def _add(self, part: Part) -> Part:
        self.parts.append(part)
        self._launch(part)
        return part

    def _launch(self, part: Part) -> None:
        part.start(self.environ, str(self.data_dir))
        process = part.process
        if process is None:
            return
        write_private(self.data_dir / f"{part.name}.pid", f"{process.pid}\n")
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                kept = part.once and stream is process.stdout
                self._selector.register(
                    stream, selectors.EVENT_READ, (part, None if kept else LineReader(part.name, stream))
                )

    def _finish(self, part: Part) -> None:
        """Wait until a command has run to its end; raises `StartFailed` if it failed."""
        self._pump(lambda: part.code is not None and not self._reads(part))
        if part.code:
            self._say(part.said.decode(errors="replace"))
            raise StartFailed(f"`flask {part.name}` failed ({part.how_it_ended()}); its output above says why.")

    def _reads(self, part: Part) -> bool:
        return any(key.data and key.data[0] is part for key in self._selector.get_map().values())

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        self._pump(lambda: condition() or time.monotonic() > deadline)
        if time.monotonic() > deadline:
            raise StartFailed(f"{what} did not answer within {_START_SECONDS:.0f} seconds.")

    def _pump(self, done: Callable[[], bool]) -> None:
        """Let the parts run until ``done``, starting those again that die; before ready: `StartFailed`."""
        while not done():
            self._turn(0.5 if self.ready else 0.02)
            if self.stop_requests:
                raise Stopped
            for part in self.parts:
                if part.running or part.once or part.code is None:
                    continue
                if not self.ready:
                    self._drain(part)
                    where = f"see {part.log}" if part.log else "its output above says why"
                    raise StartFailed(f"{part.name} could not start ({part.how_it_ended()}); {where}.")
                if part.restart_at and time.monotonic() >= part.restart_at:
                    self._launch(part)

    def _turn(self, seconds: float) -> None:
        """Wait up to ``seconds`` for output, deaths and signals, and take note of them."""
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(key.fd, 4096)
            else:
                self._take_output(key)
        for pid, code in processes.reap():
            for part in self.parts:
                if part.process is not None and part.process.pid == pid:
                    self._take_death(part, code)

    def _take_output(self, key: selectors.SelectorKey) -> None:
        part, reader = key.data
        if reader is None:
            chunk = os.read(key.fd, 65536)
            part.said += chunk
            ended = not chunk
        else:
            text, ended = reader.read()
            self._write(text)
        if ended:
            self._selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]

    def _drain(self, part: Part) -> None:
        """Show what a dead part said last."""
        deadline = time.monotonic() + 1
        while self._reads(part) and time.monotonic() < deadline:
            self._turn(0.02)

    def _take_death(self, part: Part, code: int) -> None:
        part.ended(code)
        (self.data_dir / f"{part.name}.pid").unlink(missing_ok=True)
        # A master that was killed leaves its workers, which would answer beside those of the next.
        processes.end_marked(f"{self.data_dir}:{part.name}", 0)
        if self.ready and not self.stop_requests:
            pause = part.restart_at - time.monotonic()
            self._say(f"{part.name} has ended ({part.how_it_ended()}); starting it again in {pause:.1f} seconds.")

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the data directory. The kernel lets go of it when this process ends, however it ends."""
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = (self.data_dir / "lock").open("a+")
        except OSError as error:
            raise EnvironmentProblem(f"DATA_DIR {self.data_dir} cannot be used: {error.strerror}.") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise EnvironmentProblem(
                    f"Another portal has its data in {self.data_dir}. Stop it, or start one beside it:\n"
                    f"DATA_DIR={self.data_dir}-2 PORT={self.port + 1} ./run"
                ) from None
            yield

    def _listen_to_signals(self) -> None:
        def ask_to_stop(_number: int, _frame: object) -> None:
            self.stop_requests += 1

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Started with nohup, the portal is meant to survive its terminal.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, ask_to_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        self._selector.register(read_end, selectors.EVENT_READ)

    def _say(self, text: str) -> None:
        self._write(f"{text}\n".encode(errors="replace"))

    def _write(self, text: bytes) -> None:
        try:
            sys.stdout.buffer.write(text)
            sys.stdout.buffer.flush()
        except OSError:
            # The terminal or the pipe has gone; nobody can be told, so the portal stops.
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            self.stop_requests += 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m webapp.dev.supervisor", description=__doc__)
    parser.add_argument("--demo", action="store_true", help="fill the portal with sample data first")
    parts = "web,worker,cron,mdm"
    parser.add_argument("--parts", default=parts, help=f"of {parts}: those to run (web always does)")
    options = parser.parse_args()
    try:
        port = int(os.environ.get("PORT") or 8000)
        if not 0 <= port <= 65535:
            raise ValueError
    except ValueError:
        print("PORT must be a number from 0 to 65535.", file=sys.stderr)
        return 1
    data_dir = Path(os.environ.get("DATA_DIR") or "var").resolve()
    return Supervisor(data_dir, port, demo=options.demo, parts=tuple(options.parts.split(","))).run()


if __name__ == "__main__":
    sys.exit(main())
