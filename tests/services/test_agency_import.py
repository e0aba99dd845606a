"""Agencies as a file: each line judged, all of it taken or none, and what was given out taken back (rule 8.4)."""

from __future__ import annotations

import csv
import io

import pytest
from sqlalchemy import func, select

from webapp import sheets
from webapp.domain.addresses import AgencyMode
from webapp.domain.lifecycle import RequestKind, SeedStatus
from webapp.extensions import db
from webapp.models import Agency, AuditEvent, Request
from webapp.services import agencies, agency_changes, agency_import
from webapp.services.agency_import import COLUMNS, Verdict
from webapp.services.audit import SYSTEM, By
from webapp.services.errors import ChangedMeanwhile, ImportRefused, OwnRequest

HEADER = ",".join(COLUMNS)
NEW = "hsa.gov.sg,Health Sciences Authority,open,,yes,no,no"
CHANGED = "moe.gov.sg,Ministry of Education,refused,Use name@schools.gov.sg,no,yes,no"
UNCHANGED = "mom.gov.sg,Ministry of Manpower,open,,yes,no,no"


def lines(*rows, header=HEADER):
    return "\r\n".join([header, *rows]) + "\r\n"


def exported():
    return "".join(sheets.csv_lines(agency_import.file_rows()))


def verdicts(text):
    return [(row.line, row.domain, row.verdict, list(row.problems)) for row in agency_import.preview(text).rows]


def take(text, now, by=SYSTEM):
    return agency_import.apply(text, agency_import.preview(text).version, by, now)


def recorded():
    return [
        (event.action, event.detail["domain"])
        for event in db.session.scalars(select(AuditEvent).order_by(AuditEvent.id))
    ]


@pytest.mark.parametrize("form", ["comma", "semicolon", "with a mark", "other order"])
def test_each_line_is_told_what_it_does_and_all_is_done_at_once(app, now, form):
    text = lines(NEW, CHANGED, "", UNCHANGED)
    if form == "semicolon":
        text = text.replace(",", ";")
    elif form == "with a mark":
        text = agency_import.decode(text.encode("utf-8-sig"))
    elif form == "other order":
        out = io.StringIO()
        csv.writer(out).writerows(row[::-1] for row in csv.reader(io.StringIO(text)) if row)
        text = out.getvalue()
    found = agency_import.preview(text)
    assert [row.verdict for row in found.rows] == [Verdict.NEW, Verdict.CHANGED, Verdict.UNCHANGED]
    assert found.rows[1].changes == {
        "mode": (AgencyMode.OPEN, AgencyMode.REFUSED),
        "reason": ("", "Use name@schools.gov.sg"),
        "seed_eligible": (True, False),
        "approves_automatically": (False, True),
    }
    assert recorded() == []
    assert agency_import.apply(text, found.version, SYSTEM, now) == 2
    assert recorded() == [("agency.added", "hsa.gov.sg"), ("agency.changed", "moe.gov.sg")]
    hsa, moe = agencies.find("hsa.gov.sg"), agencies.find("moe.gov.sg")
    assert hsa is not None
    assert moe is not None
    assert hsa.name == "Health Sciences Authority"
    assert moe.approves_automatically
    assert {verdict for _, _, verdict, _ in verdicts(text)} == {Verdict.UNCHANGED}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("hsa.gov.sg,Health,open,,maybe,no,no", "seed_eligible must be yes or no"),
        ("hsa.gov.sg,Health,closed,,yes,no,no", "mode must be one of open, invitation only, refused"),
        ("hsa.com,Health,open,,yes,no,no", "must end with .gov.sg"),
        ("hsa.gov.sg,,open,,yes,no,no", "Enter the agency’s name"),
        ("hsa.gov.sg,Health,refused,,yes,no,no", "Enter the reason"),
        ("hsa.gov.sg,Health,open,Why,yes,no,no", "Leave the reason empty"),
        ("hsa.gov.sg,Health,open,,yes,no", "The line has 6 cells instead of 7"),
        ("moe.gov.sg," + "x" * 121 + ",open,,yes,no,no", "120 characters or fewer"),
        (f"{UNCHANGED}\r\n{UNCHANGED}", "stands in line 3 already"),
    ],
)
def test_one_wrong_line_keeps_all_out(app, now, row, problem):
    text = lines(NEW.replace("hsa", "sla"), row)
    wrong = [problems for _, _, verdict, problems in verdicts(text) if verdict is Verdict.WRONG]
    assert len(wrong) == 1
    assert problem in wrong[0][0]
    with pytest.raises(ImportRefused):
        take(text, now)
    assert recorded() == []
    assert agencies.find("sla.gov.sg") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Choose a CSV file"),
        (HEADER, "no line below"),
        (lines(NEW, header="domain,name"), "must name the columns"),
        (NEW, "must name the columns"),
        (lines(*[NEW] * 501), "more than 500 lines"),
        (lines(NEW, "x" * 205_000), "larger than 200 KB"),
        (lines('hsa.gov.sg,"Health" Sciences,open,,yes,no,no'), "Line 2 is not CSV"),
        (lines("hsa.gov.sg,He\x00alth,open,,yes,no,no"), "not a text file"),
    ],
)
def test_what_is_no_such_file_is_refused_with_the_limit(app, text, problem):
    with pytest.raises(ImportRefused, match=problem):
        agency_import.preview(text)


def test_an_uploaded_file_is_bounded_and_in_utf8():
    with pytest.raises(ImportRefused, match="200 KB"):
        agency_import.decode(b"x" * (200 * 1024 + 1))
    with pytest.raises(ImportRefused, match="UTF-8"):
        agency_import.decode(lines(NEW).encode("utf-16"))


def test_what_was_given_out_is_taken_back_unchanged(app, now):
    for domain, name in (
        ("a", "=HYPERLINK(1)"),
        ("b", "'=1+1"),
        ("c", "'Quoted', \"and\"; more"),
        ("d", "-"),
        ("e", "@x"),
    ):
        db.session.add(
            Agency(domain=f"{domain}.gov.sg", name=name, mode=AgencyMode.REFUSED, reason="+65 6123 4567 tells you more")
        )
    # What could not be added here, but may be there from elsewhere.
    db.session.add(Agency(domain="elsewhere.example", name="Elsewhere", mode=AgencyMode.REFUSED))
    db.session.commit()
    text = exported()
    assert all(cell[:1] not in ("=", "+", "-", "@") for row in csv.reader(io.StringIO(text)) for cell in row)
    assert {verdict for _, _, verdict, _ in verdicts(text)} == {Verdict.UNCHANGED}
    assert take(text, now) == 0
    assert recorded() == []
    db.session.query(Agency).filter_by(domain="a.gov.sg").update({"name": "Other"})
    db.session.commit()
    assert take(text, now) == 1
    assert db.session.scalar(select(Agency.name).where(Agency.domain == "a.gov.sg")) == "=HYPERLINK(1)"


def test_what_would_do_something_else_by_now_is_told_instead_of_done(app, now):
    text = lines(NEW, CHANGED)
    version = agency_import.preview(text).version
    seen = agencies.settings_of(agencies.get(2))
    assert seen.domain == "moe.gov.sg"
    take(lines("moe.gov.sg,Education,open,,yes,no,no"), now)
    with pytest.raises(ChangedMeanwhile):
        agency_import.apply(text, version, SYSTEM, now)
    assert recorded() == [("agency.changed", "moe.gov.sg")]
    version = agency_import.preview(text).version
    take(lines(NEW), now)
    with pytest.raises(ChangedMeanwhile):
        agency_import.apply(text, version, SYSTEM, now)
    assert len(recorded()) == 2


def test_what_follows_is_said_of_all_lines_together(app, make, now):
    make.request("a@moe.gov.sg", seed=True)
    make.request("b@mom.gov.sg", seed=True)
    seed_off = "mom.gov.sg,Ministry of Manpower,open,,no,no,no"
    told = agency_import.preview(lines(CHANGED, seed_off)).follows
    assert told[0] == "2 open requests are approved at once, within the next minute, where approval becomes automatic."
    assert told[2] == "1 open SEED request stays there until you decide."
    assert "keep their accounts" in told[3]
    assert agency_import.preview(lines(NEW, UNCHANGED)).follows == []


def test_nobody_imports_the_approval_of_their_own_request(app, make, now):
    boss = make.account(email="boss@moe.gov.sg", role="admin", seed_status=SeedStatus.REQUESTED)
    db.session.add(Request(account_id=boss.id, kind=RequestKind.SEED, requested_at=now))
    db.session.commit()
    with pytest.raises(OwnRequest):
        take(lines(NEW, CHANGED), now, By.person(boss, ""))
    assert recorded() == []
    assert db.session.scalar(select(func.count()).select_from(Agency).where(Agency.domain == "hsa.gov.sg")) == 0


def test_as_many_lines_as_may_be_are_taken_at_once(app, now):
    text = lines(*(f"a{number}.gov.sg,Agency {number},open,,yes,no,no" for number in range(500)))
    assert take(text, now) == 500
    assert agency_changes.dismiss("nothing.gov.sg", SYSTEM, now) is False
    assert len(agencies.listed()) == agencies.PAGE + 1
