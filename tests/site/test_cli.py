"""The operator's commands say what they did, and what they refuse."""

from __future__ import annotations

from datetime import timedelta

import pytest

from webapp.domain.lifecycle import AccountStatus
from webapp.extensions import db
from webapp.models import Account
from webapp.services import audit, audit_chain, expiry


@pytest.fixture
def run(app):
    """Run a command; gives its exit code and output."""
    runner = app.test_cli_runner()

    def run(*arguments):
        done = runner.invoke(args=arguments)
        return done.exit_code, done.output

    return run


def test_an_admin_is_made(run, make):
    code, said = run("admin", "create", "boss@tech.gov.sg")
    assert code == 0
    assert "Set up the account at http://localhost/invitations/" in said
    make.account(email="active@tech.gov.sg")
    assert "is an admin now" in run("admin", "create", "active@tech.gov.sg")[1]
    code, said = run("admin", "create", "boss@nowhere.gov.sg")
    assert code == 1
    assert "We do not know the agency" in said


def test_a_lost_authenticator_is_reset(run, make):
    make.authenticator(make.account(email="peter@tech.gov.sg"))
    code, said = run("admin", "reset-authenticator", "peter@tech.gov.sg", "--reason", "lost phone")
    assert code == 0, said
    assert run("admin", "reset-authenticator", "nobody@tech.gov.sg", "--reason", "lost phone")[0] == 1


def test_an_account_is_locked_and_enabled_again(run, make):
    account = make.account(email="peter@tech.gov.sg")
    code, said = run("account", "lock", "Peter@tech.gov.sg", "--reason", "reported by phone")
    assert (code, said) == (0, "Done. Peter@tech.gov.sg is locked and signed out everywhere. See `account enable`.\n")
    assert db.session.get_one(Account, account.id, populate_existing=True).status is AccountStatus.DISABLED
    code, said = run("account", "enable", "peter@tech.gov.sg", "--reason", "looked at")
    assert (code, said) == (0, "Done. peter@tech.gov.sg must log in once within 5 days.\n")
    assert db.session.get_one(Account, account.id, populate_existing=True).status is AccountStatus.ACTIVE


@pytest.mark.parametrize("command", ["lock", "enable"])
@pytest.mark.parametrize(
    ("email", "reason", "said"),
    [
        ("nobody@tech.gov.sg", "why", "Nobody with the address nobody@tech.gov.sg has"),
        ("pending@tech.gov.sg", "why", "Nobody with the address pending@tech.gov.sg has"),
        ("peter@tech.gov.sg", " ", "Give a reason."),
        ("rubbish", "why", "Error: "),
    ],
)
def test_what_cannot_be_locked_or_enabled_is_said(run, make, command, email, reason, said):
    status = AccountStatus.ACTIVE if command == "lock" else AccountStatus.DISABLED
    account = make.account(status, "peter@tech.gov.sg")
    make.account(AccountStatus.PENDING, "pending@tech.gov.sg")
    code, printed = run("account", command, email, "--reason", reason)
    assert code == 1
    assert said in printed
    assert db.session.get_one(Account, account.id, populate_existing=True).status is status


def test_prepare_migrates_and_sees_to_a_first_admin(run):
    code, said = run("prepare")
    assert code == 0, said
    assert "First admin: admin@tech.gov.sg. Set up the account at" in said
    db.session.query(Account).update({"status": AccountStatus.ACTIVE})
    db.session.commit()
    assert "sign in as admin@tech.gov.sg" in run("prepare")[1]


def test_a_sweep_is_rehearsed_then_done(run, make, now, set_now):
    for number in range(25):
        make.invitation(make.account(AccountStatus.PENDING, f"late{number}@tech.gov.sg"))
    set_now(now + timedelta(days=30, minutes=1))
    code, said = run("sweep", "--dry-run")
    assert code == 0
    assert said.count("late") == 20
    assert "25 in all" in said
    assert "late0@tech.gov.sg (terminated)" in said
    assert run("sweep", "--dry-run", "--all")[1].count("late") == 25
    code, said = run("sweep")
    assert code == 0
    assert "expired: 25" in said


def test_a_sweep_is_rehearsed_for_a_day_ahead(run, make, now):
    make.invitation(make.account(AccountStatus.PENDING, "late@tech.gov.sg"), at=now - timedelta(days=20))
    assert run("sweep", "--dry-run", "--at", "2026-11-26") == (0, "Nothing falls due.\n")
    code, said = run("sweep", "--dry-run", "--at", "2026-11-27")
    assert (code, said) == (0, "reminded:\n  late@tech.gov.sg (onboarding_reminder)\n  1 in all\n")
    code, said = run("sweep", "--dry-run", "--at", "2026-12-24")
    assert code == 2
    assert "from 2026-11-24 to 2026-12-23" in said
    assert run("sweep", "--at", "2026-11-27")[0] == 2


def test_a_held_sweep_says_how_to_go_on(run, app, make, now, set_now, monkeypatch):
    from dataclasses import replace

    monkeypatch.setitem(app.config, "POLICY", replace(app.config["POLICY"], sweep_limit=1))
    make.invitation()
    make.invitation()
    set_now(now + timedelta(days=30, minutes=1))
    assert "expiry: held" in run("sweep")[1]
    assert "expired: 2" in run("sweep", "--confirm")[1]


def test_a_sweep_that_failed_says_so(run, make, monkeypatch):
    def fail(_now):
        raise RuntimeError("broken")

    monkeypatch.setattr(expiry, "terminate_notified", fail)
    code, said = run("sweep")
    assert code == 1
    assert "termination" in said


def test_days_off_are_added_listed_and_removed(run):
    code, said = run("holiday", "add", "2026-12-24", "Christmas Eve")
    assert (code, said) == (0, "Thursday, 24 December 2026 is a day off now.\n")
    code, said = run("holiday", "list")
    assert code == 0
    assert said.splitlines()[0] == "2026-01-01  Thu  New Year's Day"
    assert said.splitlines()[-2:] == ["2026-12-24  Thu  Christmas Eve  (own)", "2026-12-25  Fri  Christmas Day"]
    assert run("holiday", "remove", "2026-12-24")[0] == 0
    assert "Christmas Eve" not in run("holiday", "list", "2026")[1]
    assert run("holiday", "list", "9999") == (0, "No days off are known for 9999.\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "2026-12-26", "Again"), "Saturday, 26 December 2026 is on your own list already."),
        (("add", "2026-12-24", " "), "a name of at most 80 characters"),
        (("add", "24/12/2026", "Christmas Eve"), "'24/12/2026' does not match the format"),
        (("remove", "2026-12-25"), "Friday, 25 December 2026 is not on your own list."),
        (("list", "0"), "Invalid value for '[YEAR]'"),
    ],
)
def test_what_cannot_be_done_to_days_off_is_said(run, arguments, said):
    run("holiday", "add", "2026-12-26", "After Christmas")
    code, printed = run("holiday", *arguments)
    assert code != 0
    assert said in printed
    assert run("holiday", "list")[1].count("(own)") == 1


def test_the_sealed_record_is_verified(run, make, now):
    for number in range(3):
        audit.record("mail.retried", None, audit.SYSTEM, now, count=number)
    db.session.commit()
    audit_chain.seal(now)
    head = str(audit_chain.head())
    assert run("audit", "verify") == (0, f"3 events are sealed and unbroken; head {head}\n")
    assert run("audit", "verify", "--head", head) == (0, f"3 events are sealed and unbroken; head {head}\n")
    code, said = run("audit", "verify", "--head", f"4:{'0' * 64}")
    assert code == 1
    assert said.splitlines() == [
        "The chain ends at position 3: position 4, which you know, is missing.",
        f"Error: 1 finding. Head {head}",
    ]
    for wrong in ("4", "4:", "x:y", "-1:" + "0" * 64, "9" * 30 + ":" + "0" * 64):
        code, said = run("audit", "verify", f"--head={wrong}")
        assert code == 2
        assert "POSITION:HASH" in said
