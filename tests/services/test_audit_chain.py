"""The sealed record: whatever is done to it behind the portal's back is found and named (rule 8.8, decision 0010)."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import IntegrityError

from tests.onboarding import PEER
from webapp.domain.chain import START, link
from webapp.domain.lifecycle import AccountStatus
from webapp.extensions import db
from webapp.models import AuditEvent, AuditSeal
from webapp.models.base import insert_row
from webapp.services import audit, audit_chain, purge
from webapp.services.audit_chain import Head

HOUR = timedelta(hours=1)


def happen(now, count=1, peer: str | None = None, account_id: int | None = None) -> list[int]:
    before = db.session.scalar(select(func.max(AuditEvent.id))) or 0
    by = audit.By.visitor(peer) if peer else audit.SYSTEM
    for number in range(count):
        audit.record("seed.requested", account_id, by, now, number=number, before={"b": 1, "a": [1.5, None, "é"]})
    db.session.commit()
    return list(range(before + 1, before + count + 1))


def findings(now, known: Head | None = None) -> list[str]:
    told: list[str] = []
    done = audit_chain.verify(now, known, told.append)
    assert done.findings == len(told)
    return told


def sealed() -> list[int]:
    return list(db.session.scalars(select(AuditSeal.event_id).order_by(AuditSeal.position)))


@pytest.fixture
def behind(app):
    """``behind("UPDATE …")`` changes the tables as their owner can: without triggers and foreign keys."""

    def change(*statements: str) -> None:
        db.session.rollback()
        with db.engine.connect() as connection:
            if db.engine.dialect.name == "postgresql":
                connection.execute(text("SET session_replication_role = replica"))
                for statement in statements:
                    connection.execute(text(statement))
                connection.execute(text("SET session_replication_role = origin"))
            else:
                triggers = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
                connection.commit()
                connection.connection.execute("PRAGMA foreign_keys = OFF")
                for name, _ in triggers:
                    connection.execute(text(f"DROP TRIGGER {name}"))
                for statement in statements:
                    connection.execute(text(statement))
                for _, sql in triggers:
                    connection.exec_driver_sql(sql)
            connection.commit()
        db.engine.dispose()

    return change


@pytest.fixture
def chain(app, now) -> list[int]:
    """Ten sealed events, five of them with a peer."""
    events = happen(now, 5) + happen(now, 5, PEER)
    assert audit_chain.seal(now).count == 10
    assert findings(now) == []
    return events


# Sealing.


def test_events_are_sealed_in_order_once_each(app, now):
    assert (audit_chain.seal(now).count, audit_chain.head()) == (0, Head())
    events = happen(now, 3)
    assert audit_chain.seal(now) == audit_chain.Sealed(3, more=False)
    assert audit_chain.seal(now).count == 0
    events += happen(now, 2)
    assert audit_chain.seal(now).count == 2
    assert sealed() == events
    assert list(db.session.scalars(select(AuditSeal.position).order_by(AuditSeal.position))) == [1, 2, 3, 4, 5]
    assert audit_chain.head().position == 5


def test_a_run_ends_after_so_many_and_when_it_is_told_to(app, now, monkeypatch):
    monkeypatch.setattr(audit_chain, "CHUNK", 3)
    monkeypatch.setattr(audit_chain, "MOST", 6)
    events = happen(now, 10)
    assert audit_chain.seal(now, goes_on=lambda: False) == audit_chain.Sealed(0, more=True)
    assert audit_chain.seal(now) == audit_chain.Sealed(6, more=True)
    assert audit_chain.seal(now) == audit_chain.Sealed(4, more=False)
    assert sealed() == events
    assert findings(now) == []


def test_what_is_committed_late_is_sealed_later(app, now):
    """A transaction that took its number early and ends late; the sealer passed over it meanwhile."""
    happen(now, 2)
    db.session.execute(insert_row(AuditEvent).values(id=5, at=now, action="late", actor="system", detail={}))
    db.session.commit()
    assert audit_chain.seal(now).count == 3
    db.session.execute(insert_row(AuditEvent).values(id=4, at=now, action="early", actor="system", detail={}))
    db.session.commit()
    assert audit_chain.seal(now + HOUR / 2).count == 1
    assert sealed() == [1, 2, 5, 4]
    assert findings(now + 2 * HOUR) == []


def test_what_settled_long_ago_is_not_read_again(app, now):
    events = happen(now, 4)
    audit_chain.seal(now)
    assert audit_chain._settled(now + HOUR / 2) == 0
    assert audit_chain._settled(now + HOUR) == events[-1]


def test_two_sealers_at_once_do_not_both_extend_the_chain(app, now, monkeypatch):
    happen(now, 5)
    other: list[audit_chain.Sealed] = []

    def run() -> None:
        with app.app_context():
            other.append(audit_chain.seal(now))
            db.session.remove()

    def meanwhile(*args):
        # Between reading and writing: the other sealer gets all its work done. On SQLite it waits until this one ends.
        monkeypatch.setattr(audit_chain, "link", link)
        thread = threading.Thread(target=run)
        thread.start()
        if db.engine.dialect.name == "postgresql":
            thread.join(timeout=20)
        threads.append(thread)
        return link(*args)

    threads: list[threading.Thread] = []
    monkeypatch.setattr(audit_chain, "link", meanwhile)
    mine = audit_chain.seal(now)
    threads[0].join(timeout=20)
    assert sorted([mine.count, other[0].count]) == [0, 5]
    assert sealed() == [1, 2, 3, 4, 5]
    assert findings(now) == []


def test_a_seal_that_cannot_be_written_is_not_taken_for_another_sealers(app, now, monkeypatch):
    happen(now)
    monkeypatch.setattr(audit_chain, "mark", lambda *_: "x" * 64)
    monkeypatch.setattr(audit_chain, "link", lambda *_: None)
    with pytest.raises(IntegrityError):
        audit_chain.seal(now)


def test_sealing_is_late_once_an_event_has_waited_for_ten_minutes(app, now):
    assert not audit_chain.is_late(now)
    happen(now)
    assert not audit_chain.is_late(now + timedelta(minutes=9))
    assert audit_chain.is_late(now + timedelta(minutes=10))
    audit_chain.seal(now)
    assert not audit_chain.is_late(now + timedelta(minutes=10))


# Verifying.

EVENT = "Event 4 does not fit the seal at position 4: it, its seal or the one before was changed or moved."
PUT_IN = (
    "INSERT INTO audit_event (id, at, action, actor, detail) "
    "VALUES (0, '{}-11-24 02:00:00+00:00', 'x', 'system', '{{}}')"
)
PUT_A_SEAL = (
    "INSERT INTO audit_seal (position, event_id, hash, sealed_at) VALUES (-3, 0, 'x', '2026-11-24 02:00:00+00:00')"
)
DONE_BEHIND = {
    "changed detail": ["UPDATE audit_event SET detail = '{\"number\": 3}' WHERE id = 4", [EVENT]],
    "no JSON any more": ["UPDATE audit_event SET detail = '\"\"' WHERE id = 4", [EVENT]],
    "changed time": ["UPDATE audit_event SET at = '2026-11-24 02:00:00.000001+00:00' WHERE id = 4", [EVENT]],
    "changed action": ["UPDATE audit_event SET action = 'seed.approved' WHERE id = 4", [EVENT]],
    "changed actor": ["UPDATE audit_event SET actor = 'admin' WHERE id = 4", [EVENT]],
    "changed whom": ["UPDATE audit_event SET account_id = 1 WHERE id = 4", [EVENT]],
    "changed who": ["UPDATE audit_event SET actor_id = 1 WHERE id = 4", [EVENT]],
    "changed peer": [
        "UPDATE audit_event SET peer = '198.51.100.9' WHERE id = 7",
        ["Event 7 does not fit its seal: from where it came was changed."],
    ],
    "a peer where there was none": [
        "UPDATE audit_event SET peer = '198.51.100.9', peer_salt = 'x' WHERE id = 4",
        ["Event 4 does not fit its seal: from where it came was changed."],
    ],
    "deleted event": ["DELETE FROM audit_event WHERE id = 4", ["Event 4 is missing; it was sealed at position 4."]],
    "deleted seal": [
        "DELETE FROM audit_seal WHERE position = 4",
        [
            "The seal at position 4 is missing.",
            "Event 4 has no seal: put in behind the portal's back, or sealing has stopped.",
        ],
    ],
    "deleted with its seals": [
        "DELETE FROM audit_event WHERE id IN (4, 5); DELETE FROM audit_seal WHERE position IN (4, 5)",
        ["The seals at positions 4 to 5 are missing."],
    ],
    "swapped seals": [
        ";".join(
            f"UPDATE audit_seal SET position = {new} WHERE position = {old}" for old, new in ((4, 99), (8, 4), (99, 8))
        ),
        [
            EVENT.replace("Event 4", "Event 8"),
            EVENT.replace("Event 4", "Event 5").replace("position 4", "position 5"),
            EVENT.replace("position 4", "position 8"),
            EVENT.replace("Event 4", "Event 9").replace("position 4", "position 9"),
        ],
    ],
    "put in": [
        PUT_IN.format(2026),
        ["Event 0 has no seal: put in behind the portal's back, or sealing has stopped."],
    ],
    "put in with a date to come": [
        PUT_IN.format(2036),
        ["Event 0 has no seal: put in behind the portal's back, or sealing has stopped."],
    ],
    "put in with a seal of its own": [
        f"{PUT_IN.format(2026)};{PUT_A_SEAL}",
        ["Event 0 is sealed out of place, at position -3.", "The seals at positions -2 to 0 are missing."],
    ],
}


@pytest.mark.parametrize("what", DONE_BEHIND)
def test_what_is_done_behind_its_back_is_found_and_named(chain, behind, now, make, what):
    make.account()
    statements, expected = DONE_BEHIND[what]
    behind(*str(statements).split(";"))
    assert findings(now + HOUR) == expected


def test_a_hash_made_anew_for_a_changed_event_gives_the_next_one_away(chain, behind, now):
    behind("UPDATE audit_event SET detail = '{}' WHERE id = 4")
    query = select(*audit_chain._COLUMNS).where(AuditEvent.id == 4)
    row = db.session.execute(query).one()
    before = db.session.get_one(AuditSeal, 3).hash
    anew = link(before, 4, audit_chain._facts(row), None)
    behind(f"UPDATE audit_seal SET hash = '{anew}' WHERE position = 4")
    assert findings(now) == [EVENT.replace("Event 4", "Event 5").replace("position 4", "position 5")]


def test_a_tail_that_was_cut_off_is_found_by_a_head_that_was_kept(chain, behind, now):
    head = audit_chain.head()
    assert findings(now, head) == findings(now, Head()) == []
    behind("DELETE FROM audit_event WHERE id > 7", "DELETE FROM audit_seal WHERE position > 7")
    assert findings(now) == []
    assert findings(now, head) == ["The chain ends at position 7: position 10, which you know, is missing."]


def test_a_chain_made_anew_is_found_by_a_head_that_was_kept(chain, behind, now):
    head = Head(3, audit_chain.head().hash)
    assert findings(now, head) == ["Event 3: the seal at position 3 is not the one that you know."]


def test_what_has_waited_for_an_hour_without_a_seal_is_told_in_one_line(chain, now):
    happen(now, 300)
    assert findings(now + HOUR - timedelta(seconds=1)) == []
    assert findings(now + HOUR) == [
        "Events 11 to 310 have no seal: put in behind the portal's back, or sealing has stopped."
    ]


def test_forgetting_where_somebody_came_from_breaks_nothing(app, make, now):
    account = make.account(AccountStatus.TERMINATED, purge_at=now)
    happen(now, 3, PEER, account.id)
    audit_chain.seal(now)
    marks = set(db.session.scalars(select(AuditSeal.peer_mark)))
    assert len(marks) == 3, "each with a salt of its own"
    assert purge.purge(now) == 1
    assert set(db.session.execute(select(AuditEvent.peer, AuditEvent.peer_salt)).all()) == {(None, None)}
    audit_chain.seal(now)
    assert findings(now + HOUR) == []
    assert set(db.session.scalars(select(AuditSeal.peer_mark))) == marks | {None}


def test_no_peer_no_salt(app, now):
    happen(now)
    happen(now, peer=PEER)
    salts = db.session.scalars(select(AuditEvent.peer_salt).order_by(AuditEvent.id)).all()
    assert salts[0] is None
    assert len(salts[1] or "") == 32


def test_the_chain_refuses_change_and_deletion(chain, now):
    for statement in (update(AuditSeal).values(hash=START), delete(AuditSeal)):
        with pytest.raises(Exception, match="append-only"):
            db.session.execute(statement)
        db.session.rollback()


def test_many_events_are_sealed_and_verified(app, now):
    rows = [{"at": now, "action": "seed.requested", "actor": "system", "detail": {"n": n}} for n in range(6000)]
    db.session.execute(insert_row(AuditEvent), rows)
    db.session.commit()
    assert audit_chain.seal(now).count == 6000
    told: list[str] = []
    done = audit_chain.verify(now + HOUR, audit_chain.head(), told.append)
    assert (told, done.count, done.head) == ([], 6000, audit_chain.head())
