"""My activity: everything that happened to my account and by whom, in words and naming nobody (rule 6.2)."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest

from tests.onboarding import Walk
from webapp.domain.lifecycle import RequestKind
from webapp.extensions import db
from webapp.models import Actor, AuditEvent
from webapp.services import activity, audit
from webapp.services.sets import record_each

SERVICES = Path(__file__).parents[2] / "webapp/services"


def earlier(page):
    """Where the link to the page before that leads, "" on the last one."""
    return "".join(re.findall(r'href="(/profile/activity\?before=\d+)"', page.text))


def entries(page):
    """(what, who) of each entry, as they are read."""
    found = re.findall(r'timeline-title">(.*?)</p>.*?timeline-detail">(.*?)</p>', page.text, re.DOTALL)
    return [tuple(unescape(words) for words in entry) for entry in found]


@pytest.fixture
def me(client, make):
    account = make.account()
    make.sign_in(client, account)
    return account


def test_before_anything_happened_it_says_so(client, me):
    page = client.get("/profile/activity")
    assert "Nothing has happened to your account yet" in page.text
    assert entries(page) == []


def test_each_thing_says_what_who_and_when_newest_first(client, make, me, now):
    admin = make.admin("boss@tech.gov.sg")
    other = make.account(email="other@tech.gov.sg")
    mine = audit.By.person(me, "192.0.2.1")
    minute = timedelta(minutes=1)
    audit.record("sign_up.requested", me.id, audit.By.visitor("192.0.2.66"), now, seed=True)
    audit.record("techpass.approved", me.id, audit.By.person(admin, "192.0.2.77"), now + minute, request=1)
    audit.record("agreement.accepted", me.id, mine, now, document="terms-of-use", version="2026-11-02")
    audit.record("account.activated", me.id, mine, now)
    audit.record("log_in.succeeded", me.id, mine, now, method="recovery code")
    audit.record("seed.expired", me.id, audit.SYSTEM, now)
    audit.record("account.enabled", me.id, audit.SYSTEM, now, reason="Peter said so")
    audit.record("invitation.resent", me.id, audit.By.person(other, "192.0.2.88"), now, kind="seed")
    audit.record("log_in.succeeded", me.id, audit.By.visitor("192.0.2.99"), now, method="authenticator")
    audit.record("device.renamed", me.id, audit.SYSTEM, now, source="mdm")
    audit.record("techpass.approved", other.id, audit.By.person(me, "192.0.2.1"), now)
    db.session.commit()
    page = client.get("/profile/activity")
    assert entries(page) == [
        ("Something was changed that we have no words for yet", "The device management system"),
        (
            "Logged in, with a code of your authenticator",
            "Somebody without logging in, from the sign-up page or a link",
        ),
        ("The SEED invitation sent again", "Another public officer"),
        ("TechPass enabled again", "Who operates the portal"),
        ("The SEED invitation expired", "The portal"),
        ("Logged in, with a code of your recovery codes", "You, from 192.0.2.1"),
        ("TechPass activated", "You"),
        ("Terms of Use of 2 November 2026 accepted", "You"),
        ("TechPass approved", "An admin"),
        ("TechPass and SEED asked for", "Somebody without logging in, from the sign-up page or a link"),
    ]
    assert "Tuesday, 24 November 2026, 10:01 Singapore time" in page.text
    for words in ("boss@", "other@", "192.0.2.66", "192.0.2.77", "192.0.2.88", "192.0.2.99", "Peter said so"):
        assert words not in page.text


@pytest.mark.parametrize("count", [30, 31, 65])
def test_it_comes_a_page_at_a_time(client, make, me, now, count):
    other = make.account().id
    for number in range(count):
        audit.record("sessions.ended", me.id, audit.SYSTEM, now, count=number + 2)
        audit.record("seed.expired", other, audit.SYSTEM, now)
    db.session.commit()
    seen: list[int] = []
    address = "/profile/activity"
    while address:
        page = client.get(address)
        assert len(entries(page)) == min(30, count - len(seen))
        seen += [int(what.split()[0]) for what, _ in entries(page)]
        address = earlier(page)
    assert seen == list(range(count + 1, 1, -1))
    assert "Back to the newest" in client.get("/profile/activity?before=1").text
    assert "Nothing happened before that" in client.get("/profile/activity?before=1").text


@pytest.mark.parametrize("before", ["", "0", "-1", "x", "\u0661", "9" * 20, "9" * 5000, str(2**63)])
def test_a_key_that_is_none_shows_the_newest(client, me, now, before):
    audit.record("account.activated", me.id, audit.By.person(me, "192.0.2.1"), now)
    db.session.commit()
    assert entries(client.get("/profile/activity", query_string={"before": before})) == [("TechPass activated", "You")]


def test_what_is_in_the_record_is_text_and_never_markup(client, me, now):
    bad = "<script>alert(1)</script>"
    for action in activity.WORDS:
        detail = dict.fromkeys(("document", "version", "kind", "method", "reason", "mail", "source"), bad)
        audit.record(action, me.id, audit.SYSTEM, now, fields=[bad, "mobile"], count=3, **detail)
    audit.record("log_in.succeeded", me.id, audit.By(Actor.OFFICER, me.id, bad[:45]), now)
    db.session.commit()
    address = "/profile/activity"
    while address:
        page = client.get(address)
        assert "<script>alert" not in page.text
        address = earlier(page)


def test_every_action_of_the_record_has_words():
    pattern = re.compile(r'\b(?:record|record_each)\(\s*(?:(f?)"([^"]+)"|([A-Z_]+))')
    actions = set()
    for path in SERVICES.glob("*.py"):
        source = path.read_text()
        for f_string, action, constant in pattern.findall(source):
            if constant:
                (action,) = re.findall(rf'^{constant} = "([^"]+)"', source, re.MULTILINE)
            if f_string:
                assert action.startswith("{request.kind}."), f"{path.name}: say here which actions {action} stands for"
                actions |= {action.replace("{request.kind}", kind) for kind in RequestKind}
            else:
                actions.add(action)
    assert len(actions) > 25
    assert sorted(actions - set(activity.WORDS)) == []


def test_each_of_its_words_is_one_line(app, make, now):
    account = make.account()
    for action in activity.WORDS:
        audit.record(action, account.id, audit.SYSTEM, now)
        record_each(action, [account.id], now, reason="not signed in", kind="techpass", count=1)
    db.session.commit()
    assert db.session.query(AuditEvent).count() == 2 * len(activity.WORDS)
    last = None
    while found := activity.happened(account.id, last):
        for entry in found[: activity.PAGE]:
            assert entry.title.isprintable()
            assert entry.title[0].isupper()
            assert "None" not in entry.title
            assert not entry.title.endswith((".", ",", " "))
        last = found[: activity.PAGE][-1].number


def test_the_whole_way_of_onboarding_is_told_in_words(client, make, me):
    walk = Walk.begin(make)
    walk.to(None)
    told = [entry.title for entry in activity.happened(walk.account.id)]
    assert told[0] == "TechPass activated"
    assert told[-1] == "The TechPass invitation opened and accepted"
    assert "Authenticator set up" in told
    assert not [title for title in told if "no words" in title]
    assert entries(client.get("/profile/activity")) == [], "nothing of anybody else"
