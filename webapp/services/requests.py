"""The queue of requests, and the decision on each: once, by one admin or by the agency's own setting (section 2)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select, tuple_, update
from sqlalchemy.orm import joinedload

from webapp import emails
from webapp.domain.lifecycle import (
    AccountStatus,
    InvitationKind,
    RequestKind,
    RequestState,
    SeedStatus,
)
from webapp.extensions import db
from webapp.models import Account, Agency, Request
from webapp.services import audit, holidays, outbox
from webapp.services.errors import AlreadyDecided, NotFound, OwnRequest, ReasonMissing, TechPassFirst
from webapp.services.expiry import is_overdue
from webapp.services.invitations import invite

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from webapp.domain.policy import Policy

PAGE = 50


def waiting(after: tuple[datetime, int] | None = None) -> Sequence[Request]:
    """Open requests with account and agency, oldest first: one more than a page, which tells that there is a next one.

    ``after`` is the last request of the page before, as (requested at, id).
    """
    query = (
        select(Request)
        .where(Request.state == RequestState.OPEN)
        .order_by(Request.requested_at, Request.id)
        .limit(PAGE + 1)
        .options(joinedload(Request.account, innerjoin=True).joinedload(Account.agency, innerjoin=True))
    )
    if after is not None:
        query = query.where(tuple_(Request.requested_at, Request.id) > after)
    return db.session.scalars(query).all()


def find(request_id: int) -> Request:
    """One request with its account and agency. Raises `NotFound`."""
    found = db.session.scalar(
        select(Request)
        .where(Request.id == request_id)
        .options(joinedload(Request.account, innerjoin=True).joinedload(Account.agency, innerjoin=True))
    )
    if found is None:
        raise NotFound
    return found


def beside(request: Request) -> Sequence[Request]:
    """The other requests of the same account: a decision on TechPass changes what can be done about its SEED."""
    return db.session.scalars(
        select(Request)
        .where(Request.account_id == request.account_id, Request.id != request.id)
        .options(joinedload(Request.account, innerjoin=True).joinedload(Account.agency, innerjoin=True))
        .order_by(Request.id)
    ).all()


def decider(request: Request) -> Account | None:
    """The admin who decided; None where the agency approves automatically."""
    return db.session.get(Account, request.decided_by_id) if request.decided_by_id else None


def approve(request_id: int, by: audit.By, now: datetime, policy: Policy) -> Request:
    """Approve one request and invite the applicant (rules 2.1, 3.1 and 4.2).

    Raises `NotFound`, `AlreadyDecided`, `OwnRequest`, or `TechPassFirst` for SEED without an approved TechPass.
    """
    request = _decide(request_id, RequestState.APPROVED, "", by, now)
    account = request.account
    if request.kind is RequestKind.TECHPASS:
        account.move(AccountStatus.PENDING, now)
        invite(account, InvitationKind.TECHPASS, now, policy)
        _promise_seed(account, now)
    else:
        waits = account.status is AccountStatus.PENDING and not is_overdue(account, now)
        if not (waits or account.status is AccountStatus.ACTIVE):
            db.session.rollback()
            raise TechPassFirst
        account.move_seed(SeedStatus.INVITED, now)
        invite(account, InvitationKind.SEED, now, policy)
    audit.record(f"{request.kind}.approved", account.id, by, now, request=request.id)
    db.session.commit()
    return request


def _promise_seed(account: Account, now: datetime) -> None:
    """SEED that was asked for together with TechPass is promised from here on (rule 4.2)."""
    if account.seed_status is SeedStatus.REQUESTED:
        db.session.execute(
            update(Request)
            .where(
                Request.account_id == account.id,
                Request.kind == RequestKind.SEED,
                Request.state == RequestState.OPEN,
            )
            .values(due_on=holidays.due_on(now))
        )


def reject(request_id: int, reason: str, by: audit.By, now: datetime, policy: Policy) -> Request:
    """Reject one request, with a reason that the applicant is mailed (rule 2.3). TechPass takes its SEED with it.

    Raises `NotFound`, `AlreadyDecided`, `OwnRequest` or `ReasonMissing`.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise ReasonMissing
    request = _decide(request_id, RequestState.REJECTED, reason, by, now)
    account = request.account
    if request.kind is RequestKind.TECHPASS:
        account.move(AccountStatus.REJECTED, now)
        account.purge_at = now + timedelta(days=policy.rejected_purge_days)
        if account.seed_status is SeedStatus.REQUESTED:
            account.move_seed(SeedStatus.REJECTED, now)
        db.session.execute(
            update(Request)
            .where(Request.account_id == account.id, Request.state == RequestState.OPEN)
            .values(state=RequestState.REJECTED, decided_at=now, decided_by_id=by.account_id, reason=reason)
        )
        outbox.cancel(account.id)
        outbox.post(emails.request_rejected(account, request.id, now))
    else:
        account.move_seed(SeedStatus.REJECTED, now)
        outbox.post(emails.seed_rejected(account, request.id, now))
    audit.record(f"{request.kind}.rejected", account.id, by, now, request=request.id)
    db.session.commit()
    return request


def approve_automatically(now: datetime, policy: Policy, limit: int = 200) -> int:
    """Approve what waits at agencies that approve at once (rule 2.2), oldest first; how many it was.

    Each is a transaction of its own; one that somebody else decided meanwhile is passed over.
    """
    # TechPass comes before the SEED of the same person: they have one time and ascending ids.
    ids = db.session.scalars(
        select(Request.id)
        .join(Account, Account.id == Request.account_id)
        .join(Agency, Agency.id == Account.agency_id)
        .where(Request.state == RequestState.OPEN, Agency.approves_automatically)
        .order_by(Request.requested_at, Request.id)
        .limit(limit)
    ).all()
    db.session.rollback()
    count = 0
    for request_id in ids:
        try:
            approve(request_id, audit.SYSTEM, now, policy)
            count += 1
        except (AlreadyDecided, TechPassFirst):
            continue
    return count


def _decide(request_id: int, state: RequestState, reason: str, by: audit.By, now: datetime) -> Request:
    """Settle an open request: the database's condition decides who was first (rule 2.4)."""
    request = find(request_id)
    if by.account_id is not None and by.account_id == request.account_id:
        db.session.rollback()
        raise OwnRequest
    # The account first, as whoever changes what belongs to it does (see `webapp.services.sets`). It may be changed at
    # the same instant by its other request, by its holder or by a sweep.
    db.session.refresh(request.account, with_for_update=True)
    won = db.session.scalar(
        update(Request)
        .where(Request.id == request_id, Request.state == RequestState.OPEN)
        .values(state=state, decided_at=now, decided_by_id=by.account_id, reason=reason)
        .returning(Request.id)
    )
    if won is None:
        db.session.rollback()
        raise AlreadyDecided
    db.session.refresh(request, ["state", "decided_at", "decided_by_id", "reason"])
    return request
