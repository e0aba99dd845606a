"""Whoever asked for somebody: shown to admins, and told how it ended, completed or run out (rules 5.1 and 5.4)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from webapp.domain.lifecycle import AccountStatus
from webapp.extensions import db
from webapp.models import Account, Agency, Invitee
from webapp.services import outbox
from webapp.services.sets import among

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from webapp.emails import MailRow


@dataclass(frozen=True, slots=True)
class AskedFor:
    """That an officer of an agency, with an address, asked for somebody, when last, and why."""

    inviter_id: int
    email: str
    agency: str
    at: datetime
    reason: str


def of(account_ids: Collection[int]) -> dict[int, list[AskedFor]]:
    """Who asked for each of ``account_ids``, the last one first: one query, however many people."""
    found: dict[int, list[AskedFor]] = defaultdict(list)
    if account_ids:
        rows = db.session.execute(
            select(Invitee.account_id, Account.id, Account.email, Agency.name, Invitee.asked_at, Invitee.reason)
            .join(Account, Account.id == Invitee.inviter_id)
            .join(Agency, Agency.id == Account.agency_id)
            .where(among(Invitee.account_id, list(account_ids)), Invitee.is_theirs)
            .order_by(Invitee.asked_at.desc(), Invitee.id.desc())
        )
        for account_id, inviter_id, email, agency, at, reason in rows:
            found[account_id].append(AskedFor(inviter_id, email, agency, at, reason))
    return found


def tell_each(ids: Sequence[int], letter: Callable[[Account, int, datetime], MailRow], now: datetime) -> None:
    """Mail the inviters of the accounts ``ids``, each once for one invitee, and note its end. No commit.

    Inviters without an active account hear nothing any more.
    """
    ended = db.session.execute(
        update(Invitee)
        .where(among(Invitee.account_id, ids), Invitee.is_theirs, Invitee.ended_at.is_(None))
        .values(ended_at=now)
        .returning(Invitee.id, Invitee.inviter_id),
        execution_options={"synchronize_session": False},
    ).all()
    tell(ended, letter, now)


def tell(ended: Sequence[Any], letter: Callable[[Account, int, datetime], MailRow], now: datetime) -> None:
    """Mail the inviters of the invitees ``ended``, rows of ``id`` and ``inviter_id``. No commit."""
    if not ended:
        return
    query = select(Account.id, Account.email).where(
        among(Account.id, sorted({row.inviter_id for row in ended})), Account.status == AccountStatus.ACTIVE
    )
    inviters = {row.id: Account(id=row.id, email=row.email) for row in db.session.execute(query)}
    outbox.post(*(letter(inviters[row.inviter_id], row.id, now) for row in ended if row.inviter_id in inviters))
