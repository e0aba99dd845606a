"""The MDM system's signed endpoint: whose report it is, that it counts once, and what it changes (rule 4.7)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from webapp.domain.mdm import NotAReport, is_signed, is_timely, read_report
from webapp.extensions import db
from webapp.models import UsedSolution
from webapp.models.base import insert_new
from webapp.services import device_reports
from webapp.services.errors import ReportInvalid, ReportRefused, ReportRepeated

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.domain.policy import Policy


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What the MDM system sent: the address's device, the two headers, and the body as it came."""

    intune_device_id: str
    timestamp: str
    signature: str
    body: bytes


def receive(sent: SignedRequest, secret: str, now: datetime, policy: Policy) -> str:
    """Take a report; what became of it: "changed", "late" or "ignored".

    Raises `ReportRefused`, `ReportInvalid`, `ReportRepeated`, or `NotFound` for a device that is not registered. A
    signature is used up only by a report that was taken.
    """
    tolerance = timedelta(minutes=policy.mdm_tolerance_minutes)
    if not is_timely(sent.timestamp, now, tolerance):
        raise ReportRefused(
            f"X-Timestamp must be the seconds since 1970, within {policy.mdm_tolerance_minutes} minutes"
        )
    if not is_signed(secret, sent.timestamp, sent.signature, sent.body):
        raise ReportRefused("X-Signature is not the signature of this timestamp and body")
    try:
        report = read_report(sent.body, sent.intune_device_id, now + tolerance)
    except NotAReport as error:
        raise ReportInvalid(error.problems) from None
    # In the transaction of the change, so that neither is there without the other.
    _use(sent.signature, now + 2 * tolerance + timedelta(seconds=1))
    result = device_reports.apply(report, now, policy)
    db.session.commit()
    return result


def _use(signature: str, until: datetime) -> None:
    """Note a signature for as long as its timestamp can be good. Raises `ReportRepeated` the second time."""
    mark = hashlib.sha256(f"mdm:{signature.lower()}".encode()).hexdigest()
    added = db.session.scalar(
        insert_new(UsedSolution).values(signature=mark, expires_at=until).returning(UsedSolution.signature)
    )
    if added is None:
        db.session.rollback()
        raise ReportRepeated
