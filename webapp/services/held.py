"""Accounts whose row is locked: every change of an account and of what belongs to it begins here.

One order for all, the account before its rows, rules out deadlocks (see `webapp.services.sets`), and whoever waited for
the row sees it as it is then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select
from sqlalchemy.orm import joinedload

from webapp.domain.lifecycle import AccountStatus, AccountType, Role
from webapp.extensions import db
from webapp.models import Account
from webapp.services.errors import SessionOver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement


def hold(account_id: int | None) -> Account | None:
    """The account with its agency, locked until the transaction ends; None where there is none."""
    return db.session.scalar(
        select(Account)
        .where(Account.id == account_id)
        .options(joinedload(Account.agency, innerjoin=True))
        .with_for_update(of=Account, key_share=True)
        .execution_options(populate_existing=True)
    )


def hold_admins() -> Sequence[Account]:
    """All active and disabled admins, locked in one order and none passed over.

    Whoever takes away an admin's right holds them all, before any other account: else two that each left "the other
    one" would leave none.
    """
    return db.session.scalars(
        select(Account)
        .where(has_role(Role.ADMIN), Account.status.in_((AccountStatus.ACTIVE, AccountStatus.DISABLED)))
        .order_by(Account.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()


def has_role(role: Role) -> ColumnElement[bool]:
    """A condition on accounts. The role is written out: as a parameter it would hide that a partial index fits."""
    return Account.role == bindparam(None, role, Account.__table__.c.role.type, literal_execute=True)


def is_of_type(account_type: AccountType) -> ColumnElement[bool]:
    """`has_role`, for officers and vendors."""
    column = Account.__table__.c.account_type
    return Account.account_type == bindparam(None, account_type, column.type, literal_execute=True)


def hold_active(account_id: int) -> Account:
    """`hold` for somebody who is signed in. Raises `SessionOver` unless the account is active."""
    account = hold(account_id)
    if account is None or account.status is not AccountStatus.ACTIVE:
        db.session.rollback()
        raise SessionOver
    return account
