"""The sample data of `./run demo`: believable because the portal's own services wrote it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from webapp.dev import demo
from webapp.domain.lifecycle import DeviceStatus
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Authenticator, Device, Invitation, Mail, Request, UnknownAgency
from webapp.services import admins


def counted(column, *conditions) -> Counter[Any]:
    return Counter(dict(db.session.execute(select(column, func.count()).where(*conditions).group_by(column)).all()))


def test_the_sample_data_show_every_state_once_and_only_once(app, now, policy):
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
    assert db.session.scalar(select(UnknownAgency.tries).filter_by(domain="spf.gov.sg")) == 2

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
    assert counted(Mail.state)["failed"] == 0
    late = timedelta(minutes=15)
    assert db.session.scalar(select(func.max(AuditEvent.at))) <= now + late
    assert db.session.scalar(select(func.min(AuditEvent.at))) >= now - timedelta(days=demo.DAYS)

    before = [db.session.scalar(select(func.count()).select_from(table)) for table in (Account, Mail, AuditEvent)]
    answer = app.test_cli_runner().invoke(args=["demo"])
    assert answer.exit_code == 0
    assert "there since an earlier start" in answer.output
    after = [db.session.scalar(select(func.count()).select_from(table)) for table in (Account, Mail, AuditEvent)]
    assert after == before


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
