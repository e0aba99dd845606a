"""The connection to the mail server: one for many mails, with a limit on how long it may keep silent."""

from __future__ import annotations

import smtplib
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import current_app
from flask_mail import Connection

if TYPE_CHECKING:
    from webapp.emails.message import OutgoingMail

TROUBLE = (smtplib.SMTPException, OSError)
"""What a mail server that is down, hangs, refuses us or breaks off raises."""


class _Smtp(smtplib.SMTP):
    """Keeps the answer to the last message, which `smtplib.SMTP.sendmail` throws away when it is good."""

    last_answer = ""

    def data(self, msg: Any) -> tuple[int, bytes]:
        code, answer = super().data(msg)
        self.last_answer = f"{code} {answer.decode(errors='replace')}"
        return code, answer


class _Connection(Connection):
    def configure_host(self) -> _Smtp:
        """As Flask-Mail's, but it gives up after a time, checks the server's certificate and never prints the mails.

        It names itself by the portal's address: asking the network for this machine's name may take seconds.
        """
        settings = current_app.config["SETTINGS"]
        own_name = urlsplit(settings.public_base_url).hostname or "localhost"
        host = _Smtp(local_hostname=own_name, timeout=settings.mail_timeout_seconds)
        # Noted here, since it is the constructor that otherwise notes it, for the certificate.
        host._host = self.mail.server  # type: ignore[attr-defined]
        try:
            code, answer = host.connect(self.mail.server, self.mail.port)
            if code != 220:
                raise smtplib.SMTPConnectError(code, answer)
            if self.mail.use_tls:
                host.starttls(context=ssl.create_default_context())
            if self.mail.username and self.mail.password:
                host.login(self.mail.username, self.mail.password)
            host.ehlo_or_helo_if_needed()
        except BaseException:
            host.close()
            raise
        return host


class MailServer:
    """A connection that is opened when it is needed, and again after it broke."""

    def __init__(self) -> None:
        self._connection: _Connection | None = None

    @property
    def _host(self) -> _Smtp | None:
        host = self._connection.host if self._connection else None
        assert host is None or isinstance(host, _Smtp)
        return host

    def open(self) -> None:
        """Connect, unless it is open. Raises one of `TROUBLE`."""
        if self._connection is None:
            connection = _Connection(current_app.extensions["mail"])
            connection.__enter__()
            self._connection = connection

    def send(self, message: OutgoingMail) -> str:
        """Hand one message over; the server's answer. Raises one of `TROUBLE` or `flask_mail.BadHeaderError`."""
        self.open()
        assert self._connection is not None
        message.send(self._connection)
        return self._host.last_answer if self._host else ""

    @property
    def is_open(self) -> bool:
        """Whether the server keeps the connection; after an answer of 421 it does not."""
        return self._host is not None and self._host.sock is not None

    def drop(self) -> None:
        """Forget a connection that broke."""
        if self._host is not None:
            self._host.close()
        self._connection = None

    def close(self) -> None:
        """Take leave of the server."""
        if self._host is not None and self.is_open:
            try:
                self._host.quit()
            except TROUBLE:
                self._host.close()
        self._connection = None
