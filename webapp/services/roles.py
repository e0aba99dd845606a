"""Who is an admin and who an auditor: given and taken on the dashboard (rules 8.3 and 8.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webapp import emails
from webapp.domain.lifecycle import AccountStatus, Role
from webapp.extensions import db
from webapp.services import audit, outbox
from webapp.services.acting import begin_taking
from webapp.services.errors import NotPossible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from webapp.models import Account

_HAVE_ONE = (AccountStatus.PENDING, AccountStatus.ACTIVE, AccountStatus.DISABLED)


def choices(account: Account) -> Sequence[Role]:
    """The roles that somebody can be given now: any while active, and the officer's wherever there is one to take."""
    if account.status is AccountStatus.ACTIVE:
        return [role for role in Role if role is not account.role]
    return [Role.OFFICER] if account.status in _HAVE_ONE and account.role is not Role.OFFICER else []


def change(account_id: int, role: Role, reason: str, by: audit.By, now: datetime) -> None:
    """Give an account another role, or take it away: ``Role.OFFICER``. It counts from the next page on.

    ``reason`` goes on record for good, so it must name nobody. Raises `NotFound`, `OwnAccount`, `ReasonMissing`,
    `LastAdmin`, or `NotPossible` for a role that is not among `choices`.
    """
    account, reason = begin_taking(account_id, reason, by)
    if role not in choices(account):
        db.session.rollback()
        raise NotPossible
    before, account.role = account.role, role
    account.changed_at = now
    outbox.cancel(account.id, only=("role_changed",))
    outbox.post(emails.role_changed(account, now))
    audit.record("role.changed", account.id, by, now, reason=reason, before={"role": before}, after={"role": role})
    db.session.commit()
