"""The operator's commands about admins."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from webapp.domain.lifecycle import AccountStatus
from webapp.extensions import db
from webapp.models import Authenticator, BrowserSession, Mail


def run(app, *arguments):
    return app.test_cli_runner().invoke(args=["admin", *arguments])


def count(table) -> int:
    return db.session.scalar(select(func.count()).select_from(table)) or 0


def test_the_operator_helps_an_admin_who_lost_the_authenticator(app, make, client):
    admin = make.admin("Grace.Lim@tech.gov.sg")
    make.authenticator(admin)
    make.sign_in(client, admin)
    answer = run(app, "reset-authenticator", "grace.lim@tech.gov.sg", "--reason", "phone lost")
    assert answer.exit_code == 0
    assert "on its way by mail" in answer.output
    assert count(Authenticator) == count(BrowserSession) == 0
    assert db.session.scalars(select(Mail.kind)).all() == ["authenticator_setup"]
    assert client.get("/admin/requests").status_code == 303


@pytest.mark.parametrize(
    ("email", "reason", "says"),
    [
        ("nobody@tech.gov.sg", "lost", "Nobody with the address nobody@tech.gov.sg"),
        ("gone@tech.gov.sg", "lost", "Nobody with the address gone@tech.gov.sg"),
        ("not an address", "lost", "in the format"),
        ("grace@tech.gov.sg", "  ", "Give a reason"),
    ],
)
def test_a_reset_that_cannot_be_carried_out_says_why_and_changes_nothing(app, make, email, reason, says):
    make.authenticator(make.admin("grace@tech.gov.sg"))
    make.authenticator(make.account(AccountStatus.TERMINATED, "gone@tech.gov.sg"))
    answer = run(app, "reset-authenticator", email, "--reason", reason)
    assert answer.exit_code == 1
    assert says in answer.output
    assert count(Authenticator) == 2
    assert count(Mail) == 0
