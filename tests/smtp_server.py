"""An SMTP server for tests that keeps what it accepts and answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import socket
import threading
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from email.message import EmailMessage

    from aiosmtpd.smtp import Envelope, Session


class Behaviour(Enum):
    """Answers that are not a line of text."""

    ACCEPT = "accept"
    HANG = "hang until release(), then accept"
    DROP_AFTER_ACCEPT = "keep the message, then cut the connection without answering"
    DROP = "cut the connection without keeping the message"


Answer = str | Behaviour | None
"""A reply line such as "451 later", a `Behaviour`, or None to accept."""


@dataclass(frozen=True)
class Received:
    """One accepted message."""

    sender: str
    recipients: list[str]
    content: bytes
    connection: int
    """Which connection it came by, counted from 1."""

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.content, policy=email.policy.default)

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        """The plain text part."""
        part = self.message.get_body(("plain",))
        return str(part.get_content()) if part else ""


class SmtpServer:
    """Runs in a thread of its own. ``answers`` is used up first, one a message; then ``answer`` is asked.

    ``answer_recipient`` may refuse a recipient at RCPT.
    """

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.messages: list[Received] = []
        self.attempts: list[str] = []
        """The first recipient of each message offered, accepted or not, in order."""
        self.connections = 0
        self.answers: deque[Answer] = deque()
        self.answer: Callable[[Received], Answer] = lambda _received: None
        self.answer_recipient: Callable[[str], str | None] = lambda _address: None
        self._changed = threading.Condition()
        self._released: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._sessions: set[SMTP] = set()

    # What tests say to it

    def will_answer(self, *answers: Answer) -> None:
        """Answer the next messages so, in order."""
        self.answers.extend(answers)

    def release(self) -> None:
        """Let everything go that hangs, now and from now on."""
        if self._loop is not None and self._released is not None:
            self._loop.call_soon_threadsafe(self._released.set)

    def wait_for(self, count: int = 1, seconds: float = 20) -> list[Received]:
        """Wait until ``count`` messages have been accepted in all; raises `TimeoutError`."""
        self._wait(lambda: len(self.messages) >= count, seconds, f"{count} messages")
        return list(self.messages)

    def wait_for_attempts(self, count: int = 1, seconds: float = 20) -> list[str]:
        """Wait until ``count`` messages have been offered in all; raises `TimeoutError`."""
        self._wait(lambda: len(self.attempts) >= count, seconds, f"{count} attempts")
        return list(self.attempts)

    def to(self, recipient: str) -> list[Received]:
        """The accepted messages for one recipient, oldest first."""
        return [received for received in list(self.messages) if recipient in received.recipients]

    def start(self) -> None:
        """Listen, on the port of the last time if there was one."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        self.port = listener.getsockname()[1]
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(listener, ready)), daemon=True)
        self._thread.start()
        ready.wait(10)

    def stop(self) -> None:
        """Cut every connection and refuse new ones until ``start``; ``messages`` stay."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(10)
            self._thread = self._loop = None

    # How it does that

    async def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._released, self._stopped = asyncio.Event(), asyncio.Event()
        server = await self._loop.create_server(self._session, sock=listener)
        ready.set()
        await self._stopped.wait()
        server.close()
        for session in list(self._sessions):
            _cut(session)

    def _session(self) -> SMTP:
        self.connections += 1
        session = SMTP(self, hostname="localhost", enable_SMTPUTF8=True, loop=self._loop)
        session.test_number = self.connections  # type: ignore[attr-defined]
        self._sessions.add(session)
        return session

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: Iterable[str]
    ) -> str:
        refusal = self.answer_recipient(address)
        if refusal is None:
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return refusal or "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content: Any = envelope.content or b""
        number = server.test_number  # type: ignore[attr-defined]
        received = Received(envelope.mail_from or "", list(envelope.rcpt_tos), content, number)
        self._note(self.attempts, received.recipients[0])
        answer = self.answers.popleft() if self.answers else self.answer(received)
        if answer is Behaviour.HANG and self._released is not None:
            await self._released.wait()
        if isinstance(answer, str) and not answer.startswith("2"):
            return answer
        if answer is not Behaviour.DROP:
            self._note(self.messages, received)
        if answer in (Behaviour.DROP, Behaviour.DROP_AFTER_ACCEPT):
            _cut(server)
            await asyncio.sleep(3600)  # Cancelled as soon as the connection's end is noticed.
        return answer if isinstance(answer, str) else "250 OK"

    def _note(self, where: list[Any], what: object) -> None:
        with self._changed:
            where.append(what)
            self._changed.notify_all()

    def _wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                raise TimeoutError(f"waited {seconds} seconds for {what}")


def _cut(session: SMTP) -> None:
    if isinstance(session.transport, asyncio.WriteTransport):
        session.transport.abort()


@contextlib.contextmanager
def smtp() -> Iterator[SmtpServer]:
    """A running mail server: ``.host``, ``.port``, ``.messages``, ``.wait_for()``, ``.will_answer()``."""
    server = SmtpServer()
    server.start()
    try:
        yield server
    finally:
        server.release()
        server.stop()
