"""What an admin asks an applicant about a request, and the answer by the private link of the request (rule 8.2).

A question is open as long as it has no answer and its request none either: a decision closes it, and one that is taken
back opens it again.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, update
from sqlalchemy.orm import joinedload

from webapp import emails
from webapp.domain.lifecycle import RequestState
from webapp.domain.tokens import RECEIPT, derive_token, new_nonce, recover_token, token_hash
from webapp.extensions import db
from webapp.models import Account, Question, Request
from webapp.models.base import insert_new
from webapp.services import audit, outbox, receipts
from webapp.services.acting import refuse_own
from webapp.services.errors import AlreadyAsked, AlreadyDecided, NotFound, QuestionClosed, TextMissing
from webapp.services.keys import secret_key, secret_keys
from webapp.services.sets import among
from webapp.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

LONGEST_QUESTION = 500
LONGEST_ANSWER = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, who asked it (an address), and the answer once there is one."""

    question: str
    at: datetime
    by: str
    answer: str
    answered_at: datetime | None


def of(request_ids: Sequence[int]) -> dict[int, list[Asked]]:
    """What was asked about each of ``request_ids``, oldest first: one query, however many."""
    found: dict[int, list[Asked]] = defaultdict(list)
    if request_ids:
        rows = db.session.execute(
            select(Question, Account.email)
            .join(Account, Account.id == Question.asked_by_id)
            .where(among(Question.request_id, request_ids))
            .order_by(Question.id)
        )
        for asked, by in rows:
            entry = Asked(asked.question, asked.asked_at, by, asked.answer, asked.answered_at)
            found[asked.request_id].append(entry)
    return found


def ask(request_id: int, text: str, by: audit.By, now: datetime) -> None:
    """Ask the applicant for more; they are mailed the question, one line, and where to answer it.

    Raises `NotFound`, `OwnRequest`, `OwnInvitee`, `TextMissing`, `AlreadyDecided`, or `AlreadyAsked` while another
    question waits.
    """
    text = one_line(text)[:LONGEST_QUESTION]
    if not text:
        raise TextMissing
    query = select(Request).where(Request.id == request_id).options(joinedload(Request.account, innerjoin=True))
    request = db.session.scalar(query)
    if request is None:
        raise NotFound
    account = request.account
    refuse_own(account.id, by)
    # The account first: whoever decides on the request does the same.
    db.session.refresh(account, with_for_update={"key_share": True})
    db.session.refresh(request, ["state"])
    if request.state is not RequestState.OPEN:
        db.session.rollback()
        raise AlreadyDecided
    row = {"request_id": request.id, "asked_by_id": by.account_id, "asked_at": now, "question": text}
    number = db.session.scalar(insert_new(Question).values(row).returning(Question.id))
    if number is None:
        db.session.rollback()
        raise AlreadyAsked
    _ensure_receipt(account)
    outbox.post(emails.more_information(account, number, request.id, now))
    audit.record("request.asked", account.id, by, now, request=request.id, question=number)
    db.session.commit()


def _ensure_receipt(account: Account) -> None:
    """Give the account a private link that can be mailed, if it has none or its secret is no longer configured."""
    nonce, hash_ = account.receipt_nonce, account.receipt_hash
    if nonce and hash_ and recover_token(secret_keys(), RECEIPT, nonce, hash_):
        return
    account.receipt_nonce = new_nonce()
    account.receipt_hash = token_hash(derive_token(secret_key(), RECEIPT, account.receipt_nonce))


def answer(token: str, question_id: int, text: str, by: audit.By, now: datetime) -> None:
    """Take the answer to an open question from the holder of the receipt link ``token``.

    Raises `NotFound` for a link or a question that is not theirs, `TextMissing`, or `QuestionClosed`.
    """
    lines = "".join(c if c.isprintable() or c == "\n" else " " for c in text.replace("\r\n", "\n")).split("\n")
    text = "\n".join(line.rstrip() for line in lines).strip()[:LONGEST_ANSWER]
    if not text:
        raise TextMissing
    account = receipts.find(token)
    db.session.refresh(account, with_for_update={"key_share": True})
    theirs = select(Request.id).where(Request.account_id == account.id)
    answered = db.session.scalar(
        update(Question)
        .where(
            Question.id == question_id,
            Question.answered_at.is_(None),
            Question.request_id.in_(theirs.where(Request.state == RequestState.OPEN)),
        )
        .values(answer=text, answered_at=now)
        .returning(Question.request_id),
        execution_options={"synchronize_session": False},
    )
    if answered is None:
        query = select(Question.id).where(Question.id == question_id, Question.request_id.in_(theirs))
        known = db.session.scalar(query)
        db.session.rollback()
        raise QuestionClosed if known else NotFound
    audit.record("request.answered", account.id, by, now, request=answered, question=question_id)
    db.session.commit()
