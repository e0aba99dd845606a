"""Asking for others: an officer asks TechPass for colleagues and vendors, one or a thousand (section 5).

Each is a sign-up that somebody else makes: an officer's request waits for an admin at once, a vendor registers first
(rule 5.5). What an inviter is told of somebody who is there already depends on whether they share an agency (rule 5.2).
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from webapp import emails, queue
from webapp.domain.lifecycle import (
    AccountStatus,
    AccountType,
    InvitationKind,
    RequestKind,
    SeedStatus,
)
from webapp.domain.tokens import RECEIPT, derive_token, invitation_purpose, new_nonce, token_hash
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Invitation, Invitee, Mail, Request
from webapp.models.base import insert_many, insert_new
from webapp.services import expiry, outbox
from webapp.services.errors import MayNotInvite, NotFound
from webapp.services.held import hold
from webapp.services.invitations import issue, live_invitation
from webapp.services.keys import secret_key
from webapp.services.known import Known, known

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from webapp.domain.addresses import Address
    from webapp.domain.policy import Policy
    from webapp.services.agencies import AgencyFacts
    from webapp.services.audit import By


_ONE_ASKING = timedelta(minutes=1)
"""Who asks for the same person with the same answers within it has sent one form twice, as a double click does."""
_TRIES = 3
"""An address may be taken, and be free again, while somebody is asked for."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to be asked for. ``agency`` is the one whose settings apply: the address's own, or the sponsor."""

    address: Address
    account_type: AccountType
    agency: AgencyFacts
    seed: SeedStatus
    reason: str
    first_name: str = ""
    last_name: str = ""
    organisation: str = ""


class Result(StrEnum):
    """What became of asking for somebody, as far as their inviter may know."""

    SENT = "sent"
    """Asked for, and mailed; or already there, which the inviter is not told."""
    SENT_ANEW = "sent_anew"
    """An invitation that was not used yet is replaced by a new one (rule 5.4)."""
    TOO_SOON = "too_soon"
    """They were mailed within the last day."""
    WAITS = "waits"
    """An admin has yet to decide on an earlier request."""
    HOLDS = "holds"
    """They have an account."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``at`` and ``by`` say when and by whom (an address) somebody had been asked for before, where that is told.

    ``stays`` tells that SEED or the sponsor is not what was asked for: somebody is approved already as they are.
    """

    result: Result
    at: datetime | None = None
    by: str = ""
    stays: bool = False


def ask_for(person: Person, by: By, now: datetime, policy: Policy) -> Outcome:
    """Ask for one person. An invitation that is not used yet is replaced, once a day at most (rules 5.3 and 5.4).

    The caller can tell nothing from the time it takes (promise 3). Raises `MayNotInvite`.
    """
    inviter = hold_inviter(by)
    (outcome,) = ask_for_each([person], inviter, by, now, policy, replace=True)
    db.session.commit()
    return outcome


def hold_inviter(by: By) -> Account:
    """The inviter, who keeps the right until the transaction ends. Raises `MayNotInvite` (rules 5.1 and 5.3)."""
    inviter = db.session.scalar(
        select(Account)
        .where(Account.id == by.account_id)
        .with_for_update(read=True)
        .execution_options(populate_existing=True)
    )
    if inviter is None or not inviter.may_invite:
        db.session.rollback()
        raise MayNotInvite
    return inviter


def ask_for_each(
    people: Sequence[Person], inviter: Account, by: By, now: datetime, policy: Policy, *, replace: bool = False
) -> list[Outcome]:
    """Ask for many, of whom no two have one address, in a fixed number of statements for all who are new. No commit.

    Whoever waits for something already is left alone unless ``replace``. The caller holds the inviter.
    """
    outcomes: dict[str, Outcome] = {}
    for _ in range(_TRIES):
        left = {each.address.folded: each for each in people if each.address.folded not in outcomes}
        if not left:
            break
        there = known(left, inviter)
        for one in sorted(there.values(), key=lambda each: each.account_id):
            if one.has_run_out(now) and _end(one, now):
                del there[_folded(one)]
        fresh = [person for folded, person in left.items() if folded not in there]
        outcomes |= dict.fromkeys(_insert(fresh, inviter, by, now, policy), Outcome(Result.SENT))
        # In one order, so that two who ask for the same people at once do not block each other.
        for folded in sorted(there):
            outcome = _again(left[folded], there[folded], inviter, by, now, policy, replace=replace)
            if outcome is not None:
                outcomes[folded] = outcome
    # Of whom somebody else was quicker each time, there is nothing better to say.
    return [outcomes.get(each.address.folded, Outcome(Result.TOO_SOON, now)) for each in people]


def _folded(one: Known) -> str:
    return one.email.lower()


def _end(one: Known, now: datetime) -> bool:
    """End an account whose invitation has run out though the sweep has not come yet; whether it did."""
    account = db.session.get_one(Account, one.account_id, populate_existing=True)
    return expiry.end_if_overdue(account, now)


def _again(
    person: Person | None, one: Known, inviter: Account, by: By, now: datetime, policy: Policy, *, replace: bool
) -> Outcome | None:
    """Somebody is there already; without a ``person`` they keep the name and all else that was said of them.

    None if that is not so any more, or not as it was read: look again.
    """
    in_vain, shown = not one.is_told(inviter), one.as_told(inviter)
    if person is not None and (shown is None or (in_vain and shown.has_run_out(now))):
        return Outcome(Result.SENT) if _ask_in_vain(person, one, inviter, by, now, policy) else None
    assert shown is not None, "whoever is mailed again was asked for"
    since = shown.link_issued_at or shown.created_at
    if not shown.is_unused or shown.is_halted(now):
        is_open = shown.status in (AccountStatus.REQUESTED, AccountStatus.PENDING)
        return Outcome(Result.WAITS if is_open else Result.HOLDS, shown.created_at, shown.by)
    last = max(since, shown.own_asked_at or since)
    stays = person is not None and _stays(person, shown)
    if not replace or now - last < policy.resend_cooldown:
        return Outcome(Result.TOO_SOON, last, shown.by, stays)
    if in_vain:
        _tell_holder(one, by, now)
    elif not _replace(one, person, by, now, policy):
        return None
    _note_again(person, shown, inviter, now, policy, in_vain=in_vain)
    return Outcome(Result.SENT_ANEW, since, shown.by, stays)


def _stays(person: Person, shown: Known) -> bool:
    """Whether SEED or the sponsor stays as it is though something else was asked for."""
    if shown.is_unregistered:
        return False
    is_asked_for = shown.seed in (SeedStatus.REQUESTED, SeedStatus.INVITED)
    other_seed = person.seed is not SeedStatus.INELIGIBLE and (person.seed is SeedStatus.REQUESTED) != is_asked_for
    return other_seed or (person.account_type is AccountType.VENDOR and person.agency.id != shown.agency_id)


def is_repeat(person: Person, by: By, now: datetime) -> bool:
    """Whether an officer asked for somebody with the same answers just before: one form that was sent twice."""
    last = (
        select(Invitee.answers)
        .where(
            Invitee.inviter_id == by.account_id,
            Invitee.email_folded == person.address.folded,
            Invitee.asked_at > now - _ONE_ASKING,
        )
        .order_by(Invitee.id.desc())
        .limit(1)
    )
    return db.session.scalar(last) == _answers(person)


def _ask_in_vain(person: Person, one: Known, inviter: Account, by: By, now: datetime, policy: Policy) -> bool:
    """For somebody of whom the inviter is told nothing, what is done for a new person is done and taken back.

    So it takes as long. The holder is told, once a day at most, and the inviter's list shows them all the same. False
    if the inviter has asked for them at this very instant, in another window.
    """
    _insert([person], inviter, by, now, policy, in_vain=True)
    values = _invitee(person, one.account_id, inviter, now, is_theirs=False)
    values |= {"link": None, "lapses_at": None}
    if person.account_type is AccountType.VENDOR:
        values |= {"link": InvitationKind.REGISTRATION, "lapses_at": now + timedelta(days=policy.registration_days)}
    elif person.agency.approves_automatically:
        values |= {"link": InvitationKind.TECHPASS, "lapses_at": now + policy.invitation_life}
    if one.own_asked_at is not None:
        # In place of the old one comes a new one, as for somebody new: it is the first of the list.
        db.session.execute(delete(Invitee).where(*_own(one, inviter)))
    if db.session.execute(insert_new(Invitee).returning(Invitee.id), [values]).first() is None:
        return False
    _tell_holder(one, by, now)
    return True


def _tell_holder(one: Known, by: By, now: datetime) -> None:
    """Tell whoever is there that they were asked for: by mail, once a day at most, and on record."""
    holder = Account(id=one.account_id, email=one.email)
    outbox.post(emails.already_have_account(holder, now, tried="invite"))
    _record([one.account_id], "invite.repeated", by, now)


def _note_again(
    person: Person | None, shown: Known, inviter: Account, now: datetime, policy: Policy, *, in_vain: bool
) -> None:
    """Have it in the inviter's list that somebody who is there was mailed again.

    As long as nobody has registered, what is said of them now holds in place of what was said before.
    """
    changes: dict[str, Any] = {"asked_at": now}
    if not in_vain:
        changes |= {"is_theirs": True, "ended_at": None, "link": None, "lapses_at": None}
    elif shown.is_unregistered:
        changes["lapses_at"] = now + timedelta(days=policy.registration_days)
    if person is not None:
        values = _invitee(person, shown.account_id, inviter, now, is_theirs=True)
        made = insert_new(Invitee).returning(Invitee.id)
        if not in_vain and db.session.execute(made, [values]).first() is not None:
            return
        told = ("reason", "answers", *(("name", "seed_status") if shown.is_unregistered else ()))
        changes |= {name: values[name] for name in told}
    db.session.execute(update(Invitee).where(*_own(shown, inviter)).values(changes))


def _own(one: Known, inviter: Account) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """The row of somebody in the inviter's list."""
    return Invitee.inviter_id == inviter.id, Invitee.account_id == one.account_id


def send_again(invitee_id: int, by: By, now: datetime, policy: Policy) -> Outcome:
    """Mail somebody of one's own list again, once a day, while the invitation is not used yet (rule 5.3).

    Of whom the inviter is told nothing the answer is that for somebody new. Raises `MayNotInvite` or `NotFound`.
    """
    inviter = hold_inviter(by)
    row = db.session.scalar(
        select(Invitee)
        .where(Invitee.id == invitee_id, Invitee.inviter_id == inviter.id)
        .execution_options(populate_existing=True)
    )
    if row is None:
        db.session.rollback()
        raise NotFound
    outcome = None
    for _ in range(_TRIES):
        one = known([row.email_folded], inviter).get(row.email_folded)
        shown = one.as_told(inviter) if one is not None and one.account_id == row.account_id else None
        if one is None or shown is None or shown.has_run_out(now):
            # What has ended is over, whether or not somebody with this address has an account by now.
            break
        outcome = _again(None, one, inviter, by, now, policy, replace=True)
        if outcome is not None:
            break
    db.session.commit()
    return outcome or Outcome(Result.HOLDS, row.asked_at)


def _replace(one: Known, person: Person | None, by: By, now: datetime, policy: Policy) -> bool:
    """A new link in place of the one that is not used yet; False if it was used or replaced meanwhile.

    A vendor has all days to register anew; the deadline to activate stays, which an admin alone moves (rule 3.8).
    """
    account = hold(one.account_id)
    live = live_invitation(one.account_id, one.link) if one.link else None
    if account is None or account.status is not one.status or live is None or live.issued_at != one.link_issued_at:
        return False
    changes = {}
    if one.is_unregistered:
        if person is not None:
            changes = _say_anew(account, person, now)
        link = issue(account, InvitationKind.REGISTRATION, now, policy)
        outbox.post(emails.vendor_registration(account, link, by.account_id, now))
    else:
        link = issue(account, InvitationKind.TECHPASS, now, policy, expires_at=live.expires_at)
        outbox.post(emails.techpass_onboarding(account, link, now))
    _record([account.id], "invite.sent_again", by, now, kind=link.kind, **changes)
    return True


def _say_anew(account: Account, person: Person, now: datetime) -> dict[str, Any]:
    """What is said of a vendor who has not registered yet, in place of what was said before; for the record."""
    before = {"sponsor": account.agency.domain, "seed": account.seed_status}
    after = {"sponsor": person.agency.domain, "seed": person.seed}
    account.first_name, account.last_name = person.first_name or None, person.last_name or None
    account.organisation = person.organisation or account.organisation
    account.agency_id, account.changed_at = person.agency.id, now
    if after["seed"] != before["seed"]:
        account.seed_status, account.seed_status_at = person.seed, now
    changed = [name for name in after if after[name] != before[name]]
    if not changed:
        return {}
    return {"before": {name: before[name] for name in changed}, "after": {name: after[name] for name in changed}}


def _insert(
    people: Sequence[Person], inviter: Account, by: By, now: datetime, policy: Policy, *, in_vain: bool = False
) -> Collection[str]:
    """Accounts, requests or links, mails and record for whoever is new; their addresses.

    Somebody whose address got an account at this very instant is left out. ``in_vain`` all that only somebody new has
    is taken back at once; the rest is the caller's.
    """
    if not people:
        return {}
    attempt = db.session.begin_nested()
    # In one order, so that two who ask for the same people at once do not block each other.
    people = sorted(people, key=lambda person: person.address.folded)
    rows = [_account(person, now, in_vain=in_vain) for person in people]
    made = {folded: number for number, folded in insert_many(Account, rows, new=True, returning=("id", "email_folded"))}
    # What the rows below ask of an account, and no more: these are not kept.
    new = [
        (
            person,
            Account(
                id=made[person.address.folded],
                email=person.address.typed,
                account_type=person.account_type,
                seed_status=person.seed,
            ),
        )
        for person in people
        if person.address.folded in made
    ]
    officers = [account for _, account in new if account.account_type is AccountType.OFFICER]
    vendors = [account for _, account in new if account.account_type is AccountType.VENDOR]
    insert_many(Request, [row for account in officers for row in requests_of(account, now)])
    links = _issue_each(vendors, now, policy)
    if any(person.agency.approves_automatically for person, _ in new):
        queue.wake_after_commit(db.session, "approve")
    if in_vain:
        attempt.rollback()
        return {}
    attempt.commit()
    insert_many(Invitee, [_invitee(person, account.id, inviter, now, is_theirs=True) for person, account in new])
    letters = [emails.asked_for(account, inviter.id, now) for account in officers]
    letters += [emails.vendor_registration(account, links[account.id], inviter.id, now) for account in vendors]
    insert_many(Mail, letters, new=True)
    outbox.wake()
    _record([account.id for _, account in new], "invite.requested", by, now)
    return made


def _account(person: Person, now: datetime, *, in_vain: bool) -> dict[str, Any]:
    nonce = new_nonce()
    return {
        "email": person.address.typed,
        "email_folded": person.address.folded,
        "agency_id": person.agency.id,
        # A row that is only there to be taken back must not meet the index that forbids a second live account.
        "status": AccountStatus.REJECTED if in_vain else AccountStatus.REQUESTED,
        "account_type": person.account_type,
        "organisation": person.organisation or None,
        "first_name": person.first_name or None,
        "last_name": person.last_name or None,
        "created_at": now,
        "status_at": now,
        "changed_at": now,
        "receipt_nonce": nonce,
        "receipt_hash": token_hash(derive_token(secret_key(), RECEIPT, nonce)),
        "seed_status": person.seed,
        "seed_status_at": now,
    }


def requests_of(account: Account, now: datetime) -> list[dict[str, Any]]:
    """The rows of what is asked for with an account: TechPass, and SEED if wanted."""
    wanted = account.seed_status is SeedStatus.REQUESTED
    kinds = (RequestKind.TECHPASS, *([RequestKind.SEED] if wanted else []))
    return [{"account_id": account.id, "kind": kind, "requested_at": now} for kind in kinds]


def _issue_each(vendors: Sequence[Account], now: datetime, policy: Policy) -> dict[int, Invitation]:
    """What `invitations.issue` does, for many who have no link yet; by account."""
    if not vendors:
        return {}
    kind = InvitationKind.REGISTRATION
    rows = []
    for account in vendors:
        nonce = new_nonce()
        hash_ = token_hash(derive_token(secret_key(), invitation_purpose(kind), nonce))
        rows.append(
            {
                "account_id": account.id,
                "kind": kind,
                "nonce": nonce,
                "token_hash": hash_,
                "issued_at": now,
                "expires_at": now + timedelta(days=policy.registration_days),
            }
        )
    made = insert_many(Invitation, rows, returning=("id", "account_id"))
    return {account_id: Invitation(id=number) for number, account_id in made}


def _invitee(person: Person, account_id: int, inviter: Account, now: datetime, *, is_theirs: bool) -> dict[str, Any]:
    return {
        "inviter_id": inviter.id,
        "account_id": account_id,
        "email": person.address.typed,
        "email_folded": person.address.folded,
        "name": f"{person.first_name} {person.last_name}".strip(),
        "seed_status": person.seed,
        "is_theirs": is_theirs,
        "reason": person.reason,
        "answers": _answers(person),
        "asked_at": now,
    }


def _answers(person: Person) -> str:
    """All that was said of somebody, as a mark by which the same is known again."""
    said = (person.seed.value, person.agency.id, person.first_name, person.last_name, person.organisation)
    return hashlib.sha256(repr((*said, person.reason)).encode()).hexdigest()


def _record(ids: Sequence[int], action: str, by: By, now: datetime, **detail: Any) -> None:
    """What `audit.record` does, for many."""
    insert_many(
        AuditEvent,
        [
            {
                "at": now,
                "action": action,
                "account_id": number,
                "actor": by.actor,
                "actor_id": by.account_id,
                "peer": by.peer,
                "peer_salt": None if by.peer is None else secrets.token_hex(16),
                "detail": detail,
            }
            for number in ids
        ],
    )
