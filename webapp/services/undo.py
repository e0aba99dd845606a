"""Taking a decision on a request back, by whoever made it, before its mail has left (rule 8.2)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import String, delete, literal, select, update
from sqlalchemy import cast as sql_cast
from sqlalchemy.exc import IntegrityError

from webapp.domain.lifecycle import (
    LIVE,
    AccountStatus,
    InvitationKind,
    InvitationState,
    MailState,
    RequestKind,
    RequestState,
    SeedStatus,
)
from webapp.extensions import db
from webapp.models import Account, Invitation, Mail, Question, Request
from webapp.services import audit, outbox
from webapp.services.errors import Late, TooLate
from webapp.services.queue_list import find
from webapp.services.sets import among

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from webapp.domain.policy import Policy


def leaves_at(by: audit.By, now: datetime, policy: Policy) -> datetime:
    """When the mail of a decision may leave: at once where nobody decided who could take it back."""
    return now if by.account_id is None else now + timedelta(seconds=policy.undo_seconds)


def seconds_left(request: Request, account_id: int, now: datetime, policy: Policy) -> float:
    """For how long an admin may still take back what was decided; 0 if not."""
    if request.decided_at is None or request.decided_by_id != account_id:
        return 0.0
    until = request.decided_at + timedelta(seconds=policy.undo_seconds)
    return max(0.0, (until - now).total_seconds())


def newest_first(request_ids: Sequence[int]) -> Sequence[int]:
    """Decided requests in the order in which they can be taken back: SEED before the TechPass it stands on."""
    return db.session.scalars(
        select(Request.id)
        .where(among(Request.id, request_ids), Request.state != RequestState.OPEN)
        .order_by(Request.decided_at.desc(), Request.id.desc())
    ).all()


def undo(request_id: int, by: audit.By, now: datetime, policy: Policy) -> Request:
    """Put a request back into the queue as if nothing had been decided; nobody is mailed.

    Raises `NotFound`, or `TooLate` with what keeps it from being taken back.
    """
    request = find(request_id)
    account = request.account
    # The account first, as whoever changes what belongs to it does (see `webapp.services.sets`).
    db.session.refresh(account, with_for_update={"key_share": True})
    db.session.refresh(request, ["state", "decided_at", "decided_by_id", "due_on"])
    approved = request.state is RequestState.APPROVED
    try:
        _check(request, by, now, policy)
        _put_back(request, account, now)
    except TooLate:
        db.session.rollback()
        raise
    except IntegrityError:
        # They signed up again since: of one address there is but one live account.
        db.session.rollback()
        raise TooLate(Late.SIGNED_UP_AGAIN) from None
    if approved:
        audit.record(f"{request.kind}.approval_undone", account.id, by, now, request=request.id)
    else:
        audit.record(f"{request.kind}.rejection_undone", account.id, by, now, request=request.id)
    db.session.commit()
    return request


def _check(request: Request, by: audit.By, now: datetime, policy: Policy) -> None:
    if request.state not in (RequestState.APPROVED, RequestState.REJECTED):
        raise TooLate(Late.MOVED_ON)
    if by.account_id is None or request.decided_by_id != by.account_id:
        raise TooLate(Late.OTHER_ADMIN)
    if not seconds_left(request, by.account_id, now, policy):
        raise TooLate(Late.TIME)


def _put_back(request: Request, account: Account, now: datetime) -> None:
    is_techpass = request.kind is RequestKind.TECHPASS
    approved = request.state is RequestState.APPROVED
    if is_techpass:
        if account.status is not (AccountStatus.PENDING if approved else AccountStatus.REJECTED):
            raise TooLate(Late.MOVED_ON)
        if approved and _seed_is_approved(account.id):
            raise TooLate(Late.SEED_FIRST)
        account.put_back(AccountStatus.REQUESTED, request.requested_at)
        account.purge_at = None
    else:
        decided = SeedStatus.INVITED if approved else SeedStatus.REJECTED
        if account.status not in LIVE or account.seed_status is not decided:
            raise TooLate(Late.MOVED_ON)
        account.put_seed_back(SeedStatus.REQUESTED, request.requested_at)
    # Here two accounts of one address meet.
    db.session.flush()
    if approved:
        kind = InvitationKind.TECHPASS if is_techpass else InvitationKind.SEED
        _withdraw(account.id, kind, request.decided_at, now)
    else:
        key = f"request_rejected:{request.id}" if is_techpass else f"seed_rejected:{request.id}"
        _unsend(Mail.key == key)
    if is_techpass and approved:
        # The promise began with the approval.
        whose = (Request.account_id == account.id, Request.kind == RequestKind.SEED)
        db.session.execute(update(Request).where(*whose).values(due_on=None))
    if is_techpass and not approved:
        _reopen_seed(request, account)
    db.session.execute(update(Request).where(Request.id == request.id).values(_OPEN))
    db.session.refresh(request, ["state", "decided_at", "decided_by_id", "reason", "due_on"])
    _send_question_after_all(request.id)


_OPEN = {"state": RequestState.OPEN, "decided_at": None, "decided_by_id": None, "reason": ""}


def _seed_is_approved(account_id: int) -> bool:
    return bool(
        db.session.scalar(
            select(Request.id)
            .where(
                Request.account_id == account_id,
                Request.kind == RequestKind.SEED,
                Request.state == RequestState.APPROVED,
            )
            .limit(1)
        )
    )


def _withdraw(account_id: int, kind: InvitationKind, issued_at: datetime | None, now: datetime) -> None:
    """End the invitation that the approval made, unless it is in use or another has taken its place."""
    number = db.session.scalar(
        update(Invitation)
        .where(
            Invitation.account_id == account_id,
            Invitation.kind == kind,
            Invitation.state == InvitationState.LIVE,
            Invitation.issued_at == issued_at,
            Invitation.accepted_at.is_(None),
        )
        .values(state=InvitationState.WITHDRAWN, ended_at=now)
        .returning(Invitation.id)
    )
    if number is None:
        raise TooLate(Late.MOVED_ON)
    _unsend(Mail.key == f"{kind}_onboarding:{number}")


def _unsend(mail: ColumnElement[bool]) -> None:
    """Take a mail out of the outbox: the database's condition decides whether a deliverer had it first.

    The row goes, rather than being cancelled: its key names the event, which may happen anew. Mails that it had taken
    back wait again.
    """
    gone = db.session.execute(
        delete(Mail).where(mail, outbox.has_state(MailState.QUEUED), Mail.tries == 0).returning(Mail.context),
        execution_options={"synchronize_session": False},
    ).first()
    if gone is None:
        raise TooLate(Late.TIME)
    if gone.context.get("took_back"):
        _queue_again(Mail.id.in_(gone.context["took_back"]))


def _queue_again(which: ColumnElement[bool]) -> None:
    db.session.execute(
        update(Mail).where(which, Mail.state == MailState.CANCELLED).values(state=MailState.QUEUED),
        execution_options={"synchronize_session": False},
    )
    outbox.wake()


def _send_question_after_all(request_id: int) -> None:
    """A question that waits is open again; should its mail have been taken back meanwhile, it leaves."""
    key = literal("more_information:") + sql_cast(Question.id, String)
    _queue_again(Mail.key.in_(select(key).where(Question.request_id == request_id, Question.answered_at.is_(None))))


def _reopen_seed(request: Request, account: Account) -> None:
    """The SEED request that was rejected along with its TechPass."""
    reopened = db.session.scalar(
        update(Request)
        .where(
            Request.account_id == account.id,
            Request.kind == RequestKind.SEED,
            Request.state == RequestState.REJECTED,
            Request.decided_at == request.decided_at,
            Request.decided_by_id == request.decided_by_id,
        )
        .values(_OPEN)
        .returning(Request.id)
    )
    if reopened is not None:
        account.put_seed_back(SeedStatus.REQUESTED, request.requested_at)
