"""Accounts whose row is locked: every change of an account and of what belongs to it begins here.

One order for all, the account before its rows, rules out deadlocks (see `webapp.services.sets`), and whoever waited for
the row sees it as it is then.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from webapp.domain.lifecycle import AccountStatus
from webapp.extensions import db
from webapp.models import Account
from webapp.services.errors import SessionOver


def hold(account_id: int | None) -> Account | None:
    """The account with its agency, locked until the transaction ends; None where there is none."""
    return db.session.scalar(
        select(Account)
        .where(Account.id == account_id)
        .options(joinedload(Account.agency, innerjoin=True))
        .with_for_update(of=Account, key_share=True)
        .execution_options(populate_existing=True)
    )


def hold_active(account_id: int) -> Account:
    """`hold` for somebody who is signed in. Raises `SessionOver` unless the account is active."""
    account = hold(account_id)
    if account is None or account.status is not AccountStatus.ACTIVE:
        db.session.rollback()
        raise SessionOver
    return account
