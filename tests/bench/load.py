"""A load of HTTP requests over kept-alive connections, light enough to leave the processors to the server."""

from __future__ import annotations

import re
import socket
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Connection:
    """One kept-alive connection to a server on loopback."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = self._connect()

    def _connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send one request; its status and whole answer."""
        try:
            self._socket.sendall(request)
            received = self._receive()
        except (ConnectionError, EOFError):  # The server closed a connection that had served enough.
            self._socket.close()
            self._socket = self._connect()
            self._socket.sendall(request)
            received = self._receive()
        return int(received[9:12]), received

    def _receive(self) -> bytes:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._some()
        head, _, body = received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        wanted = int(length.group(1)) if length else 0
        while len(body) < wanted:
            more = self._some()
            received += more
            body += more
        return received

    def _some(self) -> bytes:
        some = self._socket.recv(65536)
        if not some:
            raise EOFError
        return some

    def close(self) -> None:
        self._socket.close()


@dataclass(frozen=True)
class Measured:
    """Requests a second, and the times of each in milliseconds."""

    rate: float
    times: tuple[float, ...]

    def percentile(self, share: float) -> float:
        return sorted(self.times)[min(len(self.times) - 1, int(len(self.times) * share))]

    @property
    def median(self) -> float:
        return statistics.median(self.times)


def run_load(port: int, requests: Sequence[bytes], expected: int, connections: int = 8) -> Measured:
    """Send all ``requests``, each once, over ``connections`` at a time. Raises if an answer is not ``expected``."""
    waiting: Iterator[bytes] = iter(requests)
    lock = threading.Lock()
    times: list[float] = []
    wrong: list[bytes] = []

    def drive() -> None:
        connection = Connection(port)
        mine: list[float] = []
        while True:
            with lock:
                request = next(waiting, None)
            if request is None or wrong:
                break
            started = time.perf_counter()
            status, answer = connection.ask(request)
            mine.append((time.perf_counter() - started) * 1000)
            if status != expected:
                wrong.append(answer)
        connection.close()
        with lock:
            times.extend(mine)

    started = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        for driven in [pool.submit(drive) for _ in range(connections)]:
            driven.result()
    took = time.perf_counter() - started
    if wrong:
        raise RuntimeError(f"expected {expected}, got {wrong[0][:2000].decode(errors='replace')}")
    return Measured(len(times) / took, tuple(times))


def get(path: str, cookie: str = "") -> bytes:
    extra = f"Cookie: {cookie}\r\n" if cookie else ""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{extra}\r\n".encode()


def post(path: str, body: str, **headers: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
