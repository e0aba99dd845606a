"""Accounts that nobody signs in to: reminded, disabled, reminded again, terminated (rule 3.10)."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, case, delete, literal, select, update

from webapp import emails
from webapp.domain.deadlines import DAY, Inactivity, InactivityStep, inactivity
from webapp.domain.lifecycle import (
    AccountStatus,
    InvitationKind,
    InvitationState,
    Role,
    SeedStatus,
    check_account_transition,
)
from webapp.extensions import db
from webapp.models import Account, BrowserSession, Invitation
from webapp.services import outbox
from webapp.services.expiry import terminate_each
from webapp.services.held import hold_admins
from webapp.services.reminders import BATCH, post_reminders
from webapp.services.sets import NOT_ON_HOLD, among, execute, record_each

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from webapp.domain.policy import Policy
    from webapp.emails import MailRow

SUSPENDED_WITH_IT = (SeedStatus.INVITED, SeedStatus.ONBOARDED)


def due(now: datetime) -> Select[Account]:
    """Accounts that it is time to look at, none on hold; `inactivity` decides what, if anything, is to be done."""
    return (
        select(Account)
        .where(
            Account.inactivity_due_at <= now,
            Account.status.in_((AccountStatus.ACTIVE, AccountStatus.DISABLED)),
            Account.idle_since.is_not(None),
            NOT_ON_HOLD,
        )
        .order_by(Account.inactivity_due_at)
    )


def ending(now: datetime, policy: Policy) -> Select[Account]:
    """Of `due`, an upper bound of those to be disabled or terminated: what a sweep counts before it begins."""
    disable_from = now - policy.inactive_disable_days * DAY
    terminate_from = now - policy.inactive_terminate_days * DAY
    return due(now).where(
        Account.idle_since <= case((Account.status == AccountStatus.ACTIVE, disable_from), else_=terminate_from)
    )


def decisions(
    accounts: Iterable[Account], now: datetime, policy: Policy, active_admins: int
) -> Iterator[tuple[Account, Inactivity]]:
    """What is due for each of ``accounts``.

    The last active admin is never disabled, or nobody could approve and enable any more; ``active_admins`` is how many
    there are before the first of ``accounts``.
    """
    for account in accounts:
        assert account.idle_since is not None
        found = inactivity(account.idle_since, account.changed_at, account.disabled_at, now, policy)
        if found.step is InactivityStep.DISABLE and account.is_admin:
            if active_admins <= 1:
                found = replace(found, step=None, next_check=now + DAY)
            active_admins -= found.step is InactivityStep.DISABLE
        yield account, found


def count_active_admins() -> int:
    return len(
        db.session.scalars(
            select(Account.id).where(Account.role == Role.ADMIN, Account.status == AccountStatus.ACTIVE)
        ).all()
    )


def look_after(now: datetime, policy: Policy) -> Counter[InactivityStep]:
    """Do what is due, and set when to look next; how often which. Commits batch by batch."""
    done: Counter[InactivityStep] = Counter()
    officers = due(now).where(Account.role != Role.ADMIN).limit(BATCH)
    while True:
        batch = db.session.scalars(
            officers.with_for_update(skip_locked=True, key_share=True).execution_options(populate_existing=True)
        ).all()
        if not batch:
            break
        done += _settle(batch, now, policy, active_admins=0)
        db.session.commit()
    if db.session.scalar(due(now).where(Account.role == Role.ADMIN).with_only_columns(Account.id).limit(1)):
        done += _settle_admins(now, policy)
    db.session.commit()
    return done


def _settle_admins(now: datetime, policy: Policy) -> Counter[InactivityStep]:
    # All of them: two sweeps that each spared "the other one" would leave none.
    admins = hold_admins()
    active = sum(admin.status is AccountStatus.ACTIVE for admin in admins)
    waiting = [
        a
        for a in admins
        if a.idle_since and a.inactivity_due_at and a.inactivity_due_at <= now and not a.under_investigation
    ]
    return _settle(waiting, now, policy, active)


def letter(account: Account, found: Inactivity, now: datetime) -> MailRow:
    """The mail that tells of a step that is due."""
    match found.step:
        case InactivityStep.DISABLE:
            return emails.disabled(account, now)
        case InactivityStep.TERMINATE:
            return emails.terminated_for_inactivity(account, now)
    return emails.inactivity_reminder(account, found.day, found.acts_at, now)


def _settle(accounts: Sequence[Account], now: datetime, policy: Policy, active_admins: int) -> Counter[InactivityStep]:
    letters: defaultdict[InactivityStep, list[MailRow]] = defaultdict(list)
    marks: list[dict[str, Any]] = []
    disabled: list[Account] = []
    terminated: list[Account] = []
    for account, found in decisions(accounts, now, policy, active_admins):
        if found.step is not None:
            letters[found.step].append(letter(account, found, now))
        if found.step is InactivityStep.DISABLE:
            disabled.append(account)
        elif found.step is InactivityStep.TERMINATE:
            terminated.append(account)
        if found.step is not InactivityStep.TERMINATE:
            marks.append({"id": account.id, "inactivity_due_at": found.next_check})
    if marks:
        db.session.execute(update(Account), marks)
    post_reminders(letters[InactivityStep.REMIND])
    if disabled:
        disable_each(disabled, now, reason="not signed in")
        outbox.post(*letters[InactivityStep.DISABLE])
    if terminated:
        ids = [account.id for account in terminated]
        terminate_each(ids, now)
        record_each("account.terminated", ids, now, reason="not signed in")
        outbox.post(*letters[InactivityStep.TERMINATE])
    return Counter({step: len(rows) for step, rows in letters.items() if rows})


def disable_each(accounts: Sequence[Account], now: datetime, **detail: Any) -> None:
    """`disable_silently`, audited, with ``detail`` and what SEED was before. No commit."""
    disable_silently(accounts, now)
    for before in (None, *SUSPENDED_WITH_IT):
        had = [a.id for a in accounts if (a.seed_status if a.seed_status in SUSPENDED_WITH_IT else None) is before]
        record_each("account.disabled", had, now, **detail, **({"seed": str(before)} if before else {}))


def disable_silently(accounts: Sequence[Account], now: datetime) -> None:
    """Disable active accounts, of which the caller holds the rows: signed out, SEED suspended with its link.

    ``accounts`` themselves do not learn of it. No mail, no line on record, no commit.
    """
    for account in accounts:
        check_account_transition(account.status, AccountStatus.DISABLED)
    ids = [account.id for account in accounts]
    seed = Account.seed_status
    suspended = literal(SeedStatus.SUSPENDED, Account.__table__.c.seed_status.type)
    execute(
        update(Account)
        .where(among(Account.id, ids), Account.status == AccountStatus.ACTIVE)
        .values(
            status=AccountStatus.DISABLED,
            status_at=now,
            disabled_at=now,
            seed_status=case((seed.in_(SUSPENDED_WITH_IT), suspended), else_=seed),
            seed_status_at=case((seed.in_(SUSPENDED_WITH_IT), now), else_=Account.seed_status_at),
        )
    )
    execute(
        update(Invitation)
        .where(
            among(Invitation.account_id, ids),
            Invitation.kind == InvitationKind.SEED,
            Invitation.state == InvitationState.LIVE,
        )
        .values(state=InvitationState.EXPIRED, ended_at=now)
    )
    execute(delete(BrowserSession).where(among(BrowserSession.account_id, ids)))
