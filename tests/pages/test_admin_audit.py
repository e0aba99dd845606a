"""The audit log: filters, pages by key, files (rules 8.8 to 8.10)."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta

import pytest
from openpyxl import load_workbook
from sqlalchemy import func, select

from tests.onboarding import PEER
from webapp.domain.lifecycle import AccountStatus, Role
from webapp.extensions import db
from webapp.models import AuditEvent
from webapp.services import activity, audit, audit_chain, audit_log
from webapp.views import admin_audit

DAY = timedelta(days=1)


@pytest.fixture
def admin(make, client):
    account = make.admin("grace_lim@tech.gov.sg")
    make.sign_in(client, account)
    return account


@pytest.fixture
def story(make, admin, now):
    """Three events of three days; their account."""
    account = make.account(email="peter@tech.gov.sg")
    audit.record("sign_up.requested", account.id, audit.By.visitor(PEER), now - 2 * DAY, seed=True)
    by = audit.By.person(admin, "192.0.2.7")
    audit.record(
        "techpass.rejected", account.id, by, now - DAY, reason="=Not yet", before={"status": "a"}, after={"status": "b"}
    )
    audit.record("account.terminated", account.id, audit.SYSTEM, now, reason="not signed in")
    db.session.commit()
    return account


def actions(page) -> list[str]:
    return [piece.partition("<")[0] for piece in page.text.split('<code class="audit-code">')[1:]]


def sheet_of(answer):
    return load_workbook(io.BytesIO(answer.data))["Audit log"]


ALL = ["account.terminated", "techpass.rejected", "sign_up.requested"]


def test_everything_newest_first_with_who_and_whom(client, story):
    page = client.get("/admin/audit")
    assert actions(page) == ALL
    shown = page.text.replace("<wbr>", "")
    for words in ("grace_lim@tech.gov.sg", "peter@tech.gov.sg", "The portal", "A visitor", "192.0.2.7", "3 events"):
        assert words in shown
    assert "23 Nov 2026, 10:00" in page.text
    assert "<dt>Reason</dt><dd>=Not yet</dd>" in page.text
    assert "<dt>Status</dt>" in page.text
    assert "<del>a</del>" in page.text
    assert "<ins>b</ins>" in page.text


FILTERS = [
    ("action=techpass.rejected", [1]),
    ("action=no.such", []),
    ("by=grace_lim@tech.gov.sg", [1]),
    ("by=GRACE_LIM@TECH.gov.sg", [1]),
    ("whom=peter@tech.gov.sg", [0, 1, 2]),
    ("whom=grace_lim@tech.gov.sg", []),
    ("whom={id}", [0, 1, 2]),
    ("whom=%23{id}&action=sign_up.requested", [2]),
    ("from=2026-11-24", [0]),
    ("to=2026-11-22", [2]),
    ("from=2026-11-23&to=2026-11-23", [1]),
    ("from=2026-11-01&to=2026-11-24&where=192.0.2.7", [1]),
    ("whom=peter@tech.gov.sg&by=grace_lim@tech.gov.sg&from=2026-11-23", [1]),
]


@pytest.mark.parametrize(("query", "expected"), FILTERS)
def test_filters_stand_in_the_address_and_hold_for_page_fragment_and_file(client, story, query, expected):
    query = query.format(id=story.id)
    names = [ALL[number] for number in expected]
    assert actions(client.get(f"/admin/audit?{query}")) == names
    fragment = client.htmx("GET", f"/admin/audit?{query}")
    assert actions(fragment) == names
    assert fragment.text.strip().startswith('<div id="audit-list">')
    rows = list(csv.reader(io.StringIO(client.get(f"/admin/audit.csv?{query}").text.lstrip("\ufeff"))))
    given = [row[2] for row in rows[1:] if row[2] != audit_log.EXPORTED]
    assert given == names


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("by=nobody@tech.gov.sg", "Nobody here has, or had, the address nobody@tech.gov.sg."),
        ("whom=nobody@tech.gov.sg", "Nobody here has, or had, the address nobody@tech.gov.sg."),
        ("whom=0", "Nobody here has, or had, the address 0."),
        ("from=2026-11-24&to=2026-11-23", "The second date is before the first."),
        ("from=24.11.2026", "Enter dates like 2026-11-24."),
        ("to=2026-02-30", "Enter dates like 2026-11-24."),
        ("where=192.0.2.7", "give both dates, at most 31 days"),
        ("where=192.0.2.7&from=2026-10-01&to=2026-11-24", "give both dates, at most 31 days"),
    ],
)
def test_what_makes_no_sense_is_said_and_finds_nothing(client, story, query, words):
    page = client.get(f"/admin/audit?{query}")
    assert words in page.text
    assert actions(page) == []
    assert len(client.get(f"/admin/audit.csv?{query}").text.splitlines()) == 1


def test_pages_go_on_by_key_and_keep_the_filters(client, make, admin, now):
    for number in range(120):  # Many at the same instant, and the numbers not in the order of time.
        audit.record("mail.retried", None, audit.SYSTEM, now - DAY * (number % 3), count=number)
    audit.record("sign_up.requested", None, audit.SYSTEM, now)
    db.session.commit()
    address, seen = "/admin/audit?action=mail.retried", []
    pages = 0
    while address:
        page = client.get(address)
        pages += 1
        seen += [int(piece.partition("<")[0]) for piece in page.text.split("<dt>Event</dt><dd>")[1:]]
        links = re.findall(r'<a href="([^"]+)"[^>]*>Earlier events', page.text)
        address = links[0].replace("&amp;", "&") if links else ""
    assert pages == 3
    order = select(AuditEvent.id).where(AuditEvent.action == "mail.retried")
    assert seen == list(db.session.scalars(order.order_by(AuditEvent.at.desc(), AuditEvent.id.desc())))


def test_nothing_yet_and_nothing_that_fits_are_said(client, admin):
    assert "Nothing has happened yet." in client.get("/admin/audit").text
    assert "No event fits." in client.get("/admin/audit?action=no.such").text
    assert "No earlier events." in client.get("/admin/audit?before=2020-01-01T00:00:00%2B00:00_1").text


def test_a_forgotten_person_is_named_by_number(client, story, make, now):
    story.email = story.email_folded = f"deleted-{story.id}"
    db.session.commit()
    page = client.get(f"/admin/audit?whom=deleted-{story.id}")
    assert actions(page) == ALL
    assert f"deleted-{story.id}" in page.text


def test_an_address_means_all_accounts_that_it_has_had(client, story, make, now):
    db.session.refresh(story)
    story.status = AccountStatus.TERMINATED
    db.session.commit()
    again = make.account(email="peter@tech.gov.sg")
    audit.record("account.activated", again.id, audit.SYSTEM, now)
    db.session.commit()
    assert actions(client.get("/admin/audit?whom=peter@tech.gov.sg")) == ["account.activated", *ALL]


def test_the_words_speak_of_others(app):
    """In each action's words, whatever its detail: the log is read by an admin, not by the person it tells of."""
    for action in activity.WORDS:
        words = activity.plainly(action, {}).lower().replace("“this wasn’t me”", "")
        assert not {"you", "your", "yourself"} & set(words.replace(",", " ").split()), (action, words)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("audit.exported", "The audit log given out as a file"),
        ("invite.requested", "TechPass asked for by somebody else"),
        ("invite.repeated", "TechPass asked for by somebody else again"),
    ],
)
def test_the_filter_names_an_action_in_words_of_its_own(client, story, action, words):
    assert activity.plainly(action, {}) == words
    assert f'value="{action}">{words}</option>' in client.get("/admin/audit").text


# Its seal.


def test_the_page_tells_how_far_the_record_is_sealed(client, story, now, set_now):
    assert "Nothing is sealed yet" in client.get("/admin/audit").text
    audit_chain.seal(now)
    page = client.get("/admin/audit").text
    assert "3 events are sealed" in page
    assert str(audit_chain.head()) in page
    assert "Sealing has stopped" not in page


def test_the_page_tells_when_sealing_lags(client, story, make, now, set_now):
    audit_chain.seal(now - DAY / 2)
    audit.record("mail.retried", None, audit.SYSTEM, now)
    db.session.commit()
    set_now(now + timedelta(minutes=9))
    assert "Sealing has stopped" not in client.get("/admin/audit").text
    set_now(now + timedelta(minutes=10))
    assert "Sealing has stopped" in client.get("/admin/audit").text


# Files.


def test_the_files_hold_the_same_as_text_alone(client, story):
    answer = client.get("/admin/audit.csv?whom=peter@tech.gov.sg")
    assert answer.mimetype == "text/csv"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="audit-log-2026-11-24.csv"'
    rows = list(csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))))
    assert tuple(rows[0]) == audit_log.COLUMNS
    assert rows[2][1:] == [
        "2026-11-23T10:00:00+08:00",
        "techpass.rejected",
        "TechPass not approved",
        "grace_lim@tech.gov.sg",
        rows[2][5],
        "admin",
        "peter@tech.gov.sg",
        str(story.id),
        "192.0.2.7",
        "'=Not yet",
        "Status: a",
        "Status: b",
        "",
    ]
    answer = client.get("/admin/audit.xlsx?whom=peter@tech.gov.sg")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="audit-log-2026-11-24.xlsx"'
    sheet = sheet_of(answer)
    again = [["" if cell.value is None else str(cell.value) for cell in row] for row in sheet.iter_rows()]
    assert [[cell.removeprefix("'") for cell in row] for row in rows] == again
    assert sheet["K3"].data_type == "s"


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_giving_it_out_is_on_record_without_naming_anybody(client, story, admin, form):
    client.get(f"/admin/audit.{form}?whom=peter@tech.gov.sg&from=2026-11-01&to=2026-11-24&where=192.0.2.7")
    event = db.session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
    assert (event.action, event.actor_id, event.account_id) == ("audit.exported", admin.id, None)
    assert event.detail == {
        "format": form,
        "filters": {"whom": [story.id], "since": "2026-11-01", "until": "2026-11-24", "where": "one network address"},
    }
    page = client.get("/admin/audit").text
    assert f"The audit log given out as {form.upper()}" in page


def test_asking_for_the_head_of_a_file_records_nothing(client, story):
    before = db.session.scalar(select(func.count()).select_from(AuditEvent))
    for form in ("csv", "xlsx"):
        answer = client.head(f"/admin/audit.{form}")
        assert answer.status_code == 200
        assert "attachment" in answer.headers["Content-Disposition"]
    assert db.session.scalar(select(func.count()).select_from(AuditEvent)) == before


def test_a_file_is_read_a_chunk_at_a_time_and_no_transaction_stays_open(app, client, story, now, monkeypatch):
    monkeypatch.setattr(audit_log, "_CHUNK", 2)
    rows = audit_log.table(audit_log.Filters())
    assert next(rows) == audit_log.COLUMNS
    assert next(rows)[2] == ALL[0]
    assert not db.session.registry().in_transaction()
    audit.record("mail.retried", None, audit.SYSTEM, now)
    db.session.commit()
    assert [row[2] for row in rows] == ALL[1:], "what is new since it began is not in it"


def test_excel_files_end_with_a_line_that_names_the_other_way(client, story, monkeypatch):
    monkeypatch.setattr(admin_audit, "MOST_IN_XLSX", 2)
    sheet = sheet_of(client.get("/admin/audit.xlsx"))
    assert sheet.max_row == 4
    assert "take the CSV file" in sheet["A4"].value


def test_an_auditor_reads_and_takes_files(client, make, story):
    auditor = make.account(role=Role.AUDITOR)
    make.sign_in(client, auditor)
    assert actions(client.get("/admin/audit")) == ALL
    assert client.get("/admin/audit.csv").status_code == 200
    assert actions(client.get(f"/admin/audit?by={auditor.id}")) == ["audit.exported"]


def test_what_is_on_record_is_shown_inert(client, admin, now):
    bad = '"><script>alert(1)</script>'
    audit.record(
        bad, None, audit.By.visitor(bad[:45]), now, reason=bad, before={bad: bad}, after=bad, **{bad: [bad, {bad: 1}]}
    )
    db.session.commit()
    page = client.get("/admin/audit").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_what_is_no_action_of_ours_does_not_stand_on_record_for_good(client, admin):
    client.get("/admin/audit.csv?action=peter@tech.gov.sg")
    (event,) = db.session.scalars(select(AuditEvent).where(AuditEvent.action == "audit.exported"))
    assert "peter" not in repr(event.detail)
