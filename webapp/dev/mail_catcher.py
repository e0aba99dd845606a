"""A real SMTP server that keeps every mail as a file: ``python -m webapp.dev.mail_catcher --help``."""

from __future__ import annotations

import argparse
import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    from aiosmtpd.smtp import Envelope, Session


class Mailbox:
    """Writes each accepted message to ``folder`` as ``<UTC time>-<number>.eml``; names sort by arrival.

    The envelope's recipients stand in an ``X-Envelope-To`` header, since To and Cc need not name them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content or b""
        self.keep(envelope.rcpt_tos, content if isinstance(content, bytes) else content.encode())
        return "250 OK"

    def keep(self, recipients: list[str], content: bytes) -> Path:
        """Write one message, whole or not at all, and give its path."""
        self.count += 1
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{self.count:04}.eml"
        header = f"X-Envelope-To: {', '.join(recipients)}\r\n".encode()
        temporary = self.folder / f".{name}.new"
        temporary.write_bytes(header + content)
        return temporary.rename(self.folder / name)


async def serve(port: int, mailbox: Mailbox) -> None:
    """Serve on loopback until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # The name is given because asking the machine for its own can take seconds without a network.
    await loop.create_server(
        lambda: SMTP(mailbox, hostname="localhost", enable_SMTPUTF8=True, loop=loop), "127.0.0.1", port
    )
    await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m webapp.dev.mail_catcher", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mailbox", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(serve(options.port, Mailbox(options.mailbox)))


if __name__ == "__main__":
    main()
