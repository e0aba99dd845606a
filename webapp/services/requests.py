"""The decision on each request: once, by one admin or by the agency's own setting (section 2, rule 8.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, exists, select, update
from sqlalchemy.orm import aliased

from webapp import emails
from webapp.domain.lifecycle import (
    AccountStatus,
    AccountType,
    InvitationKind,
    RequestKind,
    RequestState,
    SeedStatus,
)
from webapp.extensions import db
from webapp.models import Account, Agency, Invitee, Request
from webapp.services import audit, holidays, outbox
from webapp.services.acting import refuse_own
from webapp.services.errors import (
    AlreadyDecided,
    NotFound,
    ReasonMissing,
    ServiceError,
    TechPassFirst,
)
from webapp.services.expiry import is_overdue
from webapp.services.invitations import invite
from webapp.services.queue_list import find
from webapp.services.sets import NOT_ON_HOLD
from webapp.services.undo import leaves_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from webapp.domain.policy import Policy


def approve(request_id: int, by: audit.By, now: datetime, policy: Policy) -> Request:
    """Approve one request and invite the applicant (rules 2.1, 3.1 and 4.2).

    Where an admin decides, the mail waits for as long as it can be taken back (see `webapp.services.undo`).

    Raises `NotFound`, `AlreadyDecided`, `OwnRequest`, `OwnInvitee`, or `TechPassFirst` for SEED without a TechPass.
    """
    request = _decide(request_id, RequestState.APPROVED, "", by, now)
    account = request.account
    if request.kind is RequestKind.TECHPASS:
        account.move(AccountStatus.PENDING, now)
        invite(account, InvitationKind.TECHPASS, now, policy, leaves_at=leaves_at(by, now, policy))
        _promise_seed(account, now)
    else:
        waits = account.status is AccountStatus.PENDING and not is_overdue(account, now)
        if not (waits or account.status is AccountStatus.ACTIVE):
            db.session.rollback()
            raise TechPassFirst
        account.move_seed(SeedStatus.INVITED, now)
        invite(account, InvitationKind.SEED, now, policy, leaves_at=leaves_at(by, now, policy))
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

    Raises `NotFound`, `AlreadyDecided`, `OwnRequest`, `OwnInvitee` or `ReasonMissing`.
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
        took_back = outbox.cancel(account.id)
        mail = emails.request_rejected(account, request.id, now, took_back)
    else:
        account.move_seed(SeedStatus.REJECTED, now)
        mail = emails.seed_rejected(account, request.id, now)
    outbox.post(mail | {"due_at": leaves_at(by, now, policy)})
    audit.record(f"{request.kind}.rejected", account.id, by, now, request=request.id)
    db.session.commit()
    return request


@dataclass
class Outcome:
    """What became of a selection: what was done, in order, and what was not, with the reason why."""

    done: list[Request] = field(default_factory=list)
    not_done: list[tuple[Request, ServiceError]] = field(default_factory=list)


def approve_each(request_ids: Iterable[int], by: audit.By, now: datetime, policy: Policy) -> Outcome:
    """`approve` for a selection, each in a transaction of its own. What is not there is passed over."""
    # TechPass comes before the SEED of the same person: ascending ids.
    return each(sorted(set(request_ids)), lambda number: approve(number, by, now, policy))


def reject_each(request_ids: Iterable[int], reason: str, by: audit.By, now: datetime, policy: Policy) -> Outcome:
    """`reject` for a selection. SEED that went with its TechPass just now counts as neither done nor left.

    Raises `ReasonMissing`.
    """
    if not reason.strip():
        raise ReasonMissing
    outcome = each(sorted(set(request_ids)), lambda number: reject(number, reason, by, now, policy))
    together = [
        pair for pair in outcome.not_done if (pair[0].decided_by_id, pair[0].decided_at) == (by.account_id, now)
    ]
    outcome.not_done = [pair for pair in outcome.not_done if pair not in together]
    return outcome


def each(request_ids: Iterable[int], act: Callable[[int], Request]) -> Outcome:
    """Do something with each request in the order given, whatever became of those before it.

    What is not there is passed over.
    """
    outcome = Outcome()
    for number in request_ids:
        try:
            outcome.done.append(act(number))
        except NotFound:
            continue
        except ServiceError as error:
            outcome.not_done.append((find(number), error))
    return outcome


IS_SEED_OF_DISABLED: ColumnElement[bool] = and_(
    Request.kind == RequestKind.SEED, Account.status == AccountStatus.DISABLED
)
"""SEED needs a TechPass that is not disabled."""


def is_asked_for_elsewhere() -> ColumnElement[bool]:
    """Whether an officer of another agency asked for a vendor: an admin looks at that, or they would be approved at
    the sponsor's expense by somebody who has no say there (rule 5.1)."""
    inviter = aliased(Account)
    by_another = exists().where(
        Invitee.account_id == Account.id,
        Invitee.is_theirs,
        inviter.id == Invitee.inviter_id,
        inviter.agency_id != Account.agency_id,
    )
    return and_(Account.account_type == AccountType.VENDOR, by_another)


def approve_automatically(now: datetime, policy: Policy, limit: int = 200) -> int:
    """Approve what waits at agencies that approve at once (rule 2.2), oldest first; how many it was.

    Each is a transaction of its own; one that somebody else decided meanwhile is passed over.
    """
    # TechPass comes before the SEED of the same person: they have one time and ascending ids.
    ids = db.session.scalars(
        select(Request.id)
        .join(Account, Account.id == Request.account_id)
        .join(Agency, Agency.id == Account.agency_id)
        .where(
            Request.state == RequestState.OPEN,
            Agency.approves_automatically,
            NOT_ON_HOLD,
            # What cannot be approved now waits, and keeps nobody else waiting.
            ~IS_SEED_OF_DISABLED,
            ~is_asked_for_elsewhere(),
        )
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
    refuse_own(request.account_id, by)
    # The account first, as whoever changes what belongs to it does (see `webapp.services.sets`). It may be changed at
    # the same instant by its other request, by its holder or by a sweep.
    db.session.refresh(request.account, with_for_update={"key_share": True, "of": Account})
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
