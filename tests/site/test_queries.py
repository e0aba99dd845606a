"""How many statements a request sends to the database: pinned, so that none creeps in unseen.

BEGIN, COMMIT and the like are not counted; savepoints are.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import event, select

from tests.onboarding import Walk
from webapp import emails
from webapp.access import SESSION_TOKEN
from webapp.domain.lifecycle import AccountStatus, DeviceStatus, InvitationKind, RequestKind, SeedStatus
from webapp.domain.onboarding import Step
from webapp.domain.tokens import not_me_token
from webapp.extensions import db
from webapp.models import Account, Agency, Mail, Note, Question, Request, UnknownAgency
from webapp.services import agencies, audit, forecast, outbox, people, statistics, sweep
from webapp.services.keys import secret_key


@pytest.fixture
def statements(app) -> Callable[[Callable[[], object]], list[str]]:
    """``statements(act)`` gives the SQL that ``act`` sends."""

    def during(act: Callable[[], object]) -> list[str]:
        sent: list[str] = []

        def note(_connection, _cursor, statement, *_) -> None:
            if not statement.startswith("BEGIN"):
                sent.append(statement)

        db.session.rollback()
        db.session.expunge_all()
        event.listen(db.engine, "before_cursor_execute", note)
        try:
            act()
        finally:
            event.remove(db.engine, "before_cursor_execute", note)
        return sent

    return during


@pytest.mark.parametrize("address", ["/", "/sign-up", "/log-in", "/captcha/challenge", "/healthz", "/static/app.css"])
def test_what_is_the_same_for_all_asks_the_database_nothing(client, statements, address):
    assert statements(lambda: client.get(address)) == []


def test_the_address_is_judged_from_what_was_read_a_moment_ago(client, statements):
    agencies.find("tech.gov.sg")
    act = lambda: client.htmx("POST", "/sign-up/check", data={"email": "peter@tech.gov.sg"})  # noqa: E731
    assert statements(act) == []


@pytest.mark.parametrize(("known", "count"), [(False, 8), (True, 8)])
def test_signing_up_costs_the_same_for_known_and_unknown(client, make, statements, known, count):
    if known:
        make.account(email="peter@tech.gov.sg")
    agencies.find("tech.gov.sg")
    client.get("/sign-up")
    fields = {"email": "peter@tech.gov.sg", "seed": "yes", "altcha": make.solution()}
    sent = statements(lambda: client.submit("/sign-up", **fields))
    assert len(sent) == count, sent


@pytest.mark.parametrize("rows", [1, 50])
def test_the_queue_takes_six_whatever_its_length(client, make, statements, now, rows):
    """Who asks, the rows, what was asked about them, notes about their people, who asked for these, the agencies."""
    admin = make.admin()
    make.sign_in(client, admin)
    for number in range(rows):
        request = make.request(seed=True)
        if number % 2:
            db.session.add(Note(account_id=request.account_id, by_id=admin.id, at=now, note="Rang back"))
            db.session.add(Question(request_id=request.id, asked_by_id=admin.id, asked_at=now, question="Who?"))
            make.invitee(admin, db.session.get_one(Account, request.account_id))
    db.session.commit()
    sent = statements(lambda: client.get("/admin/requests"))
    assert len(sent) == 6, sent


def test_an_invitation_takes_one(client, make, statements):
    _, token = make.invitation()
    sent = statements(lambda: client.get(f"/invitations/{token}"))
    assert len(sent) == 1, sent


@pytest.mark.parametrize(("step", "count"), [(Step.PERMISSIONS, 4), (Step.RECOVERY_CODES, 5), (Step.TERMS_OF_USE, 4)])
def test_a_page_of_onboarding_takes_a_handful(client, make, statements, step, count):
    walk = Walk.begin(make)
    walk.to(step)
    with client.session_transaction() as cookie:
        cookie[SESSION_TOKEN] = walk.sid
    page = f"/onboarding/{str(step).replace('_', '-')}"
    sent = statements(lambda: client.get(page))
    assert len(sent) == count, sent


def test_the_receipt_takes_four(client, make, statements):
    request = make.request(seed=True)
    token = make.receipt_token(db.session.get_one(Account, request.account_id))
    sent = statements(lambda: client.get(f"/requests/{token}"))
    assert len(sent) == 4, sent


def test_an_invitation_to_register_takes_two(client, make, statements):
    """The link with whose it is, and who invites."""
    vendor = make.vendor()
    make.invitee(make.account(), vendor)
    _, token = make.invitation(vendor, InvitationKind.REGISTRATION)
    sent = statements(lambda: client.get(f"/registration/{token}"))
    assert len(sent) == 2, sent


def test_security_takes_four_however_many_browsers_are_signed_in(client, make, statements):
    account = make.account()
    make.authenticator(account)
    for _ in range(9):
        make.sign_in(client, account)
    sent = statements(lambda: client.get("/profile/security"))
    assert len(sent) == 4, sent


def test_the_profile_takes_few(client, make, now, statements):
    account = make.account()
    db.session.add(Request(account_id=account.id, kind=RequestKind.TECHPASS, state="approved", requested_at=now))
    make.sign_in(client, account)
    sent = statements(lambda: client.get("/profile"))
    assert len(sent) <= 3, sent


@pytest.mark.parametrize("status", [DeviceStatus.TRIGGERED, DeviceStatus.ONBOARDED])
def test_a_row_of_a_device_that_asks_for_itself_takes_two(client, make, statements, status):
    account = make.account(seed_status=SeedStatus.INVITED)
    device = make.device(account, status)
    make.sign_in(client, account)
    sent = statements(lambda: client.htmx("GET", f"/profile/devices/{device.id}?shown=triggered"))
    assert len(sent) == 2, sent


def test_the_devices_take_three(client, make, statements):
    account = make.account(seed_status=SeedStatus.INVITED)
    make.device(account)
    make.sign_in(client, account)
    sent = statements(lambda: client.get("/profile/devices"))
    assert len(sent) == 3, sent


@pytest.mark.parametrize("rows", [1, 29])
def test_my_activity_takes_two_however_much_happened(client, make, statements, now, rows):
    account = make.account()
    for _ in range(rows):
        audit.record("account.activated", account.id, audit.SYSTEM, now)
    make.sign_in(client, account)
    sent = statements(lambda: client.get("/profile/activity"))
    assert len(sent) == 2, sent


def test_editing_the_profile_takes_five(client, make, statements):
    make.sign_in(client, make.account())
    assert len(statements(lambda: client.get("/profile/edit"))) == 1
    sent = statements(lambda: client.submit("/profile/edit", first_name="Wei Ling"))
    assert len(sent) == 5, sent


def test_opening_this_was_not_me_takes_two(client, make, statements, now):
    outbox.post(emails.profile_changed(make.account(), ["mobile"], now))
    db.session.commit()
    mail = db.session.scalars(select(Mail)).one()
    address = f"/not-me/{mail.id}/{not_me_token(secret_key(), mail.id, mail.created_at)}"
    sent = statements(lambda: client.get(address))
    assert len(sent) == 2, sent


@pytest.mark.parametrize("rows", [1, 9])
def test_the_start_page_takes_six_and_asks_for_itself_by_five_whatever_waits(client, make, statements, now, rows):
    make.sign_in(client, make.admin())
    for number in range(rows):
        make.request()
        db.session.add(UnknownAgency(domain=f"a{number}.gov.sg", last_at=now))
    db.session.commit()
    sent = statements(lambda: client.get("/admin"))
    assert len(sent) == 6, sent
    sent = statements(lambda: client.htmx("GET", "/admin?shown=0.0"))
    assert len(sent) == 5, sent


def test_counting_the_day_takes_four_and_writes_once(make, statements, now):
    make.request()
    statistics.count(now)
    audit.record("sign_up.requested", None, audit.SYSTEM, now)
    db.session.commit()
    sent = statements(lambda: statistics.count(now))
    assert [each.split()[0] for each in sent] == ["SELECT", "SELECT", "SELECT", "INSERT"], sent


@pytest.mark.parametrize("rows", [1, 60])
def test_the_audit_log_takes_five_however_much_happened(client, make, statements, now, rows):
    make.sign_in(client, make.admin("admin@tech.gov.sg"))
    for _ in range(rows):
        audit.record("account.activated", make.account().id, audit.SYSTEM, now)
    db.session.commit()
    sent = statements(lambda: client.get("/admin/audit"))
    assert len(sent) == 5, sent
    sent = statements(lambda: client.htmx("GET", "/admin/audit?by=admin@tech.gov.sg&whom=1"))
    assert len(sent) == 3, sent


@pytest.mark.parametrize("rows", [1, 15])
def test_the_agencies_take_three_however_many_people_wait(client, make, statements, now, rows):
    make.sign_in(client, make.admin())
    for number in range(rows):
        make.request(f"a{number}@moe.gov.sg", seed=True)
        db.session.add(UnknownAgency(domain=f"a{number}.gov.sg", last_at=now))
    db.session.commit()
    sent = statements(lambda: client.get("/admin/agencies"))
    assert len(sent) == 3, sent
    sent = statements(lambda: client.htmx("GET", "/admin/agencies?q=moe"))
    assert len(sent) == 2, sent


def test_an_agency_and_what_follows_from_a_change_take_few(client, make, statements):
    make.sign_in(client, make.admin())
    make.request("a@moe.gov.sg", seed=True)
    agency = db.session.scalars(select(Agency).where(Agency.domain == "moe.gov.sg")).one()
    given = {"domain": "moe.gov.sg", "name": "X", "mode": "refused", "reason": "Y", "approves_automatically": "y"}
    given["version"] = agencies.settings_of(agency).version
    address = f"/admin/agencies/{agency.id}"
    assert len(statements(lambda: client.get(address))) == 3
    sent = statements(lambda: client.submit(address, **given))
    assert len(sent) == 8, sent
    sent = statements(lambda: client.submit(address, **given, confirmed="yes"))
    assert len(sent) == 6, sent


def test_the_days_off_take_three(client, make, statements):
    make.sign_in(client, make.admin())
    sent = statements(lambda: client.get("/admin/holidays"))
    assert len(sent) == 3, sent


@pytest.mark.parametrize("rows", [1, 60])
def test_the_list_of_people_takes_few_whoever_is_looked_for(client, make, statements, rows, monkeypatch):
    make.sign_in(client, make.admin())
    for _ in range(rows):
        make.account()
    # How far the newest go, and who is among them.
    assert len(statements(lambda: client.get("/admin/accounts?status=active&q=officer%20tech"))) == 4
    monkeypatch.setattr(people, "_NEWEST", 1)
    # Among all only where those fill no page.
    assert len(statements(lambda: client.get("/admin/accounts?status=active&q=officer%20tech"))) == 5
    assert len(statements(lambda: client.htmx("GET", "/admin/accounts?before=50"))) == 2
    assert len(statements(lambda: client.htmx("GET", "/admin/accounts?q=officer1@tech.gov.sg"))) == 2


@pytest.mark.parametrize("rows", [1, 25])
def test_the_page_of_a_person_takes_ten_however_much_happened(client, make, statements, now, rows):
    make.sign_in(client, make.admin())
    account = make.account()
    for number in range(rows):
        audit.record("account.activated", account.id, audit.SYSTEM, now)
        make.device(account, DeviceStatus.REMOVED)
        outbox.post(emails.profile_changed(account, ["mobile"], now + timedelta(seconds=number)))
        make.invitee(make.account(), account)
        make.invitee(account, make.account())
    db.session.commit()
    address = f"/admin/accounts/{account.id}"
    sent = statements(lambda: client.get(address))
    assert len(sent) == 10, sent
    assert len(statements(lambda: client.htmx("GET", f"{address}?before=50"))) == 3
    assert len(statements(lambda: client.get(f"{address}/disable"))) == 4


@pytest.mark.parametrize("rows", [1, 51])
def test_the_people_one_invited_take_two_however_many(client, make, statements, rows):
    inviter = make.account()
    for _ in range(rows):
        pending = make.account(AccountStatus.PENDING)
        make.invitation(pending)
        make.invitee(inviter, pending)
    make.sign_in(client, inviter)
    assert len(statements(lambda: client.get("/invite/sent"))) == 2
    assert len(statements(lambda: client.htmx("GET", "/invite/sent?q=officer&stand=to_activate&before=99"))) == 2


@pytest.mark.parametrize("known", [False, True])
def test_asking_for_somebody_takes_few(client, make, statements, known):
    """As many whether or not somebody is there: what a new person takes is done and taken back (promise 3)."""
    make.sign_in(client, make.account())
    if known:
        make.account(email="peter@moe.gov.sg")
    agencies.find("moe.gov.sg")
    client.get("/invite")
    fields = {"email": "peter@moe.gov.sg", "seed": "yes", "reason": "New here"}
    sent = statements(lambda: client.submit("/invite", **fields))
    assert len(sent) == 12, sent


def test_the_form_as_one_types_takes_one_for_the_session_alone(client, make, statements):
    make.sign_in(client, make.account())
    agencies.find("moe.gov.sg")
    sent = statements(lambda: client.htmx("POST", "/invite/check", data={"email": "peter@moe.gov.sg"}))
    assert len(sent) == 1, sent


@pytest.mark.parametrize("rows", [1, 12])
def test_the_forecast_takes_a_few_however_many_are_in_it(client, make, statements, now, policy, rows):
    for _ in range(rows):
        make.account(inactivity_due_at=now + timedelta(days=1), under_investigation=rows == 1)
        make.account(inactivity_due_at=now + timedelta(days=1))
    forecast.count_ahead(now, policy)
    make.sign_in(client, make.admin())
    assert len(statements(lambda: client.get("/admin/forecast"))) == 4
    assert len(statements(lambda: client.get("/admin/forecast?kind=check_inactivity&day=2026-11-25"))) == 2
    assert len(statements(lambda: client.get("/admin/forecast?kind=on_hold"))) == 2
    sent = statements(lambda: client.get("/admin/forecast/rehearsal?at=2026-11-25&what=reminded"))
    assert len(sent) == 14, sent


def test_a_sweep_with_nothing_due_takes_few(statements, now, policy):
    sent = statements(lambda: sweep.sweep(now, policy))
    assert len(sent) == 18, sent


@pytest.mark.parametrize("rows", [1, 60])
def test_the_mails_take_six_and_their_list_two_whatever_was_written(client, make, statements, now, rows):
    make.sign_in(client, make.admin())
    for _ in range(rows):
        outbox.post(emails.profile_changed(make.account(), ["mobile"], now) | {"state": "failed"})
    db.session.commit()
    sent = statements(lambda: client.get("/admin/mail"))
    assert len(sent) == 6, sent
    sent = statements(lambda: client.htmx("GET", "/admin/mail?state=failed&to=peter@tech.gov.sg"))
    assert len(sent) == 2, sent


def test_the_jobs_take_one_for_the_session_alone(client, make, statements):
    make.sign_in(client, make.admin())
    sent = statements(lambda: client.get("/admin/jobs"))
    assert len(sent) == 1, sent
