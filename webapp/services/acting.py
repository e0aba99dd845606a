"""What every change begins with that an admin makes on somebody's account (rules 8.3 and 8.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webapp.extensions import db
from webapp.services.errors import NotFound, OwnAccount
from webapp.services.held import hold
from webapp.services.reasons import squeezed

if TYPE_CHECKING:
    from webapp.models import Account
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
