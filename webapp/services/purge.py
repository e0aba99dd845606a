"""Forgetting: personal data some days after an account has ended (rule 3.5), and what was only of use for a while."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flask import current_app
from sqlalchemy import ColumnElement, String, and_, delete, exists, literal, null, or_, select, tuple_, update
from sqlalchemy import cast as sql_cast

from webapp.domain.lifecycle import ACCOUNT_TRANSITIONS, AccountStatus, MailState
from webapp.extensions import db
from webapp.models import (
    Account,
    AgreementAcceptance,
    AuditEvent,
    Authenticator,
    Batch,
    BatchRow,
    BatchState,
    BrowserSession,
    Device,
    Invitation,
    Invitee,
    LogInAttempt,
    Mail,
    Note,
    Question,
    RecoveryCode,
    Request,
    UsedSolution,
    WrongCode,
)
from webapp.services.sets import CHUNK, NOT_ON_HOLD, among, execute, record_each

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Select

_DELETABLE = [old for old, following in ACCOUNT_TRANSITIONS.items() if AccountStatus.DELETED in following]
_KEPT_AFTER_END = timedelta(days=1)
"""Tries to log in and wrong codes are counted over a day (L3)."""


def due(now: datetime) -> Select[*tuple[Any, ...]]:
    """Ended accounts whose data are to be forgotten, but for those on hold, which keeps their data as well.

    Nor those with a mail on its way: it leaves or fails first.
    """
    on_its_way = exists().where(Mail.account_id == Account.id, Mail.state == MailState.QUEUED)
    return (
        select(Account.id, Account.email, Account.purge_at)
        .where(Account.purge_at <= now, Account.status.in_(_DELETABLE), NOT_ON_HOLD, ~on_its_way)
        .order_by(Account.purge_at, Account.id)
    )


def purge(now: datetime) -> int:
    """Delete the personal data that are due; how many people's. Commits chunk by chunk."""
    count = 0
    after: ColumnElement[bool] | None = None
    while True:
        query = due(now).limit(CHUNK)
        if after is not None:
            query = query.where(after)
        rows = db.session.execute(query.with_for_update(of=Account, skip_locked=True, key_share=False)).all()
        if not rows:
            db.session.rollback()
            return count
        _forget([row.id for row in rows], now)
        db.session.commit()
        count += len(rows)
        after = tuple_(Account.purge_at, Account.id) > (rows[-1].purge_at, rows[-1].id)


def _forget(ids: Sequence[int], now: datetime) -> None:
    """What names the person, or could be traced to them, goes; the account's number stays as the pseudonym."""
    addresses = select(Account.email_folded).where(among(Account.id, ids))
    sent = select(Batch.id).where(Batch.state == BatchState.DONE)
    execute(delete(BatchRow).where(BatchRow.email_folded.in_(addresses), BatchRow.batch_id.in_(sent)))
    pseudonym = literal("deleted-") + sql_cast(Account.id, String)
    execute(
        update(Account)
        .where(among(Account.id, ids))
        .values(
            status=AccountStatus.DELETED,
            status_at=now,
            email=pseudonym,
            email_folded=pseudonym,
            purge_at=None,
            inactivity_due_at=None,
            receipt_nonce=None,
            receipt_hash=None,
            recovery_nonce=None,
            recovery_session_hash=None,
            first_name=None,
            last_name=None,
            mobile=None,
            department=None,
            organisation=None,
        )
    )
    theirs = select(Request.id).where(among(Request.account_id, ids))
    execute(delete(Question).where(Question.request_id.in_(theirs)))
    for table in (BrowserSession, Mail, Device, Authenticator, RecoveryCode, LogInAttempt, Note, Invitee):
        execute(delete(table).where(among(table.account_id, ids)))
    # Whom they had asked for.
    execute(delete(Invitee).where(among(Invitee.inviter_id, ids)))
    execute(delete(BatchRow).where(BatchRow.batch_id.in_(select(Batch.id).where(among(Batch.inviter_id, ids)))))
    execute(delete(Batch).where(among(Batch.inviter_id, ids)))
    # The hash stays, so that an old link can still say that it has ended (rule 3.7); the token cannot be made again.
    execute(update(Invitation).where(among(Invitation.account_id, ids)).values(nonce=""))
    execute(update(Request).where(among(Request.account_id, ids)).values(reason=""))
    execute(update(AgreementAcceptance).where(among(AgreementAcceptance.account_id, ids)).values(peer=""))
    execute(
        update(AuditEvent)
        .where(
            or_(among(AuditEvent.account_id, ids), among(AuditEvent.actor_id, ids)),
            AuditEvent.peer.is_not(None),
        )
        .values(peer=null(), peer_salt=null())
    )
    record_each("account.deleted", ids, now)


def tidy(now: datetime) -> int:
    """Delete sessions, used robot checks, tries to log in, wrong codes and batches that have had their time."""
    count = _tidy_batches(now)
    for table, condition in (
        (BrowserSession, BrowserSession.expires_at <= now),
        (UsedSolution, UsedSolution.expires_at <= now),
        (LogInAttempt, LogInAttempt.expires_at <= now - _KEPT_AFTER_END),
        (WrongCode, WrongCode.at <= now - _KEPT_AFTER_END),
    ):
        (key,) = table.__table__.primary_key.columns  # type: ignore[attr-defined]
        while True:
            some = select(key).where(condition).limit(CHUNK).with_for_update(skip_locked=True)
            gone = execute(delete(table).where(key.in_(some)))
            db.session.commit()
            count += gone
            if gone < CHUNK:
                break
    return count


def _tidy_batches(now: datetime) -> int:
    """Batches some days after they were sent, and drafts that nobody sent (rule 5.2)."""
    kept = timedelta(days=current_app.config["POLICY"].batch_keep_days)
    over = or_(Batch.ended_at <= now - kept, and_(Batch.state == BatchState.DRAFT, Batch.created_at <= now - kept))
    count = 0
    while (
        number := db.session.scalar(select(Batch.id).where(over).limit(1).with_for_update(skip_locked=True))
    ) is not None:
        count += execute(delete(BatchRow).where(BatchRow.batch_id == number))
        count += execute(delete(Batch).where(Batch.id == number))
        db.session.commit()
    db.session.rollback()
    return count
