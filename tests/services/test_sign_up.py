"""Sign up, on a real database (section 1 of the rules)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from webapp.domain.addresses import AddressError
from webapp.domain.lifecycle import AccountStatus, RequestKind, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Agency, AuditEvent, Mail, Request, UnknownAgency, UsedSolution
from webapp.services import agencies, audit
from webapp.services.errors import RobotCheckFailed, SeedAnswerMissing, SignUpRefused
from webapp.services.sign_up import sign_up

VISITOR = audit.By.visitor("203.0.113.7")
TABLES = (Account, Request, Mail, AuditEvent)


def counts() -> list[int]:
    return [db.session.scalar(select(func.count()).select_from(table)) or 0 for table in TABLES]


def kinds_of_mail() -> list[str]:
    return list(db.session.scalars(select(Mail.kind).order_by(Mail.id)))


@pytest.mark.parametrize(
    ("wants_seed", "kinds", "seed"),
    [
        (True, {RequestKind.TECHPASS, RequestKind.SEED}, SeedStatus.REQUESTED),
        (False, {RequestKind.TECHPASS}, SeedStatus.NOT_REQUIRED),
    ],
)
def test_a_new_address_becomes_an_account_that_waits(app, make, now, wants_seed, kinds, seed):
    sign_up("Peter_Wilson@tech.gov.sg", wants_seed, make.solution(), VISITOR, now)

    account = db.session.scalars(select(Account)).one()
    assert (account.email, account.email_folded) == ("Peter_Wilson@tech.gov.sg", "peter_wilson@tech.gov.sg")
    assert (account.status, account.seed_status) == (AccountStatus.REQUESTED, seed)
    assert {request.kind for request in db.session.scalars(select(Request))} == kinds
    assert kinds_of_mail() == ["request_received"]
    event = db.session.scalars(select(AuditEvent)).one()
    assert (event.action, event.account_id, event.peer) == ("sign_up.requested", account.id, "203.0.113.7")


@pytest.mark.parametrize(
    "status", [AccountStatus.REQUESTED, AccountStatus.ACTIVE, AccountStatus.DISABLED], ids=lambda status: str(status)
)
def test_who_has_an_account_gets_a_mail_and_nothing_changes(app, make, now, status):
    holder = make.account(status, "Peter@tech.gov.sg")
    before = counts()

    sign_up("PETER@tech.gov.sg", True, make.solution(), VISITOR, now)

    assert counts() == [before[0], before[1], before[2] + 1, before[3] + 1]
    mail = db.session.scalars(select(Mail)).one()
    assert (mail.kind, mail.recipient) == ("already_have_account", "Peter@tech.gov.sg")
    assert db.session.get_one(Account, holder.id, populate_existing=True).status is status


def test_the_holder_is_mailed_once_a_day_however_often_somebody_insists(app, make, now):
    make.account(email="peter@tech.gov.sg")
    for hours in (0, 1, 2, 23):
        sign_up("peter@tech.gov.sg", True, make.solution(), VISITOR, now + timedelta(hours=hours))
    assert kinds_of_mail() == ["already_have_account"] * 2  # 23 hours later is another day in UTC.


@pytest.mark.parametrize("status", [AccountStatus.TERMINATED, AccountStatus.REJECTED], ids=lambda status: str(status))
def test_who_was_terminated_or_rejected_may_sign_up_again_at_once(app, make, now, status):
    make.account(status, "peter@tech.gov.sg")
    sign_up("peter@tech.gov.sg", False, make.solution(), VISITOR, now)
    assert set(db.session.scalars(select(Account.status))) == {status, AccountStatus.REQUESTED}


def test_a_pending_person_whose_time_is_up_may_sign_up_again_before_any_sweep(app, make, now):
    account = make.account(AccountStatus.PENDING, "peter@tech.gov.sg")
    make.invitation(account, at=now - timedelta(days=30, seconds=1))

    sign_up("peter@tech.gov.sg", False, make.solution(), VISITOR, now)

    statuses = list(db.session.scalars(select(Account.status).order_by(Account.id)))
    assert statuses == [AccountStatus.TERMINATED, AccountStatus.REQUESTED]
    assert kinds_of_mail() == ["terminated", "request_received"]


def test_a_pending_person_in_time_keeps_the_invitation(app, make, now):
    account = make.account(AccountStatus.PENDING, "peter@tech.gov.sg")
    make.invitation(account, at=now - timedelta(days=30))

    sign_up("peter@tech.gov.sg", False, make.solution(), VISITOR, now)

    assert list(db.session.scalars(select(Account.status))) == [AccountStatus.PENDING]
    assert kinds_of_mail() == ["already_have_account"]


def test_a_solution_counts_once(app, make, now):
    solution = make.solution()
    sign_up("a@tech.gov.sg", False, solution, VISITOR, now)
    with pytest.raises(RobotCheckFailed):
        sign_up("b@tech.gov.sg", False, solution, VISITOR, now)
    db.session.rollback()
    assert counts()[0] == 1


@pytest.mark.parametrize("solution", ["", "x", "e30=", "bnVsbA==", "W10=", "\x00", "a" * 5000])
def test_rubbish_is_no_solution(app, now, solution):
    with pytest.raises(RobotCheckFailed):
        sign_up("a@tech.gov.sg", False, solution, VISITOR, now)
    db.session.rollback()
    assert counts() == [0, 0, 0, 0]


def test_the_seed_question_must_be_answered_where_it_applies(app, make, now):
    with pytest.raises(SeedAnswerMissing):
        sign_up("a@tech.gov.sg", None, make.solution(), VISITOR, now)
    sign_up("a@schools.gov.sg", True, make.solution(), VISITOR, now)
    account = db.session.scalars(select(Account)).one()
    assert account.seed_status is SeedStatus.INELIGIBLE
    assert [request.kind for request in db.session.scalars(select(Request))] == [RequestKind.TECHPASS]


@pytest.mark.parametrize(
    "address", ["a@litemail.gov.sg", "a@dsta.gov.sg", "a_FROM.ACME@tech.gov.sg", "a@gmail.com", "a@acme.com"]
)
def test_others_are_refused_and_nothing_is_written(app, make, now, address):
    with pytest.raises(SignUpRefused):
        sign_up(address, False, make.solution(), VISITOR, now)
    assert counts() == [0, 0, 0, 0]
    assert db.session.scalar(select(func.count()).select_from(UsedSolution)) == 0


def test_an_unknown_agency_is_counted_for_the_admins(app, make, now):
    for _ in range(2):
        with pytest.raises(SignUpRefused):
            sign_up("a@nowhere.gov.sg", False, make.solution(), VISITOR, now)
    knocked = db.session.scalars(select(UnknownAgency)).one()
    assert (knocked.domain, knocked.tries) == ("nowhere.gov.sg", 2)


def test_a_malformed_address_is_refused(app, make, now):
    with pytest.raises(AddressError):
        sign_up("a@tech", False, make.solution(), VISITOR, now)


def test_vendors_sign_up_where_the_agency_allows_it(app, make, now):
    db.session.query(Agency).filter_by(domain="tech.gov.sg").update({"vendors_allowed": True})
    db.session.commit()
    agencies.forget()
    sign_up("a_FROM.ACME@tech.gov.sg", False, make.solution(), VISITOR, now)
    assert counts()[0] == 1


def test_fifty_sign_ups_of_one_address_at_once_make_one_account(app, make, now):
    solutions = [make.solution() for _ in range(50)]

    def attempt(solution: str) -> None:
        with app.app_context():
            sign_up("peter@tech.gov.sg", True, solution, VISITOR, now)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(attempt, solutions))
    assert counts() == [1, 2, 2, 50]
    assert sorted(kinds_of_mail()) == ["already_have_account", "request_received"]
