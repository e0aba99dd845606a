"""A selection of the forecast held, extended or released: each by itself, and what became of each (rule 8.7)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import select

from webapp.extensions import db
from webapp.models import Account
from webapp.services import extending, holding
from webapp.services.errors import NotPossible, ServiceError, TooMany
from webapp.services.reasons import squeezed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from webapp.domain.lifecycle import InvitationKind
    from webapp.domain.policy import Policy
    from webapp.services.audit import By

MOST = 200


class Action(StrEnum):
    HOLD = "hold"
    EXTEND = "extend"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Chosen:
    """One line of a list; ``link`` is what it hangs on, which alone can be extended."""

    account_id: int
    link: InvitationKind | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    done: int
    left: Sequence[tuple[str, ServiceError]]
    """The addresses of whom nothing was done to, each with why."""


def carry_out(
    action: Action,
    chosen: Sequence[Chosen],
    until: date | None,
    reason: str,
    by: By,
    now: datetime,
    policy: Policy,
) -> Outcome:
    """Do one thing to each of ``chosen``, in a transaction of its own. ``until`` is for `Action.EXTEND` alone.

    ``reason`` goes on record for good, so it must name nobody. Raises `ReasonMissing`, or `TooMany` for more than
    `MOST`; nothing was done then.
    """
    reason = squeezed(reason)
    # Held or released, an account is one however many links brought it into the list.
    each = list(dict.fromkeys(chosen if action is Action.EXTEND else (Chosen(one.account_id) for one in chosen)))
    if len(each) > MOST:
        raise TooMany
    left: list[tuple[int, ServiceError]] = []
    for one in each:
        try:
            _do(action, one, until, reason, by, now, policy)
        except ServiceError as error:
            db.session.rollback()
            left.append((one.account_id, error))
    addresses = _addresses([account_id for account_id, _ in left])
    named = [(addresses.get(number, f"Account {number}"), error) for number, error in left]
    return Outcome(len(each) - len(left), named)


def _do(action: Action, one: Chosen, until: date | None, reason: str, by: By, now: datetime, policy: Policy) -> None:
    match action:
        case Action.HOLD:
            holding.hold(one.account_id, reason, by, now)
        case Action.RELEASE:
            holding.release(one.account_id, reason, by, now)
        case Action.EXTEND:
            if one.link is None or until is None:
                raise NotPossible
            extending.extend(one.account_id, one.link, until, reason, by, now, policy)


def _addresses(ids: Sequence[int]) -> dict[int, str]:
    if not ids:
        return {}
    found = db.session.execute(select(Account.id, Account.email).where(Account.id.in_(ids)))
    return {row.id: row.email for row in found}
