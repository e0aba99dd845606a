"""People: found by address, name, agency and status, and one account with all that belongs to it (rule 8.3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import String, and_, func, literal_column, or_, select
from sqlalchemy.orm import aliased, joinedload

from webapp.domain.deadlines import inactivity
from webapp.domain.lifecycle import AccountStatus, AccountType, DeviceStatus, InvitationState, Role
from webapp.extensions import db
from webapp.formatting import sg_short
from webapp.models import Account, AuditEvent, BrowserSession, Device, Invitation, Invitee, Mail, Request, SessionKind
from webapp.services import activity, inviters, notes
from webapp.services.errors import NotFound
from webapp.services.held import has_role, is_of_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, ColumnExpressionArgument, Select

    from webapp.domain.policy import Policy
    from webapp.services.notes import Written

_SEARCHED = literal_column(
    "(account.email_folded || ' ' || lower(coalesce(account.first_name, '')) || ' ' || "
    "lower(coalesce(account.last_name, '')))",
    String,
)
"""The very words of the index ix_account_search, in migration 0003: PostgreSQL goes by it only if asked in them."""
_SUBSTRING_FROM = 3
"""Shorter words are looked for where an address or a name begins: in the middle they are in half of all."""
_MOST_WORDS = 6
_NEWEST = 2000
"""Among so many of the newest that the filters leave it is looked first: what is in one of forty fills a page there,
while the search index would give all of it to be sorted, fifty thousand rows of a million (`./run bench dashboard`)."""
PAGE = 50
MAILS = 20
MOST_INVITED = 1000
"""People whom somebody asked for are counted no further on their page."""
TIMELINE = 30


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list of people is asked for; without a status, everybody but those whose data are deleted."""

    words: str = ""
    agency_id: int | None = None
    status: AccountStatus | None = None
    role: Role | None = None
    account_type: AccountType | None = None
    on_hold: bool = False
    asked_for_by: int | None = None
    """The number of an account: whom they asked for (rule 5.1)."""


def find(wanted: Wanted, before: int | None = None) -> tuple[Sequence[Account], bool]:
    """A page of accounts with their agencies, newest first, and whether there are more.

    ``before`` is the id of the last one of the page before. A whole address finds whoever has it, or had it before.
    """
    filters = _filters(wanted)
    words = wanted.words.lower().split()[:_MOST_WORDS]
    if before is not None:
        filters.append(Account.id < before)
    if len(words) == 1 and "@" in words[0]:
        exact = db.session.scalars(_people().where(Account.email_folded == words[0], *filters).limit(PAGE + 1)).all()
        if exact:
            return exact[:PAGE], len(exact) > PAGE
    matches = [_match(word) for word in words]
    found: Sequence[Account] = ()
    is_all = False
    if words:
        newest = select(Account.id).where(*filters).order_by(Account.id.desc()).offset(_NEWEST - 1).limit(1)
        # Asked for by itself: the planner does well only if it knows the number.
        last = db.session.scalar(newest)
        is_all = last is None
        recent = _people().where(Account.id >= (last or 0), *filters, *matches)
        found = db.session.scalars(recent.limit(PAGE + 1)).all()
    if len(found) <= PAGE and not is_all:
        everybody = _people().where(*filters, *matches)
        if words:
            # What is rare is looked up: in the order of the key all would be read until enough is found.
            everybody = everybody.order_by(None).order_by((Account.id + 0).desc())
        found = db.session.scalars(everybody.limit(PAGE + 1)).all()
    return found[:PAGE], len(found) > PAGE


def _people() -> Select[Account]:
    return select(Account).options(joinedload(Account.agency, innerjoin=True)).order_by(Account.id.desc())


def _filters(wanted: Wanted) -> list[ColumnExpressionArgument[bool]]:
    filters: list[ColumnExpressionArgument[bool]] = []
    if wanted.status is not None:
        filters.append(Account.status == wanted.status)
    else:
        filters.append(Account.status != AccountStatus.DELETED)
    if wanted.agency_id is not None:
        filters.append(Account.agency_id == wanted.agency_id)
    if wanted.role is not None:
        filters.append(has_role(wanted.role))
    if wanted.account_type is not None:
        filters.append(is_of_type(wanted.account_type))
    if wanted.on_hold:
        filters.append(Account.under_investigation)
    if wanted.asked_for_by is not None:
        theirs = select(Invitee.account_id).where(Invitee.inviter_id == wanted.asked_for_by, Invitee.is_theirs)
        filters.append(Account.id.in_(theirs))
    return filters


def _match(word: str) -> ColumnElement[bool]:
    if len(word) >= _SUBSTRING_FROM:
        return _SEARCHED.contains(word, autoescape=True)
    return or_(_SEARCHED.startswith(word, autoescape=True), _SEARCHED.contains(f" {word}", autoescape=True))


@dataclass(frozen=True, slots=True)
class Decided:
    """One thing asked for, and who decided: an admin's address, "" where no admin did."""

    request: Request
    by: str


@dataclass(frozen=True, slots=True)
class Happened:
    """A line of somebody's record: ``who`` is an address or a word for who acted, ``changes`` are (what, from, to)."""

    number: int
    at: datetime
    title: str
    who: str
    where: str
    reason: str
    changes: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Person:
    """An account with what belongs to it, as its page shows it."""

    account: Account
    acts_at: datetime | None
    """When the clock disables or terminates it for want of a sign-in; None where it does not, as while on hold."""
    requests: Sequence[Decided]
    links: Sequence[Invitation]
    devices: Sequence[Device]
    mails: Sequence[Mail]
    notes: Sequence[Written]
    browsers: int
    """How many are signed in."""
    asked_for: Sequence[inviters.AskedFor]
    """Who asked for them, the last one first."""
    invited: int
    """How many they asked for themselves, counted no further than `MOST_INVITED`."""


def get(account_id: int) -> Account:
    """One account with its agency. Raises `NotFound`."""
    found = db.session.scalar(_people().where(Account.id == account_id))
    if found is None:
        raise NotFound
    return found


def person(account_id: int, now: datetime, policy: Policy) -> Person:
    """One account with all that belongs to it, in a fixed number of queries. Raises `NotFound`."""
    account = get(account_id)
    mails = db.session.scalars(
        select(Mail).where(Mail.account_id == account_id).order_by(Mail.id.desc()).limit(MAILS)
    ).all()
    devices = db.session.scalars(
        select(Device)
        .where(Device.account_id == account_id, Device.status != DeviceStatus.REMOVED)
        .order_by(Device.id.desc())
    ).all()
    signed_in = (
        select(func.count())
        .select_from(BrowserSession)
        .where(
            BrowserSession.account_id == account_id,
            BrowserSession.kind == SessionKind.SIGNED_IN,
            BrowserSession.expires_at > now,
        )
    )
    theirs = select(Invitee.id).where(Invitee.inviter_id == account_id, Invitee.is_theirs).limit(MOST_INVITED)
    invited = select(func.count()).select_from(theirs.subquery())
    counts = db.session.execute(select(signed_in.scalar_subquery(), invited.scalar_subquery())).one()
    return Person(
        account,
        _acts_at(account, now, policy),
        _requests(account_id),
        live_links(account_id),
        devices,
        mails,
        notes.of([account_id]).get(account_id, []),
        counts[0],
        inviters.of([account_id]).get(account_id, []),
        counts[1],
    )


def live_links(account_id: int) -> Sequence[Invitation]:
    """The links that no sweep has ended yet; one past its time may be among them."""
    return db.session.scalars(
        select(Invitation)
        .where(Invitation.account_id == account_id, Invitation.state == InvitationState.LIVE)
        .order_by(Invitation.id)
    ).all()


def _acts_at(account: Account, now: datetime, policy: Policy) -> datetime | None:
    if account.idle_since is None or account.under_investigation:
        return None
    if account.status not in (AccountStatus.ACTIVE, AccountStatus.DISABLED):
        return None
    return inactivity(account.idle_since, account.changed_at, account.disabled_at, now, policy).acts_at


def _requests(account_id: int) -> Sequence[Decided]:
    admin = aliased(Account)
    rows = db.session.execute(
        select(Request, admin.email)
        .outerjoin(admin, admin.id == Request.decided_by_id)
        .where(Request.account_id == account_id)
        .order_by(Request.id.desc())
    )
    return [Decided(request, email or "") for request, email in rows]


def timeline(account_id: int, before: int | None = None) -> Sequence[Happened]:
    """What is on record of an account, newest first: one more than `TIMELINE`, which tells that there is a next page.

    ``before`` is the number of the last line of the page before.
    """
    actor = aliased(Account)
    query = (
        select(AuditEvent, actor.email)
        .outerjoin(actor, and_(actor.id == AuditEvent.actor_id, AuditEvent.actor_id != account_id))
        .where(AuditEvent.account_id == account_id)
        .order_by(AuditEvent.id.desc())
        .limit(TIMELINE + 1)
    )
    if before is not None:
        query = query.where(AuditEvent.id < before)
    return [_happened(event, email) for event, email in db.session.execute(query)]


def _happened(event: AuditEvent, email: str | None) -> Happened:
    detail = event.detail or {}
    before, after = _values(detail.get("before")), _values(detail.get("after"))
    return Happened(
        event.id,
        event.at,
        activity.plainly(event.action, detail),
        email or activity.actor(event),
        event.peer or "",
        # What the portal gives as its reason stands in the title already.
        str(detail.get("reason", "")) if event.actor_id is not None or event.action in activity.BY_OPERATORS else "",
        [(name, before.get(name, ""), after.get(name, "")) for name in {**before, **after}],
    )


def _values(given: object) -> dict[str, str]:
    return {str(name): _said(value) for name, value in given.items()} if isinstance(given, dict) else {}


def _said(value: object) -> str:
    """A value on record in words: an instant as people read it, yes and no, and "" for nothing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = "" if value is None else str(value)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return text.replace("_", " ")
    return sg_short(instant) if instant.tzinfo is not None else text
