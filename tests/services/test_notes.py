"""Notes for admins alone (rule 8.2)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from webapp.extensions import db
from webapp.models import Account, AuditEvent, Note
from webapp.services import activity, audit, notes
from webapp.services.errors import NotFound, OwnAccount, TextMissing


@pytest.fixture
def admin(make) -> audit.By:
    return audit.By.person(make.admin("boss@tech.gov.sg"), "203.0.113.9")


def test_a_note_is_kept_as_one_line_with_who_wrote_it(app, make, now, admin):
    person, other = make.account(), make.account()
    notes.add(person.id, "  Rang\r\nback\x07 ", admin, now)
    notes.add(person.id, "x" * 600, admin, now)
    found = notes.of([person.id, other.id])
    assert [(note.text, note.at, note.by) for note in found[person.id]] == [
        ("x" * 500, now, "boss@tech.gov.sg"),
        ("Rang back", now, "boss@tech.gov.sg"),
    ]
    assert found[other.id] == []
    assert notes.of([]) == {}


def test_the_same_note_sent_twice_is_kept_once(app, make, now, admin):
    person, minute = make.account(), timedelta(minutes=1)
    other = audit.By.person(make.admin(), "203.0.113.9")
    for text, by, at in (
        ("No answer", admin, now),
        (" No  answer", admin, now + minute / 2),
        ("No answer", other, now + minute / 2),
        ("No answer", admin, now + 2 * minute),
    ):
        notes.add(person.id, text, by, at)
    assert [(note.by, note.at) for note in notes.of([person.id])[person.id]] == [
        ("boss@tech.gov.sg", now + 2 * minute),
        (db.session.get_one(Account, other.account_id).email, now + minute / 2),
        ("boss@tech.gov.sg", now),
    ]
    assert len(db.session.scalars(select(AuditEvent.id)).all()) == 3


def test_the_record_knows_of_a_note_but_not_its_words_and_the_holder_of_neither(app, make, now, admin):
    person = make.account()
    notes.add(person.id, "Rang back", admin, now)
    event = db.session.scalars(select(AuditEvent)).one()
    assert (event.action, event.account_id, event.detail) == ("note.added", person.id, {})
    assert activity.happened(person.id) == []


def test_a_note_is_refused(app, make, now, admin):
    with pytest.raises(TextMissing):
        notes.add(make.account().id, " \r\n", admin, now)
    with pytest.raises(TextMissing):
        notes.add(make.account().id, "From nobody", audit.SYSTEM, now)
    with pytest.raises(OwnAccount):
        notes.add(admin.account_id, "Myself", admin, now)
    with pytest.raises(NotFound):
        notes.add(10**9, "Who?", admin, now)
    with pytest.raises(NotFound):
        notes.add(make.account("deleted").id, "Gone", admin, now)
    assert db.session.scalar(select(func.count()).select_from(Note)) == 0
