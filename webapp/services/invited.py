"""The people whom an officer asked for, and where they stand (rule 5.3).

Of somebody whom the inviter may be told nothing, the list says what it would say of somebody new (decision 0011).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, delete, exists, func, or_, select, tuple_, update
from sqlalchemy.orm import aliased

from webapp import emails
from webapp.domain.addresses import AddressError, parse
from webapp.domain.lifecycle import AccountStatus, AccountType, InvitationKind, InvitationState, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Invitation, Invitee
from webapp.services import inviters
from webapp.services.sets import CHUNK, execute

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from webapp.domain.policy import Policy

PAGE = 50
_MOST_WORDS = 6


class Stand(StrEnum):
    """Where somebody stands, as far as their inviter may know."""

    TO_REGISTER = "to_register"
    WAITS = "waits"
    TO_ACTIVATE = "to_activate"
    ACTIVE = "active"
    DISABLED = "disabled"
    REJECTED = "rejected"
    RAN_OUT = "ran_out"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Row:
    """A person of the list. ``name`` is empty and ``seed`` None where there is nothing to be said.

    Once TechPass has come to an end there is nothing to be said of SEED.
    """

    id: int
    email: str
    name: str
    asked_at: datetime
    reason: str
    is_vendor: bool
    stand: Stand
    deadline: datetime | None
    seed: SeedStatus | None
    has_ended: bool
    again_at: datetime | None
    """From when on the email can be sent again; None where it cannot."""

    def may_be_sent_again(self, now: datetime) -> bool:
        return self.again_at is not None and now >= self.again_at


def listed(
    inviter: Account,
    words: str,
    now: datetime,
    policy: Policy,
    before: int | None = None,
    stand: Stand | None = None,
) -> list[Row]:
    """Who was asked for, or mailed again, last comes first: one more than a page, which tells that there is a next one.

    Whoever was asked for anew after an invitation had come to nothing is there once.
    """
    newer = aliased(Invitee)
    query = _query(inviter, now).order_by(Invitee.asked_at.desc(), Invitee.id.desc()).limit(PAGE + 1)
    query = query.where(
        ~exists().where(
            newer.inviter_id == inviter.id, newer.email_folded == Invitee.email_folded, newer.id > Invitee.id
        )
    )
    if before is not None:
        at = db.session.scalar(select(Invitee.asked_at).where(Invitee.id == before, Invitee.inviter_id == inviter.id))
        if at is None:
            return []
        query = query.where(tuple_(Invitee.asked_at, Invitee.id) < (at, before))
    if stand is not None:
        query = query.where(_stand(inviter, now) == stand)
    for word in words.lower().split()[:_MOST_WORDS]:
        named = or_(
            func.lower(Account.first_name).contains(word, autoescape=True),
            func.lower(Account.last_name).contains(word, autoescape=True),
        )
        typed = or_(
            Invitee.email_folded.contains(word, autoescape=True),
            func.lower(Invitee.name).contains(word, autoescape=True),
        )
        query = query.where(or_(typed, and_(_is_told(inviter), named)))
    return [_row(found, inviter, policy) for found in db.session.execute(query)]


def row(inviter: Account, invitee_id: int, now: datetime, policy: Policy) -> Row | None:
    """One person of the list; None where it is not this inviter's."""
    found = db.session.execute(_query(inviter, now).where(Invitee.id == invitee_id)).first()
    return _row(found, inviter, policy) if found else None


def lapse(now: datetime, policy: Policy) -> int:
    """End invitations of people who were there before, and forget them, when those of somebody new would be.

    Their inviters hear of it, as of any that ran out (decision 0011). How many it were. Commits chunk by chunk.
    """
    count = 0
    while True:
        over = select(Invitee.id).where(Invitee.lapses_at < now, Invitee.ended_at.is_(None))
        ended = db.session.execute(
            update(Invitee)
            .where(Invitee.id.in_(over.limit(CHUNK).with_for_update(skip_locked=True)))
            .values(ended_at=now)
            .returning(Invitee.id, Invitee.inviter_id),
            execution_options={"synchronize_session": False},
        ).all()
        inviters.tell(ended, emails.invitation_expired, now)
        db.session.commit()
        count += len(ended)
        if len(ended) < CHUNK:
            break
    # The others' rows go with their accounts, so many days after those have ended (rule 3.5).
    forgotten = now - timedelta(days=policy.purge_after_days)
    execute(delete(Invitee).where(Invitee.lapses_at < forgotten, Invitee.ended_at <= forgotten))
    db.session.commit()
    return count


def _is_told(inviter: Account) -> ColumnElement[bool]:
    return or_(Invitee.is_theirs, Account.agency_id == inviter.agency_id)


def _stand(inviter: Account, now: datetime) -> ColumnElement[Any]:
    """`Stand`, as a column: what is shown and what is filtered is one thing."""
    lasts = Invitation.expires_at >= now
    status = Account.status
    return case(
        (and_(~_is_told(inviter), Invitee.link.is_(None)), Stand.WAITS),
        (and_(~_is_told(inviter), Invitee.lapses_at < now), Stand.RAN_OUT),
        (and_(~_is_told(inviter), Invitee.link == InvitationKind.REGISTRATION), Stand.TO_REGISTER),
        (~_is_told(inviter), Stand.TO_ACTIVATE),
        (and_(status == AccountStatus.REQUESTED, Invitation.id.is_(None)), Stand.WAITS),
        (and_(status == AccountStatus.REQUESTED, lasts), Stand.TO_REGISTER),
        (and_(status == AccountStatus.PENDING, lasts), Stand.TO_ACTIVATE),
        (status == AccountStatus.ACTIVE, Stand.ACTIVE),
        (status == AccountStatus.DISABLED, Stand.DISABLED),
        (status == AccountStatus.REJECTED, Stand.REJECTED),
        (Account.activated_at.is_(None), Stand.RAN_OUT),
        else_=Stand.ENDED,
    )


def _query(inviter: Account, now: datetime) -> Any:
    link = and_(
        Invitation.account_id == Account.id,
        Invitation.state == InvitationState.LIVE,
        or_(
            and_(Invitation.kind == InvitationKind.REGISTRATION, Account.status == AccountStatus.REQUESTED),
            and_(Invitation.kind == InvitationKind.TECHPASS, Account.status == AccountStatus.PENDING),
        ),
    )
    return (
        select(Invitee, Account, Invitation.issued_at, Invitation.expires_at, _stand(inviter, now).label("stand"))
        .join(Account, Account.id == Invitee.account_id)
        .outerjoin(Invitation, link)
        .where(Invitee.inviter_id == inviter.id)
        .execution_options(populate_existing=True)
    )


def _row(found: Any, inviter: Account, policy: Policy) -> Row:
    invitee, account, issued_at, deadline, stand = found
    name, seed = invitee.name, invitee.seed_status
    if invitee.is_theirs or account.agency_id == inviter.agency_id:
        is_vendor = account.account_type is AccountType.VENDOR
        name = " ".join(part for part in (account.first_name, account.last_name) if part) or name
        seed = account.seed_status
    else:
        is_vendor = _is_vendors(invitee.email)
        issued_at, deadline = None, invitee.lapses_at
        if invitee.link is InvitationKind.TECHPASS and seed is SeedStatus.REQUESTED:
            seed = SeedStatus.INVITED
    has_ended = stand in (Stand.REJECTED, Stand.RAN_OUT, Stand.ENDED)
    is_unused = stand in (Stand.TO_REGISTER, Stand.TO_ACTIVATE)
    mailed_at = max(invitee.asked_at, issued_at or invitee.asked_at)
    return Row(
        id=invitee.id,
        email=invitee.email,
        name=name,
        asked_at=invitee.asked_at,
        reason=invitee.reason,
        is_vendor=is_vendor,
        stand=Stand(stand),
        deadline=deadline if is_unused else None,
        seed=None if has_ended or seed is SeedStatus.NOT_REQUIRED else seed,
        has_ended=has_ended,
        again_at=mailed_at + policy.resend_cooldown if is_unused else None,
    )


def _is_vendors(email: str) -> bool:
    """Whether an address is a vendor's, by its form alone: what else is there of it is not told."""
    try:
        address = parse(email)
    except AddressError:
        return False
    return address.is_vendor or not address.is_government
