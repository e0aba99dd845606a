"""The admins' start page: what waits, and where it leads on; numbers and plots (rule 8.1)."""

from __future__ import annotations

import re
from datetime import date, timedelta
from html import unescape

import pytest
import redis

from webapp import queue
from webapp.domain.business_days import start_of_day
from webapp.domain.lifecycle import AccountStatus, MailState, RequestKind, Role, SeedStatus
from webapp.domain.measures import Measure
from webapp.extensions import db
from webapp.models import DailyCount, HeldSweep, Mail, Request, UnknownAgency
from webapp.models.session import BrowserSession
from webapp.services import admin_start

TODAY = date(2026, 11, 24)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def machines_are_well(app, now, monkeypatch):
    """A worker listens and cron asks, unless a test says otherwise."""
    monkeypatch.setattr(queue, "count_workers", lambda: 1)
    monkeypatch.setattr(queue, "cron_seen_at", lambda: now + HOUR)


@pytest.fixture
def admin(client, make):
    account = make.admin("boss@tech.gov.sg")
    make.sign_in(client, account)
    return account


def read(answer):
    """The page as it is read: without tags, with single spaces."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


def poll(client, page):
    """What the part of ``page`` that asks for itself gets."""
    (address,) = re.findall(r'id="waiting"[^>]*?hx-get="([^"]+)"', page.text, re.DOTALL)
    return client.htmx("GET", unescape(address))


def fail_mail(account, now, kind="disabled", **changes):
    values = {"key": f"{kind}:{account.id}", "kind": kind, "account_id": account.id, "recipient": account.email}
    values |= {"state": MailState.FAILED, "created_at": now, "due_at": now}
    db.session.add(Mail(**values | changes))
    db.session.commit()


def count_day(back, **numbers):
    for measure in Measure:
        at = start_of_day(TODAY - timedelta(days=back)) + 2 * HOUR + timedelta(minutes=35)
        row = DailyCount(day=TODAY - timedelta(days=back), measure=measure, count=0, counted_at=at)
        row.count = numbers.get(str(measure), 0)
        db.session.add(row)
    db.session.commit()


# What waits.


def test_with_nothing_to_do_it_says_so_kindly(client, admin):
    page = client.get("/admin")
    assert "Nothing waits for you." in read(page)
    assert "<table" not in page.text


def test_the_oldest_requests_come_first_and_lead_to_the_queue(client, admin, make, now):
    for hours in range(1, 8):
        make.request(f"waits_{hours}@tech.gov.sg", at=now - hours * HOUR)
    page = client.get("/admin")
    assert "7 requests wait for a decision, the oldest for 7 hours" in read(page)
    assert re.findall(r"waits_\d", page.text) == [f"waits_{hours}" for hours in (7, 6, 5, 4, 3)]
    assert 'href="/admin/requests">Decide<' in page.text


def test_promises_of_seed_at_risk_and_overdue_are_told(client, admin, make, now):
    for days in (-2, -1, 0, 1):
        account = make.account(seed_status=SeedStatus.REQUESTED)
        due_on = TODAY + timedelta(days=days)
        db.session.add(Request(account_id=account.id, kind=RequestKind.SEED, requested_at=now, due_on=due_on))
    db.session.commit()
    said = read(client.get("/admin"))
    assert "2 promises of SEED are overdue, 1 promise of SEED ends today" in said
    assert said.count("Overdue") == 2
    assert said.count("At risk") == 1


def held(now):
    db.session.add(HeldSweep(part="expiry", held_at=now, would_end=900, usual=50))


def held_and_allowed(now):
    row = HeldSweep(part="expiry", held_at=now, would_end=900, usual=50, allowed=900, allowed_at=now)
    db.session.add(row)


def knocking(now):
    for domain, tries in (("one.gov.sg", 1), ("nine.gov.sg", 9), ("two.gov.sg", 2), ("three.gov.sg", 3)):
        db.session.add(UnknownAgency(domain=domain, tries=tries, last_at=now))


@pytest.mark.parametrize(
    ("happens", "says"),
    [
        (held, "1 part of the sweep is held Unusually many accounts would end: expired invitations"),
        (held_and_allowed, "Nothing waits for you"),
        (knocking, "4 unknown agencies are knocking Most often nine.gov.sg, three.gov.sg, two.gov.sg"),
    ],
    ids=["held", "held and allowed", "unknown agencies"],
)
def test_what_waits_beside_requests_is_told(client, admin, now, happens, says):
    happens(now)
    db.session.commit()
    assert says in read(client.get("/admin"))


def test_failed_mails_and_notices_are_told_apart(client, admin, make, now):
    account = make.account(AccountStatus.TERMINATED)
    fail_mail(account, now)
    assert "1 email has failed" in read(client.get("/admin"))
    fail_mail(account, now, kind="terminated")
    said = read(client.get("/admin"))
    assert "2 emails have failed" in said
    assert "1 notice of termination did not arrive" in said


@pytest.mark.parametrize(("minutes", "late"), [(5, False), (6, True)])
def test_mails_that_should_have_left_are_told(client, admin, make, now, minutes, late):
    for urgent in (True, False):
        due = {"state": MailState.QUEUED, "due_at": now - timedelta(minutes=minutes), "urgent": urgent}
        fail_mail(make.account(), now, **due)
    assert ("2 emails should have left by now" in read(client.get("/admin"))) is late


@pytest.mark.parametrize(
    ("status", "on_hold", "told"),
    [
        (AccountStatus.DISABLED, True, True),
        (AccountStatus.DISABLED, False, False),
        # On hold, so that the clock does nothing to it; nobody is kept out.
        (AccountStatus.ACTIVE, True, False),
    ],
)
def test_locked_accounts_are_told(client, admin, make, status, on_hold, told):
    make.account(status, under_investigation=on_hold)
    page = client.get("/admin")
    assert ("1 account is locked and waits for an admin" in read(page)) is told
    if told:
        make.account(AccountStatus.DISABLED, "idle@tech.gov.sg")
        lead = page.text.partition('id="waiting-locked" href="')[2].partition('"')[0].replace("&amp;", "&")
        assert lead.startswith("/admin/accounts?")
        assert client.get(lead).text.count('href="/admin/accounts/') == 1, "those alone that are told of"


def test_a_number_is_not_counted_to_its_end(client, admin, make, monkeypatch):
    monkeypatch.setattr(admin_start, "CAP", 2)
    for _ in range(3):
        make.account(AccountStatus.DISABLED, under_investigation=True)
    assert "2+ accounts are locked" in read(client.get("/admin"))


def test_machines_that_rest_are_told(client, admin, now, monkeypatch):
    monkeypatch.setattr(queue, "count_workers", lambda: 0)
    monkeypatch.setattr(queue, "cron_seen_at", lambda: now - timedelta(seconds=queue.CRON_LATE_SECONDS + 1))
    monkeypatch.setattr(queue, "count_failed", lambda: 3)
    said = read(client.get("/admin"))
    for words in ("No worker is running", "Cron has been silent", "3 jobs have failed"):
        assert words in said


def test_a_cron_that_was_never_seen_is_silent(client, admin, monkeypatch):
    monkeypatch.setattr(queue, "cron_seen_at", lambda: None)
    assert "Cron has been silent" in read(client.get("/admin"))


def test_a_job_that_no_worker_takes_is_told(client, admin, now, monkeypatch):
    queue.wake("sweep")
    enqueued = queue.waits_since()
    assert enqueued is not None
    monkeypatch.setattr(queue, "waits_since", lambda: now - timedelta(minutes=11))
    assert "Jobs have waited for more than 10 minutes" in read(client.get("/admin"))


def test_failed_jobs_are_counted(app):
    assert queue.count_failed() == 0
    assert queue.waits_since() is None


def test_with_the_queue_server_down_the_page_says_so(app, client, admin, make, now, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("webapp.clock.now", lambda: now)
    monkeypatch.setitem(app.extensions, "redis", redis.Redis.from_url("unix:///nowhere/queue.sock"))
    make.request()
    said = read(client.get("/admin"))
    assert "The queue server does not answer" in said
    assert "1 request waits for a decision" in said


def test_an_auditor_sees_it_and_is_asked_for_nothing(client, make):
    make.sign_in(client, make.account(role=Role.AUDITOR))
    make.request()
    page = client.get("/admin")
    assert "1 request waits for a decision" in read(page)
    assert "Decide<" not in page.text


# It asks for itself.


def test_the_part_that_asks_for_itself_is_swapped_only_where_something_changed(client, admin, make, now):
    make.request(at=now - 3 * HOUR)
    page = client.get("/admin")
    assert 'hx-trigger="every 60s"' in page.text
    assert poll(client, page).status_code == 204
    make.account(AccountStatus.DISABLED, under_investigation=True)
    fragment = poll(client, page)
    assert fragment.status_code == 200
    assert "1 account is locked" in read(fragment)
    assert "<html" not in fragment.text
    assert "data-announce" not in fragment.text
    assert poll(client, fragment).status_code == 204


def test_an_age_that_has_changed_is_swapped_in(client, admin, make, now, set_now):
    make.request(at=now - 4 * HOUR + timedelta(minutes=10))
    page = client.get("/admin")
    set_now(now + timedelta(minutes=9))
    assert poll(client, page).status_code == 204
    set_now(now + timedelta(minutes=10))
    assert "the oldest for 4 hours" in read(poll(client, page))


def test_it_is_announced_only_when_more_requests_wait(client, admin, make, now):
    first = make.request(at=now - 3 * HOUR)
    page = client.get("/admin")
    make.request(at=now - 2 * HOUR)
    grown = poll(client, page)
    assert 'data-announce="2 requests wait for a decision"' in grown.text
    db.session.delete(first)
    db.session.commit()
    fewer = poll(client, grown)
    assert fewer.status_code == 200
    assert "data-announce" not in fewer.text


def test_whatever_it_is_said_to_show_it_answers(client, admin):
    for shown in ("", "x", "9" * 5000, "²", "-1", ".", "1.2.3"):
        assert client.htmx("GET", "/admin", query_string={"shown": shown}).status_code == 200, shown


def test_every_link_in_it_keeps_the_focus_by_its_id(client, admin, make, now):
    make.request()
    knocking(now)
    db.session.commit()
    links = re.findall(r"<a [^>]*wait-link[^>]*>", client.get("/admin").text)
    assert len(links) >= 2
    assert all(" id=" in link for link in links)


def test_an_address_with_shown_is_a_page_of_its_own(client, admin):
    assert "<html" in client.get("/admin?shown=0.0").text


def test_asking_for_itself_keeps_no_session_alive(client, admin, now, set_now):
    page = client.get("/admin")
    set_now(now + timedelta(minutes=20))
    poll(client, page)
    (session,) = db.session.query(BrowserSession).all()
    assert session.last_seen_at == now


# Numbers and plots.


def test_before_the_first_count_it_says_so(client, admin):
    said = read(client.get("/admin"))
    assert "Nothing has been counted today." in said
    assert "There are no numbers yet." in said


def test_todays_numbers_stand_beside_yesterdays(client, admin):
    count_day(1, signed_up=1234, expired=5)
    count_day(0, signed_up=7, approved=6)
    said = read(client.get("/admin"))
    assert "Tuesday, 24 November 2026, as of 02:35." in said
    assert "Signed up or invited 7 1,234 yesterday Approved 6 0 yesterday Activated 0 0 yesterday" in said
    assert "Expired 0 5 yesterday" in said


def test_each_plot_has_its_words_and_its_table(client, admin):
    count_day(3, signed_up=40, approved=30, activated=20, seed_onboarded=5, expired=2, oldest_waiting=76)
    count_day(0, signed_up=10, approved=10, activated=5)
    page = client.get("/admin")
    said = read(page)
    assert page.text.count('role="img"') == 5
    assert page.text.count("<desc") == 5
    assert page.text.count("Show the numbers") == 5
    assert "50 in all; the most, 40, on 21 Nov 2026." in said
    assert "21 Nov 2026 40" in said
    assert "22 Nov 2026 not counted" in said
    assert "the longest, 3 days 4 hours, on 21 Nov 2026." in said
    assert "40 · 80% of all" in said
    assert "25 · 62% of approved" in said
    assert "5 · 20% of activated" in said
    assert "Onboarded to SEED 5 20% 10%" in said


def test_a_plot_of_nothing_is_not_drawn(client, admin):
    count_day(0, signed_up=1, oldest_waiting=5)
    page = client.get("/admin")
    said = read(page)
    assert page.text.count('role="img"') == 3
    for words in ("No activations in these days.", "No expiries in these days.", "in hours; the longest, 5 hours,"):
        assert words in said


def test_where_nobody_signed_up_there_is_no_funnel(client, admin):
    count_day(0)
    page = client.get("/admin")
    assert 'role="img"' not in page.text
    assert "Nobody has signed up or been invited in these days." in read(page)
    assert "No request waited for an hour or more." in read(page)
