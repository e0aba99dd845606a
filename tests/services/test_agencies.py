"""Agencies as the address rules read them (rule 1.6)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import event, select

from webapp.domain.addresses import AgencyMode
from webapp.extensions import db
from webapp.models import Agency, UnknownAgency
from webapp.services import agencies


def test_a_fresh_install_knows_its_agencies(app):
    rows = {row.domain.partition(".")[0]: row for row in db.session.scalars(select(Agency))}
    by_mode = {mode: sorted(name for name, row in rows.items() if row.mode is mode) for mode in AgencyMode}
    assert by_mode[AgencyMode.OPEN] == sorted(
        ["tech", "moe", "cpf", "hdb", "iras", "lta", "mom", "moh", "nea", "ura", "ica", "mof", "schools"]
    )
    assert by_mode[AgencyMode.INVITATION_ONLY] == sorted(["mindef", "dsta", "dsta-wog", "defence", "gebiz", "sps"])
    assert by_mode[AgencyMode.REFUSED] == ["litemail"]
    assert "standard mailbox first" in rows["litemail"].reason
    assert [name for name, row in rows.items() if not row.seed_eligible] == ["schools", "litemail"]
    assert not any(row.approves_automatically or row.vendors_allowed for row in rows.values())
    assert all(row.domain.endswith(".gov.sg") and row.name for row in rows.values())


def test_an_agency_is_found_by_its_domain_alone(app):
    found = agencies.find("tech.gov.sg")
    assert found is not None
    assert (found.domain, found.name, found.mode) == (
        "tech.gov.sg",
        "Government Technology Agency",
        AgencyMode.OPEN,
    )
    for domain in ("", "gov.sg", "TECH.gov.sg", "nowhere.gov.sg", "\x00", "x" * 5000):
        assert agencies.find(domain) is None


def test_they_are_read_once_for_a_while_and_anew_after_a_change(app, monkeypatch):
    agencies.find("tech.gov.sg")
    sent: list[str] = []

    def note(_connection, _cursor, statement, *_) -> None:
        sent.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        agencies.find("moe.gov.sg")
        assert sent == []
        db.session.query(Agency).filter_by(domain="tech.gov.sg").update({"seed_eligible": False})
        agencies.forget()
        found = agencies.find("tech.gov.sg")
        assert found is not None
        assert not found.seed_eligible
        monkeypatch.setattr(agencies, "_kept_until", 0.0)  # The 5 seconds are over.
        sent.clear()
        agencies.find("tech.gov.sg")
        assert len(sent) == 1
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
        agencies.forget()


def test_tries_of_an_unknown_agency_are_counted(app, now):
    for number in range(3):
        agencies.count_unknown("nowhere.gov.sg", now + timedelta(hours=number))
        db.session.commit()
    agencies.count_unknown("other.gov.sg", now)
    db.session.commit()
    rows = {row.domain: (row.tries, row.last_at) for row in db.session.scalars(select(UnknownAgency))}
    assert rows == {"nowhere.gov.sg": (3, now + timedelta(hours=2)), "other.gov.sg": (1, now)}


def test_tries_at_once_are_all_counted(app, now):
    def knock(_: int) -> None:
        with app.app_context():
            agencies.count_unknown("nowhere.gov.sg", now)
            db.session.commit()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(knock, range(24)))
    assert db.session.scalars(select(UnknownAgency.tries)).one() == 24
