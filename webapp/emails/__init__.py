"""The mails: one function a kind, from an event to the row of the outbox that tells it (section 9 of the rules).

A row's key names the event, so that however often it is written there is one mail. Rows hold numbers, never links or
codes: those are derived when the mail is rendered. The words stand in ``templates/mail/<kind>/``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from webapp.domain.lifecycle import InvitationKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from webapp.models import Account, Device, Invitation, LogInAttempt

NOT_ME = ("sign_in_code", "new_sign_in", "authenticator_changed", "recovery_codes_changed", "profile_changed")
"""Rule 6.4: the kinds that carry "This wasn't me", since only the holder should do what they tell of."""

MailRow = dict[str, Any]
"""The columns of a `webapp.models.Mail`, for `webapp.services.outbox.post`."""


def _row(kind: str, event: object, account: Account, now: datetime, *, urgent: bool = False, **context: Any) -> MailRow:
    return {
        "key": f"{kind}:{event}",
        "kind": kind,
        "account_id": account.id,
        "recipient": account.email,
        "context": context,
        "urgent": urgent,
        "created_at": now,
        "due_at": now,
    }


def request_received(account: Account, now: datetime) -> MailRow:
    """Rule 1.10: what was asked for, and the private receipt link."""
    return _row("request_received", account.id, account, now)


def asked_for(account: Account, inviter_id: int, now: datetime) -> MailRow:
    """Rule 5.1: an officer asked for TechPass for somebody; who it was, and the private receipt link."""
    return _row("asked_for", account.id, account, now, inviter_id=inviter_id)


def vendor_registration(account: Account, invitation: Invitation, inviter_id: int | None, now: datetime) -> MailRow:
    """Rule 5.5: an officer invited a vendor, who registers first; who it was, and the link."""
    return _row(
        "vendor_registration",
        invitation.id,
        account,
        now,
        urgent=True,
        invitation_id=invitation.id,
        inviter_id=inviter_id,
    )


def invitation_completed(inviter: Account, invitee_id: int, now: datetime) -> MailRow:
    """Rule 5.4: somebody who was asked for has activated TechPass; to whoever asked."""
    return _row("invitation_completed", invitee_id, inviter, now, invitee_id=invitee_id)


def invitation_expired(inviter: Account, invitee_id: int, now: datetime) -> MailRow:
    """Rule 5.4: somebody who was asked for let the time run out; to whoever asked."""
    return _row("invitation_expired", invitee_id, inviter, now, invitee_id=invitee_id)


def already_have_account(account: Account, now: datetime, tried: str = "sign_up") -> MailRow:
    """Rules 1.8 and 1.9: tells the holder where the account stands, since somebody signed up again.

    Or logged in, ``tried="log_in"``, before it is active; or asked for them, ``tried="invite"``. At most one a day,
    whoever may insist.
    """
    return _row("already_have_account", f"{account.id}:{now:%Y-%m-%d}", account, now, tried=tried)


def request_rejected(account: Account, request_id: int, now: datetime, took_back: Sequence[int] = ()) -> MailRow:
    """Rule 2.3: TechPass was rejected, with the reason.

    ``took_back`` are the mails that it leaves no purpose to; they leave after all if it is taken back (rule 8.2).
    """
    others: dict[str, Any] = {"took_back": list(took_back)} if took_back else {}
    return _row("request_rejected", request_id, account, now, request_id=request_id, **others)


MORE_INFORMATION = "more_information"


def more_information(account: Account, question_id: int, request_id: int, now: datetime) -> MailRow:
    """Rule 8.2: an admin asks for more before deciding; the question, and the private link where it is answered."""
    return _row(MORE_INFORMATION, question_id, account, now, question_id=question_id, request_id=request_id)


def techpass_onboarding(account: Account, invitation: Invitation, now: datetime) -> MailRow:
    """Rule 3.1: the invitation."""
    return _row("techpass_onboarding", invitation.id, account, now, urgent=True, invitation_id=invitation.id)


def onboarding_reminder(account: Account, invitation: Invitation, day: int, now: datetime) -> MailRow:
    """Rule 3.3: the reminder of day ``day`` of the invitation."""
    return _row("onboarding_reminder", f"{invitation.id}:{day}", account, now, invitation_id=invitation.id)


def seed_onboarding(account: Account, invitation: Invitation, now: datetime) -> MailRow:
    """Rule 4.2: SEED was approved; the link to onboard a device."""
    return _row("seed_onboarding", invitation.id, account, now, urgent=True, invitation_id=invitation.id)


def seed_reminder(account: Account, invitation: Invitation, days_before: int, now: datetime) -> MailRow:
    """Rule 4.3: the reminder ``days_before`` days before the SEED invitation expires."""
    event = f"{invitation.id}:{days_before}"
    return _row("seed_reminder", event, account, now, invitation_id=invitation.id)


SEED_EXPIRED = "seed_expired"
"""Rule 4.3: the kind of the mail that SEED expired. The sweep writes these set by set: see `webapp.services.expiry`."""


def seed_expired(account: Account, invitation: Invitation, now: datetime) -> MailRow:
    """Rule 4.3: no device was onboarded in time; how to ask again."""
    return _row(SEED_EXPIRED, invitation.id, account, now)


def seed_withdrawn(account: Account, now: datetime) -> MailRow:
    """Rule 4.5: confirms "I don't need SEED"."""
    return _row("seed_withdrawn", f"{account.id}:{now.isoformat()}", account, now)


def device_onboarded(account: Account, device: Device, now: datetime) -> MailRow:
    """Rule 4.6: the device is in SEED."""
    return _row("device_onboarded", f"{device.id}:{now.isoformat()}", account, now, device_id=device.id)


def device_failed(account: Account, device: Device, now: datetime) -> MailRow:
    """Rule 4.6: the MDM system could not onboard the device, why, and what to do."""
    return _row("device_failed", f"{device.id}:{now.isoformat()}", account, now, device_id=device.id)


def device_removed(
    account: Account,
    device: Device,
    cause: str,
    now: datetime,
    deadline: datetime | None = None,
    *,
    was_onboarded: bool,
) -> MailRow:
    """Rule 4.6: the device is in SEED no more, or its onboarding ended; ``cause`` is "holder", "time" or "mdm".

    ``deadline``, by when another can be registered; None where that does not follow from it.
    """
    until: dict[str, Any] = {"deadline": deadline.isoformat()} if deadline else {}
    return _row(
        "device_removed",
        device.id,
        account,
        now,
        device_id=device.id,
        cause=cause,
        was_onboarded=was_onboarded,
        **until,
    )


def seed_rejected(account: Account, request_id: int, now: datetime) -> MailRow:
    """Rule 2.3: SEED was rejected, with the reason."""
    return _row("seed_rejected", request_id, account, now, request_id=request_id)


def authenticator_setup(account: Account, invitation: Invitation, now: datetime) -> MailRow:
    """Rule 7.3: an admin has reset the authenticator; the link to set up a new one.

    For somebody still being onboarded that is the invitation, which can come more than once.
    """
    event = f"{invitation.id}:{now.isoformat()}" if invitation.kind is InvitationKind.TECHPASS else invitation.id
    return _row("authenticator_setup", event, account, now, urgent=True, invitation_id=invitation.id)


def authenticator_changed(account: Account, now: datetime) -> MailRow:
    """A new authenticator is in force; tells the holder in case it was somebody else."""
    return _row("authenticator_changed", f"{account.id}:{now.isoformat()}", account, now)


def recovery_codes_changed(account: Account, now: datetime) -> MailRow:
    """Rule 6.3: new recovery codes are in force."""
    return _row("recovery_codes_changed", f"{account.id}:{now.isoformat()}", account, now)


def profile_changed(account: Account, changed: Sequence[str], now: datetime) -> MailRow:
    """Rule 6.1: what was changed in the profile, by name and without the values."""
    return _row("profile_changed", f"{account.id}:{now.isoformat()}", account, now, changed=list(changed))


def account_locked(account: Account, cause: str, now: datetime) -> MailRow:
    """Rule 6.4: the account is locked; ``cause`` is "holder", by "This wasn't me", or "operator"."""
    return _row("account_locked", f"{account.id}:{now.isoformat()}", account, now, cause=cause)


def account_enabled(account: Account, deadline: datetime, now: datetime) -> MailRow:
    """Rule 3.10: the account was enabled again; until ``deadline`` its holder has to sign in once."""
    event = f"{account.id}:{now.isoformat()}"
    return _row("account_enabled", event, account, now, deadline=deadline.isoformat())


def account_disabled(account: Account, reason: str, now: datetime) -> MailRow:
    """Rule 8.3: an admin disabled the account, and why."""
    return _row("account_disabled", f"{account.id}:{now.isoformat()}", account, now, reason=reason)


def account_terminated(account: Account, reason: str, now: datetime) -> MailRow:
    """Rule 8.3: an admin ended the account, and why."""
    return _row("account_terminated", account.id, account, now, reason=reason)


def role_changed(account: Account, now: datetime) -> MailRow:
    """Rule 8.3: the account was given another role, or its role was taken away."""
    return _row("role_changed", f"{account.id}:{now.isoformat()}", account, now, role=str(account.role))


def account_held(account: Account, now: datetime) -> MailRow:
    """Rule 8.7: the account is on hold."""
    return _row("account_held", f"{account.id}:{now.isoformat()}", account, now)


def account_released(account: Account, now: datetime) -> MailRow:
    """Rule 8.7: the account is on hold no more."""
    return _row("account_released", f"{account.id}:{now.isoformat()}", account, now)


def invitation_extended(account: Account, invitation: Invitation, now: datetime) -> MailRow:
    """Rule 8.3: an admin moved the deadline; the link that was mailed before works until then."""
    event = f"{invitation.id}:{now.isoformat()}"
    return _row("invitation_extended", event, account, now, invitation_id=invitation.id)


def sign_in_code(account: Account, attempt: LogInAttempt, now: datetime) -> MailRow:
    """Rule 7.1: the six-digit code."""
    return _row("sign_in_code", attempt.nonce, account, now, urgent=True, attempt_id=attempt.id)


def new_sign_in(account: Account, attempt: LogInAttempt, now: datetime, browser: str) -> MailRow:
    """Somebody signed in from a browser that was not known; ``browser`` names it in plain words."""
    return _row("new_sign_in", attempt.id, account, now, at=now.isoformat(), browser=browser)


def inactivity_reminder(account: Account, day: int, deadline: datetime, now: datetime) -> MailRow:
    """Rule 3.10: sign in, or the account is disabled or terminated at ``deadline``."""
    event = f"{account.id}:{account.idle_since:%Y-%m-%d}:{day}"
    return _row("inactivity_reminder", event, account, now, deadline=deadline.isoformat())


def disabled(account: Account, now: datetime) -> MailRow:
    """Rule 3.10: the account is disabled."""
    return _row("disabled", f"{account.id}:{now.isoformat()}", account, now)


def terminated_for_inactivity(account: Account, now: datetime) -> MailRow:
    """Rule 3.10: the account is terminated."""
    return _row("terminated_for_inactivity", account.id, account, now)


TERMINATED = "terminated"
"""Rule 3.4: the kind of the notice of termination. The sweep writes these set by set: see `webapp.services.expiry`."""


def terminated(account: Account, now: datetime) -> MailRow:
    """Rule 3.4: the invitation was not accepted in time."""
    return _row(TERMINATED, account.id, account, now)


def admin_digest(account: Account, day: date, waits: Sequence[Mapping[str, Any]], now: datetime) -> MailRow:
    """Rule 8.1: what waits for the admins on ``day``, once for each of them; numbers alone."""
    return _row("admin_digest", f"{account.id}:{day.isoformat()}", account, now, waits=list(waits))
