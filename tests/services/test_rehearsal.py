"""The rehearsal says what the sweep then does, with the very same mails, and changes nothing (rule 8.7)."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from webapp.domain.deadlines import DAY
from webapp.domain.lifecycle import AccountStatus, DeviceStatus, InvitationKind, Role, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Mail
from webapp.services import rehearsal, sweep
from webapp.services.rehearsal import What


@pytest.fixture
def later(now):
    return now + timedelta(days=30, minutes=1)


@pytest.fixture
def people(make, now, later):
    """Somebody for each thing that a sweep at ``later`` does, some of whom get no mail, and one on hold for each."""
    for hold in (False, True):
        on = {"under_investigation": hold}
        make.account(AccountStatus.PENDING, expired_at=now, **on)
        late = make.account(AccountStatus.PENDING, seed_status=SeedStatus.INVITED, **on)
        make.invitation(late)
        make.invitation(late, InvitationKind.SEED)
        make.invitation(make.account(AccountStatus.PENDING, **on), at=now + 5 * DAY)
        make.invitation(make.account(seed_status=SeedStatus.INVITED, **on), InvitationKind.SEED)
        make.invitation(make.account(seed_status=SeedStatus.INVITED, **on), InvitationKind.SEED, at=now + 2 * DAY)
        for begun in (now, later - 3 * DAY):  # SEED expires with the device, or keeps the deadline.
            holder = make.account(seed_status=SeedStatus.INVITED, inactivity_due_at=now + 90 * DAY, **on)
            make.invitation(holder, InvitationKind.SEED, at=begun)[0].state = "used"
            make.device(holder, remove_at=now + DAY)
        upgraded = make.account(seed_status=SeedStatus.ONBOARDED, **on)
        make.device(upgraded, DeviceStatus.SOFTWARE_INSTALLED, remove_at=now + DAY)
        idle = {"changed_at": now - 90 * DAY, "inactivity_due_at": now, **on}
        make.account(idle_since=now - 40 * DAY, **idle)
        make.account(idle_since=now - 80 * DAY, seed_status=SeedStatus.INVITED, **idle)
        gone = {"idle_since": now - 400 * DAY, "disabled_at": now - 300 * DAY}
        make.account(AccountStatus.DISABLED, **gone, **idle)
        make.account(AccountStatus.DISABLED, **(gone | {"idle_since": now - 145 * DAY}), **idle)
        for _ in range(2):
            make.account(role=Role.ADMIN, idle_since=now - 100 * DAY, **idle)
        make.account(AccountStatus.TERMINATED, purge_at=now, **on)
    make.account(idle_since=now - 100 * DAY, changed_at=later - DAY, inactivity_due_at=now)  # Left alone for now.
    db.session.commit()


def count(table):
    return db.session.scalar(select(func.count()).select_from(table))


def test_what_it_says_is_what_the_sweep_does(people, later, policy):
    planned = list(rehearsal.rehearse(later, policy))
    counts = rehearsal.counts(later, policy)
    assert dict(Counter(line.what for line in planned)) == {what: number for what, number in counts.items() if number}
    foreseen = {line.letter["key"]: line.letter for line in planned if line.letter}
    db.session.rollback()

    done = sweep.sweep(later, policy).done
    assert {what: number for what, number in done.items() if what != "tidied"} == {str(w): n for w, n in counts.items()}
    assert all(counts.values()), "each kind has its case"
    written = db.session.scalars(select(Mail).where(Mail.state == "queued")).all()
    assert {mail.key for mail in written} == set(foreseen)
    for mail in written:
        assert {name: getattr(mail, name) for name in foreseen[mail.key]} == foreseen[mail.key]


def test_it_changes_nothing(people, later, policy):
    tables = [table for table in db.metadata.sorted_tables if table.name != "agency"]
    before = {table.name: db.session.execute(select(table).order_by(*table.primary_key)).all() for table in tables}
    assert list(rehearsal.rehearse(later, policy))
    rehearsal.counts(later, policy)
    assert not db.session.new
    assert not db.session.dirty
    db.session.commit()
    assert before == {t.name: db.session.execute(select(t).order_by(*t.primary_key)).all() for t in tables}


def test_each_list_goes_on_by_key_and_each_line_is_found_again(people, later, policy, monkeypatch):
    monkeypatch.setattr(rehearsal, "PAGE", 1)
    for what in What:
        whole = list(rehearsal.rehearse(later, policy, what))
        assert whole, what
        seen, after = [], None
        while lines := rehearsal.page(later, policy, what, after):
            seen.append(lines[0])
            after = (lines[0].at, lines[0].number)
        assert seen == whole, what
        for line in whole:
            assert list(rehearsal.rehearse(later, policy, what, number=line.number)) == [line]
        assert list(rehearsal.rehearse(later, policy, what, number=10**9)) == []


def test_counting_stops_at_the_most(people, later, policy, monkeypatch):
    monkeypatch.setattr(rehearsal, "MOST_COUNTED", 0)
    assert set(rehearsal.counts(later, policy).values()) == {1}


def test_what_is_due_later_is_rehearsed_for_that_day(people, later, policy):
    assert not [line for line in rehearsal.rehearse(later - 31 * DAY, policy) if line.what is What.EXPIRED]
    assert count(Account)
