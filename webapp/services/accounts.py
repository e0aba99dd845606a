"""Locking an account for an admin to look at, and enabling it again (rules 3.10 and 6.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from webapp import emails
from webapp.domain.addresses import parse
from webapp.domain.deadlines import idle_since_on_enabling, inactivity
from webapp.domain.lifecycle import LIVE, AccountStatus, DeviceStatus, InvitationKind, SeedStatus
from webapp.extensions import db
from webapp.models import Account
from webapp.services import audit, log_in, outbox, seed, seed_card
from webapp.services.acting import begin
from webapp.services.errors import NotFound
from webapp.services.held import hold
from webapp.services.inactivity import disable_each
from webapp.services.invitations import invite
from webapp.services.reasons import squeezed
from webapp.services.sessions import forget_browsers

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.domain.policy import Policy


def by_address(text: str) -> int:
    """The number of the account that an address has now. Raises `AddressError` or `NotFound`."""
    found = db.session.scalar(
        select(Account.id).where(Account.email_folded == parse(text).folded, Account.status.in_(LIVE))
    )
    if found is None:
        raise NotFound
    return found


def lock_held(account: Account, cause: str, by: audit.By, now: datetime, policy: Policy, **detail: Any) -> None:
    """Lock an active account whose row the caller holds: disabled, signed out, SEED suspended, under investigation.

    That holds for the last active admin too: see decision 0008. Mailed to the holder. No commit.
    """
    seed.settle(account, now, policy)
    disable_each([account], now, reason="locked")
    db.session.execute(update(Account).where(Account.id == account.id).values(under_investigation=True, changed_at=now))
    log_in.end_attempts(account.id, now)
    forget_browsers(account.id, now)
    outbox.post(emails.account_locked(account, cause, now))
    audit.record("account.locked", account.id, by, now, **detail)


def lock(account_id: int, reason: str, by: audit.By, now: datetime, policy: Policy) -> None:
    """Lock an active account (rule 6.4). ``reason`` goes on record for good, so it must name nobody.

    Raises `NotFound` for any other account, or `ReasonMissing`.
    """
    reason = squeezed(reason)
    account = hold(account_id)
    if account is None or account.status is not AccountStatus.ACTIVE:
        db.session.rollback()
        raise NotFound
    lock_held(account, "operator", by, now, policy, reason=reason)
    db.session.commit()


def enable(account_id: int, reason: str, by: audit.By, now: datetime, policy: Policy) -> None:
    """Enable a disabled account: its holder has some days to sign in once (rule 3.10), and its SEED comes back.

    ``reason`` goes on record for good, so it must name nobody. Raises `NotFound` for an account that is not disabled,
    `OwnAccount` or `ReasonMissing`.
    """
    account, reason = begin(account_id, reason, by)
    if account.status is not AccountStatus.DISABLED:
        db.session.rollback()
        raise NotFound
    seed.settle(account, now, policy)
    account.move(AccountStatus.ACTIVE, now)
    account.under_investigation = False
    account.disabled_at = None
    account.idle_since = idle_since_on_enabling(now, policy)
    found = inactivity(account.idle_since, account.changed_at, None, now, policy)
    account.inactivity_due_at = found.next_check
    outbox.cancel(account.id, only=("disabled", "account_disabled", "account_locked", "inactivity_reminder"))
    outbox.post(emails.account_enabled(account, found.acts_at, now))
    audit.record("account.enabled", account.id, by, now, reason=reason)
    if account.seed_status is SeedStatus.SUSPENDED:
        _resume_seed(account, now, policy)
    db.session.commit()


def _resume_seed(account: Account, now: datetime, policy: Policy) -> None:
    """SEED as it was: onboarded with its device, or invited. Who has no device is invited anew."""
    devices = seed_card.card(account, now).devices
    if any(device.status is DeviceStatus.ONBOARDED for device in devices):
        account.move_seed(SeedStatus.ONBOARDED, now)
        return
    account.move_seed(SeedStatus.INVITED, now)
    if not devices:
        invite(account, InvitationKind.SEED, now, policy)
