"""Sign up, on a real database (section 1 of the rules)."""

from __future__ import annotations

from sqlalchemy import select

from webapp.domain.lifecycle import AccountStatus, RequestKind
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Mail, Request
from webapp.services import audit
from webapp.services.sign_up import sign_up

VISITOR = audit.By.visitor("203.0.113.7")


def test_a_new_address_becomes_an_account_that_waits(app, make, now):
    sign_up("Peter_Wilson@tech.gov.sg", True, make.solution(), VISITOR, now)

    account = db.session.scalars(select(Account)).one()
    assert (account.email, account.email_folded) == ("Peter_Wilson@tech.gov.sg", "peter_wilson@tech.gov.sg")
    assert account.status is AccountStatus.REQUESTED
    assert {request.kind for request in db.session.scalars(select(Request))} == {
        RequestKind.TECHPASS,
        RequestKind.SEED,
    }
    assert [mail.kind for mail in db.session.scalars(select(Mail))] == ["request_received"]
    assert [event.action for event in db.session.scalars(select(AuditEvent))] == ["sign_up.requested"]
