"""Accounts on hold: the clock alone does nothing to them until an admin releases them (rules 8.3 and 8.7).

What has expired stays refused: a hold keeps an account as it is, and gives nobody more time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from webapp import emails
from webapp.domain.lifecycle import AccountStatus
from webapp.extensions import db
from webapp.services import audit, outbox
from webapp.services.acting import begin
from webapp.services.errors import NotPossible

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.models import Account


_NOT_YET = timedelta(days=3650)
"""A notice of termination that had not left waits for the end of the hold: the account does not end before."""


def hold(account_id: int, reason: str, by: audit.By, now: datetime) -> None:
    """Put an account on hold, and tell its holder. ``reason`` goes on record for good, so it must name nobody.

    Raises `NotFound`, `OwnAccount`, `ReasonMissing`, or `NotPossible` where it is on hold already or deleted.
    """
    account, reason = begin(account_id, reason, by)
    if account.under_investigation or account.status is AccountStatus.DELETED:
        db.session.rollback()
        raise NotPossible
    _set(account, True, now)
    outbox.cancel(account.id, only=("account_released",))
    outbox.put_off(account.id, emails.TERMINATED, now + _NOT_YET)
    outbox.post(emails.account_held(account, now))
    _record("account.held", account, reason, by, now)
    db.session.commit()


def release(account_id: int, reason: str, by: audit.By, now: datetime) -> None:
    """End the hold on an account: time counts again, and what is due by then is done by the next sweep.

    ``reason`` as for `hold`. Raises `NotFound`, `OwnAccount`, `ReasonMissing`, or `NotPossible` without a hold.
    """
    account, reason = begin(account_id, reason, by)
    if not account.under_investigation:
        db.session.rollback()
        raise NotPossible
    _set(account, False, now)
    outbox.cancel(account.id, only=("account_held",))
    outbox.put_off(account.id, emails.TERMINATED, now)
    outbox.post(emails.account_released(account, now))
    _record("account.released", account, reason, by, now)
    db.session.commit()


def _set(account: Account, on_hold: bool, now: datetime) -> None:
    account.under_investigation = on_hold
    account.changed_at = now


def _record(action: str, account: Account, reason: str, by: audit.By, now: datetime) -> None:
    on_hold = account.under_investigation
    audit.record(
        action, account.id, by, now, reason=reason, before={"on_hold": not on_hold}, after={"on_hold": on_hold}
    )
