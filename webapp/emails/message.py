"""A mail as it goes over the wire, for Flask-Mail's connection."""

from __future__ import annotations

import binascii
from email import policy
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.utils import formatdate
from typing import TYPE_CHECKING

from flask_mail import BadHeaderError, Message, sanitize_address, sanitize_subject

from webapp.domain.tokens import derive_key

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.calendars import CalendarFile

_WIRE = policy.compat32.clone(linesep="\r\n", mangle_from_=False)


def message_id(secret: str, key: str, sender: str) -> str:
    """The Message-ID of the mail for one event: always the same, and it tells nothing of the event."""
    digest = derive_key(secret, f"message-id:{key}").hex()[:32]
    return f"<{digest}@{sender_domain(sender)}>"


def sender_domain(sender: str) -> str:
    """The domain of an address, with or without a name before it."""
    return sender.rpartition("@")[2].strip(" >") or "localhost"


class OutgoingMail(Message):
    """One recipient, two alternatives, perhaps a calendar file, and our own Message-ID.

    Flask-Mail's constructor is left out because it asks the network for this machine's name, for a Message-ID that is
    not used: 5 milliseconds for each mail, seconds where no name server answers.
    """

    def __init__(
        self,
        *,
        sender: str,
        recipient: str,
        subject: str,
        text: str,
        html: str,
        id_: str,
        now: datetime,
        calendar: CalendarFile | None = None,
    ) -> None:
        self.sender, self.recipients, self.subject = sender, [recipient], subject
        self.body, self.alts = text, {"html": html}
        self._calendar = calendar
        self._lines = {"From": sender, "To": recipient, "Subject": subject, "Message-ID": id_}
        self.msgId = id_
        self.date = now.timestamp()
        self.reply_to = self.charset = self.extra_headers = None
        self.cc, self.bcc, self.attachments = [], [], []
        self.mail_options, self.rcpt_options = [], []

    def as_bytes(self) -> bytes:
        """The message with CR LF. Raises `BadHeaderError` if anything in a header is not plain text (E1)."""
        if not all(value.isprintable() for value in self._lines.values()):
            raise BadHeaderError
        words = MIMEMultipart("alternative")
        words.attach(_part("plain", self.body or ""))
        words.attach(_part("html", self.alts["html"]))
        whole = words
        if self._calendar is not None:
            whole = MIMEMultipart("mixed")
            whole.attach(words)
            whole.attach(_attached(self._calendar))
        whole["Subject"] = sanitize_subject(self.subject, "utf-8")
        whole["From"] = sanitize_address(self._lines["From"])
        whole["To"] = sanitize_address(self._lines["To"])
        whole["Date"] = formatdate(self.date)
        whole["Message-ID"] = self.msgId
        # Nobody's holiday notice comes back, and no two machines write to each other for ever.
        whole["Auto-Submitted"] = "auto-generated"
        whole["X-Auto-Response-Suppress"] = "All"
        return whole.as_bytes(policy=_WIRE)


def _part(subtype: str, text: str) -> MIMENonMultipart:
    # Quoted-printable by the C library: the email package's own is ten times slower.
    part = MIMENonMultipart("text", subtype, charset="utf-8")
    part["Content-Transfer-Encoding"] = "quoted-printable"
    part.set_payload(binascii.b2a_qp(text.encode()).decode("ascii"))
    return part


def _attached(calendar: CalendarFile) -> MIMENonMultipart:
    # The type does not name the file's method: with it, Outlook would show an invitation in place of the mail.
    part = _part("calendar", calendar.text)
    part.add_header("Content-Disposition", "attachment", filename=calendar.name)
    return part
