"""Asking for others: whoever is new, whoever is there, and what an inviter is told (section 5, promise 3)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event, func, select, update

from tests.onboarding import PEER
from webapp.domain.addresses import parse
from webapp.domain.lifecycle import AccountStatus, AccountType, InvitationKind, InvitationState, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Agency, AuditEvent, Invitation, Invitee, Mail, Request
from webapp.services import agencies, audit, expiry, inviting, known, purge, requests
from webapp.services.errors import MayNotInvite, OwnInvitee
from webapp.services.invitations import issue
from webapp.services.inviting import Outcome, Person, Result

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def inviter(make):
    return make.account(email="inviter@tech.gov.sg")


@pytest.fixture
def by(inviter):
    return audit.By.person(inviter, PEER)


def officer(email="peter@tech.gov.sg", seed=SeedStatus.REQUESTED, **fields) -> Person:
    address = parse(email)
    agency = agencies.find(address.domain)
    assert agency is not None
    return Person(address, AccountType.OFFICER, agency, seed, "New in the team", **fields)


def vendor(email="mei@vendor.example.com", sponsor="tech.gov.sg", seed=SeedStatus.NOT_REQUIRED) -> Person:
    agency = agencies.find(sponsor)
    assert agency is not None
    return Person(
        parse(email), AccountType.VENDOR, agency, seed, "Our website", "Mei", "Tan", organisation="Vendor Pte Ltd"
    )


def accounts(email):
    db.session.rollback()
    query = select(Account).where(Account.email_folded == email.lower()).order_by(Account.id)
    return db.session.scalars(query.execution_options(populate_existing=True)).all()


def kinds(account):
    query = select(Mail.kind).where(Mail.account_id == account.id).order_by(Mail.id)
    return list(db.session.scalars(query))


def invitees():
    return db.session.scalars(select(Invitee).order_by(Invitee.id).execution_options(populate_existing=True)).all()


def test_a_colleague_waits_for_an_admin_and_is_told_who_asked(make, inviter, by, now, policy):
    assert inviting.ask_for(officer("Peter@tech.gov.sg"), by, now, policy) == Outcome(Result.SENT)
    (account,) = accounts("peter@tech.gov.sg")
    assert (account.status, account.seed_status, account.account_type, account.email) == (
        AccountStatus.REQUESTED,
        SeedStatus.REQUESTED,
        AccountType.OFFICER,
        "Peter@tech.gov.sg",
    )
    asked = db.session.scalars(select(Request).where(Request.account_id == account.id).order_by(Request.id)).all()
    assert [(request.kind, request.state, request.requested_at) for request in asked] == [
        ("techpass", "open", now),
        ("seed", "open", now),
    ]
    assert kinds(account) == ["asked_for"]
    (row,) = invitees()
    assert (row.inviter_id, row.account_id, row.email, row.is_theirs, row.reason, row.asked_at, row.ended_at) == (
        inviter.id,
        account.id,
        "Peter@tech.gov.sg",
        True,
        "New in the team",
        now,
        None,
    )
    (event,) = db.session.scalars(select(AuditEvent).where(AuditEvent.account_id == account.id)).all()
    assert (event.action, event.actor, event.actor_id, event.peer) == ("invite.requested", "officer", inviter.id, PEER)
    assert event.peer_salt


def test_a_vendor_registers_first(make, inviter, by, now, policy):
    assert inviting.ask_for(vendor(seed=SeedStatus.REQUESTED), by, now, policy).result is Result.SENT
    (account,) = accounts("mei@vendor.example.com")
    assert (account.status, account.account_type, account.organisation) == (
        AccountStatus.REQUESTED,
        AccountType.VENDOR,
        "Vendor Pte Ltd",
    )
    assert (account.first_name, account.last_name) == ("Mei", "Tan")
    assert db.session.scalar(select(func.count()).select_from(Request)) == 0
    (link,) = db.session.scalars(select(Invitation)).all()
    assert (link.kind, link.state, link.expires_at) == (
        InvitationKind.REGISTRATION,
        InvitationState.LIVE,
        now + 5 * DAY,
    )
    assert kinds(account) == ["vendor_registration"]


@pytest.mark.parametrize(
    "changes",
    [{"status": AccountStatus.DISABLED}, {"status": AccountStatus.TERMINATED}, {"account_type": AccountType.VENDOR}],
)
def test_only_public_officers_with_an_active_account_ask_for_others(inviter, by, now, policy, changes):
    db.session.execute(update(Account).where(Account.id == inviter.id).values(changes))
    db.session.commit()
    with pytest.raises(MayNotInvite):
        inviting.ask_for(officer(), by, now, policy)
    assert accounts("peter@tech.gov.sg") == []


THERE = [
    (AccountStatus.REQUESTED, Result.WAITS),
    (AccountStatus.ACTIVE, Result.HOLDS),
    (AccountStatus.DISABLED, Result.HOLDS),
]


@pytest.mark.parametrize(("status", "result"), THERE)
def test_who_is_there_already_is_told_within_the_agency(make, by, now, policy, status, result):
    there = make.account(status, "peter@tech.gov.sg")
    assert inviting.ask_for(officer(), by, now, policy) == Outcome(result, there.created_at)
    assert len(accounts("peter@tech.gov.sg")) == 1
    assert invitees() == []


@pytest.mark.parametrize("status", [*(status for status, _ in THERE), AccountStatus.PENDING])
def test_others_are_told_nothing_and_the_holder_hears_of_it(make, by, now, policy, status):
    there = make.account(status, "Peter@moe.gov.sg")
    if status is AccountStatus.PENDING:
        make.invitation(there)
    assert inviting.ask_for(officer("peter@moe.gov.sg"), by, now, policy) == Outcome(Result.SENT)
    # As of somebody new, whose request would wait by now.
    waits = Outcome(Result.WAITS, now, "inviter@tech.gov.sg")
    assert inviting.ask_for(officer("peter@moe.gov.sg"), by, now + HOUR, policy) == waits
    (account,) = accounts("peter@moe.gov.sg")
    assert (account.id, account.status) == (there.id, status)
    assert kinds(account) == ["already_have_account"]
    (row,) = invitees()
    assert (row.email, row.is_theirs) == ("peter@moe.gov.sg", False)
    assert db.session.scalar(select(func.count()).select_from(Request)) == 0


def test_an_unused_registration_is_replaced_once_a_day(make, by, now, policy):
    inviting.ask_for(vendor(), by, now, policy)
    assert inviting.ask_for(vendor(), by, now + 23 * HOUR, policy) == Outcome(
        Result.TOO_SOON, now, "inviter@tech.gov.sg"
    )
    later = now + DAY
    assert inviting.ask_for(vendor(), by, later, policy) == Outcome(Result.SENT_ANEW, now, "inviter@tech.gov.sg")
    links = db.session.scalars(select(Invitation).order_by(Invitation.id)).all()
    assert [(link.state, link.expires_at) for link in links] == [("replaced", now + 5 * DAY), ("live", later + 5 * DAY)]
    (account,) = accounts("mei@vendor.example.com")
    assert kinds(account) == ["vendor_registration"] * 2
    (row,) = invitees()
    assert row.asked_at == later


def test_an_unused_invitation_is_replaced_and_keeps_its_deadline(make, by, now, policy):
    pending = make.account(AccountStatus.PENDING, "peter@tech.gov.sg")
    link, _ = make.invitation(pending, at=now - 3 * DAY)
    assert inviting.ask_for(officer(), by, now, policy).result is Result.SENT_ANEW
    fresh = db.session.scalars(select(Invitation).where(Invitation.state == InvitationState.LIVE)).one()
    assert (fresh.id != link.id, fresh.expires_at) == (True, link.expires_at)
    assert [row.is_theirs for row in invitees()] == [True]


def meanwhile(monkeypatch, act):
    """Once, after it was read what there is of somebody and before anything is done about it, ``act`` is done."""
    read = known.known
    todo = [act]

    def then_act(folded, inviter):
        found = read(folded, inviter)
        if todo:
            todo.pop()()
            db.session.flush()
        return found

    monkeypatch.setattr(inviting, "known", then_act)


def anew(where, by, at, policy):
    """Ask anew for the vendor, in the form or from the list."""
    if where == "form":
        return inviting.ask_for(vendor(), by, at, policy)
    return inviting.send_again(invitees()[0].id, by, at, policy)


@pytest.mark.parametrize("where", ["form", "list"])
def test_whoever_registers_meanwhile_gets_no_second_link(make, by, now, policy, monkeypatch, where):
    inviting.ask_for(vendor(), by, now, policy)
    (account,) = accounts("mei@vendor.example.com")

    def register():
        link = db.session.scalars(select(Invitation)).one()
        link.state, link.ended_at = InvitationState.USED, now + DAY
        db.session.add(Request(account_id=account.id, kind="techpass", requested_at=now + DAY))

    meanwhile(monkeypatch, register)
    assert anew(where, by, now + DAY, policy).result is Result.WAITS
    assert [link.state for link in db.session.scalars(select(Invitation))] == [InvitationState.USED]
    assert kinds(account) == ["vendor_registration"]


@pytest.mark.parametrize("where", ["form", "list"])
def test_a_link_that_was_replaced_meanwhile_is_not_replaced_again(make, by, now, policy, monkeypatch, where):
    inviting.ask_for(vendor(), by, now, policy)
    (account,) = accounts("mei@vendor.example.com")
    later = now + DAY
    meanwhile(monkeypatch, lambda: issue(account, InvitationKind.REGISTRATION, later, policy))
    assert anew(where, by, later, policy) == Outcome(Result.TOO_SOON, later, "inviter@tech.gov.sg")
    assert db.session.scalar(select(func.count()).select_from(Invitation)) == 2
    assert kinds(account) == ["vendor_registration"]


@pytest.mark.parametrize("where", ["form", "list"])
def test_two_presses_at_once_mail_once(app, make, by, now, policy, where):
    inviting.ask_for(vendor(), by, now, policy)
    (account,) = accounts("mei@vendor.example.com")
    number = account.id
    row = invitees()[0].id
    person = vendor()
    later = now + DAY

    def press(_):
        with app.app_context():
            if where == "form":
                return inviting.ask_for(person, by, later, policy).result
            return inviting.send_again(row, by, later, policy).result

    db.session.rollback()  # On SQLite a reader, too, holds the file.
    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(press, range(8))) == [Result.SENT_ANEW, *[Result.TOO_SOON] * 7]
    assert kinds(db.session.get_one(Account, number)) == ["vendor_registration"] * 2


@pytest.mark.parametrize("is_there", [False, True])
def test_two_presses_at_once_tell_nothing(app, make, by, now, policy, is_there):
    if is_there:
        make.account(email="peter@moe.gov.sg")
    person = officer("peter@moe.gov.sg")

    def press(_):
        with app.app_context():
            return inviting.ask_for(person, by, now, policy)

    db.session.rollback()
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(press, range(8)))
    assert outcomes.count(Outcome(Result.SENT)) == 1
    assert outcomes.count(Outcome(Result.WAITS, now, "inviter@tech.gov.sg")) == 7
    assert len(invitees()) == 1


def test_on_hold_and_past_its_time_an_invitation_is_not_mailed_again(make, by, now, policy):
    pending = make.account(AccountStatus.PENDING, "peter@tech.gov.sg", under_investigation=True)
    link, _ = make.invitation(pending, at=now - 3 * DAY)
    outcome = inviting.ask_for(officer(), by, link.expires_at + timedelta(seconds=1), policy)
    assert outcome == Outcome(Result.WAITS, pending.created_at)
    assert kinds(pending) == []
    # While there is time, it is.
    assert inviting.ask_for(officer(), by, now, policy).result is Result.SENT_ANEW


def test_what_has_run_out_is_asked_for_anew_though_the_sweep_has_not_come(make, inviter, by, now, policy):
    inviting.ask_for(vendor(), by, now, policy)
    later = now + 5 * DAY + timedelta(seconds=1)
    assert known.asked_before(["mei@vendor.example.com"], inviter.id) == {"mei@vendor.example.com": now}
    assert inviting.ask_for(vendor(), by, later, policy) == Outcome(Result.SENT)
    old, new = accounts("mei@vendor.example.com")
    assert (old.status, new.status) == (AccountStatus.TERMINATED, AccountStatus.REQUESTED)
    assert known.asked_before(["mei@vendor.example.com"], inviter.id) == {"mei@vendor.example.com": later}
    assert kinds(inviter) == ["invitation_expired"]


def test_the_sweep_ends_whoever_did_not_register_and_tells_who_asked(make, inviter, by, now, policy):
    inviting.ask_for(vendor(), by, now, policy)
    expiry.expire(now + 5 * DAY)
    (account,) = accounts("mei@vendor.example.com")
    assert account.status is AccountStatus.REQUESTED
    expiry.expire(now + 5 * DAY + timedelta(seconds=1))
    (account,) = accounts("mei@vendor.example.com")
    assert account.status is AccountStatus.TERMINATED
    assert kinds(inviter) == ["invitation_expired"]
    assert kinds(account) == ["vendor_registration"]
    (row,) = invitees()
    assert row.ended_at == now + 5 * DAY + timedelta(seconds=1)


def test_an_invitation_that_runs_out_is_told_once(make, inviter, by, now, policy):
    inviting.ask_for(officer(), by, now, policy)
    request = db.session.scalars(select(Request).order_by(Request.id)).all()[0]
    admin = make.admin()
    requests.approve(request.id, audit.By.person(admin, PEER), now, policy)
    for _ in range(2):
        expiry.expire(now + 31 * DAY)
    assert kinds(inviter) == ["invitation_expired"]


def test_whoever_asked_does_not_decide(make, now, policy):
    admin = make.admin("boss@tech.gov.sg")
    by = audit.By.person(admin, PEER)
    inviting.ask_for(officer(), by, now, policy)
    request = db.session.scalars(select(Request).order_by(Request.id)).all()[0]
    with pytest.raises(OwnInvitee):
        requests.approve(request.id, by, now, policy)
    with pytest.raises(OwnInvitee):
        requests.reject(request.id, "No", by, now, policy)
    requests.approve(request.id, audit.By.person(make.admin(), PEER), now, policy)


@pytest.mark.parametrize(("sponsor", "approved"), [("tech.gov.sg", 1), ("moe.gov.sg", 0)])
def test_a_vendor_whom_another_agency_is_to_sponsor_is_looked_at_by_an_admin(make, by, now, policy, sponsor, approved):
    db.session.execute(update(Agency).values(approves_automatically=True))
    db.session.commit()
    agencies.forget()
    inviting.ask_for(vendor(sponsor=sponsor), by, now, policy)
    (account,) = accounts("mei@vendor.example.com")
    db.session.add(Request(account_id=account.id, kind="techpass", requested_at=now))
    db.session.commit()
    assert requests.approve_automatically(now, policy) == approved
    agencies.forget()


@pytest.mark.parametrize("many", [1, 5])
def test_many_are_asked_for_in_as_many_statements_as_one(make, inviter, by, now, policy, many):
    sent: list[str] = []
    people = [officer(f"a{number}@tech.gov.sg") for number in range(many)]
    people += [vendor(f"v{number}@vendor.example.com") for number in range(many)]
    event.listen(db.engine, "before_cursor_execute", lambda _c, _cu, statement, *_: sent.append(statement))
    outcomes = inviting.ask_for_each(people, inviting.hold_inviter(by), by, now, policy)
    assert [outcome.result for outcome in outcomes] == [Result.SENT] * 2 * many
    assert len([each for each in sent if not each.startswith("BEGIN")]) == 12, sent
    db.session.rollback()


@pytest.mark.parametrize("there", [0, 1])
def test_looking_many_up_takes_as_many_statements_whether_or_not_somebody_is_there(make, inviter, there):
    for number in range(there):
        make.account(email=f"a{number}@moe.gov.sg")
    sent: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda _c, _cu, statement, *_: sent.append(statement))
    known.known([f"a{number}@moe.gov.sg" for number in range(5)], inviter)
    assert len([each for each in sent if each.startswith("SELECT")]) == 3, sent


def test_forgetting_a_person_forgets_that_they_were_asked_for(make, inviter, by, now, policy):
    inviting.ask_for(vendor(), by, now, policy)
    expiry.expire(now + 6 * DAY)
    db.session.execute(update(Mail).values(state="sent"))
    db.session.commit()
    assert purge.purge(now + 12 * DAY) == 1
    assert invitees() == []
    (account,) = db.session.scalars(select(Account).where(Account.id != inviter.id)).all()
    assert (account.organisation, account.first_name) == (None, None)


def corrected(**changes) -> Person:
    """The vendor as they are asked for with what was wrong put right."""
    return replace(vendor(sponsor="moe.gov.sg", seed=SeedStatus.REQUESTED), first_name="May", **changes)


def test_a_new_invitation_replaces_all_that_was_said_of_who_has_not_registered(make, inviter, by, now, policy):
    inviting.ask_for(vendor(), by, now, policy)
    later = now + DAY
    outcome = inviting.ask_for(corrected(organisation="Other Pte Ltd"), by, later, policy)
    assert outcome == Outcome(Result.SENT_ANEW, now, "inviter@tech.gov.sg")
    (account,) = accounts("mei@vendor.example.com")
    assert db.session.get_one(Agency, account.agency_id).domain == "moe.gov.sg"
    assert (account.seed_status, account.seed_status_at) == (SeedStatus.REQUESTED, later)
    assert (account.first_name, account.organisation) == ("May", "Other Pte Ltd")
    (row,) = invitees()
    assert (row.name, row.seed_status) == ("May Tan", SeedStatus.REQUESTED)
    event = db.session.scalars(select(AuditEvent).where(AuditEvent.action == "invite.sent_again")).one()
    assert event.detail == {
        "kind": "registration",
        "before": {"sponsor": "tech.gov.sg", "seed": "not_required"},
        "after": {"sponsor": "moe.gov.sg", "seed": "requested"},
    }
    # And back again, which is no step that SEED itself ever takes.
    assert inviting.ask_for(vendor(), by, later + DAY, policy).result is Result.SENT_ANEW
    (account,) = accounts("mei@vendor.example.com")
    assert (account.seed_status, account.seed_status_at) == (SeedStatus.NOT_REQUIRED, later + DAY)


@pytest.mark.parametrize(
    ("held", "asked", "stays"),
    [
        (SeedStatus.NOT_REQUIRED, SeedStatus.REQUESTED, True),
        (SeedStatus.REQUESTED, SeedStatus.NOT_REQUIRED, True),
        (SeedStatus.REJECTED, SeedStatus.REQUESTED, True),
        (SeedStatus.INVITED, SeedStatus.REQUESTED, False),
        (SeedStatus.NOT_REQUIRED, SeedStatus.NOT_REQUIRED, False),
        (SeedStatus.REQUESTED, SeedStatus.INELIGIBLE, False),
    ],
)
def test_who_is_approved_keeps_what_they_are_approved_with_which_is_told(
    make, inviter, by, now, policy, held, asked, stays
):
    pending = make.account(AccountStatus.PENDING, "peter@tech.gov.sg", seed_status=held)
    make.invitation(pending, at=now - 3 * DAY)
    make.invitee(inviter, pending, seed_status=SeedStatus.NOT_REQUIRED, asked_at=now - 3 * DAY)
    outcome = inviting.ask_for(officer(seed=asked), by, now, policy)
    assert (outcome.result, outcome.stays) == (Result.SENT_ANEW, stays)
    (account,) = accounts("peter@tech.gov.sg")
    assert account.seed_status is held
    assert [row.seed_status for row in invitees()] == [SeedStatus.NOT_REQUIRED]


def test_who_has_registered_keeps_the_sponsor_which_is_told(make, inviter, by, now, policy):
    pending = make.vendor(AccountStatus.PENDING, "mei@vendor.example.com")
    make.invitation(pending, at=now - 3 * DAY)
    make.invitee(inviter, pending, asked_at=now - 3 * DAY)
    assert inviting.ask_for(vendor(sponsor="moe.gov.sg"), by, now, policy).stays
    (account,) = accounts("mei@vendor.example.com")
    assert account.agency_id == inviter.agency_id


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {"seed": SeedStatus.NOT_REQUIRED},
        {"first_name": "May"},
        {"last_name": "Lim"},
        {"organisation": "Other"},
        {"reason": "Other"},
        {"sponsor": "tech.gov.sg"},
    ],
)
def test_a_form_is_sent_twice_where_all_answers_are_the_same(make, by, now, policy, is_there, changes):
    first = vendor(sponsor="moe.gov.sg", seed=SeedStatus.REQUESTED)
    if is_there:
        make.account(email="mei@vendor.example.com", agency_id=first.agency.id)
    assert not inviting.is_repeat(first, by, now)
    inviting.ask_for(first, by, now, policy)
    assert inviting.is_repeat(first, by, now + timedelta(seconds=59))
    assert not inviting.is_repeat(first, by, now + timedelta(seconds=60))
    changes = dict(changes)
    agency = vendor(sponsor=changes.pop("sponsor", "moe.gov.sg")).agency
    assert not inviting.is_repeat(replace(first, agency=agency, **changes), by, now)
    assert not inviting.is_repeat(first, audit.By.person(make.account(), PEER), now)
