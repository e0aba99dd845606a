"""Agencies added, changed and deleted by admins, and what follows from a change (rules 1.6 and 8.4).

Sign-ups read agencies from memory for some seconds (`agencies.find`): until then another process goes by how it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from webapp import queue
from webapp.domain.lifecycle import RequestState
from webapp.extensions import db
from webapp.models import Account, Agency, Request, UnknownAgency
from webapp.models.base import insert_new
from webapp.services import agencies, audit
from webapp.services.agencies import AgencySettings, settings_of
from webapp.services.errors import (
    AgencyInUse,
    AgencyRefused,
    ChangedMeanwhile,
    DomainTaken,
    NotFound,
    OwnRequest,
)

if TYPE_CHECKING:
    from datetime import datetime


def add(settings: AgencySettings, by: audit.By, now: datetime) -> int:
    """Let an agency take part; its id. Raises `AgencyRefused` or `DomainTaken`."""
    _check(settings)
    agency_id = insert(settings, by, now)
    db.session.commit()
    agencies.forget()
    return agency_id


def insert(settings: AgencySettings, by: audit.By, now: datetime) -> int:
    """`add` without checks and commit. Raises `DomainTaken`, with nothing written."""
    agency_id = _insert(settings)
    db.session.execute(delete(UnknownAgency).where(UnknownAgency.domain == settings.domain))
    audit.record("agency.added", None, by, now, domain=settings.domain, after=settings.values())
    return agency_id


def _insert(settings: AgencySettings) -> int:
    agency_id: int | None = db.session.scalar(
        insert_new(Agency).values(**settings.values()).returning(Agency.id),
    )
    if agency_id is None:
        db.session.rollback()
        raise DomainTaken
    return agency_id


def change(agency_id: int, settings: AgencySettings, version: str, by: audit.By, now: datetime) -> bool:
    """Have ``settings`` in force from now on; False if they are already, and nothing was done.

    ``version`` is that of the settings which the change was made from. Raises `NotFound`, `AgencyRefused`,
    `ChangedMeanwhile` if they are not in force any more, `AgencyInUse` or `DomainTaken` for a new domain, and
    `OwnRequest` for whoever would have their own request approved by it (rule 2.2).
    """
    _check(settings)
    agency = _hold(agency_id)
    before = settings_of(agency)
    if before == settings:
        db.session.rollback()
        return False
    if before.version != version:
        db.session.rollback()
        raise ChangedMeanwhile
    if before.domain == settings.domain:
        update(agency, settings, by, now)
    else:
        _move(agency, settings, by, now)
    db.session.commit()
    agencies.forget()
    return True


def update(agency: Agency, settings: AgencySettings, by: audit.By, now: datetime) -> None:
    """Write down what changes of an agency whose row the caller holds, all but its domain. No checks, no commit.

    Raises `OwnRequest`, with nothing written.
    """
    before = settings_of(agency)
    if settings.approves_automatically and not before.approves_automatically:
        if by.account_id is not None and _asks_here(by.account_id, agency.id):
            db.session.rollback()
            raise OwnRequest
        queue.wake_after_commit(db.session, "approve")
    for name, value in settings.values().items():
        setattr(agency, name, value)
    _record_change(before, settings, by, now)


def _move(agency: Agency, settings: AgencySettings, by: audit.By, now: datetime) -> None:
    """Give an agency without accounts another domain: as a new row, so that no sign-up that is just under way by the
    old domain ends up at the new one."""
    before = settings_of(agency)
    _delete(agency)
    _insert(settings)
    db.session.execute(delete(UnknownAgency).where(UnknownAgency.domain == settings.domain))
    _record_change(before, settings, by, now)


def _record_change(before: AgencySettings, after: AgencySettings, by: audit.By, now: datetime) -> None:
    changed = before.changes_to(after)
    audit.record(
        "agency.changed",
        None,
        by,
        now,
        domain=after.domain,
        before={name: old for name, (old, _) in changed.items()},
        after={name: new for name, (_, new) in changed.items()},
    )


def remove(agency_id: int, by: audit.By, now: datetime) -> str:
    """Delete an agency that has no accounts; its domain. Raises `NotFound` or `AgencyInUse`."""
    agency = _hold(agency_id)
    before = settings_of(agency)
    _delete(agency)
    audit.record("agency.removed", None, by, now, domain=before.domain, before=before.values())
    db.session.commit()
    agencies.forget()
    return before.domain


def _delete(agency: Agency) -> None:
    db.session.expunge(agency)
    try:
        db.session.execute(delete(Agency).where(Agency.id == agency.id))
    except IntegrityError:  # The database keeps what an account refers to, also one made at this instant.
        db.session.rollback()
        raise AgencyInUse from None


def dismiss(domain: str, by: audit.By, now: datetime) -> bool:
    """Forget that people tried an unknown domain; False if it was forgotten already. It is counted anew from then."""
    tries = db.session.scalar(
        delete(UnknownAgency).where(UnknownAgency.domain == domain).returning(UnknownAgency.tries)
    )
    if tries is None:
        db.session.rollback()
        return False
    audit.record("agency.dismissed", None, by, now, domain=domain, tries=tries)
    db.session.commit()
    return True


def _check(settings: AgencySettings) -> None:
    problems = settings.problems()
    if problems:
        raise AgencyRefused(problems)


def _hold(agency_id: int) -> Agency:
    """The agency, locked until the transaction ends. Sign-ups there do not wait for it."""
    found = db.session.scalar(
        select(Agency)
        .where(Agency.id == agency_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if found is None:
        db.session.rollback()
        raise NotFound
    return found


def _asks_here(account_id: int, agency_id: int) -> bool:
    mine = select(Request.id).where(Request.account_id == account_id, Request.state == RequestState.OPEN)
    asked = mine.join(Account, Account.id == Request.account_id).where(Account.agency_id == agency_id)
    return db.session.scalar(asked.limit(1)) is not None
