"""The daily digest: what waits, by mail to each active admin, on business days from eight in the morning (rule 8.1)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from webapp import emails
from webapp.domain.business_days import singapore_date, start_of_day
from webapp.domain.lifecycle import AccountStatus, Role
from webapp.extensions import db
from webapp.models import Account, Mail
from webapp.services import admin_start, holidays, outbox

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from webapp.services.admin_start import Waiting

FROM_HOUR = 8
"""Singapore time."""


def send(now: datetime) -> int:
    """Write today's digest to each active admin who has none yet; how many.

    Only where something waits, and requests count only if they waited at eight: who is at work sees a new one come, and
    need not be mailed of it. Who was away at eight, a worker say, sends it later in the day.
    """
    today = singapore_date(now)
    begins = start_of_day(today) + timedelta(hours=FROM_HOUR)
    if now < begins or not holidays.is_business_day(today):
        return 0
    admins = _without_digest(today, now)
    if not admins:
        db.session.rollback()
        return 0
    waiting = admin_start.waiting(now)
    waited = bool(waiting.oldest) and waiting.oldest[0].requested_at < begins
    if not waited and not waiting.others:
        db.session.rollback()
        return 0
    waits = _lines(waiting)
    outbox.post(*(emails.admin_digest(admin, today, waits, now) for admin in admins))
    db.session.commit()
    return len(admins)


def _without_digest(today: date, now: datetime) -> Sequence[Account]:
    """The active admins whose digest of ``today`` is not written."""
    admins = db.session.scalars(
        select(Account)
        .where(Account.role == Role.ADMIN, Account.status == AccountStatus.ACTIVE)
        .order_by(Account.id)
        .execution_options(populate_existing=True)
    ).all()
    keys = {emails.admin_digest(admin, today, (), now)["key"]: admin for admin in admins}
    written = set(db.session.scalars(select(Mail.key).where(Mail.key.in_(keys))))
    return [admin for key, admin in keys.items() if key not in written]


def _lines(waiting: Waiting) -> list[dict[str, Any]]:
    """What waits and how much of it: numbers alone, no names and no addresses."""
    promises = {"requests": waiting.requests, "overdue": waiting.overdue, "at_risk": waiting.at_risk}
    found: list[tuple[str, Any]] = [(what, count) for what, count in promises.items() if count]
    found += [(str(wait.what), wait.count) for wait in waiting.others]
    return [
        {"what": what, "number": count.number if count else None, "said": str(count) if count else ""}
        for what, count in found
    ]
