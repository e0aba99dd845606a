"""Asking a part whether it is up, without waiting for the answer."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def queue_answers(path: Path) -> bool:
    """Whether the queue server on this unix socket answers PING (it refuses while it loads its data)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(0.5)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def port_answers(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


class HealthProbe:
    """One request for ``/healthz`` that lies in the listening socket until the web server takes it."""

    def __init__(self, port: int, host: str) -> None:
        self._port = port
        self._request = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("latin-1")
        self._connection: socket.socket | None = None
        self.status = 0
        """The HTTP status of the answer; 0 until there is one."""

    def answered(self) -> bool:
        """Whether an answer has come. Never blocks; asks again when the connection was cut."""
        if self.status:
            return True
        try:
            if self._connection is None:
                self._connection = socket.create_connection(("127.0.0.1", self._port), timeout=0.5)
                self._connection.sendall(self._request)
                self._connection.setblocking(False)
            answer = self._connection.recv(64)
        except BlockingIOError:
            return False
        except OSError:
            answer = b""
        if answer.startswith(b"HTTP/1.") and answer[9:12].isdigit():
            self.status = int(answer[9:12])
        self.close()
        return bool(self.status)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
