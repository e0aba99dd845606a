"""The queue of requests as admins see it: what waits, oldest first, with filters (rules 8.2 and 8.10)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, exists, select, tuple_, update
from sqlalchemy.orm import joinedload

from webapp.domain.business_days import singapore_date
from webapp.domain.lifecycle import AccountType, RequestKind, RequestState, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Agency, Question, Request
from webapp.models.account import ASKING
from webapp.services import inviters, notes, questions
from webapp.services.errors import NotFound
from webapp.services.held import is_of_type
from webapp.services.sets import among

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

PAGE = 50
LONGEST_SELECTION = 200
"""Requests that are decided at once."""


class Seed(StrEnum):
    """Requests of people who asked for SEED, who did not, or whose promise is at risk (rule 4.2)."""

    WITH = "with"
    WITHOUT = "without"
    AT_RISK = "at_risk"


class Talk(StrEnum):
    """Requests with a question that waits for its answer, or with answers alone."""

    ASKED = "asked"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Filters:
    """What narrows the queue; None and "" narrow nothing."""

    agency_id: int | None = None
    kind: RequestKind | None = None
    days: int | None = None
    """Waiting for at least so many days."""
    seed: Seed | None = None
    talk: Talk | None = None
    person: AccountType | None = None
    address: str = ""
    """A part of the address, in any case."""


@dataclass(frozen=True, slots=True)
class Row:
    """A request, what was asked about it, what admins noted about its applicant, and who asked for them, if anybody."""

    request: Request
    asked: Sequence[questions.Asked] = ()
    notes: Sequence[notes.Written] = ()
    asked_for: Sequence[inviters.AskedFor] = ()

    @property
    def waits_for_answer(self) -> bool:
        """Whether the applicant has yet to answer what was asked."""
        return any(asked.answered_at is None for asked in self.asked)


_WITH_ACCOUNT = joinedload(Request.account, innerjoin=True).joinedload(Account.agency, innerjoin=True)


def waiting(filters: Filters, now: datetime, after: tuple[datetime, int] | None = None) -> list[Row]:
    """Open requests, oldest first: one more than a page, which tells that there is a next one.

    ``after`` is the last request of the page before, as (requested at, id).
    """
    query = select(Request).where(*_conditions(filters, now))
    query = query.order_by(Request.requested_at, Request.id).limit(PAGE + 1).options(_WITH_ACCOUNT)
    if after is not None:
        query = query.where(tuple_(Request.requested_at, Request.id) > after)
    return _rows(db.session.scalars(query).all())


def _conditions(filters: Filters, now: datetime) -> list[ColumnElement[bool]]:
    # The state is written out: as a parameter it would hide that the queue's partial index fits.
    state = bindparam(None, RequestState.OPEN, Request.__table__.c.state.type, literal_execute=True)
    found: list[ColumnElement[bool]] = [Request.state == state]
    if filters.kind is not None:
        found.append(Request.kind == filters.kind)
    if filters.days is not None:
        found.append(Request.requested_at <= now - timedelta(days=filters.days))
    if filters.seed is Seed.AT_RISK:
        found.append(Request.due_on <= singapore_date(now))
    account: list[ColumnElement[bool]] = []
    if filters.agency_id is not None:
        account.append(Account.agency_id == filters.agency_id)
    if filters.person is not None:
        account.append(is_of_type(filters.person))
    if filters.address:
        account.append(Account.email_folded.contains(filters.address.casefold(), autoescape=True))
    if filters.seed in (Seed.WITH, Seed.WITHOUT):
        asked = Account.seed_status == SeedStatus.REQUESTED
        account.append(asked if filters.seed is Seed.WITH else ~asked)
    if account:
        # Whose request is open is asking: said in the index's own words, it is read instead of the accounts.
        asking = select(Account.id).where(ASKING, *account)
        found.append(Request.account_id.in_(asking))
    if filters.talk is not None:
        of_it = exists().where(Question.request_id == Request.id)
        waits = of_it.where(Question.answered_at.is_(None))
        found += [waits] if filters.talk is Talk.ASKED else [of_it, ~waits]
    return found


def _rows(requests: Sequence[Request]) -> list[Row]:
    asked = questions.of([request.id for request in requests])
    people = {request.account_id for request in requests}
    noted, asked_for = notes.of(people), inviters.of(people)
    return [
        Row(
            request,
            asked.get(request.id, ()),
            noted.get(request.account_id, ()),
            asked_for.get(request.account_id, ()),
        )
        for request in requests
    ]


def find(request_id: int) -> Request:
    """One request with its account and agency. Raises `NotFound`."""
    found = db.session.scalar(select(Request).where(Request.id == request_id).options(_WITH_ACCOUNT))
    if found is None:
        raise NotFound
    return found


def row(request_id: int) -> Row:
    """`find`, with what belongs to it. Raises `NotFound`."""
    return _rows([find(request_id)])[0]


def chosen(request_ids: Sequence[int]) -> Sequence[Request]:
    """Those of ``request_ids`` that still wait, oldest first, with account and agency."""
    return db.session.scalars(
        select(Request)
        .where(among(Request.id, request_ids), Request.state == RequestState.OPEN)
        .order_by(Request.requested_at, Request.id)
        .options(_WITH_ACCOUNT)
    ).all()


def beside(request: Request) -> list[Row]:
    """The other requests of the same account: a decision on TechPass changes what can be done about its SEED."""
    return _rows(
        db.session.scalars(
            select(Request)
            .where(Request.account_id == request.account_id, Request.id != request.id)
            .options(_WITH_ACCOUNT)
            .order_by(Request.id)
        ).all()
    )


def agencies() -> list[tuple[int, str]]:
    """Whom the queue may be narrowed to: number and name, by name. Those that take nobody have nobody waiting."""
    query = select(Agency.id, Agency.name, Agency.domain).order_by(Agency.name, Agency.id)
    return [(row.id, f"{row.name} ({row.domain})") for row in db.session.execute(query)]


def decider(request: Request) -> Account | None:
    """The admin who decided; None where the agency approves automatically."""
    return db.session.get(Account, request.decided_by_id) if request.decided_by_id else None


def switch_keys(account_id: int, off: bool) -> None:
    """Remember whether an admin wants no keys of one letter (rule 8.2)."""
    db.session.execute(update(Account).where(Account.id == account_id).values(shortcuts_off=off))
    db.session.commit()
