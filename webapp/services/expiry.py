"""The end of what was not activated in time: the notice first, then termination (rule 3.4).

Time limits hold without the sweep; what is here only writes down what is so already (promise 5).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flask import current_app
from sqlalchemy import String, and_, case, delete, exists, insert, literal, or_, select, update
from sqlalchemy import cast as sql_cast

from webapp import emails
from webapp.domain.deadlines import is_expired
from webapp.domain.lifecycle import (
    ACCOUNT_TRANSITIONS,
    AccountStatus,
    DeviceStatus,
    ForbiddenTransition,
    InvitationKind,
    InvitationState,
    MailState,
    RequestKind,
    RequestState,
    SeedStatus,
    check_account_transition,
)
from webapp.extensions import db
from webapp.models import Account, Actor, AuditEvent, BrowserSession, Device, Invitation, Mail, Request, SessionKind
from webapp.models.base import insert_new
from webapp.services import audit, inviters, outbox
from webapp.services.invitations import live_invitation
from webapp.services.sets import CHUNK, NOT_ON_HOLD, among, execute, record_each

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import InstrumentedAttribute

REASON = "not activated in time"
NOT_REGISTERED = "not registered in time"
SEED_CLOSED = "The TechPass account was terminated."

_TERMINABLE = [old for old, following in ACCOUNT_TRANSITIONS.items() if AccountStatus.TERMINATED in following]
_NOTICES = (emails.TERMINATED, "terminated_for_inactivity", "account_terminated", "account_held", "account_released")
"""The mails that a terminated person still gets."""


def end_if_overdue(account: Account, now: datetime) -> bool:
    """Terminate an account whose invitation has run out though the sweep has not come yet; whether it ended.

    The notice stands in the outbox before anything else, as it does in the sweep. On hold it goes on (rule 8.7), though
    its link is refused. No commit.
    """
    if is_overdue(account, now) and not account.under_investigation:
        # The sweep may be at it, or the last step of the onboarding: what holds once the row is ours decides.
        db.session.refresh(account, with_for_update={"key_share": True})
        if is_overdue(account, now) and not account.under_investigation:
            reason = NOT_REGISTERED if account.status is AccountStatus.REQUESTED else REASON
            if reason == REASON:
                outbox.post(emails.terminated(account, now))
            terminate(account, now)
            audit.record("account.terminated", account.id, audit.SYSTEM, now, reason=reason)
            inviters.tell_each([account.id], emails.invitation_expired, now)
    return account.status is AccountStatus.TERMINATED


def is_overdue(account: Account, now: datetime) -> bool:
    """Whether somebody has let the time to activate, or to register, run out.

    The account ends with the next sweep, or once it is released. That holds whether or not the sweep has come
    (promise 5).
    """
    if account.status is AccountStatus.REQUESTED:
        link = live_invitation(account.id, InvitationKind.REGISTRATION)
        return link is not None and is_expired(link.expires_at, now)
    if account.status is not AccountStatus.PENDING:
        return False
    link = live_invitation(account.id, InvitationKind.TECHPASS)
    return has_run_out(account.status, link.expires_at if link else None, now)


def has_run_out(status: AccountStatus, deadline: datetime | None, now: datetime) -> bool:
    """`is_overdue` for who has read the account already; ``deadline`` is that of the live link, None without one."""
    return status is AccountStatus.PENDING and (deadline is None or is_expired(deadline, now))


def terminate(account: Account, now: datetime) -> None:
    """End an account with its links, devices and sessions, and what was still to be mailed.

    The record has the devices alone; the account's own line is the caller's. No commit.
    """
    check_account_transition(account.status, AccountStatus.TERMINATED)
    db.session.flush()
    terminate_each([account.id], now)
    db.session.refresh(account)
    if account.status is not AccountStatus.TERMINATED:
        raise ForbiddenTransition("whoever waits for an admin's decision is not terminated")


def terminate_each(ids: Sequence[int], now: datetime) -> None:
    """`terminate` for many accounts, of which the caller holds the rows. No commit."""
    policy = current_app.config["POLICY"]
    lost = {
        SeedStatus.REQUESTED: SeedStatus.WITHDRAWN,
        SeedStatus.INVITED: SeedStatus.EXPIRED,
        SeedStatus.ONBOARDED: SeedStatus.SUSPENDED,
    }
    seed = Account.seed_status
    waits = exists().where(
        Request.account_id == Account.id, Request.kind == RequestKind.TECHPASS, Request.state == RequestState.OPEN
    )
    execute(
        update(Account)
        .where(
            among(Account.id, ids),
            Account.status.in_(_TERMINABLE),
            # Whoever has yet to register can lose the invitation; whoever waits for an admin keeps the request.
            or_(Account.status != AccountStatus.REQUESTED, ~waits),
        )
        .values(
            status=AccountStatus.TERMINATED,
            status_at=now,
            inactivity_due_at=None,
            purge_at=now + timedelta(days=policy.purge_after_days),
            seed_status=case(
                *((seed == old, literal(new, Account.__table__.c.seed_status.type)) for old, new in lost.items()),
                else_=seed,
            ),
            seed_status_at=case((seed.in_(lost), now), else_=Account.seed_status_at),
        )
    )
    execute(
        update(Invitation)
        .where(among(Invitation.account_id, ids), Invitation.state == InvitationState.LIVE)
        .values(state=InvitationState.EXPIRED, ended_at=now)
    )
    # What is left to decide is SEED, which nobody can approve any more (rule 4.4).
    execute(
        update(Request)
        .where(among(Request.account_id, ids), Request.state == RequestState.OPEN)
        .values(state=RequestState.REJECTED, decided_at=now, reason=SEED_CLOSED)
    )
    _remove_devices(ids, now)
    execute(delete(BrowserSession).where(among(BrowserSession.account_id, ids)))
    _cancel_mails(ids)


def _remove_devices(ids: Sequence[int], now: datetime) -> None:
    """Take the devices of many out of SEED, with a line in the record for each; nobody is mailed of it."""
    gone = db.session.execute(
        update(Device)
        .where(among(Device.account_id, ids), Device.status != DeviceStatus.REMOVED)
        .values(status=DeviceStatus.REMOVED, status_at=now, remove_at=None)
        .returning(Device.id, Device.account_id),
        execution_options={"synchronize_session": False},
    ).all()
    if gone:  # Few have one: pending people never do.
        lines = [
            {
                "at": now,
                "action": "device.removed",
                "account_id": device.account_id,
                "actor": Actor.SYSTEM,
                "detail": {"device": device.id, "cause": "account ended"},
            }
            for device in gone
        ]
        db.session.execute(insert(AuditEvent), lines)


def _cancel_mails(ids: Sequence[int]) -> None:
    """`outbox.cancel` for many: nothing but the notice reaches somebody whose time is up."""
    execute(
        update(Mail)
        .where(among(Mail.account_id, ids), Mail.state == MailState.QUEUED, Mail.kind.not_in(_NOTICES))
        .values(state=MailState.CANCELLED)
    )


# The sweep, step 1: what has run out is marked, and the notices are written.


def overdue(now: datetime) -> Select[*tuple[Any, ...]]:
    """Live links past their time, with whose they are, oldest first. Those of accounts on hold stay (rule 8.7)."""
    return (
        select(Invitation.id, Invitation.kind, Account.id.label("account_id"))
        .add_columns(Account.status, Account.seed_status, Account.email)
        .join(Account, Account.id == Invitation.account_id)
        .where(Invitation.state == InvitationState.LIVE, Invitation.expires_at < now, NOT_ON_HOLD)
        .order_by(Invitation.expires_at)
    )


def overdue_accounts(now: datetime) -> Select[*tuple[Any, ...]]:
    """Those of `overdue` that cost somebody the account."""
    return overdue(now).where(Invitation.kind == InvitationKind.TECHPASS, Account.status == AccountStatus.PENDING)


def overdue_seed(now: datetime) -> Select[*tuple[Any, ...]]:
    """Those of `overdue` that let somebody's SEED expire (rule 4.3)."""
    return overdue(now).where(Invitation.kind == InvitationKind.SEED, Account.seed_status == SeedStatus.INVITED)


def expire(now: datetime) -> tuple[int, int]:
    """Mark what has run out and write the notices of termination; how many accounts, and how many people's SEED.

    Commits chunk by chunk: it may be killed at any time, run twice, and run beside another.
    """
    accounts = seeds = 0
    while True:
        rows = db.session.execute(
            overdue(now).limit(CHUNK).with_for_update(of=(Invitation, Account), skip_locked=True, key_share=True)
        ).all()
        if not rows:
            db.session.rollback()
            return accounts, seeds
        pending = [
            row.account_id
            for row in rows
            if row.kind is InvitationKind.TECHPASS and row.status is AccountStatus.PENDING
        ]
        unregistered = [
            row.account_id
            for row in rows
            if row.kind is InvitationKind.REGISTRATION and row.status is AccountStatus.REQUESTED
        ]
        seed = [row for row in rows if row.kind is InvitationKind.SEED and row.seed_status is SeedStatus.INVITED]
        execute(
            update(Invitation)
            .where(among(Invitation.id, [row.id for row in rows]), Invitation.state == InvitationState.LIVE)
            .values(state=InvitationState.EXPIRED, ended_at=now)
        )
        if pending:
            _give_notice(pending, now)
        if unregistered:
            _end_unregistered(unregistered, now)
        if seed:
            _expire_seed([row.id for row in seed], [row.account_id for row in seed], now)
        db.session.commit()
        accounts += len(pending)
        seeds += len(seed)


def _give_notice(ids: Sequence[int], now: datetime) -> None:
    execute(update(Account).where(among(Account.id, ids)).values(expired_at=now))
    execute(
        delete(BrowserSession).where(
            among(BrowserSession.account_id, ids), BrowserSession.kind == SessionKind.ONBOARDING
        )
    )
    _cancel_mails(ids)
    _post_each(emails.TERMINATED, Account.id, among(Account.id, ids), now)
    inviters.tell_each(ids, emails.invitation_expired, now)


def _end_unregistered(ids: Sequence[int], now: datetime) -> None:
    """Vendors who did not register in time (rule 5.5). Nothing was theirs yet: the inviter alone is mailed."""
    terminate_each(ids, now)
    record_each("account.terminated", ids, now, reason=NOT_REGISTERED)
    inviters.tell_each(ids, emails.invitation_expired, now)


def _post_each(kind: str, event: ColumnElement[int] | InstrumentedAttribute[int], whose: Any, now: datetime) -> None:
    """What `outbox.post` does, for all links or accounts that ``whose`` chooses: the same rows as `emails` makes."""
    column = Mail.__table__.c
    row = {
        "key": literal(f"{kind}:") + sql_cast(event, String),
        "kind": literal(kind),
        "account_id": Account.id,
        "recipient": Account.email,
        "context": literal({}, column.context.type),
        "urgent": literal(False),
        "state": literal(MailState.QUEUED, column.state.type),
        "created_at": literal(now, column.created_at.type),
        "due_at": literal(now, column.due_at.type),
        "tries": literal(0),
        "last_answer": literal(""),
    }
    chosen = select(*row.values()).select_from(Account).where(whose)
    if event is not Account.id:
        chosen = chosen.join(Invitation, Invitation.account_id == Account.id)
    execute(insert_new(Mail).from_select(list(row), chosen))
    outbox.wake()


def _expire_seed(links: Sequence[int], ids: Sequence[int], now: datetime) -> None:
    execute(update(Account).where(among(Account.id, ids)).values(seed_status=SeedStatus.EXPIRED, seed_status_at=now))
    record_each("seed.expired", ids, now)
    # Whose TechPass has run out too hears of that alone.
    goes_on = or_(Account.status == AccountStatus.ACTIVE, Account.expired_at.is_(None))
    _post_each(emails.SEED_EXPIRED, Invitation.id, and_(among(Invitation.id, links), goes_on), now)


# The sweep, step 2: who has had the notice, or cannot be reached, is terminated.


def notified() -> Select[*tuple[Any, ...]]:
    """Accounts that have run out and whose notice does not wait to be sent any more, with what became of it.

    None on hold.
    """
    return (
        select(Account.id, Account.email, Mail.state)
        .outerjoin(Mail, and_(Mail.account_id == Account.id, Mail.kind == emails.TERMINATED))
        .where(
            Account.status == AccountStatus.PENDING,
            Account.expired_at.is_not(None),
            NOT_ON_HOLD,
            or_(Mail.state.is_(None), Mail.state != MailState.QUEUED),
        )
        .order_by(Account.id)
    )


def terminate_notified(now: datetime) -> int:
    """Terminate who has had the notice; how many it was. Commits chunk by chunk, like `expire`.

    Where the notice failed the account ends all the same, and the audit trail says so (rule 3.4).
    """
    count = last = 0
    while True:
        rows = db.session.execute(
            notified()
            .where(Account.id > last)
            .limit(CHUNK)
            .with_for_update(of=Account, skip_locked=True, key_share=True)
        ).all()
        if not rows:
            db.session.rollback()
            return count
        terminate_each([row.id for row in rows], now)
        reached = [row.id for row in rows if row.state is MailState.SENT]
        missed = [row.id for row in rows if row.state is not MailState.SENT]
        record_each("account.terminated", reached, now, reason=REASON)
        record_each("account.terminated", missed, now, reason=REASON, notice="failed")
        db.session.commit()
        count += len(rows)
        last = rows[-1].id
