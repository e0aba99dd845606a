"""Agencies, as the address rules read them and as admins see them (rules 1.6 and 8.4)."""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, or_, select

from webapp.domain.addresses import AddressError, AgencyMode, parse_domain
from webapp.domain.lifecycle import RequestState
from webapp.extensions import db
from webapp.models import Account, Agency, Request, UnknownAgency
from webapp.models.account import ASKING
from webapp.models.base import insert_new
from webapp.services.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

KEPT_SECONDS = 5
"""After at most so long a change counts in every process."""
PAGE = 100
"""Agencies on one page: most portals have no more."""
MOST_WAITING = 99
"""An agency's open requests are counted no further in the list."""
MOST_UNKNOWN = 20
"""Unknown domains that are shown, the ones tried most."""
LONGEST_NAME = 120
LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class AgencyFacts:
    """An agency as it was a moment ago; satisfies `webapp.domain.addresses.AgencyRules`."""

    id: int
    domain: str
    name: str
    mode: AgencyMode
    reason: str
    seed_eligible: bool
    approves_automatically: bool
    vendors_allowed: bool


_kept: dict[str, AgencyFacts] = {}
_kept_until = 0.0


def find(domain: str) -> AgencyFacts | None:
    """The agency of a mail domain, if we know it. Read anew every 5 seconds: the address is judged as one types."""
    global _kept, _kept_until
    if time.monotonic() >= _kept_until:
        _kept = {
            row.domain: AgencyFacts(
                row.id,
                row.domain,
                row.name,
                row.mode,
                row.reason,
                row.seed_eligible,
                row.approves_automatically,
                row.vendors_allowed,
            )
            for row in db.session.scalars(select(Agency))
        }
        _kept_until = time.monotonic() + KEPT_SECONDS
    return _kept.get(domain)


def known() -> Mapping[str, AgencyFacts]:
    """All agencies by their mail domain, as `find` knows them."""
    find("")
    return _kept


def forget() -> None:
    """Read the agencies anew at the next question: one was changed."""
    global _kept_until
    _kept_until = 0.0


def count_unknown(domain: str, now: datetime) -> None:
    """Remember that somebody of an unknown ``.gov.sg`` domain knocked (rule 1.6). No commit."""
    db.session.execute(insert_new(UnknownAgency), [{"domain": domain, "tries": 0, "last_at": now}])
    db.session.query(UnknownAgency).filter_by(domain=domain).update(
        {"tries": UnknownAgency.tries + 1, "last_at": now}, synchronize_session=False
    )


@dataclass(frozen=True, slots=True)
class AgencySettings:
    """All that admins set of an agency. ``reason`` is shown to whoever is refused, and empty for all others."""

    domain: str
    name: str
    mode: AgencyMode
    reason: str
    seed_eligible: bool
    approves_automatically: bool
    vendors_allowed: bool

    @property
    def version(self) -> str:
        """A mark of these values: a page that carries it is known to be old once they change."""
        return hashlib.sha256(repr(astuple(self)).encode()).hexdigest()[:16]

    def values(self) -> dict[str, Any]:
        return asdict(self)

    def changes_to(self, after: AgencySettings) -> dict[str, tuple[Any, Any]]:
        """What differs, by field: before and after."""
        new = after.values()
        return {name: (old, new[name]) for name, old in self.values().items() if old != new[name]}

    def problems(self) -> dict[str, str]:
        """What is wrong with them, by field, with the way to mend it."""
        found = {}
        try:
            if parse_domain(self.domain) != self.domain:
                found["domain"] = "Enter the mail domain in small letters"
        except AddressError as error:
            found["domain"] = str(error)
        if not self.name:
            found["name"] = "Enter the agency’s name"
        elif not self.name.isprintable():
            found["name"] = "Enter the name in one line of plain text"
        elif len(self.name) > LONGEST_NAME:
            found["name"] = f"The name must have {LONGEST_NAME} characters or fewer"
        if self.mode is AgencyMode.REFUSED and not self.reason:
            found["reason"] = "Enter the reason: people who try to sign up are shown it"
        elif self.mode is not AgencyMode.REFUSED and self.reason:
            found["reason"] = "Leave the reason empty: it is shown only where sign-ups are refused"
        elif len(self.reason) > LONGEST_REASON:
            found["reason"] = f"The reason must have {LONGEST_REASON} characters or fewer"
        elif not self.reason.isprintable():
            found["reason"] = "Enter the reason in one line of plain text"
        return found


def settings_of(agency: Agency) -> AgencySettings:
    return AgencySettings(
        domain=agency.domain,
        name=agency.name,
        mode=agency.mode,
        reason=agency.reason if agency.mode is AgencyMode.REFUSED else "",
        seed_eligible=agency.seed_eligible,
        approves_automatically=agency.approves_automatically,
        vendors_allowed=agency.vendors_allowed,
    )


@dataclass(frozen=True, slots=True)
class Listed:
    """An agency in the list, with its open requests, counted no further than one beyond `MOST_WAITING`."""

    agency: Agency
    waiting: int


def listed(search: str = "", mode: AgencyMode | None = None, after: str = "") -> Sequence[Listed]:
    """Agencies by domain: one more than a page, which tells that there is a next one.

    ``after`` is the last domain of the page before; ``search`` is a part of a name or domain.
    """
    query = select(Agency, _waiting_at_each()).order_by(Agency.domain).limit(PAGE + 1)
    if search:
        looked_for = search.lower()
        query = query.where(
            or_(
                Agency.domain.contains(looked_for, autoescape=True),
                func.lower(Agency.name).contains(looked_for, autoescape=True),
            )
        )
    if mode is not None:
        query = query.where(Agency.mode == mode)
    if after:
        query = query.where(Agency.domain > after)
    return [Listed(agency, waiting) for agency, waiting in db.session.execute(query)]


def _waiting_at_each() -> Any:
    """The open requests of an agency, as a column: however many people it has, only those who ask are read."""
    asked = (
        select(Request.id)
        .join(Account, Account.id == Request.account_id)
        .where(Account.agency_id == Agency.id, ASKING, Request.state == RequestState.OPEN)
        .limit(MOST_WAITING + 1)
        .correlate(Agency)
        .subquery()
    )
    return select(func.count()).select_from(asked).correlate(Agency).scalar_subquery()


def every() -> Sequence[AgencySettings]:
    """All agencies by domain, for a file of them."""
    return [settings_of(agency) for agency in db.session.scalars(select(Agency).order_by(Agency.domain))]


def get(agency_id: int) -> Agency:
    """One agency. Raises `NotFound`."""
    found = db.session.get(Agency, agency_id)
    if found is None:
        raise NotFound
    return found


def has_accounts(agency_id: int) -> bool:
    """Whether anybody has, or had, an account there: then its domain is fixed and it stays."""
    return bool(db.session.scalar(select(exists().where(Account.agency_id == agency_id))))


def unknown() -> Sequence[UnknownAgency]:
    """Domains that people tried and that are no agency, those tried most first; one more than `MOST_UNKNOWN`."""
    is_known = exists().where(Agency.domain == UnknownAgency.domain)
    return db.session.scalars(
        select(UnknownAgency)
        .where(~is_known)
        .order_by(UnknownAgency.tries.desc(), UnknownAgency.domain.desc())
        .limit(MOST_UNKNOWN + 1)
    ).all()


def tries(domain: str) -> int:
    """How often people tried to sign up with a domain that we do not know."""
    return db.session.scalar(select(UnknownAgency.tries).where(UnknownAgency.domain == domain)) or 0
