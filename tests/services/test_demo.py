"""The sample data of `./run demo`: believable because the portal's own services wrote it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from webapp.dev import demo
from webapp.dev import demo_people as cast
from webapp.domain.business_days import singapore_date
from webapp.domain.lifecycle import DeviceStatus
from webapp.domain.measures import Measure
from webapp.domain.policy import Policy
from webapp.extensions import db
from webapp.models import (
    Account,
    AuditEvent,
    Authenticator,
    Device,
    Invitation,
    Invitee,
    Mail,
    Note,
    Question,
    Request,
    RowVerdict,
    UnknownAgency,
)
from webapp.services import admins, audit_chain, batch, brake, forecast, invited, statistics, sweep
from webapp.services.invited import Stand


def counted(column, *conditions) -> Counter[Any]:
    return Counter(dict(db.session.execute(select(column, func.count()).where(*conditions).group_by(column)).all()))


def test_the_sample_data_show_every_state_once_and_only_once(app, now):
    policy = Policy()
    admins.first("admin@tech.gov.sg", now, policy)
    people = demo.fill(now, policy)
    assert people >= 60
    assert people == db.session.scalar(select(func.count()).select_from(Account))

    statuses = counted(Account.status)
    assert {"requested", "pending", "active", "rejected", "terminated", "deleted"} <= set(statuses)
    assert statuses["requested"] >= 12
    assert statuses["active"] >= 20
    assert set(counted(Device.status)) == set(DeviceStatus)
    assert {"requested", "invited", "onboarded", "expired", "rejected", "not_required", "ineligible"} <= set(
        counted(Account.seed_status)
    )
    assert counted(Request.kind, Request.state == "open")["seed"] >= 8
    assert all(
        db.session.scalars(
            select(Request.reason)
            .join(Account, Account.id == Request.account_id)
            .where(Request.state == "rejected", Account.status != "deleted")
        )
    )
    assert counted(Authenticator.confirmed_at.is_not(None))[True] >= 22
    assert db.session.scalar(select(UnknownAgency.tries).filter_by(domain="spf.gov.sg")) == 7

    near = db.session.scalars(
        select(Invitation).where(Invitation.state == "live", Invitation.expires_at < now + timedelta(days=7))
    ).all()
    assert len(near) >= 5
    mails = counted(Mail.kind)
    assert mails["onboarding_reminder"] >= 10
    assert {"terminated", "request_rejected", "seed_onboarding", "already_have_account", "sign_in_code"} <= set(mails)
    # The developer's mailbox gets what is of today.
    waiting = Mail.state == "queued"
    assert db.session.scalar(select(func.min(Mail.created_at)).where(waiting)) >= now - timedelta(days=1)
    assert counted(Mail.state)["sent"] > 100
    _the_admins_see_something_of_everything(now)
    _whoever_asks_for_others_sees_something_of_everything(now, policy)
    late = timedelta(minutes=15)
    assert db.session.scalar(select(func.max(AuditEvent.at))) <= now + late
    assert db.session.scalar(select(func.min(AuditEvent.at))) >= now - timedelta(days=demo.DAYS)

    before = [db.session.scalar(select(func.count()).select_from(table)) for table in (Account, Mail, AuditEvent)]
    answer = app.test_cli_runner().invoke(args=["demo"])
    assert answer.exit_code == 0
    for email in (cast.COLLEAGUE, cast.SECOND_ADMIN, cast.AUDITOR):
        assert email in answer.output
    assert "there since an earlier start" in answer.output
    after = [db.session.scalar(select(func.count()).select_from(table)) for table in (Account, Mail, AuditEvent)]
    assert after == before
    _the_held_sweep_stays_held(now, policy)


def _the_admins_see_something_of_everything(now):
    waiting = Request.state == "open"
    assert counted(waiting)[True] >= 30
    ages = db.session.execute(select(func.min(Request.requested_at), func.max(Request.requested_at)).where(waiting))
    oldest, newest = ages.one()
    assert oldest < now - timedelta(days=9)
    assert newest > now - timedelta(minutes=10)
    today = singapore_date(now)
    assert counted(waiting, Request.due_on < today)[True] >= 1
    assert len(counted(Account.agency_id, Account.status == "requested")) >= 8
    assert counted(Question.answered_at.is_not(None)) == {True: 2, False: 2}
    assert len(counted(Note.by_id)) == 2
    roles = counted(Account.role, Account.status == "active")
    assert (roles["admin"], roles["auditor"]) == (2, 1)
    assert counted(Account.under_investigation)[True] >= 3
    answers = set(db.session.scalars(select(Mail.last_answer).where(Mail.state == "failed")))
    assert {answer[:3] for answer in answers} == {"550", "552"}
    assert (
        db.session.scalar(select(func.count()).where(Mail.state == "queued", Mail.last_answer.startswith("421"))) == 1
    )
    assert counted(Mail.state)["cancelled"] >= 1
    acted = counted(AuditEvent.action)
    assert set(acted) >= {
        "account.disabled", "account.enabled", "account.held", "account.locked", "account.released", "agency.added",
        "agency.changed", "agency.dismissed", "authenticator.reset", "invitation.extended", "holiday.added",
        "request.answered", "role.changed", "sweep.held", "techpass.approval_undone", "techpass.rejection_undone",
    }  # fmt: skip
    assert acted["agency.changed"] == 3
    numbers = statistics.numbers(now)
    for measure in (Measure.SIGNED_UP, Measure.APPROVED, Measure.ACTIVATED, Measure.SEED_ONBOARDED, Measure.ENDED):
        assert numbers.total(measure) >= 5, measure
    ahead = forecast.ahead(now)
    assert sum(bool(ahead.busy(day)) for day in ahead.days) >= 20
    done = audit_chain.verify(now, None, print)
    assert (done.findings, done.count) == (0, db.session.scalar(select(func.count()).select_from(AuditEvent)))


def _whoever_asks_for_others_sees_something_of_everything(now, policy):
    inviter = db.session.scalars(select(Account).filter_by(email_folded=cast.COLLEAGUE)).one()
    people = invited.listed(inviter, "", now, policy)
    assert {each.stand for each in people} >= set(Stand) - {Stand.DISABLED, Stand.ENDED}
    assert {each.is_vendor for each in people} == {True, False}
    assert {each.may_be_sent_again(now) for each in people} == {True, False}
    drafted, sent = batch.own(inviter.id)
    assert (drafted.state, sent.state) == ("draft", "done")
    assert set(batch.summary(drafted.id).verdicts) == set(RowVerdict)
    assert set(batch.summary(sent.id).outcomes) == {"sent", "skipped"}
    assert db.session.scalar(select(func.count(Invitee.inviter_id.distinct()))) == 3


def _the_held_sweep_stays_held(now, policy):
    held = brake.held()[0]
    assert (held.part, held.would_end) == ("expiry", len(cast.PROJECT))
    assert held.held_at < now - timedelta(hours=1)
    for minutes in (1, 24 * 60):
        assert sweep.sweep(now + timedelta(minutes=minutes), policy).held["expiry"] >= len(cast.PROJECT)


def test_sample_data_are_refused_outside_development(app, now, policy, monkeypatch):
    monkeypatch.setitem(app.config, "SETTINGS", dataclasses.replace(app.config["SETTINGS"], app_env="production"))
    with pytest.raises(demo.DemoRefused, match="development only"):
        demo.fill(now, policy)
    answer = app.test_cli_runner().invoke(args=["demo"])
    assert answer.exit_code == 1
    assert "nothing was written" in answer.output
    assert db.session.scalar(select(func.count()).select_from(Account)) == 0


def test_sample_data_are_refused_among_other_people(app, make, now, policy):
    make.account()
    with pytest.raises(demo.DemoRefused, match="people in this database already"):
        demo.fill(now, policy)
    assert db.session.scalar(select(func.count()).select_from(Account)) == 1
