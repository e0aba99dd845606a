"""Forgetting: what names a person goes, what happened stays under a number (rule 3.5)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from tests.onboarding import PEER, Walk
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState
from webapp.domain.tokens import new_nonce
from webapp.extensions import db
from webapp.models import (
    Account,
    AgreementAcceptance,
    AuditEvent,
    Authenticator,
    BrowserSession,
    Invitation,
    LogInAttempt,
    Mail,
    RecoveryCode,
    Request,
    SessionKind,
    UsedSolution,
    WrongCode,
)
from webapp.services import audit, expiry, invitations, purge, receipts, requests, sessions
from webapp.services.errors import LinkEnded, NotFound

SECOND = timedelta(seconds=1)
ADDRESS = "peter_unmistakable@tech.gov.sg"


def count(table: type) -> int:
    return db.session.scalar(select(func.count()).select_from(table)) or 0


@pytest.fixture
def ended(make, now) -> Walk:
    """Somebody who was onboarded, with all that the portal keeps of a person, and whose account was then ended."""
    account = make.account(AccountStatus.PENDING, ADDRESS)
    _, token = make.invitation(account)
    walk = Walk(make, token, account)
    walk.accept()
    walk.to(None)
    account = db.session.get_one(Account, account.id)
    account.status = AccountStatus.DISABLED
    account.first_name = account.last_name = account.department = "Personal"
    account.mobile = "+6591234567"
    asked = {"kind": "techpass", "state": "rejected", "requested_at": now, "reason": "Personal"}
    db.session.add(Request(account_id=account.id, **asked))
    expiry.terminate(account, now)
    sessions.open_session(account, SessionKind.SIGNED_IN, now, make.policy, peer=PEER, user_agent="Personal")
    row = {"kind": "terminated", "recipient": ADDRESS, "created_at": now, "due_at": now}
    db.session.add(Mail(key="terminated:1", account_id=account.id, state="sent", **row))
    db.session.commit()
    return walk


def everything() -> str:
    """All that the database holds, as text."""
    tables = db.metadata.tables.values()
    rows = [str(dict(row)) for table in tables for row in db.session.execute(select(table)).mappings()]
    return "\n".join(rows)


@pytest.mark.parametrize(("beside", "gone"), [(-SECOND, False), (timedelta(0), True)])
def test_five_days_after_termination_the_person_is_forgotten(app, ended, now, beside, gone):
    assert purge.purge(now + timedelta(days=5) + beside) == int(gone)
    assert (ADDRESS not in everything()) == gone


def test_nothing_that_names_the_person_is_left(app, ended, now):
    held = everything()
    for trace in (ADDRESS, PEER, "Personal", "+6591234567"):
        assert trace in held
    assert purge.purge(now + timedelta(days=5)) == 1
    left = everything()
    for trace in (ADDRESS, PEER, "Personal", "+6591234567"):
        assert trace not in left, trace
    for table in (BrowserSession, Mail, Authenticator, RecoveryCode):
        assert count(table) == 0
    account = db.session.get_one(Account, ended.account.id, populate_existing=True)
    assert (account.status, account.email) == (AccountStatus.DELETED, f"deleted-{account.id}")
    assert [account.purge_at, account.receipt_hash, account.recovery_nonce] == [None, None, None]


def test_what_happened_stays_under_the_number(app, ended, now):
    events = count(AuditEvent)
    purge.purge(now + timedelta(days=5))
    assert count(AuditEvent) == events + 1
    assert set(db.session.scalars(select(AuditEvent.account_id))) == {ended.account.id}
    assert db.session.scalars(select(AuditEvent.action).order_by(AuditEvent.id.desc())).first() == "account.deleted"
    accepted = db.session.scalars(select(AgreementAcceptance)).all()
    assert {(row.account_id, row.peer) for row in accepted} == {(ended.account.id, "")}


def test_an_old_link_still_says_that_it_has_ended_and_cannot_be_made_again(app, ended, now):
    receipt = ended.make.receipt_token(ended.account)
    purge.purge(now + timedelta(days=5))
    with pytest.raises(LinkEnded) as refused:
        invitations.open_link(ended.token, now, InvitationKind.TECHPASS)
    assert refused.value.state == InvitationState.USED
    assert db.session.scalars(select(Invitation.nonce)).one() == ""
    with pytest.raises(NotFound):
        receipts.find(receipt)


def test_it_is_done_once(app, ended, now):
    later = now + timedelta(days=6)
    assert purge.purge(later) == 1
    events = count(AuditEvent)
    assert purge.purge(later) == 0
    assert count(AuditEvent) == events


def test_a_mail_on_its_way_leaves_first(app, ended, now):
    db.session.execute(text("UPDATE mail SET state = 'queued'"))
    db.session.commit()
    later = now + timedelta(days=30)
    assert purge.purge(later) == 0
    db.session.execute(text("UPDATE mail SET state = 'failed'"))
    db.session.commit()
    assert purge.purge(later) == 1


def test_a_rejected_applicant_is_forgotten_after_thirty_days(app, make, now, policy):
    request = make.request(ADDRESS)
    requests.reject(request.id, "Personal", audit.SYSTEM, now, policy)
    db.session.execute(text("UPDATE mail SET state = 'sent'"))
    db.session.commit()
    assert purge.purge(now + timedelta(days=30) - SECOND) == 0
    assert purge.purge(now + timedelta(days=30)) == 1
    assert ADDRESS not in everything()
    assert "Personal" not in everything()


@pytest.mark.parametrize("status", ["requested", "pending", "active", "disabled"])
def test_nobody_with_a_live_account_is_forgotten(app, make, now, status):
    make.account(AccountStatus(status), ADDRESS, purge_at=now)
    assert purge.purge(now + timedelta(days=100)) == 0
    assert ADDRESS in everything()


def test_many_are_forgotten_chunk_by_chunk(app, make, now, monkeypatch):
    monkeypatch.setattr(purge, "CHUNK", 3)
    for _ in range(8):
        make.account(AccountStatus.TERMINATED, purge_at=now)
    make.account(AccountStatus.TERMINATED, purge_at=now + SECOND)
    assert purge.purge(now) == 8


def test_what_has_had_its_time_is_tidied_away(app, make, now, policy, monkeypatch):
    monkeypatch.setattr(purge, "CHUNK", 2)
    for number in range(5):
        for kept in (False, True):
            ends = now + (SECOND if kept else timedelta(0))
            db.session.add(UsedSolution(signature=f"{number}{kept}", expires_at=ends))
            db.session.add(WrongCode(address_hash="x", known_browser=False, at=ends - timedelta(days=1)))
            db.session.add(
                LogInAttempt(
                    address_hash="x",
                    nonce=new_nonce(),
                    created_at=now,
                    code_sent_at=now,
                    expires_at=ends - timedelta(days=1),
                )
            )
            account = make.account()
            sessions.open_session(account, SessionKind.SIGNED_IN, now, policy, peer="", user_agent="")
            db.session.flush()
            db.session.query(BrowserSession).filter_by(account_id=account.id).update({"expires_at": ends})
    db.session.commit()
    assert purge.tidy(now) == 20
    assert [count(table) for table in (UsedSolution, WrongCode, LogInAttempt, BrowserSession)] == [5, 5, 5, 5]
    assert purge.tidy(now) == 0
