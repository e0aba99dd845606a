"""The end of what was not activated in time: the notice first, then termination (rule 3.4)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from flask import current_app
from sqlalchemy import update

from webapp import emails
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState, check_account_transition
from webapp.extensions import db
from webapp.models import Account, Invitation
from webapp.services import audit, outbox
from webapp.services.invitations import live_invitation, state_at

if TYPE_CHECKING:
    from datetime import datetime


def end_if_overdue(account: Account, now: datetime) -> bool:
    """Terminate a pending account whose invitation has run out though the sweep has not come yet; whether it did so.

    The notice stands in the outbox before anything else, as it does in the sweep. No commit.
    """
    if account.status is not AccountStatus.PENDING:
        return False
    live = live_invitation(account.id, InvitationKind.TECHPASS)
    if live is not None and state_at(live, now) is InvitationState.LIVE:
        return False
    outbox.post(emails.terminated(account, now))
    terminate(account, now)
    audit.record("account.terminated", account.id, audit.SYSTEM, now, reason="not activated in time")
    return True


def terminate(account: Account, now: datetime) -> None:
    """End an account: its links and what was still to be mailed to it end with it. No audit row, no commit."""
    check_account_transition(account.status, AccountStatus.TERMINATED)
    account.status = AccountStatus.TERMINATED
    account.status_at = now
    account.inactivity_due_at = None
    account.purge_at = now + timedelta(days=current_app.config["POLICY"].purge_after_days)
    db.session.execute(
        update(Invitation)
        .where(Invitation.account_id == account.id, Invitation.state == InvitationState.LIVE)
        .values(state=InvitationState.EXPIRED, ended_at=now)
    )
    outbox.cancel(account.id, keep=(emails.TERMINATED, "terminated_for_inactivity"))
    db.session.flush()
