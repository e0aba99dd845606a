"""The deadlines that an officer has, for their calendar: by when to activate TechPass, by when to onboard a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webapp.calendars import CalendarFile, deadline_file
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState, SeedStatus
from webapp.services import receipts
from webapp.services.errors import NotFound
from webapp.services.invitations import live_invitation, open_link, state_at

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.models import Account


def for_invitation(token: str, now: datetime, kind: InvitationKind) -> CalendarFile:
    """For the holder of an invitation's link. Raises `NotFound` or `LinkEnded`."""
    invitation = open_link(token, now, kind)
    return deadline_file(invitation.account, invitation)


def for_receipt(token: str, now: datetime) -> CalendarFile:
    """For the holder of a receipt's link, while an invitation waits. Raises `NotFound`."""
    account = receipts.find(token)
    if account.status is not AccountStatus.PENDING:
        raise NotFound
    return _of(account, InvitationKind.TECHPASS, now)


def for_seed(account: Account, now: datetime) -> CalendarFile:
    """For an officer who is invited to SEED. Raises `NotFound`."""
    if account.seed_status is not SeedStatus.INVITED:
        raise NotFound
    return _of(account, InvitationKind.SEED, now)


def _of(account: Account, kind: InvitationKind, now: datetime) -> CalendarFile:
    invitation = live_invitation(account.id, kind)
    if invitation is None or state_at(invitation, now) is not InvitationState.LIVE:
        raise NotFound
    return deadline_file(account, invitation)
