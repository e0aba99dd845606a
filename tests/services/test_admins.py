"""Admins made by the operator: by a link that only the operator sees."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from webapp.domain.addresses import AddressError
from webapp.domain.lifecycle import AccountStatus, InvitationKind, Role
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Mail
from webapp.services import admins, invitations
from webapp.services.errors import SignUpRefused

EMAIL = "boss@tech.gov.sg"


def token(link):
    return link.rsplit("/", 1)[1]


def test_a_new_admin_gets_a_link_that_opens(app, now, policy):
    link = admins.create(EMAIL, now, policy)
    found = invitations.open_link(token(link), now, InvitationKind.TECHPASS)
    assert (found.account.role, found.account.status) == (Role.ADMIN, AccountStatus.PENDING)
    assert db.session.scalar(select(func.count()).select_from(Mail)) == 0
    assert db.session.scalars(select(AuditEvent.action)).all() == ["role.granted"]


def test_who_is_active_becomes_admin_and_needs_no_link(make, now, policy):
    account = make.account(email=EMAIL)
    assert admins.create(EMAIL.upper(), now, policy) is None
    db.session.refresh(account)
    assert account.is_admin


def test_who_waits_for_approval_is_not_made_admin_past_it(make, now, policy):
    make.request(EMAIL)
    with pytest.raises(SignUpRefused, match="waits for approval"):
        admins.create(EMAIL, now, policy)
    db.session.rollback()
    assert db.session.scalar(select(Account.role)) == Role.OFFICER


def test_who_let_the_link_expire_begins_anew(make, now, policy):
    make.invitation(make.account(AccountStatus.PENDING, EMAIL))
    later = now + timedelta(days=31)
    assert admins.create(EMAIL, later, policy)
    statuses = db.session.scalars(select(Account.status).order_by(Account.id)).all()
    assert statuses == [AccountStatus.TERMINATED, AccountStatus.PENDING]


@pytest.mark.parametrize(("email", "error"), [("boss", AddressError), ("boss@nowhere.gov.sg", SignUpRefused)])
def test_an_address_that_is_none_is_refused(app, now, policy, email, error):
    with pytest.raises(error):
        admins.create(email, now, policy)


def test_the_first_admin_gets_the_same_link_until_it_was_followed(app, make, now, policy):
    link = admins.first(EMAIL, now, policy)
    assert admins.first("other@tech.gov.sg", now + timedelta(days=1), policy) == link
    late = now + timedelta(days=31)
    assert admins.first(EMAIL, late, policy) != link
    db.session.query(Account).filter(Account.status == AccountStatus.PENDING).update({"status": AccountStatus.ACTIVE})
    db.session.commit()
    assert admins.first(EMAIL, late, policy) is None
