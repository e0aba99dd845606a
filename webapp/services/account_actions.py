"""What admins do with an account beside holding, extending and roles: send again, disable, terminate (rule 8.3).

Each takes a ``reason`` that goes on record for good, so it must name nobody, and raises `NotFound`, `OwnAccount`,
`ReasonMissing`, or `NotPossible` where the account does not stand like that any more.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from webapp import emails
from webapp.domain.lifecycle import AccountStatus, InvitationKind, SeedStatus
from webapp.extensions import db
from webapp.services import audit, expiry, log_in, outbox, roles, seed
from webapp.services.acting import begin, begin_taking, is_repeated
from webapp.services.errors import NotPossible
from webapp.services.extending import waits_for
from webapp.services.inactivity import disable_silently
from webapp.services.invitations import invite, life, live_invitation

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from webapp.domain.policy import Policy
    from webapp.models import Account


class Action(StrEnum):
    RESEND = "resend"
    EXTEND = "extend"
    HOLD = "hold"
    RELEASE = "release"
    DISABLE = "disable"
    ENABLE = "enable"
    RESET_AUTHENTICATOR = "reset-authenticator"
    ROLE = "role"
    TERMINATE = "terminate"


_TERMINABLE = (AccountStatus.PENDING, AccountStatus.ACTIVE, AccountStatus.DISABLED)


def possible(account: Account, live: Collection[InvitationKind]) -> list[Action]:
    """What can be done with an account as it stands; ``live`` are the kinds of its links that have not ended yet."""
    status = account.status
    fits = {
        Action.RESEND: bool(resendable(account, live)),
        Action.EXTEND: bool(extendable(account, live)),
        Action.HOLD: not account.under_investigation and status is not AccountStatus.DELETED,
        Action.RELEASE: account.under_investigation,
        Action.DISABLE: status is AccountStatus.ACTIVE,
        Action.ENABLE: status is AccountStatus.DISABLED,
        Action.RESET_AUTHENTICATOR: status is AccountStatus.ACTIVE
        or InvitationKind.TECHPASS in resendable(account, live),
        Action.ROLE: bool(roles.choices(account)),
        Action.TERMINATE: status in _TERMINABLE,
    }
    return [action for action, does in fits.items() if does]


def extendable(account: Account, live: Collection[InvitationKind]) -> Sequence[InvitationKind]:
    """Whose link's deadline can be moved: see `webapp.services.extending`."""
    return [kind for kind in InvitationKind if kind in live and waits_for(account, kind)]


def resendable(account: Account, live: Collection[InvitationKind]) -> Sequence[InvitationKind]:
    """The kinds of which an admin can send a new link in place of the live one.

    SEED's waits until TechPass is active, and a link to a new authenticator is there only after a reset.
    """
    is_active = account.status is AccountStatus.ACTIVE
    fits = {
        InvitationKind.TECHPASS: waits_for(account, InvitationKind.TECHPASS),
        InvitationKind.SEED: is_active and account.seed_status is SeedStatus.INVITED,
        InvitationKind.AUTHENTICATOR: is_active,
    }
    return [kind for kind, does in fits.items() if does and kind in live]


def resend(
    account_id: int,
    kind: InvitationKind,
    reason: str,
    by: audit.By,
    now: datetime,
    policy: Policy,
    seen: int | None = None,
) -> None:
    """Send an invitation again: a new link with a whole life before it, and the old one void (rule 3.8).

    ``seen`` is the last event that the form knew of: sent twice, it sends one mail (see `acting.is_repeated`).
    """
    account, reason = begin(account_id, reason, by)
    if is_repeated(account, "invitation.resent", seen, kind=kind):
        db.session.rollback()
        return
    link = live_invitation(account.id, kind)
    if kind not in resendable(account, [link.kind] if link else []):
        db.session.rollback()
        raise NotPossible
    assert link is not None
    before = link.expires_at
    # One that was extended beyond a whole life loses nothing.
    fresh = invite(account, kind, now, policy, expires_at=max(before, now + life(kind, policy)))
    account.changed_at = now
    audit.record(
        "invitation.resent",
        account.id,
        by,
        now,
        reason=reason,
        invitation=fresh.id,
        kind=kind,
        before={"until": before.isoformat()},
        after={"until": fresh.expires_at.isoformat()},
    )
    db.session.commit()


def disable(account_id: int, reason: str, by: audit.By, now: datetime, policy: Policy) -> None:
    """Disable an active account: signed out, SEED suspended, until an admin enables it. Raises `LastAdmin` too."""
    account, reason = begin_taking(account_id, reason, by)
    if account.status is not AccountStatus.ACTIVE:
        db.session.rollback()
        raise NotPossible
    seed.settle(account, now, policy)
    before = _standing(account)
    disable_silently([account], now)
    db.session.refresh(account)
    account.changed_at = now
    log_in.end_attempts(account.id, now)
    outbox.cancel(account.id, only=("inactivity_reminder",))
    outbox.post(emails.account_disabled(account, reason, now))
    after = _standing(account)
    audit.record("account.disabled", account.id, by, now, reason=reason, before=before, after=after)
    db.session.commit()


def terminate(account_id: int, reason: str, by: audit.By, now: datetime) -> None:
    """End an account with its links, devices and sessions; its data go as ever (rule 3.5). Raises `LastAdmin` too.

    Who waits for approval is rejected instead.
    """
    account, reason = begin_taking(account_id, reason, by)
    if account.status not in _TERMINABLE:
        db.session.rollback()
        raise NotPossible
    before = _standing(account)
    log_in.end_attempts(account.id, now)
    # The notice of the clock may wait to leave: this one tells what came first.
    outbox.cancel(account.id, only=(emails.TERMINATED,))
    expiry.terminate(account, now)
    account.changed_at = now
    outbox.post(emails.account_terminated(account, reason, now))
    after = _standing(account)
    audit.record("account.terminated", account.id, by, now, reason=reason, before=before, after=after)
    db.session.commit()


def _standing(account: Account) -> dict[str, str]:
    return {"status": account.status, "seed": account.seed_status}
