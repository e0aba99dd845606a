"""An invited vendor registers, once, however the link is used (rule 5.5, promise 4)."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from tests.onboarding import PEER
from webapp import emails
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState
from webapp.emails.render import load, render
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Invitation, Mail, Request
from webapp.services import expiry, held, outbox, registration
from webapp.services.audit import By
from webapp.services.errors import LinkEnded
from webapp.services.keys import secret_keys

GIVEN = {"first_name": "Mei", "last_name": "Tan", "organisation": "Vendor Pte Ltd", "mobile": "+6591234567"}
BY = By.visitor(PEER)


@pytest.fixture
def vendor(make):
    account = make.vendor(email="mei@vendor.example.com")
    make.invitee(make.account(email="goh@tech.gov.sg"), account)
    return account.id, make.invitation(account, InvitationKind.REGISTRATION)[1]


def written():
    db.session.rollback()
    tables = (Request, Mail, AuditEvent)
    return tuple(db.session.scalar(select(func.count()).select_from(table)) for table in tables)


def test_fifty_at_once_register_once(app, vendor, now):
    account_id, token = vendor

    def register(number):
        with app.app_context():
            try:
                registration.register(token, GIVEN | {"first_name": f"Mei {number}"}, BY, now)
            except LinkEnded as error:
                return error.state
            return "registered"

    db.session.rollback()  # SQLite would have them wait for what this test has read.
    with ThreadPoolExecutor(8) as pool:
        outcomes = Counter(pool.map(register, range(50)))
    assert outcomes == {"registered": 1, InvitationState.USED: 49}
    assert written() == (1, 1, 1)
    assert db.session.get_one(Account, account_id).status is AccountStatus.REQUESTED


def test_between_opening_and_sending_the_link_may_be_replaced(app, vendor, now, monkeypatch):
    """What holds once the account's row is ours decides, not what was read before."""
    account_id, token = vendor
    hold = held.hold

    def meanwhile(number):
        db.session.execute(update(Invitation).values(state=InvitationState.REPLACED, ended_at=now))
        return hold(number)

    monkeypatch.setattr("webapp.services.registration.hold", meanwhile)
    with pytest.raises(LinkEnded):
        registration.register(token, GIVEN, BY, now)
    assert written() == (0, 0, 0)
    assert db.session.get_one(Account, account_id).mobile is None


@pytest.mark.parametrize("on_hold", [False, True])
def test_a_second_later_it_does_not_whether_or_not_the_sweep_came(app, vendor, now, on_hold):
    account_id, token = vendor
    db.session.execute(update(Account).where(Account.id == account_id).values(under_investigation=on_hold))
    db.session.commit()
    late = now + timedelta(days=5, seconds=1)
    for _ in range(2):
        with pytest.raises(LinkEnded) as ended:
            registration.register(token, GIVEN, BY, late)
        assert ended.value.state is InvitationState.EXPIRED
        expiry.expire(late)
    account = db.session.get_one(Account, account_id, populate_existing=True)
    assert account.status is (AccountStatus.REQUESTED if on_hold else AccountStatus.TERMINATED)
    assert db.session.scalars(select(Request)).all() == []


def test_in_the_last_instant_it_still_counts(app, vendor, now):
    _, token = vendor
    registration.register(token, GIVEN, BY, now + timedelta(days=5))
    assert written() == (1, 1, 1)


def test_what_an_inviter_is_called_is_text_and_never_markup(app, vendor, make, now):
    account_id, _ = vendor
    account = db.session.get_one(Account, account_id)
    inviter = make.account(first_name="<script>x</script>", last_name="Bcc: x@example.com")
    outbox.post(
        emails.asked_for(account, inviter.id, now),
        emails.vendor_registration(account, db.session.scalars(select(Invitation)).one(), inviter.id, now),
    )
    db.session.commit()
    for letter in load(db.session.scalars(select(Mail)).all()):
        mail = render(letter, secret_keys(), now)
        assert "<script" not in mail.html
        assert "&lt;script&gt;x&lt;/script&gt; Bcc: x@example.com" in mail.html
        assert "Bcc" not in mail.subject
