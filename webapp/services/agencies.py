"""Agencies, as the address rules read them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from webapp.extensions import db
from webapp.models import Agency, UnknownAgency
from webapp.models.base import insert_new

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.domain.addresses import AgencyMode

_KEPT_SECONDS = 5.0


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
        _kept_until = time.monotonic() + _KEPT_SECONDS
    return _kept.get(domain)


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
