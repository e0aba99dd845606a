"""The rehearsal: what a sweep would do to whom, with the very mails it would write. It changes nothing (rule 8.7).

It asks the questions that the sweep asks and has the same functions make the mails, in the sweep's order.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_, tuple_

from webapp import emails
from webapp.domain.deadlines import DAY, InactivityStep
from webapp.domain.lifecycle import AccountStatus, Role
from webapp.extensions import db
from webapp.models import Account, Device, Invitation
from webapp.services import device_removal, expiry, inactivity, purge, reminders
from webapp.services.sets import count_up_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import InstrumentedAttribute

    from webapp.domain.policy import Policy
    from webapp.emails import MailRow

PAGE = 50
MOST_COUNTED = 200

Key = tuple[datetime, int]
"""The instant and the number of a line, after which a list goes on."""


class What(StrEnum):
    """What a sweep does to somebody, by its name in `webapp.services.sweep.Summary.done`."""

    TERMINATED = "terminated"
    EXPIRED = "expired"
    SEED_EXPIRED = "seed_expired"
    DEVICES_REMOVED = "devices_removed"
    REMINDED = "reminded"
    INACTIVITY_REMINDED = "inactivity_reminded"
    DISABLED = "disabled"
    TERMINATED_FOR_INACTIVITY = "terminated_for_inactivity"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Planned:
    """What the sweep would do to one account, and the mail that it would write of it; None where it writes none."""

    what: What
    at: datetime
    """Since when it is due."""
    number: int
    """Of the link, the device or the account: with ``at`` the key of the line."""
    account: Account
    letter: MailRow | None


@dataclass(frozen=True, slots=True)
class _Narrow:
    """The part of what is due that is asked for."""

    after: Key | None = None
    number: int | None = None

    def of(
        self, query: Select[*tuple[Any, ...]], at: InstrumentedAttribute[Any], number: InstrumentedAttribute[int]
    ) -> Select[*tuple[Any, ...]]:
        if self.after is not None:
            query = query.where(tuple_(at, number) > self.after)
        if self.number is not None:
            query = query.where(number == self.number)
        return query.order_by(None).order_by(at, number)


_ALL = _Narrow()


def rehearse(
    now: datetime,
    policy: Policy,
    what: What | None = None,
    *,
    after: Key | None = None,
    number: int | None = None,
) -> Iterator[Planned]:
    """What a sweep at ``now`` would do, of all kinds or of one, oldest first. Rows are read as they are asked for.

    ``after`` and ``number`` go with one kind: from where on, or the one line alone.
    """
    for each in [what] if what else What:
        yield from _SOURCES[each](each, now, policy, _Narrow(after, number))


def page(now: datetime, policy: Policy, what: What, after: Key | None = None) -> list[Planned]:
    """One page of `rehearse` and one line more, which tells that there is a next one."""
    return list(islice(rehearse(now, policy, what, after=after), PAGE + 1))


def counts(now: datetime, policy: Policy) -> dict[What, int]:
    """How many of each, counted no further than one more than `MOST_COUNTED`."""
    found = {
        What.TERMINATED: expiry.notified(),
        What.EXPIRED: expiry.overdue_accounts(now),
        What.SEED_EXPIRED: expiry.overdue_seed(now),
        What.DEVICES_REMOVED: device_removal.overdue(now).with_only_columns(Device.id),
        What.REMINDED: reminders.due(now).with_only_columns(Invitation.id),
        What.DELETED: purge.due(now),
    }
    return {
        what: count_up_to(found[what], MOST_COUNTED + 1)
        if what in found
        # Only a step at a time says what becomes of somebody.
        else sum(1 for _ in islice(rehearse(now, policy, what), MOST_COUNTED + 1))
        for what in What
    }


def _rows(query: Select[*tuple[Any, ...]]) -> Iterator[Any]:
    return iter(db.session.execute(query.execution_options(yield_per=1000, populate_existing=True)))


def _terminated(what: What, _now: datetime, _policy: Policy, narrow: _Narrow) -> Iterator[Planned]:
    query = narrow.of(expiry.notified().with_only_columns(Account), Account.expired_at, Account.id)
    for (account,) in _rows(query):
        assert account.expired_at is not None
        # The notice has left before, or cannot.
        yield Planned(what, account.expired_at, account.id, account, None)


def _expired(what: What, now: datetime, _policy: Policy, narrow: _Narrow) -> Iterator[Planned]:
    for link, account in _links(expiry.overdue_accounts(now), Invitation.expires_at, narrow):
        yield Planned(what, link.expires_at, link.id, account, emails.terminated(account, now))


def _seed_expired(what: What, now: datetime, _policy: Policy, narrow: _Narrow) -> Iterator[Planned]:
    for link, account in _links(expiry.overdue_seed(now), Invitation.expires_at, narrow):
        # Whose TechPass has run out too hears of that alone.
        goes_on = account.expired_at is None and not expiry.is_overdue(account, now)
        letter = emails.seed_expired(account, link, now) if goes_on else None
        yield Planned(what, link.expires_at, link.id, account, letter)


def _devices_removed(what: What, now: datetime, policy: Policy, narrow: _Narrow) -> Iterator[Planned]:
    query = device_removal.overdue(now).with_only_columns(Device, Account)
    for device, account in _rows(narrow.of(query, Device.remove_at, Device.id)):
        letter = device_removal.letter_when_overdue(device, account, now, policy)
        yield Planned(what, device.remove_at, device.id, account, letter)


def _reminded(what: What, now: datetime, policy: Policy, narrow: _Narrow) -> Iterator[Planned]:
    for link, account in _links(reminders.due(now), Invitation.remind_at, narrow):
        assert link.remind_at is not None
        yield Planned(what, link.remind_at, link.id, account, reminders.letter(link, account, now, policy))


def _links(
    query: Select[*tuple[Any, ...]], at: InstrumentedAttribute[Any], narrow: _Narrow
) -> Iterator[tuple[Invitation, Account]]:
    return _rows(narrow.of(query.with_only_columns(Invitation, Account), at, Invitation.id))


_STEPS = {
    What.INACTIVITY_REMINDED: InactivityStep.REMIND,
    What.DISABLED: InactivityStep.DISABLE,
    What.TERMINATED_FOR_INACTIVITY: InactivityStep.TERMINATE,
}


def _not_signed_in(what: What, now: datetime, policy: Policy, narrow: _Narrow) -> Iterator[Planned]:
    step = _STEPS[what]
    may_be = inactivity.due(now).where(_may_come_to(step, now, policy))
    officers = (row[0] for row in _rows(narrow.of(may_be.where(Account.role != Role.ADMIN), _DUE_AT, Account.id)))
    # The admins are looked at together, or each of the last two would be spared for the other.
    admins = db.session.scalars(
        inactivity.due(now).where(Account.role == Role.ADMIN).order_by(None).order_by(Account.id)
    ).all()
    active = inactivity.count_active_admins() if admins else 0
    wanted = [
        (account, found)
        for account, found in inactivity.decisions(admins, now, policy, active)
        if (narrow.after is None or _key(account) > narrow.after) and narrow.number in (None, account.id)
    ]
    both = merge(
        inactivity.decisions(officers, now, policy, 0),
        sorted(wanted, key=lambda each: _key(each[0])),
        key=lambda each: _key(each[0]),
    )
    for account, found in both:
        if found.step is step:
            yield Planned(what, *_key(account), account, inactivity.letter(account, found, now))


_DUE_AT = Account.inactivity_due_at


def _key(account: Account) -> Key:
    assert account.inactivity_due_at is not None
    return account.inactivity_due_at, account.id


def _may_come_to(step: InactivityStep, now: datetime, policy: Policy) -> ColumnElement[bool]:
    """Leaves out most of those of whom `inactivity.decisions` would say something else."""
    active, disabled = (Account.status == status for status in (AccountStatus.ACTIVE, AccountStatus.DISABLED))

    def idle_for(days: int) -> ColumnElement[bool]:
        return Account.idle_since <= now - days * DAY

    match step:
        case InactivityStep.DISABLE:
            return and_(active, idle_for(policy.inactive_disable_days))
        case InactivityStep.TERMINATE:
            return and_(disabled, idle_for(policy.inactive_terminate_days))
    return or_(and_(active, ~idle_for(policy.inactive_disable_days)), disabled)


def _deleted(what: What, now: datetime, _policy: Policy, narrow: _Narrow) -> Iterator[Planned]:
    for (account,) in _rows(narrow.of(purge.due(now).with_only_columns(Account), Account.purge_at, Account.id)):
        yield Planned(what, account.purge_at, account.id, account, None)


_SOURCES: dict[What, Callable[[What, datetime, Policy, _Narrow], Iterator[Planned]]] = {
    What.TERMINATED: _terminated,
    What.EXPIRED: _expired,
    What.SEED_EXPIRED: _seed_expired,
    What.DEVICES_REMOVED: _devices_removed,
    What.REMINDED: _reminded,
    What.INACTIVITY_REMINDED: _not_signed_in,
    What.DISABLED: _not_signed_in,
    What.TERMINATED_FOR_INACTIVITY: _not_signed_in,
    What.DELETED: _deleted,
}
