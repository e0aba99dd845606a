"""What an admin finds in the morning: ``python -m tests.browser.night``, with the settings of a running portal."""

from __future__ import annotations

from datetime import timedelta

from flask import current_app

from tests.factories import Factory
from webapp import clock, create_app, emails
from webapp.domain.lifecycle import AccountStatus
from webapp.extensions import db
from webapp.models import Account
from webapp.services import outbox

WAITING = 30
OVERDUE = 4
PENDING = "wei_ling@moh.gov.sg"
BOUNCED = "full_mailbox@iras.gov.sg"
AGENCIES = ("tech", "moe", "cpf", "hdb", "lta")


def waiting(number: int) -> str:
    """The address of an applicant, the one who waits longest first."""
    return f"applicant_{number:02}@{AGENCIES[number % len(AGENCIES)]}.gov.sg"


def main() -> None:
    with create_app().app_context():
        now = clock.now()
        make = Factory(now, current_app.config["POLICY"])
        for number in range(WAITING):
            make.request(waiting(number), at=now - timedelta(minutes=600 - number))
        make.invitation(make.account(AccountStatus.PENDING, PENDING), at=now - timedelta(days=20))
        for number in range(OVERDUE):
            late = make.account(AccountStatus.PENDING, f"late_{number}@nea.gov.sg")
            # Run out some minutes from now: a sweep that is at work while this is written must not find a part of it.
            make.invitation(late, at=now - timedelta(days=30, minutes=-10 - number))
        bounced = db.session.get_one(Account, make.request(BOUNCED, at=now).account_id)
        outbox.post(emails.request_received(bounced, now))
        db.session.commit()


if __name__ == "__main__":
    main()
