"""A mail server that accepts everything and keeps nothing, in a process of its own.

``python -m tests.bench.discard`` prints its port; at its end, when it accepted the last mail to each recipient.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import time

_GREETING = b"250-localhost\r\n250 8BITMIME\r\n"


class Session(asyncio.Protocol):
    """Just enough of SMTP for a client that waits for each answer."""

    def __init__(self, accepted: dict[str, float]) -> None:
        self.accepted = accepted
        self.received = bytearray()
        self.recipient = ""
        self.in_message = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport
        transport.write(b"220 localhost\r\n")

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.received.endswith(b"\r\n.\r\n" if self.in_message else b"\r\n"):
            return
        if self.in_message:
            self.in_message = False
            self.accepted[self.recipient] = time.perf_counter()
            self.transport.write(b"250 OK\r\n")
        else:
            self.transport.write(self._answer(self.received.decode()))
        self.received.clear()

    def _answer(self, line: str) -> bytes:
        match line[:4].upper():
            case "EHLO" | "HELO":
                return _GREETING
            case "RCPT":
                self.recipient = line.partition("<")[2].partition(">")[0]
            case "DATA":
                self.in_message = True
                return b"354 go on\r\n"
            case "QUIT":
                self.transport.close()
                return b""
        return b"250 OK\r\n"


async def serve() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    listener = socket.create_server(("127.0.0.1", 0))
    accepted: dict[str, float] = {}
    await loop.create_server(lambda: Session(accepted), sock=listener)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    await stop.wait()
    sys.stdout.write(json.dumps(accepted) + "\n")


if __name__ == "__main__":
    asyncio.run(serve())
