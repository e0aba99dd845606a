"""Mails as the floors of `tests.bench.mail` send them: `smtplib` over one connection, and one RQ job for each.

``python -m tests.bench.mailer Worker 1 300`` has that worker of RQ's do the jobs for these mails; its seconds, as JSON.
"""

from __future__ import annotations

import json
import os
import smtplib
import sys
import time
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING

import redis
import rq
from sqlalchemy import select

from webapp import clock, create_app
from webapp.emails.render import Letter, load, render
from webapp.extensions import db
from webapp.models import Mail
from webapp.services.keys import secret_keys
from webapp.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Flask

SET = 100
_app: list[Flask] = []
"""The app of this process, which the jobs find made: an app for each would cost more than all else."""


def message(letter: Letter, settings: Settings) -> EmailMessage:
    """One mail by the standard library's builder, with the portal's own words."""
    rendered = render(letter, secret_keys(), clock.now())
    built = EmailMessage()
    built["Subject"] = rendered.subject
    built["From"] = settings.mail_default_sender
    built["To"] = letter.mail.recipient
    built["Date"] = formatdate()
    built["Message-ID"] = make_msgid(domain="localhost")
    built.set_content(rendered.text)
    built.add_alternative(rendered.html, subtype="html")
    if rendered.calendar is not None:
        built.add_attachment(rendered.calendar.text, subtype="calendar", filename=rendered.calendar.name)
    return built


def send_all(ids: Sequence[int], settings: Settings) -> None:
    """All of them over one connection, the rows read in sets; nothing is written down about them."""
    with smtplib.SMTP("127.0.0.1", settings.mail_port, local_hostname="localhost") as server:
        for start in range(0, len(ids), SET):
            mails = db.session.scalars(select(Mail).where(Mail.id.in_(ids[start : start + SET]))).all()
            for letter in load(mails):
                server.send_message(message(letter, settings))
            db.session.rollback()


def send_one(mail_id: int) -> None:
    """The job: one mail, its row, its connection."""
    with _app[0].app_context():
        send_all([mail_id], _app[0].config["SETTINGS"])


def main(kind: str, first: str, last: str) -> None:
    app = create_app(Settings.from_environment())
    _app.append(app)
    # Run as a script this module has another name than the one by which RQ imports the job.
    sys.modules["tests.bench.mailer"] = sys.modules[__name__]
    connection = redis.Redis.from_url(os.environ["REDIS_URL"])
    jobs = rq.Queue("mails", connection=connection)
    for number in range(int(first), int(last) + 1):
        jobs.enqueue("tests.bench.mailer.send_one", number)
    worker = getattr(rq, kind)([jobs], connection=connection)
    begun = time.perf_counter()
    worker.work(burst=True, logging_level="ERROR")
    seconds = time.perf_counter() - begun
    sys.stdout.write(json.dumps({"seconds": seconds, "failed": jobs.failed_job_registry.count}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
