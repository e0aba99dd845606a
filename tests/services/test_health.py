"""Whether each part answers, one down not hiding the others (promise 9)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis
from sqlalchemy.exc import OperationalError

from webapp import queue
from webapp.domain.lifecycle import AccountStatus
from webapp.extensions import db
from webapp.models import Mail
from webapp.services import health


def told(now) -> dict[str, tuple[bool, str]]:
    return {part.name: (part.ok, part.detail) for part in health.parts(now)}


def mail(make, now, **changes) -> None:
    account = make.account()
    row = {"key": f"{account.id}", "kind": "x", "account_id": account.id, "recipient": account.email}
    db.session.add(Mail(**row | {"created_at": now, "due_at": now} | changes))
    db.session.commit()


def test_each_part_speaks_for_itself(app, now):
    parts = told(now)
    assert list(parts) == ["database", "queue", "worker", "cron", "mail"]
    assert parts["database"] == (True, "answers")
    assert parts["queue"] == (True, "answers")
    assert parts["worker"] == (False, "0 running")
    assert parts["cron"] == (False, "never seen")
    assert parts["mail"] == (True, "oldest due mail waits 0 s")


@pytest.mark.parametrize(("seconds", "ok"), [(0, True), (120, True), (121, False)])
def test_cron_is_late_after_two_minutes(app, now, seconds, ok):
    queue.note_cron(now)
    assert told(now + timedelta(seconds=seconds))["cron"][0] is ok


@pytest.mark.parametrize(("seconds", "ok"), [(0, True), (299, True), (300, False)])
def test_mail_is_late_after_five_minutes(app, make, now, seconds, ok):
    mail(make, now)
    mail(make, now, due_at=now + timedelta(days=1), created_at=now - timedelta(days=1))
    mail(make, now, state="sent", created_at=now - timedelta(days=1))
    assert told(now + timedelta(seconds=seconds))["mail"] == (ok, f"oldest due mail waits {seconds} s")


def test_with_the_queue_server_down_the_others_still_speak(app, now, monkeypatch):
    monkeypatch.setitem(app.extensions, "redis", redis.Redis(unix_socket_path="/nowhere/queue.sock"))
    parts = told(now)
    for name in ("queue", "worker", "cron"):
        assert parts[name] == (False, "ConnectionError")
    assert parts["database"][0]
    assert parts["mail"][0]


def test_with_the_database_down_the_others_still_speak(app, now, monkeypatch):
    def fail(*_args, **_more):
        raise OperationalError("SELECT 1", {}, Exception("down"))

    monkeypatch.setattr(db.session, "execute", fail)
    monkeypatch.setattr(db.session, "scalar", fail)
    parts = told(now)
    assert parts["database"] == (False, "OperationalError")
    assert parts["mail"] == (False, "OperationalError")
    assert parts["queue"][0]


def test_the_numbers_to_watch(app, make, now):
    mail(make, now)
    mail(make, now, state="failed")
    mail(make, now, state="sent")
    make.request(seed=True)
    make.invitation(at=now - timedelta(days=31))
    make.invitation()
    make.account(AccountStatus.PENDING, expired_at=now)
    assert health.numbers(now) == {
        "portal_mails_queued": 1,
        "portal_mails_failed": 1,
        "portal_requests_open": 2,
        "portal_invitations_overdue": 1,
        "portal_accounts_awaiting_termination": 1,
    }


def test_the_pages_for_machines(app, client, make, now):
    assert client.get("/healthz").json == {"status": "alive"}
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json is not None
    assert ready.json["parts"]["database"] == {"ok": True, "detail": "answers"}
    assert "portal_requests_open 0.0" in client.get("/metrics").text


def test_not_ready_with_the_database_down(app, client, monkeypatch):
    monkeypatch.setattr(health, "parts", lambda _: [health.Part("database", False, "OperationalError")])
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json == {"ready": False, "parts": {"database": {"ok": False, "detail": "OperationalError"}}}


@pytest.mark.parametrize(
    ("peer", "status"),
    [("127.0.0.1", 200), ("::1", 200), ("127.9.9.9", 200), ("203.0.113.7", 404), ("", 404), ("rubbish", 404)],
)
def test_the_numbers_are_for_loopback_alone(client, peer, status):
    assert client.get("/metrics", environ_overrides={"REMOTE_ADDR": peer}).status_code == status


@pytest.mark.parametrize(
    ("given", "status"),
    [(None, 404), ("Bearer wrong", 404), ("Bearer s3cret-é", 200), ("Bearer ", 404), ("Basic s3cret-é", 404)],
)
def test_or_for_the_holder_of_the_token(app, client, monkeypatch, given, status):
    from dataclasses import replace

    monkeypatch.setitem(app.config, "SETTINGS", replace(app.config["SETTINGS"], metrics_token="s3cret-é"))
    headers = {} if given is None else {"Authorization": given}
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == status
