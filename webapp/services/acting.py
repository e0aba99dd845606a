"""What all begins with that an admin does with somebody's account or request (rules 5.1, 8.3 and 8.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exists, func, select

from webapp.domain.lifecycle import AccountStatus, Role
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Invitee
from webapp.services.errors import LastAdmin, NotFound, OwnAccount, OwnInvitee, OwnRequest
from webapp.services.held import hold, hold_admins
from webapp.services.reasons import squeezed

if TYPE_CHECKING:
    from webapp.services.audit import By


def begin(account_id: int, reason: str, by: By) -> tuple[Account, str]:
    """The account with its agency, locked until the transaction ends, and the reason as it goes on record.

    Raises `ReasonMissing`, `OwnAccount`, or `NotFound` where there is no such account.
    """
    reason = squeezed(reason)
    if by.account_id == account_id:
        raise OwnAccount
    account = hold(account_id)
    if account is None:
        db.session.rollback()
        raise NotFound
    return account, reason


def refuse_own(account_id: int, by: By) -> None:
    """Nobody deals with a request of their own, or of whom they asked for: `OwnRequest`, `OwnInvitee` (section 5)."""
    if by.account_id is None:
        return
    if by.account_id == account_id:
        db.session.rollback()
        raise OwnRequest
    asked = exists().where(Invitee.account_id == account_id, Invitee.inviter_id == by.account_id, Invitee.is_theirs)
    if db.session.scalar(select(asked)):
        db.session.rollback()
        raise OwnInvitee


def last_event(account_id: int) -> int:
    """The number of the last thing on record of an account: what a form carries, so that `is_repeated` can tell."""
    return db.session.scalar(select(func.max(AuditEvent.id)).where(AuditEvent.account_id == account_id)) or 0


def is_repeated(account: Account, action: str, seen: int | None, **detail: str) -> bool:
    """Whether admins did the same to a held account since the event ``seen``: a form that was sent twice does it once.

    None for ``seen`` is no form's, and repeats nothing.
    """
    if seen is None:
        return False
    since = select(AuditEvent.detail).where(
        AuditEvent.account_id == account.id,
        AuditEvent.id > seen,
        AuditEvent.action == action,
        AuditEvent.actor_id != account.id,
    )
    return any(detail.items() <= found.items() for found in db.session.scalars(since))


def begin_taking(account_id: int, reason: str, by: By) -> tuple[Account, str]:
    """`begin`, for what takes a right away: raises `LastAdmin` too, for the only admin who is active (rule 8.3)."""
    while True:
        # The admins are locked before the account, in their one order. Who becomes one in between is asked for again.
        is_admin = db.session.scalar(select(Account.role).where(Account.id == account_id)) is Role.ADMIN
        admins = hold_admins() if is_admin else ()
        account, reason = begin(account_id, reason, by)
        if account.is_admin == is_admin:
            break
        db.session.rollback()
    others = any(admin.status is AccountStatus.ACTIVE for admin in admins if admin.id != account.id)
    if is_admin and account.status is AccountStatus.ACTIVE and not others:
        db.session.rollback()
        raise LastAdmin
    return account, reason
