"""`neutral`: does the time of an answer tell whether somebody has an account (case S1)?

The figure is the area under the ROC curve of the times for each status against a new address: 0.5 tells nothing.
"""

from __future__ import annotations

import random
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from sqlalchemy import insert, select

from tests.bench.load import Connection, get, post
from tests.bench.report import Result
from tests.bench.web import _solution, both
from webapp.domain.lifecycle import AccountStatus, InvitationKind
from webapp.extensions import db
from webapp.models import Account, Agency
from webapp.services import invitations

if TYPE_CHECKING:
    from flask import Flask

SAMPLES = 1000
STATUSES = (None, AccountStatus.REQUESTED, AccountStatus.PENDING, AccountStatus.ACTIVE, AccountStatus.TERMINATED)


def _address(status: AccountStatus | None, number: int) -> str:
    return f"{status or 'new'}{number}@tech.gov.sg"


def _fill(app: Flask) -> None:
    now = datetime.now(UTC)
    with app.app_context():
        agency = db.session.scalar(select(Agency.id).where(Agency.domain == "tech.gov.sg"))
        for status in STATUSES[1:]:
            assert status is not None
            rows = [
                {
                    "email": _address(status, number),
                    "email_folded": _address(status, number),
                    "agency_id": agency,
                    "status": status,
                    "created_at": now,
                    "status_at": now,
                    "changed_at": now,
                    "seed_status_at": now,
                }
                for number in range(SAMPLES)
            ]
            db.session.execute(insert(Account), rows)
        for account in db.session.scalars(select(Account).where(Account.status == AccountStatus.PENDING)).all():
            invitations.issue(account, InvitationKind.TECHPASS, now, app.config["POLICY"])
        db.session.commit()


def _area(ours: list[float], others: list[float]) -> float:
    """How often a time of the one is longer than a time of the other; made symmetric about 0.5."""
    ranked = sorted([(time_, 0) for time_ in others] + [(time_, 1) for time_ in ours])
    ranks = sum(rank for rank, (_, which) in enumerate(ranked, 1) if which)
    area = (ranks - len(ours) * (len(ours) + 1) / 2) / (len(ours) * len(others))
    return max(area, 1 - area)


def run_neutral() -> list[Result]:
    with both() as (_bare, port, app):
        _fill(app)
        connection = Connection(port)
        _, page = connection.ask(get("/sign-up"))
        cookie = re.search(rb"Set-Cookie: ([^;]+)", page).group(1).decode()  # type: ignore[union-attr]
        token = re.search(rb'name="csrf_token"[^>]*value="([^"]+)"', page).group(1).decode()  # type: ignore[union-attr]
        times: dict[str, dict[AccountStatus | None, list[float]]] = {
            what: {status: [] for status in STATUSES} for what in ("sign-up", "log-in")
        }
        for number in range(SAMPLES):
            for status in random.sample(STATUSES, len(STATUSES)):
                for what, fields in (("sign-up", {"seed": "yes"}), ("log-in", {})):
                    given = {"csrf_token": token, "email": _address(status, number), **fields}
                    if what == "sign-up":
                        with app.app_context():
                            given["altcha"] = _solution()
                    body = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())
                    peer = f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(256)}"
                    request = post(f"/{what}", body, Cookie=cookie, X_Forwarded_For=peer)
                    begun = time.perf_counter()
                    code, answer = connection.ask(request)
                    times[what][status].append(time.perf_counter() - begun)
                    assert code == 303, answer[:500]
        connection.close()
    results = []
    for what, by_status in times.items():
        for status in STATUSES[1:]:
            area = _area(by_status[status], by_status[None])
            results.append(Result(f"neutral {what}, {status}", "0.50", f"{area:.3f}", area, "<= 0.55", area <= 0.55))
    return results
