"""The daily digest: to each admin once, on business days from eight, and only where something waits (rule 8.1)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select

from webapp import queue
from webapp.domain.lifecycle import AccountStatus, Role
from webapp.emails.purpose import has_ended
from webapp.emails.render import load
from webapp.extensions import db
from webapp.models import Holiday, Mail
from webapp.services import digest

EIGHT = datetime(2026, 11, 24, 0, 0, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def machines_are_well(app, monkeypatch):
    """A worker listens and cron asks: whether they do is told elsewhere."""
    monkeypatch.setattr(queue, "count_workers", lambda: 1)
    monkeypatch.setattr(queue, "cron_seen_at", lambda: EIGHT + 365 * DAY)


@pytest.fixture
def admin(make):
    return make.admin("boss@tech.gov.sg")


def digests():
    return db.session.scalars(select(Mail).where(Mail.kind == "admin_digest").order_by(Mail.id)).all()


def test_from_eight_on_each_admin_is_told_once_a_day(app, make, admin):
    other = make.admin()
    make.account(role=Role.AUDITOR)
    make.account()
    make.account(AccountStatus.DISABLED, role=Role.ADMIN)
    make.request(at=EIGHT - HOUR)
    assert digest.send(EIGHT - SECOND) == 0
    assert digest.send(EIGHT) == 2
    assert digest.send(EIGHT) == 0
    assert digest.send(EIGHT + 9 * HOUR) == 0
    assert [mail.recipient for mail in digests()] == [admin.email, other.email]
    assert digest.send(EIGHT + DAY) == 2


def test_two_senders_at_once_write_one(app, make, admin, monkeypatch):
    make.request(at=EIGHT - HOUR)
    digest.send(EIGHT)
    monkeypatch.setattr(digest, "_without_digest", lambda *_: [admin])  # As one who read before the other wrote.
    digest.send(EIGHT)
    assert len(digests()) == 1


@pytest.mark.parametrize(
    "at",
    [EIGHT + 4 * DAY, EIGHT + 5 * DAY, datetime(2026, 12, 25, 2, 0, tzinfo=UTC), datetime(2026, 11, 26, 2, tzinfo=UTC)],
    ids=["Saturday", "Sunday", "Christmas", "an own day off"],
)
def test_nobody_is_told_on_a_day_off(app, make, admin, at):
    db.session.add(Holiday(day=date(2026, 11, 26), name="Day of the machines"))
    make.request(at=EIGHT - HOUR)
    assert digest.send(at) == 0


def test_where_nothing_waits_nobody_is_told(app, make, admin):
    assert digest.send(EIGHT) == 0
    make.request(at=EIGHT + SECOND)  # It came after eight: whoever is at work sees it come.
    assert digest.send(EIGHT + HOUR) == 0
    assert digests() == []


def test_what_is_wrong_is_told_though_no_request_waits(app, admin, monkeypatch):
    monkeypatch.setattr(queue, "count_workers", lambda: 0)
    assert digest.send(EIGHT) == 1
    assert digests()[0].context["waits"] == [{"what": "no_worker", "number": None, "said": ""}]


def test_it_holds_numbers_and_names_nobody(app, make, admin):
    make.request("peter@tech.gov.sg", seed=True, at=EIGHT - HOUR)
    digest.send(EIGHT)
    (mail,) = digests()
    assert mail.context == {"waits": [{"what": "requests", "number": 2, "said": "2"}]}


@pytest.mark.parametrize(
    ("changes", "after", "ended"),
    [
        ({}, HOUR, False),
        ({}, 16 * HOUR, True),
        ({"role": Role.OFFICER}, HOUR, True),
        ({"status": AccountStatus.DISABLED}, HOUR, True),
    ],
    ids=["today", "tomorrow", "no admin any more", "disabled"],
)
def test_it_is_of_use_to_an_admin_on_its_day(app, make, admin, changes, after, ended):
    make.request(at=EIGHT - HOUR)
    digest.send(EIGHT)
    for name, value in changes.items():
        setattr(admin, name, value)
    db.session.commit()
    (letter,) = load(list(digests()))
    assert has_ended(letter, EIGHT + after) is ended
