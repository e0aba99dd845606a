"""`batch`: 10,000 rows of a file invited on PostgreSQL, next to a loop that asks for one in a transaction.

There are 100,000 accounts already, all asked for by somebody.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

import psycopg
from flask_migrate import upgrade

from tests import servers
from tests.bench.report import Result, say
from tests.bench.sweeper import make_app
from tests.factories import Factory
from webapp.domain.addresses import parse
from webapp.domain.lifecycle import AccountType, SeedStatus
from webapp.services import agencies, audit, batch, batch_sending, inviting
from webapp.services.inviting import Person

FILL = """
INSERT INTO account (email, email_folded, agency_id, status, role, created_at, status_at, changed_at,
    under_investigation, seed_status, seed_status_at)
SELECT 'officer' || n || '@tech.gov.sg', 'officer' || n || '@tech.gov.sg', a.id, 'active', 'officer', now(), now(),
    now(), false, 'not_required', now()
FROM generate_series(1, 100000) n, (SELECT id FROM agency WHERE domain = 'tech.gov.sg') a;
INSERT INTO invitee (inviter_id, account_id, email, email_folded, name, seed_status, is_theirs, reason, asked_at)
SELECT (SELECT min(id) FROM account), id, email, email_folded, '', 'not_required', true, 'New here', now()
FROM account
"""
ROWS = 10_000
ALONE = 500
GOAL = 20


def run_batch() -> list[Result]:
    with servers.postgres() as cluster:
        url = cluster.create_database("batch")
        app = make_app(url)
        with app.app_context():
            upgrade()
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(FILL)
                connection.execute("VACUUM ANALYZE")
            now, policy = datetime.now(UTC), app.config["POLICY"]
            inviter = Factory(now, policy).account(email="inviter@tech.gov.sg")
            by = audit.By.person(inviter, "203.0.113.7")
            agency = agencies.find("tech.gov.sg")
            assert agency is not None
            people = [
                Person(
                    parse(f"alone{number}@tech.gov.sg"), AccountType.OFFICER, agency, SeedStatus.REQUESTED, "New here"
                )
                for number in range(ALONE)
            ]
            begun = time.perf_counter()
            for person in people:
                inviting.ask_for(person, by, now, policy)
            alone = ALONE / (time.perf_counter() - begun)

            table = [(1, ["email", "seed", "reason"])]
            table += [(number + 2, [f"peter{number}@tech.gov.sg", "yes", "New here"]) for number in range(ROWS)]
            begun = time.perf_counter()
            number = batch.begin("people.csv", table, {}, by, now, policy)
            say(f"{ROWS:,} rows judged and kept in {time.perf_counter() - begun:.1f} s")
            batch.send(number, by, now)
            begun = time.perf_counter()
            assert batch_sending.send_some(now, policy, lambda: True) is False
            together = ROWS / (time.perf_counter() - begun)
            assert batch.summary(number).outcomes == {"sent": ROWS}
    ratio = together / alone
    return [Result("batch", f"{alone:,.0f} rows/s", f"{together:,.0f} rows/s", ratio, f">= {GOAL}", ratio >= GOAL)]
