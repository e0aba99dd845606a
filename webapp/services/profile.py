"""What the profile shows of SEED: one state, since when, and until when something has to be done (section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from webapp.domain.lifecycle import InvitationKind, InvitationState, SeedStatus
from webapp.services.invitations import live_invitation, state_at

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.models import Account


@dataclass(frozen=True, slots=True)
class SeedCard:
    status: SeedStatus
    since: datetime
    valid_until: datetime | None = None
    """Until when the SEED onboarding email is valid, where somebody is invited."""


def seed_card(account: Account, now: datetime) -> SeedCard:
    """How SEED stands at ``now``: an invitation past its time counts as expired before the sweep comes (promise 5)."""
    if account.seed_status is not SeedStatus.INVITED:
        return SeedCard(account.seed_status, account.seed_status_at)
    live = live_invitation(account.id, InvitationKind.SEED)
    if live is None:
        return SeedCard(SeedStatus.EXPIRED, account.seed_status_at)
    if state_at(live, now) is not InvitationState.LIVE:
        return SeedCard(SeedStatus.EXPIRED, live.expires_at)
    return SeedCard(SeedStatus.INVITED, account.seed_status_at, live.expires_at)
