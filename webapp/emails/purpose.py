"""Whether a mail still has a purpose when it is about to leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webapp.domain.business_days import singapore_date
from webapp.domain.deadlines import is_expired
from webapp.domain.lifecycle import AccountStatus, DeviceStatus, InvitationState, RequestState, SeedStatus
from webapp.emails import MORE_INFORMATION, SEED_EXPIRED, TERMINATED

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.emails.render import Letter

_TO_THE_TERMINATED = (TERMINATED, "terminated_for_inactivity", "account_terminated")

_WHILE_ACCOUNT_IS = {
    "disabled": AccountStatus.DISABLED,
    "account_disabled": AccountStatus.DISABLED,
    "account_locked": AccountStatus.DISABLED,
    "account_enabled": AccountStatus.ACTIVE,
    # Only who can log in can use the device, or try it again.
    "device_onboarded": AccountStatus.ACTIVE,
    "device_failed": AccountStatus.ACTIVE,
}
_OF_THE_CLOCK = ("onboarding_reminder", "seed_reminder", "inactivity_reminder")
NEWEST_ALONE = (*_OF_THE_CLOCK, "already_have_account")
"""Of several of such a kind to one person the newest says it all (rules 1.8 and 3.3)."""
_OF_A_HOLD = {"account_held": True, "account_released": False}
"""Whether the account is on hold as long as the mail tells what is true; it reaches everybody but the deleted."""
_WHILE_SEED_IS = {SEED_EXPIRED: SeedStatus.EXPIRED, "seed_withdrawn": SeedStatus.WITHDRAWN}
_WHILE_DEVICE_IS = {
    "device_onboarded": DeviceStatus.ONBOARDED,
    "device_failed": DeviceStatus.FAILED,
    "device_removed": DeviceStatus.REMOVED,
}
"""What must still be so when the mail leaves: one that is overtaken by events would tell what is not true."""


def has_ended(letter: Letter, now: datetime) -> bool:
    """Whether a mail has lost its purpose since it was written: a dead link, a used code, an ended account."""
    mail, account = letter.mail, letter.account
    if account is None or account.status is AccountStatus.DELETED:
        return True
    status = account.status
    if account.under_investigation and mail.kind in _OF_THE_CLOCK:
        return True  # What it tells of does not come about (rule 8.7).
    if mail.kind in _OF_A_HOLD:
        return account.under_investigation is not _OF_A_HOLD[mail.kind]
    if mail.kind == TERMINATED:
        return status not in (AccountStatus.PENDING, AccountStatus.TERMINATED)
    if status is AccountStatus.TERMINATED or mail.kind in _TO_THE_TERMINATED:
        return status is not AccountStatus.TERMINATED or mail.kind not in _TO_THE_TERMINATED
    if status is AccountStatus.REJECTED or mail.kind == "request_rejected":
        return status is not AccountStatus.REJECTED or mail.kind != "request_rejected"
    if mail.kind in _WHILE_ACCOUNT_IS and status is not _WHILE_ACCOUNT_IS[mail.kind]:
        return True
    if mail.kind == "role_changed":
        return bool(account.role != mail.context["role"])
    if mail.kind == "admin_digest":
        # Of use to admins alone, and on its own day: the next one says how it stands by then.
        is_of_today = singapore_date(now) == singapore_date(mail.created_at)
        return not (account.is_admin and status is AccountStatus.ACTIVE and is_of_today)
    if mail.kind == "inactivity_reminder":
        return account.idle_since is None or account.idle_since > mail.created_at
    if mail.kind in _WHILE_SEED_IS:
        return account.seed_status is not _WHILE_SEED_IS[mail.kind]
    if mail.kind in _WHILE_DEVICE_IS:
        return letter.device is None or letter.device.status is not _WHILE_DEVICE_IS[mail.kind]
    if mail.kind == MORE_INFORMATION:
        asked, request = letter.question, letter.request
        is_open = request is not None and request.state is RequestState.OPEN
        return asked is None or asked.answered_at is not None or not is_open
    if mail.kind == "asked_for":
        return status is not AccountStatus.REQUESTED
    if mail.kind in ("invitation_completed", "invitation_expired"):
        return status is not AccountStatus.ACTIVE or letter.invitee is None
    if "invitation_id" in mail.context:
        link = letter.invitation
        return link is None or link.state is not InvitationState.LIVE or is_expired(link.expires_at, now)
    if "attempt_id" in mail.context:
        attempt = letter.attempt
        return (
            attempt is None
            or attempt.ended_at is not None
            or attempt.code_accepted_at is not None
            or is_expired(attempt.expires_at, now)
        )
    return False
