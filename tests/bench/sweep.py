"""`sweep` and `sweep-idle`: 100,000 of 1,000,000 accounts run out, against one SQL statement written by hand."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from tests import servers
from tests.bench.report import Result, say

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 3
IDLE_RUNS = 15

FILL = """
INSERT INTO account (id, email, email_folded, agency_id, status, role, created_at, status_at, changed_at, activated_at,
    idle_since, inactivity_due_at, under_investigation, receipt_nonce, receipt_hash, seed_status, seed_status_at)
SELECT n, 'officer' || n || '@tech.gov.sg', 'officer' || n || '@tech.gov.sg', a.id,
    CASE WHEN n %% 10 = 0 AND %(due)s THEN 'pending' ELSE 'active' END, 'officer', t.now - interval '40 days',
    t.now - interval '31 days', t.now - interval '31 days', t.now - interval '30 days', t.now - interval '1 day',
    t.now + interval '59 days', false, md5(n::text), md5(n::text) || md5('r' || n), 'not_required',
    t.now - interval '31 days'
FROM generate_series(1, %(count)s) n, (SELECT id FROM agency WHERE domain = 'tech.gov.sg') a, (SELECT now()) t (now);
INSERT INTO invitation (account_id, kind, state, nonce, token_hash, issued_at, expires_at)
SELECT id, 'techpass', CASE status WHEN 'pending' THEN 'live' ELSE 'used' END, md5(id::text),
    md5('t' || id) || md5(id::text), now() - interval '31 days', now() - interval '1 day'
FROM account;
INSERT INTO mail (key, kind, account_id, recipient, context, urgent, state, created_at, due_at, tries, sent_at,
    last_answer)
SELECT 'techpass_onboarding:' || id, 'techpass_onboarding', id, email, '{}', true, 'sent', created_at, created_at, 1,
    created_at, '250 OK'
FROM account;
SELECT setval('account_id_seq', (SELECT max(id) FROM account));
"""

BY_HAND = """
WITH gone AS (
    UPDATE invitation SET state = 'expired', ended_at = now()
    WHERE state = 'live' AND kind = 'techpass' AND expires_at < now() RETURNING account_id
), ended AS (
    UPDATE account SET status = 'terminated', status_at = now(), expired_at = now(), inactivity_due_at = NULL,
        purge_at = now() + interval '5 days'
    FROM gone WHERE account.id = gone.account_id AND status = 'pending' RETURNING account.id, email
), letters AS (
    INSERT INTO mail (key, kind, account_id, recipient, context, urgent, state, created_at, due_at, tries, last_answer)
    SELECT 'terminated:' || id, 'terminated', id, email, '{}', false, 'queued', now(), now(), 0, '' FROM ended
)
INSERT INTO audit_event (at, action, account_id, actor, detail)
SELECT now(), 'account.terminated', id, 'system', '{"reason": "not activated in time"}' FROM ended
"""


@contextmanager
def filled(cluster: servers.Postgres, name: str, count: int, *, due: bool) -> Iterator[str]:
    """The URL of a database with the portal's tables and ``count`` accounts, a tenth of them due or none."""
    url = cluster.create_database(name)
    _child("migrate", url)
    with psycopg.connect(url, autocommit=True) as connection, psycopg.ClientCursor(connection) as cursor:
        cursor.execute(FILL, {"count": count, "due": due})
        cursor.execute("VACUUM ANALYZE")
    yield url
    cluster.drop_database(url)


def _child(*arguments: str) -> dict[str, Any]:
    """Run `tests.bench.sweeper` in a process of its own, whose memory is the sweep's alone."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.sweeper", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _by_hand(url: str) -> float:
    with psycopg.connect(url, autocommit=True) as connection:
        begun = time.perf_counter()
        connection.execute(BY_HAND)
        return time.perf_counter() - begun


def _mark_sent(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE mail SET state = 'sent', sent_at = now() WHERE kind = 'terminated'")


class SignUps(threading.Thread):
    """What a sign-up writes, again and again, with the time of each; and a look at accounts that are being swept."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.stopped = threading.Event()
        self.taken: list[float] = []

    def run(self) -> None:
        with psycopg.connect(self.url) as connection:
            while not self.stopped.wait(0.01):
                begun = time.perf_counter()
                number = len(self.taken)
                connection.execute(
                    "WITH a AS (INSERT INTO account (email, email_folded, agency_id, status, role, created_at, "
                    "status_at, changed_at, under_investigation, seed_status, seed_status_at) "
                    "SELECT e, e, 1, 'requested', 'officer', now(), now(), now(), false, 'not_required', now() "
                    "FROM (SELECT %s) t (e) RETURNING id) "
                    "INSERT INTO request (account_id, kind, state, requested_at, reason) "
                    "SELECT id, 'techpass', 'open', now(), '' FROM a",
                    [f"new{number}@tech.gov.sg"],
                )
                connection.execute("SELECT 1 FROM account WHERE id = %s FOR UPDATE", [10 * (number * 97 % 100_000 + 1)])
                connection.commit()
                self.taken.append(time.perf_counter() - begun)


def run_sweep() -> list[Result]:
    floors, ours, parts = [], [], []
    with servers.postgres() as cluster, filled(cluster, "filled", 1_000_000, due=True) as base:
        template = base.rsplit("/", 1)[1]
        for number in range(ROUNDS + 1):
            url = cluster.create_database(template=template)
            floor = _by_hand(url)
            cluster.drop_database(url)
            url = cluster.create_database(template=template)
            # In the round that is not counted, people sign up meanwhile: does the sweep hold them up?
            sign_ups = SignUps(url) if number == 0 else None
            if sign_ups:
                sign_ups.start()
            notice = _child("sweep", url)
            _mark_sent(url)
            end = _child("sweep", url)
            if sign_ups:
                sign_ups.stopped.set()
                sign_ups.join()
                taken = sorted(sign_ups.taken)
                say(
                    f"{len(taken)} sign-ups meanwhile: median {taken[len(taken) // 2] * 1000:.0f} ms, "
                    f"slowest {taken[-1] * 1000:.0f} ms"
                )
            cluster.drop_database(url)
            assert notice["done"]["expired"] == end["done"]["terminated"] == 100_000
            if not sign_ups:
                floors.append(floor)
                ours.append(notice["seconds"] + end["seconds"])
            parts += [notice, end]
    say(f"notices {notice['seconds']:.2f} s, terminations {end['seconds']:.2f} s in the last round")
    memory = max(part["peak_mb"] for part in parts)
    longest = max(part["longest"] for part in parts)
    floor, our = statistics.median(floors), statistics.median(ours)
    return [
        Result("sweep", f"{floor:.2f} s", f"{our:.2f} s", our / floor, "<= 3", our <= 3 * floor),
        Result("sweep: peak memory", "150 MB", f"{memory:.0f} MB", memory / 150, "< 1", memory < 150),
        Result("sweep: longest transaction", "1 s", f"{longest:.2f} s", longest, "< 1", longest < 1),
    ]


def run_idle() -> list[Result]:
    with (
        servers.postgres() as cluster,
        filled(cluster, "small", 10_000, due=False) as small,
        filled(cluster, "large", 1_000_000, due=False) as large,
    ):
        floor, our = (_child("idle", url, str(IDLE_RUNS))["seconds"] for url in (small, large))
    ratio = our / floor
    return [Result("sweep-idle", f"{floor * 1000:.1f} ms", f"{our * 1000:.1f} ms", ratio, "<= 1.5", ratio <= 1.5)]
