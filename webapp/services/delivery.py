"""Delivery: the outbox's due mails go to the mail server, each once (section 9; decision 0005).

A deliverer holds a few mails for half a minute and says so again while it is at work. So two never hold the same, and
what a killed one held is sent by the next, soon. Each answer of the server is committed before the next message
begins: a deliverer that is killed repeats the one message it was sending, at most, with the same Message-ID.
"""

from __future__ import annotations

import re
import smtplib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from flask import current_app
from flask_mail import BadHeaderError
from sqlalchemy import Engine, Select, select, update
from sqlalchemy.exc import SQLAlchemyError

from webapp.domain.lifecycle import MailState
from webapp.emails.message import OutgoingMail, message_id
from webapp.emails.purpose import has_ended
from webapp.emails.render import Letter, load, render
from webapp.emails.smtp import TROUBLE, MailServer
from webapp.extensions import db
from webapp.models import Mail
from webapp.services import failed_mails
from webapp.services.keys import secret_key, secret_keys
from webapp.services.outbox import has_state
from webapp.services.sets import among, execute
from webapp.texts import one_line

log = structlog.get_logger()

BATCH = 100
_BATCH_SECONDS = 1.0
"""After this time the rest of a batch is given back: what is urgent waits no longer, however slow the server."""
_HOLD = timedelta(seconds=30)
_RENEW_SECONDS = 8.0
_TROUBLES_IN_A_ROW = 3
"""After so many messages at which the server hung, broke off or refused our very sender, it is left alone for now."""

_PAUSES = (1, 5, 15, 60)
"""Minutes after the first tries that failed for the time being; then it is the last of them again."""
_MOST_TRIES = 51
"""Some two days."""
_OUTAGE = timedelta(days=2)


@dataclass
class Summary:
    """How many mails a run has sent, put off, failed and taken back; and whether it stopped before all was done."""

    sent: int = 0
    postponed: int = 0
    failed: int = 0
    cancelled: int = 0
    more: bool = False
    unreachable: bool = False


def deliver(now: datetime, seconds: float = 30.0, goes_on: Callable[[], bool] = lambda: True) -> Summary:
    """Send what is due, urgent mails first, for as long as there is some, ``seconds`` pass, or ``goes_on`` says no.

    While the server cannot be reached nothing is tried, counted or put off, and all of it leaves once it is back. What
    has waited for two days counts as failed meanwhile, so that accounts end all the same (rule 3.4).
    """
    run = _Run(now, goes_on)
    if not (_is_any_due(now) or failed_mails.is_any_to_forgive()):
        return run.summary
    try:
        run.server.open()
        failed_mails.forgive_outage(now)
        while goes_on() and not run.summary.unreachable:
            if run.elapsed() > seconds:
                run.summary.more = True
                break
            letters = _claim(run.present(), run.summary)
            if letters is None:
                break
            with _Held(db.engine, letters, run.present) as held:
                run.send_batch(letters, held)
    except TROUBLE as error:
        run.summary.unreachable = True
        log.warning("mail server unreachable", error=type(error).__name__)
        db.session.rollback()
        run.summary.failed += failed_mails.fail_after_outage(now, _OUTAGE)
    finally:
        run.server.close()
        db.session.rollback()
    return run.summary


# What is due, and whose it is.


def _due(now: datetime, *, urgent: bool) -> Select[Mail]:
    return (
        select(Mail)
        .where(has_state(MailState.QUEUED), Mail.urgent.is_(urgent), Mail.due_at <= now)
        .order_by(Mail.due_at, Mail.id)
    )


def _is_any_due(now: datetime) -> bool:
    found = any(
        db.session.scalar(_due(now, urgent=urgent).with_only_columns(Mail.id).limit(1)) for urgent in (True, False)
    )
    db.session.rollback()
    return found


def _claim(now: datetime, summary: Summary) -> list[Letter] | None:
    """Take the next due mails for this deliverer alone, and take back those without a purpose; None if none is due."""
    mails: list[Mail] = []
    # Two queries, since one index serves each; urgent mails leave first.
    for urgent in (True, False):
        if len(mails) < BATCH:
            query = _due(now, urgent=urgent).limit(BATCH - len(mails))
            query = query.with_for_update(skip_locked=True, key_share=True)
            mails += db.session.scalars(query.execution_options(populate_existing=True))
    if not mails:
        db.session.rollback()
        return None
    letters = load(mails)
    ended = [letter for letter in letters if has_ended(letter, now)]
    if ended:
        numbers = [letter.mail.id for letter in ended]
        execute(update(Mail).where(among(Mail.id, numbers)).values(state=MailState.CANCELLED))
        letters = [letter for letter in letters if letter.mail.id not in numbers]
    sender, secret = current_app.config["SETTINGS"].mail_default_sender, secret_key()
    for letter in letters:
        letter.mail.due_at = now + _HOLD
        letter.mail.tries += 1
        letter.mail.message_id = letter.mail.message_id or message_id(secret, letter.mail.key, sender)
    db.session.commit()
    summary.cancelled += len(ended)
    return letters


class _Held:
    """The mails that a deliverer holds. As long as it lives, a thread moves on the time at which others may take them.

    A thread, because the deliverer itself may wait for a server that keeps silent.
    """

    def __init__(self, engine: Engine, letters: Sequence[Letter], present: Callable[[], datetime]) -> None:
        self._engine, self._present = engine, present
        self._ids = {letter.mail.id for letter in letters}
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> _Held:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Give back what was not tried, as if it had never been taken."""
        db.session.rollback()
        self._done.set()
        self._thread.join()
        if not self._ids:
            return
        mine = db.session.scalars(_held_rows(self._ids)).all()
        back = self._present()
        execute(update(Mail).where(among(Mail.id, mine)).values(due_at=back, tries=Mail.tries - 1))
        db.session.commit()

    def tried(self, mail_id: int) -> None:
        """This one is settled from here on by its outcome."""
        with self._lock:
            self._ids.discard(mail_id)

    def _renew(self) -> None:
        while not self._done.wait(_RENEW_SECONDS):
            try:
                with self._lock, self._engine.begin() as connection:
                    mine = connection.scalars(_held_rows(self._ids)).all()
                    connection.execute(update(Mail).where(Mail.id.in_(mine)).values(due_at=self._present() + _HOLD))
            except SQLAlchemyError as error:
                # The deliverer meets the same database as soon as it notes an outcome, and stops.
                log.warning("mails held could not be renewed", error=type(error).__name__)


def _held_rows(ids: set[int]) -> Select[int]:
    """Rows that another transaction is changing are passed over: it is taking them back, and it might wait for us."""
    return (
        select(Mail.id)
        .where(Mail.id.in_(ids), has_state(MailState.QUEUED))
        .with_for_update(skip_locked=True, key_share=True)
    )


# One message after the other.


class _Run:
    """One run of a deliverer: its connection, what it has done, and how the server has behaved."""

    def __init__(self, now: datetime, goes_on: Callable[[], bool]) -> None:
        self.server = MailServer()
        self.summary = Summary()
        self._now, self._begun = now, time.monotonic()
        self._goes_on = goes_on
        self._troubles = 0

    def elapsed(self) -> float:
        return time.monotonic() - self._begun

    def present(self) -> datetime:
        return self._now + timedelta(seconds=self.elapsed())

    def send_batch(self, letters: Sequence[Letter], held: _Held) -> None:
        """Send until the batch or its time is over. Raises one of `TROUBLE` if the connection cannot be had again."""
        begun = self.elapsed()
        for letter in letters:
            if self.elapsed() - begun > _BATCH_SECONDS or not self._goes_on():
                return
            # A connection that cannot be had is nothing that this mail has done: it stays as it was.
            self.server.open()
            outcome = _send(letter, self.server, self.present())
            _note(letter.mail, outcome, self.present(), self.summary)
            held.tried(letter.mail.id)
            if not self.server.is_open:
                self.server.drop()
            self._troubles = self._troubles + 1 if outcome.is_trouble else 0
            if self._troubles >= _TROUBLES_IN_A_ROW:
                self.summary.unreachable = True
                return


@dataclass(frozen=True, slots=True)
class _Outcome:
    state: MailState
    """Queued stands for: try again."""
    answer: str
    is_trouble: bool = False
    """Whether it may be the server rather than this mail."""


def _send(letter: Letter, server: MailServer, now: datetime) -> _Outcome:
    """Render one mail and hand it over. Whatever goes wrong with it is its outcome, and keeps no other from leaving."""
    mail = letter.mail
    try:
        rendered = render(letter, secret_keys(), now)
    except Exception as error:
        # Apart from what the server does, since a template that is missing is an `OSError` too.
        return _not_written(mail, error)
    assert mail.message_id
    message = OutgoingMail(
        sender=current_app.config["SETTINGS"].mail_default_sender,
        recipient=mail.recipient,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        id_=mail.message_id,
        now=now,
        calendar=rendered.calendar,
    )
    try:
        return _Outcome(MailState.SENT, _clean(server.send(message), rendered.secrets))
    except TROUBLE as error:
        return _refused(error, rendered.secrets, server)
    except BadHeaderError:
        log.error("a mail with a line break in a header", mail=mail.id, kind=mail.kind)
        return _Outcome(MailState.FAILED, "Not sent: a header would hold a line break.")
    except Exception as error:
        return _not_written(mail, error)


def _not_written(mail: Mail, error: Exception) -> _Outcome:
    """An error in one template or row. It is shown to admins, who send the mail again once it is mended."""
    log.exception("a mail cannot be written", mail=mail.id, kind=mail.kind)
    return _Outcome(MailState.FAILED, f"Not sent: it could not be written ({type(error).__name__}).")


def _refused(error: Exception, secrets: tuple[str, ...], server: MailServer) -> _Outcome:
    """What an error of the mail server means for the message it came with."""
    code, answer = 0, type(error).__name__
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(error.recipients.values()))
        answer = f"{code} {_text(said)}"
    elif isinstance(error, smtplib.SMTPResponseException):
        code, answer = error.smtp_code, f"{error.smtp_code} {_text(error.smtp_error)}"
    answer = _clean(answer, secrets)
    # Who refuses our sender refuses every mail; 552 alone is about the size of this one.
    about_us = isinstance(error, smtplib.SMTPSenderRefused) and code != 552
    if 500 <= code < 600 and not about_us:
        return _Outcome(MailState.FAILED, answer)
    if code == 0:
        server.drop()
    return _Outcome(MailState.QUEUED, answer, is_trouble=about_us or code in (0, 421))


def _text(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said


def _clean(answer: str, secrets: tuple[str, ...]) -> str:
    """An answer as it may be kept: without the links and codes that a suspicious server might quote, and not long."""
    for secret in secrets:
        answer = answer.replace(secret, "(removed)")
    answer = re.sub(r"https?://\S+", "(link)", answer)
    return one_line(answer)[:300]


def _note(mail: Mail, outcome: _Outcome, now: datetime, summary: Summary) -> None:
    """Write down what became of a mail, at once. One that was taken back while it waited stays so, unless it left."""
    change = update(Mail).where(Mail.id == mail.id)
    tries = mail.tries
    if outcome.state is MailState.SENT:
        change = change.values(state=MailState.SENT, sent_at=now, last_answer=outcome.answer)
        summary.sent += 1
    elif outcome.state is MailState.QUEUED and tries < _MOST_TRIES:
        pause = timedelta(minutes=_PAUSES[min(tries, len(_PAUSES)) - 1])
        change = change.where(has_state(MailState.QUEUED)).values(due_at=now + pause, last_answer=outcome.answer)
        summary.postponed += 1
        log.warning("mail put off", mail=mail.id, kind=mail.kind, tries=tries, code=outcome.answer[:3])
    else:
        change = change.where(has_state(MailState.QUEUED)).values(state=MailState.FAILED, last_answer=outcome.answer)
        summary.failed += 1
        log.error("mail failed", mail=mail.id, kind=mail.kind, tries=tries, code=outcome.answer[:3])
    execute(change)
    db.session.commit()
