"""The hot queries find their indexes on PostgreSQL, so that no table's growth slows a request or a sweep down.

The tables are filled with some thousand people, and reading a whole table is made dear: a plan that still does so has
no index to go by.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, select, text

from tests.onboarding import Walk
from webapp.domain.addresses import AgencyMode, parse
from webapp.domain.business_days import singapore_date
from webapp.domain.lifecycle import (
    AccountStatus,
    AccountType,
    DeviceStatus,
    InvitationKind,
    MailState,
    RequestKind,
    Role,
    SeedStatus,
)
from webapp.domain.mdm import Report
from webapp.domain.onboarding import Document, Step
from webapp.extensions import db
from webapp.models import Account, Invitee, SessionKind, UnknownAgency
from webapp.services import (
    accounts,
    activity,
    admin_start,
    agencies,
    agency_effects,
    agreements,
    audit,
    audit_chain,
    audit_log,
    authenticators,
    brake,
    delivery,
    device_removal,
    device_reports,
    digest,
    expiry,
    failed_mails,
    forecast,
    health,
    held_devices,
    inactivity,
    invitations,
    inviters,
    inviting,
    log_in,
    onboarding,
    outbox,
    outgoing,
    purge,
    queue_list,
    receipts,
    registration,
    rehearsal,
    reminders,
    sessions,
    sets,
    sign_up,
    statistics,
)
from webapp.services.errors import ServiceError
from webapp.services.invited import Stand, lapse
from webapp.services.invited import listed as list_invited
from webapp.services.invited import row as show_invited
from webapp.services.inviting import Person
from webapp.services.people import Wanted, timeline
from webapp.services.people import find as find_people
from webapp.services.people import person as show_person
from webapp.services.queue_list import Filters, Seed, Talk
from webapp.services.rehearsal import What

DAY = timedelta(days=1)
pytestmark = pytest.mark.parametrize("app", ["postgresql"], indirect=True)
WHOLE = {"agency", "batch"}
"""Tables that are read whole, and stay short."""


@pytest.fixture
def plans(app) -> Callable[..., str]:
    """``plans(act)`` gives the plans of all that ``act`` asks of the database, with more means of planning ``off``.

    What was not committed is taken back.
    """

    def of(act: Callable[[], object], *off: str) -> str:
        sent: list[tuple[str, Any]] = []

        def note(_connection, _cursor, statement, parameters, *_) -> None:
            if statement.startswith(("SELECT", "UPDATE", "DELETE")):
                sent.append((statement, parameters))

        db.session.rollback()
        db.session.expunge_all()
        event.listen(db.engine, "before_cursor_execute", note)
        try:
            with contextlib.suppress(ServiceError):
                act()
        finally:
            event.remove(db.engine, "before_cursor_execute", note)
            db.session.rollback()
        assert sent
        lines = []
        with db.engine.connect() as connection:
            for means in ("enable_seqscan", *off):
                connection.execute(text(f"SET LOCAL {means} = off"))
            for statement, parameters in sent:
                rows = connection.exec_driver_sql(f"EXPLAIN (COSTS OFF) {statement}", parameters)
                lines += [row[0] for row in rows]
            connection.rollback()
        return "\n".join(lines)

    return of


def holds(plan: str, *indexes: str) -> None:
    """The plan goes by ``indexes`` and reads no table whole."""
    missing = [index for index in indexes if index not in plan]
    assert not missing, f"{missing} not in:\n{plan}"
    whole = [line for line in plan.splitlines() if "Seq Scan on" in line]
    assert not [line for line in whole if line.split("Seq Scan on ")[1].split()[0] not in WHOLE], plan


CROWD = [
    """
    INSERT INTO account (email, email_folded, agency_id, status, role, created_at, status_at, changed_at, idle_since,
        inactivity_due_at, purge_at, expired_at, under_investigation, receipt_hash, seed_status, seed_status_at)
    SELECT address, address, 1, status, 'officer', at, at, at, at,
        CASE WHEN status = 'active' THEN at + interval '60 days' END,
        CASE WHEN status = 'terminated' THEN at + interval '5 days' END,
        CASE WHEN status = 'pending' AND number % 70 = 0 THEN at END,
        false, 'receipt' || number, 'not_required', at
    FROM (
        SELECT number, 'crowd' || number || '@tech.gov.sg' AS address,
            '2026-11-24 00:00Z'::timestamptz + number * interval '1 minute' AS at,
            (ARRAY['active', 'active', 'terminated', 'requested', 'pending', 'active'])[1 + number % 6] AS status
        FROM generate_series(1, 4000) AS number
    ) AS crowd
    """,
    """
    INSERT INTO invitation (account_id, kind, state, nonce, token_hash, issued_at, expires_at, remind_at)
    SELECT id, 'techpass', CASE status WHEN 'pending' THEN 'live' ELSE 'used' END, '', 'token' || id, created_at,
        created_at + interval '30 days', CASE WHEN status = 'pending' THEN created_at + interval '23 days' END
    FROM account WHERE email LIKE 'crowd%' AND status <> 'requested'
    """,
    """
    INSERT INTO request (account_id, kind, state, requested_at, reason)
    SELECT id, 'techpass', CASE status WHEN 'requested' THEN 'open' ELSE 'approved' END, created_at, ''
    FROM account WHERE email LIKE 'crowd%'
    """,
    """
    INSERT INTO mail (key, kind, account_id, recipient, context, urgent, state, created_at, due_at, tries, last_answer)
    SELECT kind || id, kind, id, email, '{}', id % 2 = 0,
        CASE WHEN id % 20 = 0 THEN 'queued' WHEN id % 50 = 1 THEN 'failed' ELSE 'sent' END,
        created_at, created_at, 0, ''
    FROM account, unnest(ARRAY['request_received', 'techpass_onboarding', 'terminated', 'inactivity_reminder']) AS kind
    WHERE email LIKE 'crowd%'
    """,
    """
    INSERT INTO audit_event (at, action, account_id, actor, actor_id, peer, detail)
    SELECT created_at, 'sign_up.requested', id, 'officer', id, '203.0.113.9', '{}'
    FROM account WHERE email LIKE 'crowd%'
    """,
    """
    INSERT INTO session (token_hash, account_id, kind, created_at, last_seen_at, expires_at, peer, user_agent)
    SELECT 'session' || id, id, 'signed_in', created_at, created_at, created_at + interval '12 hours', '', ''
    FROM account WHERE email LIKE 'crowd%' AND status = 'active'
    """,
    """
    INSERT INTO authenticator (account_id, encrypted_key, created_at, confirmed_at, last_step)
    SELECT id, 'sealed', created_at, created_at, 0
    FROM account WHERE email LIKE 'crowd%' AND status = 'active'
    """,
    """
    INSERT INTO recovery_code (account_id, code_hash)
    SELECT id, 'code' || id
    FROM account WHERE email LIKE 'crowd%' AND status = 'active'
    """,
    """
    INSERT INTO agreement_acceptance (account_id, document, version, accepted_at, peer)
    SELECT id, 'terms-of-use', '2026-11-02', created_at, ''
    FROM account WHERE email LIKE 'crowd%' AND status = 'active'
    """,
    """
    INSERT INTO used_solution (signature, expires_at)
    SELECT 'signature' || id, created_at
    FROM account WHERE email LIKE 'crowd%'
    """,
    """
    INSERT INTO wrong_code (address_hash, known_browser, at)
    SELECT 'address' || id, false, created_at
    FROM account WHERE email LIKE 'crowd%'
    """,
    """
    INSERT INTO device (account_id, name, operating_system, serial_number, intune_device_id, status, registered_at,
        status_at, reported_at, reason, remove_at)
    SELECT id, 'Mac', 'macos', 'C02', 'device' || id,
        (ARRAY['onboarded', 'onboarded', 'removed', 'triggered'])[1 + id % 4], created_at, created_at, created_at, '',
        CASE WHEN id % 4 = 3 THEN created_at + interval '14 days' END
    FROM account WHERE email LIKE 'crowd%' AND status = 'active'
    """,
    "ANALYZE",
]


@pytest.fixture
def people(app, make, now, policy) -> dict[str, object]:
    """A crowd, and one of each kind that the tests ask for."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # What earlier tests deleted makes tables and indexes large, and other plans cheap.
        connection.execute(text(f"VACUUM FULL {', '.join(db.metadata.tables)}"))
    with db.engine.begin() as connection:
        for statement in CROWD:
            connection.execute(text(statement))
    waiting = make.request(seed=True)
    pending = make.account(AccountStatus.PENDING, seed_status=SeedStatus.REQUESTED)
    _, token = make.invitation(pending)
    active = make.account()
    make.authenticator(active)
    authenticators.create_recovery_codes(active, policy)
    sid = sessions.open_session(active, SessionKind.SIGNED_IN, now, policy, peer="203.0.113.7", user_agent="")
    db.session.commit()
    receipt = make.receipt_token(pending)
    return {"waiting": waiting.id, "pending": pending.id, "active": active.id} | {
        "token": token,
        "sid": sid,
        "receipt": receipt,
    }


def test_the_queue_of_requests(plans, people, now):
    for filters in (
        Filters(),
        Filters(agency_id=1, kind=RequestKind.TECHPASS, days=1, address="crowd1"),
        Filters(seed=Seed.AT_RISK),
        Filters(seed=Seed.WITHOUT, talk=Talk.ANSWERED),
        Filters(talk=Talk.ASKED),
        Filters(person=AccountType.VENDOR),
    ):
        for after in (None, (now, 5)):
            index = "ix_request_due" if filters.seed is Seed.AT_RISK else "ix_request_queue"
            index = "question_" if filters.talk else "ix_account_vendor" if filters.person else index
            holds(plans(lambda f=filters, a=after: queue_list.waiting(f, now, a)), index)
    plan = plans(lambda: queue_list.waiting(Filters(), now, (now, 5)))
    assert "Sort Key: request" not in plan
    holds(plan, "ix_request_queue")


@pytest.fixture
def invited(people, make, now) -> int:
    """Half of the crowd was asked for, by two hundred others: one of these."""
    ids = list(db.session.scalars(select(Account.id).where(Account.email.like("crowd%")).order_by(Account.id)))
    some, others = ids[:200], ids[2000:]
    given = {"email": "x", "email_folded": "x", "is_theirs": True, "asked_at": now}
    rows = [given | {"inviter_id": some[n % 200], "account_id": number} for n, number in enumerate(others)]
    db.session.execute(insert(Invitee), rows)
    db.session.execute(text("ANALYZE invitee"))
    db.session.commit()
    return some[0]


def test_the_people_somebody_asked_for(plans, people, invited, now, policy):
    inviter = Account(id=invited, email="crowd1@tech.gov.sg", agency_id=1)
    db.session.execute(text("UPDATE invitee SET lapses_at = asked_at WHERE id % 100 = 1"))
    db.session.commit()
    for words, stand, before in (
        ("", None, None),
        ("", None, 1401),
        ("crowd tan", None, None),
        ("", Stand.WAITS, None),
        ("crowd", Stand.RAN_OUT, 1401),
    ):
        plan = plans(lambda w=words, s=stand, b=before: list_invited(inviter, w, now, policy, b, s))
        assert re.search(r"Index Cond: \(+inviter_id", plan), plan
        holds(plan, "pk_account", "invitation_live")
    holds(plans(lambda: show_invited(inviter, 1, now, policy)), "Index Cond: (", "invitation_live")
    holds(plans(lambda: lapse(now + DAY, policy)), "ix_invitee_lapses")
    by = audit.By.person(inviter, "203.0.113.7")
    address = parse("crowd3@tech.gov.sg")
    agency = agencies.find(address.domain)
    assert agency is not None
    person = Person(address, AccountType.OFFICER, agency, SeedStatus.REQUESTED, "New here")
    plan = plans(lambda: inviting.ask_for_each([person], inviter, by, now, policy))
    holds(plan, "account_", "ix_invitee_account_id", "invitation_")


def test_who_asked_for_whom(plans, people, invited, make, now):
    holds(plans(lambda: inviters.of(range(3000, 3050))), "ix_invitee_account_id", "pk_account")
    for wanted in (Wanted(asked_for_by=invited), Wanted("crowd", asked_for_by=invited)):
        for before in (None, 3000):
            holds(plans(lambda w=wanted, b=before: find_people(w, b)), "Index Cond: (inviter_id", "pk_account")
    vendor = make.vendor()
    _, token = make.invitation(vendor, InvitationKind.REGISTRATION)
    details = dict.fromkeys(registration.FIELDS, "x")
    by = audit.By.visitor("203.0.113.7")
    plan = plans(lambda: registration.register(token, details, by, now))
    holds(plan, "uq_invitation_token_hash", "pk_account", "pk_invitation")
    holds(plans(lambda: registration.invited_by(vendor.id)), "ix_invitee_account_id")


def test_the_live_account_of_an_address(plans, people, make, now):
    solution = make.solution()
    by = audit.By.visitor("203.0.113.7")
    plan = plans(lambda: sign_up.sign_up("officer2@tech.gov.sg", True, solution, by, now))
    holds(plan, "uq_account_live_email")


def test_beginning_to_log_in(plans, people, now, policy):
    plan = plans(lambda: log_in.start("officer2@tech.gov.sg", now, policy))
    holds(plan, "uq_account_live_email", "ix_log_in_attempt_address")


def test_what_is_found_by_a_hash(plans, people, now, policy):
    find = lambda: invitations.open_link(people["token"], now, InvitationKind.TECHPASS)  # noqa: E731
    holds(plans(find), "uq_invitation_token_hash")
    holds(plans(lambda: sessions.find_session(people["sid"], now, policy)), "uq_session_token_hash")
    holds(plans(lambda: receipts.receipt(people["receipt"], now)), "uq_account_receipt_hash", "request_account_id")
    holds(plans(lambda: sessions.end_session(people["sid"])), "uq_session_token_hash")


def test_what_happened_to_one_account(plans, people):
    for before in (None, 10**9):
        holds(plans(lambda before=before: activity.happened(people["active"], before)), "ix_audit_event_account_id")


def test_locking_and_enabling_one_account(plans, people, now, policy):
    by, active = audit.SYSTEM, people["active"]
    plan = plans(lambda: accounts.lock(active, "why", by, now, policy))
    holds(plan, "pk_account", "ix_session_account_id", "ix_log_in_attempt_account_id")
    holds(plans(lambda: accounts.enable(active, "why", by, now, policy)), "pk_account", "ix_mail_account")
    holds(plans(lambda: accounts.by_address("officer2@tech.gov.sg")), "uq_account_live_email")


def test_sending_an_invitation_again(plans, people, now, policy):
    by = audit.By.visitor("203.0.113.7")
    techpass = InvitationKind.TECHPASS
    holds(plans(lambda: invitations.resend(people["pending"], techpass, by, now, policy)), "pk_account", "invitation_")


def test_the_last_answer_of_onboarding(plans, people, make, now, policy):
    walk = Walk.begin(make)
    walk.to(Step.PRIVACY_POLICY)
    by, version = walk.by, agreements.in_force(Document.PRIVACY_POLICY, now).version
    plan = plans(lambda: onboarding.accept_agreement(walk.session(), Step.PRIVACY_POLICY, version, by, now, policy, ""))
    holds(plan, "pk_authenticator", "uq_agreement_acceptance", "ix_session_account_id", "ix_mail_account")


def test_codes(plans, people, now):
    holds(plans(lambda: authenticators.use_code(people["active"], "123456", now)), "pk_authenticator")
    code = "aaaa-bbbb-cccc"
    holds(plans(lambda: authenticators.use_recovery_code(people["active"], code, now)), "uq_recovery_code")
    holds(plans(lambda: authenticators.recovery_codes_left(people["active"])), "uq_recovery_code")
    holds(plans(lambda: agreements.accepted(people["active"], now)), "uq_agreement_acceptance")


def test_the_sweep(plans, people, now, policy):
    limit = sets.CHUNK
    plan = plans(lambda: db.session.execute(expiry.overdue(now + 31 * DAY).limit(limit)).all())
    holds(plan, "ix_invitation_expiry", "pk_account")
    plan = plans(lambda: db.session.scalars(reminders.marked(now + 25 * DAY).limit(limit)).all())
    holds(plan, "ix_invitation_reminder")
    plan = plans(lambda: db.session.execute(expiry.notified().limit(limit)).all())
    holds(plan, "ix_account_expired", "ix_mail_account")
    plan = plans(lambda: db.session.scalars(inactivity.due(now).limit(limit)).all())
    holds(plan, "ix_account_inactivity")
    plan = plans(lambda: db.session.execute(purge.due(now).limit(limit)).all())
    holds(plan, "ix_account_purge", "ix_mail_account")
    holds(plans(inactivity.count_active_admins), "ix_account_admin")
    plan = plans(lambda: purge.tidy(now))
    holds(
        plan,
        "ix_session_expires_at",
        "ix_used_solution_expires_at",
        "ix_log_in_attempt_expires_at",
        "ix_wrong_code_at",
    )


def test_the_forecast(plans, people, now, policy):
    indexes = {
        forecast.Kind.REMIND: "ix_invitation_reminder",
        forecast.Kind.EXPIRE: "ix_invitation_expiry",
        forecast.Kind.EXPIRE_SEED: "ix_invitation_expiry",
        forecast.Kind.REMOVE_DEVICE: "ix_device_removal",
        forecast.Kind.CHECK_INACTIVITY: "ix_account_inactivity",
        forecast.Kind.DELETE: "ix_account_purge",
    }
    for kind, index in indexes.items():
        for after in (None, (now, 5)):
            day = date(2026, 12, 20)
            plan = plans(lambda kind=kind, after=after, day=day: forecast.on_day(day, kind, now, policy, after))
            holds(plan, index)
    counted = set(indexes.values()) - {"ix_account_purge"}  # Ended accounts are few: their status finds them as well.
    holds(plans(lambda: forecast.count_ahead(now - 20 * DAY, policy)), *counted, "pk_daily_count")
    holds(plans(lambda: forecast.ahead(now)), "pk_daily_count")
    for before in (None, 10**9):
        holds(plans(lambda before=before: forecast.on_hold(before)), "ix_account_on_hold")
    holds(plans(forecast.count_on_hold), "ix_account_on_hold")


def test_the_rehearsal(plans, people, now, policy):
    indexes = {
        What.TERMINATED: "ix_account_expired",
        What.EXPIRED: "ix_invitation_expiry",
        What.SEED_EXPIRED: "ix_invitation_expiry",
        What.DEVICES_REMOVED: "ix_device_removal",
        What.REMINDED: "ix_invitation_reminder",
        What.DISABLED: "ix_account_inactivity",
        What.DELETED: "ix_account_purge",
    }
    for what, index in indexes.items():
        for after in (None, (now, 5)):
            holds(plans(lambda what=what, after=after: rehearsal.page(now, policy, what, after)), index)
        holds(plans(lambda what=what: list(rehearsal.rehearse(now, policy, what, number=5))))
    holds(plans(lambda: rehearsal.counts(now, policy)), *set(indexes.values()))


def test_the_brake(plans, people, now, policy):
    held = replace(policy, sweep_limit=1, sweep_floor=1)
    for query, index in (
        (expiry.overdue_accounts(now + 31 * DAY), "ix_invitation_expiry"),
        (inactivity.ending(now + 91 * DAY, policy), "ix_account_inactivity"),
        (purge.due(now + 9 * DAY), "ix_account_purge"),
    ):
        plan = plans(lambda query=query: brake.check("expiry", query, now, held, was_held=True))
        holds(plan, index, "pk_daily_count", "pk_held_sweep")


def test_forgetting_a_person(plans, people, now):
    holds(
        plans(lambda: purge._forget([people["active"]], now)),
        "ix_session_account_id",
        "ix_mail_account",
        "pk_authenticator",
        "uq_recovery_code",
        "ix_audit_event_account_id",
        "uq_agreement_acceptance",
    )


def test_devices(plans, people, make, now, policy):
    account = db.session.get_one(Account, people["active"])
    device = make.device(account)
    report = Report(device.intune_device_id, DeviceStatus.FAILED, now)
    plan = plans(lambda: db.session.scalars(device_removal.overdue(now + 15 * DAY).limit(device_removal.BATCH)).all())
    holds(plan, "ix_device_removal")
    holds(plans(lambda: device_reports.apply(report, now, policy)), "uq_device_live", "pk_account", "pk_device")
    holds(plans(lambda: held_devices.live_devices(people["active"])), "ix_device_account_id")
    holds(plans(lambda: device_removal.settle(people["active"], "x", now, policy)), "ix_device_removal")


def test_terminating_a_person(plans, people, now):
    plan = plans(lambda: expiry.terminate_each([people["pending"]], now))
    holds(plan, "pk_account", "ix_session_account_id", "ix_mail_account", "ix_device_account_id")


def test_claiming_the_mails_that_are_due(plans, people, now):
    for urgent in (True, False):
        query = delivery._due(now, urgent=urgent).limit(50)
        # Among a few thousand rows sorting is cheap; what counts is that the index gives them in order.
        plan = plans(lambda query=query: db.session.scalars(query).all(), "enable_sort", "enable_bitmapscan")
        holds(plan, "ix_mail_queue")
        assert "Sort" not in plan
    holds(plans(failed_mails.failed), "ix_mail_failed")
    holds(plans(lambda: failed_mails.forgive_outage(now)), "ix_mail_failed", "ix_mail_account")
    holds(plans(lambda: failed_mails.retry(now, audit.SYSTEM)), "ix_mail_failed", "ix_mail_account")
    holds(plans(lambda: outbox.cancel(people["pending"])), "ix_mail_account")


def test_the_outgoing_mails(plans, people, now):
    db.session.execute(text("UPDATE mail SET state = 'cancelled' WHERE id % 60 = 7"))
    db.session.execute(text("UPDATE mail SET kind = 'disabled' WHERE id % 900 = 1"))
    db.session.execute(text("ANALYZE mail"))
    db.session.commit()
    for wanted, index in (
        (outgoing.Wanted(), "pk_mail"),
        (outgoing.Wanted(MailState.SENT), "pk_mail"),
        (outgoing.Wanted(MailState.QUEUED), "ix_mail_queued"),
        (outgoing.Wanted(MailState.FAILED), "ix_mail_failed"),
        (outgoing.Wanted(MailState.CANCELLED), "ix_mail_cancelled"),
        (outgoing.Wanted(kind="disabled"), "ix_mail_kind"),
        (outgoing.Wanted(MailState.FAILED, kind="disabled"), "ix_mail_failed_kind"),
        (outgoing.Wanted(recipient="crowd1234@tech.gov.sg"), "ix_mail_account"),
        (outgoing.Wanted(MailState.FAILED, "terminated", "crowd1234@tech.gov.sg"), "ix_mail_account"),
    ):
        for before in (None, 3000):
            ask = lambda wanted=wanted, before=before: outgoing.listed(wanted, before)  # noqa: E731
            if wanted.recipient:
                holds(plans(ask), index)
            else:
                plan = plans(ask, "enable_bitmapscan")
                holds(plan, index)
                assert "Sort" not in plan, plan
    holds(plans(lambda: outgoing.standing(now)), "ix_mail_failed", "ix_mail_queue")


def test_what_the_operators_machines_watch(plans, people, now):
    plan = plans(lambda: health.numbers(now))
    holds(plan, "ix_mail_queue", "ix_mail_failed", "ix_invitation_expiry", "ix_account_expired")
    assert "ix_request_queue" in plan or "uq_request_open" in plan
    holds(plans(lambda: health.parts(now)), "ix_mail_queue")


def test_the_start_page_of_the_admins(plans, people, now):
    for number in range(2000):
        db.session.add(UnknownAgency(domain=f"crowd{number}.gov.sg", tries=number, last_at=now))
    # As after days without a mail server: many have failed, and many are put off.
    db.session.execute(text("UPDATE mail SET state = 'failed' WHERE kind = 'request_received'"))
    put_off = "UPDATE mail SET state = 'queued', due_at = due_at + interval '9 days' WHERE kind = 'techpass_onboarding'"
    db.session.execute(text(put_off))
    db.session.execute(text("ANALYZE mail, unknown_agency"))
    db.session.commit()
    plan = plans(lambda: admin_start._counted(now))
    holds(plan, "ix_request_due", "ix_mail_queue", "ix_mail_failed_kind", "ix_account_on_hold")
    assert plan.count("Limit") == plan.count("Aggregate") == 8, "each is counted no further than it is said"
    assert "ix_request_queue" in plan or "uq_request_open" in plan
    plan = plans(admin_start._oldest)
    holds(plan, "ix_request_queue", "pk_account")
    assert "Sort" not in plan
    plan = plans(admin_start._knocking)
    holds(plan, "ix_unknown_agency_tries")
    assert "Sort" not in plan
    holds(plans(lambda: statistics.numbers(now)), "pk_daily_count")


def test_counting_what_happened_on_a_day(plans, people, now):
    plan = plans(lambda: statistics._happened(singapore_date(now)))
    holds(plan, "ix_audit_event_a")
    assert plan.count("Index Cond: (account_id = audit_event.account_id)") == 3, plan
    plan = plans(lambda: digest._without_digest(singapore_date(now), now))
    holds(plan, "ix_account_admin")


def test_the_audit_log_and_its_seal(plans, people, now):
    many = [
        # As if approving, and who did it, had ended long ago: common in all, and nowhere near the end.
        """
        INSERT INTO audit_event (at, action, account_id, actor, actor_id, peer, detail)
        SELECT created_at - interval '1 year', 'techpass.approved', id, 'admin', 7, '203.0.113.9', '{}' FROM account
        """,
        "INSERT INTO audit_seal (position, event_id, hash, sealed_at) SELECT id, id, '', at FROM audit_event",
        "ANALYZE audit_event, audit_seal",
    ]
    with db.engine.begin() as connection:
        for statement in many:
            connection.execute(text(statement))
    later = now + 4 * DAY
    day = singapore_date(now) + DAY
    dates: Any = {"since": day, "until": day + DAY}
    filters: Any
    more: Any
    before = audit_log.Mark(now + DAY, 5)
    for filters, index in (
        ({}, "ix_audit_event_at"),
        ({"action": "techpass.approved"}, "ix_audit_event_action"),
        ({"by": (7,)}, "ix_audit_event_actor"),
        ({"where": "203.0.113.9"}, "ix_audit_event_at"),
    ):
        for more in ({}, dates):
            asked = audit_log.Filters(**filters, **more)
            for mark in (None, before):
                plan = plans(lambda asked=asked, mark=mark: audit_log.listed(asked, mark, 51), "enable_bitmapscan")
                holds(plan, index)
                assert "Sort" not in plan, plan
    # What happened to one account is short, and sorted.
    for filters in ({}, {"action": "techpass.approved"}, dates):
        asked = audit_log.Filters(whom=(people["active"],), **filters)
        holds(plans(lambda asked=asked: audit_log.listed(asked, None, 51)), "ix_audit_event_account_id")
    holds(plans(lambda: audit_chain.seal(later)), "ix_audit_seal_sealed_at", "pk_audit_event", "uq_audit_seal_event_id")
    holds(plans(lambda: audit_chain.is_late(later)), "ix_audit_event_at", "uq_audit_seal_event_id")
    holds(plans(audit_chain.head), "pk_audit_seal")
    holds(plans(lambda: list(audit_chain._walk())), "pk_audit_seal")


def test_an_agencys_people_and_open_requests(plans, people, now):
    for number in range(2000):
        db.session.add(UnknownAgency(domain=f"crowd{number}.gov.sg", tries=number, last_at=now))
    # Most people have SEED or do without; a few of them ask for it.
    db.session.execute(text("UPDATE account SET seed_status = 'requested' WHERE status = 'active' AND id % 50 = 0"))
    db.session.execute(text("ANALYZE account, unknown_agency"))
    db.session.commit()
    holds(plans(agencies.listed), "ix_account_asking")
    plan = plans(agencies.unknown)
    holds(plan, "ix_unknown_agency_tries")
    assert "Sort" not in plan
    holds(plans(lambda: agencies.has_accounts(1)), "ix_account_agency")
    before = agencies.settings_of(agencies.get(1))
    closed = replace(before, mode=AgencyMode.INVITATION_ONLY, seed_eligible=not before.seed_eligible)
    for after in (closed, replace(before, approves_automatically=True)):
        plan = plans(lambda after=after: agency_effects.what_follows(before, after, 1))
        holds(plan, "ix_account_asking")
    # So far all are of one agency, which is no reason to go by it.
    db.session.execute(text("UPDATE account SET agency_id = 2 WHERE id % 10 > 0"))
    db.session.execute(text("ANALYZE account"))
    db.session.commit()
    holds(plans(lambda: sets.count_up_to(agency_effects._people([1]), agency_effects.MOST)), "ix_account_agency")


def test_people_by_their_words_and_filters(plans, people_of_names):
    agency, status, search = "ix_account_agency", "ix_account_status", "ix_account_search"
    for wanted, index in (
        (Wanted(), "pk_account"),
        (Wanted(agency_id=2), agency),
        (Wanted(agency_id=2, status=AccountStatus.ACTIVE), "ix_account_agency_status"),
        (Wanted(status=AccountStatus.DISABLED), status),
        (Wanted(role=Role.ADMIN), "ix_account_admin"),
        (Wanted(role=Role.AUDITOR), "ix_account_auditor"),
        (Wanted(on_hold=True), "ix_account_on_hold"),
        (Wanted(account_type=AccountType.VENDOR), "ix_account_vendor"),
        (Wanted(words="krish"), search),
        (Wanted(words="muthu crowd123"), search),
        (Wanted(words="mu kr"), search),
        (Wanted(words="crowd1234@tech.gov.sg"), "ix_account_email"),
    ):
        for before in (None, 3000):
            plan = plans(lambda wanted=wanted, before=before: find_people(wanted, before))
            holds(plan, *([index] if "@" not in wanted.words or before is None else []))
    # In the order of the index, where no words are looked for: nothing is sorted, however many there are.
    for wanted in (Wanted(), Wanted(agency_id=2), Wanted(status=AccountStatus.ACTIVE)):
        plan = plans(lambda wanted=wanted: find_people(wanted, 3000), "enable_bitmapscan")
        assert "Sort" not in plan, plan


@pytest.fixture
def people_of_names(people):
    """`people`, a few of whom have a name that is rare, or a role, or are on hold."""
    with db.engine.begin() as connection:
        for change in (
            "first_name = 'Muthu', last_name = 'Krishnan' WHERE id % 400 = 1",
            "role = 'admin' WHERE id % 900 = 2",
            "status = 'disabled' WHERE id % 900 = 5",
            "agency_id = 2 WHERE id % 20 = 6",
            "role = 'auditor' WHERE id % 900 = 3",
            "under_investigation = true WHERE id % 900 = 4",
            "account_type = 'vendor' WHERE id % 900 = 6",
        ):
            connection.execute(text(f"UPDATE account SET {change}"))
        # What autovacuum does: until then new entries wait in a list of their own, which is read whole.
        connection.execute(text("SELECT gin_clean_pending_list('ix_account_search')"))
        connection.execute(text("ANALYZE account"))


def test_the_page_of_one_person(plans, people, now, policy):
    plan = plans(lambda: show_person(people["active"], now, policy))
    holds(
        plan, "pk_account", "ix_mail_account", "ix_device_account_id", "ix_session_account_id", "ix_request_account_id"
    )
    assert "ix_invitation_account_id" in plan or "uq_invitation_live" in plan
    for before in (None, 10**9):
        holds(plans(lambda before=before: timeline(people["active"], before)), "ix_audit_event_account_id")
