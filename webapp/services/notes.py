"""Notes about people, for admins alone (rule 8.2)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from webapp.domain.lifecycle import AccountStatus
from webapp.extensions import db
from webapp.models import Account, Note
from webapp.services import audit
from webapp.services.errors import NotFound, OwnAccount, TextMissing
from webapp.services.held import hold
from webapp.services.sets import among
from webapp.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

LONGEST = 500
SAME_PRESS = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Written:
    """A note and who wrote it: ``by`` is an address."""

    text: str
    at: datetime
    by: str


def add(account_id: int, text: str, by: audit.By, now: datetime) -> None:
    """Note ``text``, one line, about somebody. The record tells that there is a note, never what it says.

    The same words again within a minute are the same press: they are kept once.

    Raises `NotFound` once their data is deleted, `OwnAccount`, or `TextMissing`.
    """
    text = one_line(text)[:LONGEST]
    if not text or by.account_id is None:
        raise TextMissing
    if by.account_id == account_id:
        raise OwnAccount
    # Held, so that a purge at the same instant leaves no note behind.
    account = hold(account_id)
    if account is None or account.status is AccountStatus.DELETED:
        db.session.rollback()
        raise NotFound
    last = select(Note).where(Note.account_id == account_id).order_by(Note.id.desc()).limit(1)
    before = db.session.scalar(last)
    if before is not None and (before.by_id, before.note) == (by.account_id, text) and now - before.at < SAME_PRESS:
        db.session.rollback()
        return
    db.session.add(Note(account_id=account_id, by_id=by.account_id, at=now, note=text))
    audit.record("note.added", account_id, by, now)
    db.session.commit()


def of(account_ids: Collection[int]) -> dict[int, list[Written]]:
    """The notes about each of ``account_ids``, newest first: one query, however many people."""
    found: dict[int, list[Written]] = defaultdict(list)
    if account_ids:
        rows = db.session.execute(
            select(Note.account_id, Note.note, Note.at, Account.email)
            .join(Account, Account.id == Note.by_id)
            .where(among(Note.account_id, list(account_ids)))
            .order_by(Note.id.desc())
        )
        for row in rows:
            found[row.account_id].append(Written(row.note, row.at, row.email))
    return found
