"""The sweep as a whole: its order, and what one part's failure means for the others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from webapp.domain.lifecycle import AccountStatus, InvitationKind, MailState, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Mail
from webapp.services import reminders, sweep

DAY = timedelta(days=1)


def count(table, *conditions):
    return db.session.scalar(select(func.count()).select_from(table).where(*conditions))


@pytest.fixture
def people(make, now):
    """One for each thing that a sweep does 30 days and a moment from now."""
    late, _ = make.invitation(make.account(AccountStatus.PENDING, "late@tech.gov.sg"))
    reminded, _ = make.invitation(make.account(AccountStatus.PENDING, "reminded@tech.gov.sg"), at=now + 5 * DAY)
    seed = make.account(email="seed@tech.gov.sg", seed_status=SeedStatus.INVITED, inactivity_due_at=now + 60 * DAY)
    make.invitation(seed, InvitationKind.SEED)
    idle = make.account(
        email="idle@tech.gov.sg",
        idle_since=now - 40 * DAY,
        changed_at=now - 40 * DAY,
        inactivity_due_at=now + 20 * DAY,
    )
    gone = make.account(AccountStatus.TERMINATED, "gone@tech.gov.sg", purge_at=now + 5 * DAY)
    return {"late": late, "reminded": reminded, "seed": seed, "idle": idle, "gone": gone}


@pytest.fixture
def later(now):
    return now + 30 * DAY + timedelta(minutes=1)


def test_it_does_what_is_due_and_then_nothing(people, later, policy):
    summary = sweep.sweep(later, policy)
    assert {name: number for name, number in summary.done.items() if number} == {
        "expired": 1,
        "seed_expired": 1,
        "reminded": 1,
        "inactivity_reminded": 1,
        "deleted": 1,
    }
    assert summary.held == {}
    assert summary.failed == []
    again = sweep.sweep(later, policy)
    assert not any(again.done.values())
    db.session.query(Mail).filter_by(kind="terminated").update({"state": MailState.SENT})
    db.session.commit()
    assert sweep.sweep(later, policy).done["terminated"] == 1


def test_a_part_that_fails_keeps_no_other_from_running(people, later, policy, monkeypatch):
    def fail(_now):
        db.session.add(Account(email="half done"))
        raise RuntimeError("broken")

    monkeypatch.setattr(reminders, "remind", fail)
    summary = sweep.sweep(later, policy)
    assert summary.failed == ["reminders"]
    assert summary.done["deleted"] == 1
    assert count(Account, Account.email == "half done") == 0
