"""What there is of an address already, and what of it an inviter may know (rule 5.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from webapp.domain.deadlines import is_expired
from webapp.domain.lifecycle import LIVE, AccountStatus, InvitationKind, InvitationState, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Invitation, Invitee
from webapp.services.sets import among

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Known:
    """What there is already of an address: its live account, its open link, and how the inviter stands to it."""

    account_id: int
    email: str
    status: AccountStatus
    agency_id: int
    seed: SeedStatus
    on_hold: bool
    created_at: datetime
    link: InvitationKind | None
    link_issued_at: datetime | None
    link_expires_at: datetime | None
    own_asked_at: datetime | None
    own_is_theirs: bool
    own_seed: SeedStatus | None
    own_link: InvitationKind | None
    own_lapses_at: datetime | None
    by: str
    """The address of whoever asked for them last; empty where they signed up themselves."""

    @property
    def is_unregistered(self) -> bool:
        return self.status is AccountStatus.REQUESTED and self.link is InvitationKind.REGISTRATION

    @property
    def is_unused(self) -> bool:
        """Whether an invitation waits to be taken up: to register, or to activate."""
        return self.is_unregistered or self.status is AccountStatus.PENDING

    def has_run_out(self, now: datetime) -> bool:
        """Whether the invitation has ended unused, so that the address is free again. On hold nothing ends."""
        return self.is_unused and not self.on_hold and self._is_overdue(now)

    def is_halted(self, now: datetime) -> bool:
        """Whether the time to activate is over but for a hold: an admin alone gives more of it (rule 3.8)."""
        return self.status is AccountStatus.PENDING and self.on_hold and self._is_overdue(now)

    def _is_overdue(self, now: datetime) -> bool:
        return self.link_expires_at is None or is_expired(self.link_expires_at, now)

    def is_told(self, inviter: Account) -> bool:
        """Whether the inviter may know of it: an agency of theirs, or an invitation of their own (rule 5.2)."""
        return self.agency_id == inviter.agency_id or self.own_is_theirs

    def as_told(self, inviter: Account) -> Known | None:
        """It as the inviter may know it: as it is, or nothing (None).

        Where they have asked for somebody in vain, as it would be had that been somebody new (decision 0011).
        """
        if self.is_told(inviter):
            return self
        if self.own_asked_at is None:
            return None
        return replace(
            self,
            status=AccountStatus.PENDING if self.own_link is InvitationKind.TECHPASS else AccountStatus.REQUESTED,
            seed=self.own_seed or SeedStatus.NOT_REQUIRED,
            on_hold=False,
            created_at=self.own_asked_at,
            link=self.own_link,
            link_issued_at=self.own_asked_at if self.own_link else None,
            link_expires_at=self.own_lapses_at,
            by=inviter.email,
        )


_LINK_OF = {
    AccountStatus.REQUESTED: InvitationKind.REGISTRATION,
    AccountStatus.PENDING: InvitationKind.TECHPASS,
}
"""The link that somebody of a status has to take up."""


def known(folded: Collection[str], inviter: Account) -> dict[str, Known]:
    """What there is of each address, by address.

    It takes three queries, however many there are and even where all are new: whoever waits for the answer must not
    learn from its time (promise 3).
    """
    if not folded:
        return {}
    rows = db.session.execute(
        select(
            Account.id,
            Account.email,
            Account.email_folded,
            Account.status,
            Account.agency_id,
            Account.seed_status,
            Account.under_investigation,
            Account.created_at,
        ).where(among(Account.email_folded, folded), Account.status.in_(LIVE))
    ).all()
    ids = [row.id for row in rows]
    links = {
        (link.account_id, link.kind): link
        for link in db.session.execute(
            select(Invitation.account_id, Invitation.kind, Invitation.issued_at, Invitation.expires_at).where(
                among(Invitation.account_id, ids), Invitation.state == InvitationState.LIVE
            )
        )
    }
    inviters: dict[int, list[Any]] = {}
    for asked in db.session.execute(
        select(
            Invitee.inviter_id,
            Invitee.account_id,
            Invitee.asked_at,
            Invitee.is_theirs,
            Invitee.seed_status,
            Invitee.link,
            Invitee.lapses_at,
            Account.email,
        )
        .join(Account, Account.id == Invitee.inviter_id)
        .where(among(Invitee.account_id, ids))
        .order_by(Invitee.asked_at, Invitee.id)
    ):
        inviters.setdefault(asked.account_id, []).append(asked)
    found = {}
    for row in rows:
        asked_by = inviters.get(row.id, [])
        own = next((one for one in asked_by if one.inviter_id == inviter.id), None)
        theirs = [one for one in asked_by if one.is_theirs]
        link = links.get((row.id, _LINK_OF.get(row.status)))
        found[row.email_folded] = Known(
            account_id=row.id,
            email=row.email,
            status=row.status,
            agency_id=row.agency_id,
            seed=row.seed_status,
            on_hold=row.under_investigation,
            created_at=row.created_at,
            link=link.kind if link else None,
            link_issued_at=link.issued_at if link else None,
            link_expires_at=link.expires_at if link else None,
            own_asked_at=own.asked_at if own else None,
            own_is_theirs=own is not None and own.is_theirs,
            own_seed=own.seed_status if own else None,
            own_link=own.link if own else None,
            own_lapses_at=own.lapses_at if own else None,
            by=theirs[-1].email if theirs else "",
        )
    return found


def asked_before(folded: Collection[str], inviter_id: int) -> dict[str, datetime]:
    """Those addresses that an officer has asked for, with when it was last. One query, however many."""
    if not folded:
        return {}
    query = (
        select(Invitee.email_folded, func.max(Invitee.asked_at).label("at"))
        .where(Invitee.inviter_id == inviter_id, among(Invitee.email_folded, folded))
        .group_by(Invitee.email_folded)
    )
    return {row.email_folded: row.at for row in db.session.execute(query)}
