"""What the mail server answered in the six weeks of `webapp.dev.demo`."""

from __future__ import annotations

from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import select

from webapp.dev import demo_people as cast
from webapp.domain.lifecycle import MailState
from webapp.emails.message import message_id
from webapp.extensions import db
from webapp.models import Mail

_DAY = timedelta(days=1)


class MailServer:
    """Takes what was written up to a day ago. What is younger waits, and reaches the developer's mailbox."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._last_id = 0

    def deliver(self, until: datetime) -> None:
        """Answer the mails that were due before ``until``, as far as they are not of the last day."""
        old = select(Mail).where(
            Mail.state == MailState.QUEUED, Mail.due_at < until, Mail.created_at < self._now - _DAY
        )
        for mail in db.session.scalars(old):
            mail.tries, mail.message_id = 1, self._message_id(mail)
            refusal = cast.BOUNCES.get((mail.recipient, mail.kind))
            if refusal:
                mail.state, mail.last_answer = MailState.FAILED, refusal
            else:
                mail.state, mail.last_answer = MailState.SENT, f"250 2.0.0 Ok: queued as {mail.message_id[1:9].upper()}"
                mail.sent_at = mail.due_at + timedelta(seconds=3)
        db.session.commit()

    def put_off(self) -> None:
        """Some of the last hours were tried and shall be tried again."""
        for (recipient, kind), (answer, tries, minutes) in cast.PUT_OFF.items():
            waits = select(Mail).where(Mail.recipient == recipient, Mail.kind == kind, Mail.state == MailState.QUEUED)
            for mail in db.session.scalars(waits):
                mail.tries, mail.last_answer, mail.message_id = tries, answer, self._message_id(mail)
                mail.due_at = self._now + timedelta(minutes=minutes)
        db.session.commit()

    def _message_id(self, mail: Mail) -> str:
        settings = current_app.config["SETTINGS"]
        return message_id(settings.secret_key, mail.key, settings.mail_default_sender)
