"""The admins' page of days off: which are public, which estimated, which their own (rules 4.2, 8.4 and 8.9)."""

from __future__ import annotations

import re
from datetime import date

import pytest
from sqlalchemy import select

from webapp.domain.lifecycle import Role
from webapp.extensions import db
from webapp.models import AuditEvent, Holiday
from webapp.services import holidays
from webapp.services.audit import SYSTEM

STYLES = pytest.mark.parametrize("htmx", [False, True], ids=["page", "htmx"])


@pytest.fixture
def admin(client, make):
    account = make.admin("boss@tech.gov.sg")
    make.sign_in(client, account)
    return account


def own():
    return [
        (str(day), name) for day, name in db.session.execute(select(Holiday.day, Holiday.name).order_by(Holiday.day))
    ]


def recorded():
    return [(event.action, event.actor_id) for event in db.session.scalars(select(AuditEvent).order_by(AuditEvent.id))]


def rows(page):
    found = re.findall(r'<time datetime="([\d-]+)">.*?</th>\s*<td>(.*?)</td>\s*<td>(.*?)</td>', page, re.DOTALL)
    return {day: (name, re.sub(r"<[^>]*>|\s+", " ", kind).strip()) for day, name, kind in found}


def follow(client, answer):
    return client.get(answer.headers.get("HX-Redirect") or answer.location).text


def test_this_year_and_the_next_say_which_day_is_which(client, now, admin):
    holidays.add(date(2026, 12, 24), "Christmas Eve", SYSTEM, now)
    page = client.get("/admin/holidays").text
    found = rows(page)
    assert found["2026-12-25"] == ("Christmas Day", "Public")
    assert found["2026-12-24"][0] == "Christmas Eve"
    assert found["2026-12-24"][1].startswith("Own")
    assert found["2027-02-08"] == ("Chinese New Year (observed)", "Public")
    assert "2028-01-01" not in found
    assert "Estimate" not in page
    assert "moves no promise that was given already" in " ".join(page.split())
    assert "3 business days" in page


def test_what_is_not_announced_yet_is_marked(client, admin):
    found = rows(client.get("/admin/holidays?year=2028").text)
    assert found["2028-01-26"] == ("Chinese New Year", "Estimate")
    assert found["2028-02-28"] == ("Hari Raya Puasa (observed)", "Estimate")
    assert found["2028-11-15"] == ("Deepavali", "Estimate")
    assert found["2028-12-25"] == ("Christmas Day", "Public")
    assert found["2029-08-09"] == ("National Day", "Public")


@pytest.mark.parametrize("year", ["", "0", "1999", "2100", "99999", "-1", "x", "\u0662\u0660\u0662\u0668"])
def test_years_that_nobody_means_show_this_one(client, admin, year):
    assert "2026-12-25" in rows(client.get("/admin/holidays", query_string={"year": year}).text)


@pytest.mark.parametrize("year", ["2000", "2099"])
def test_the_first_and_the_last_year_are_pages(client, admin, year):
    page = client.get(f"/admin/holidays?year={year}").text
    assert f'id="year-{year}"' in page
    assert "year=1998" not in page
    assert "year=2101" not in page


@STYLES
def test_a_day_is_added_and_removed_once_confirmed(client, admin, htmx):
    client.get("/admin/holidays")
    answer = client.submit("/admin/holidays", htmx=htmx, day="2026-12-24", name=" Christmas  Eve ")
    assert answer.status_code == (204 if htmx else 303)
    page = follow(client, answer)
    assert "Thursday, 24 December 2026 is a day off now. Promises given already keep their date." in page
    assert own() == [("2026-12-24", "Christmas Eve")]
    page = client.get("/admin/holidays/remove?day=2026-12-24").text
    assert "Thursday, 24 December 2026" in page
    assert own() != []
    page = follow(client, client.submit("/admin/holidays/remove", htmx=htmx, day="2026-12-24"))
    assert "is no day off any more. Promises given already keep their date." in page
    assert own() == []
    page = follow(client, client.submit("/admin/holidays/remove", htmx=htmx, day="2026-12-24"))
    assert "Nothing was changed" in page
    assert recorded() == [("holiday.added", admin.id), ("holiday.removed", admin.id)]


@STYLES
def test_that_a_day_is_a_public_holiday_already_is_said(client, admin, htmx):
    client.get("/admin/holidays")
    page = follow(client, client.submit("/admin/holidays", htmx=htmx, day="2026-11-09", name="Long weekend"))
    assert "Monday, 9 November 2026 is on your list now. It is a public holiday already: Deepavali (observed)." in page
    lines = "2026-12-24, Christmas Eve\n2026-12-25, Christmas\n2028-01-26, New Year\n2026-11-09, Long weekend"
    for said in ("3 days off are added, of which 2 are public holidays already; 1 was on", "No days off are added; 4"):
        client.get("/admin/holidays/lines")
        assert said in follow(client, client.submit("/admin/holidays/lines", htmx=htmx, lines=lines))


def test_a_day_of_another_year_leads_to_its_year(client, admin):
    client.get("/admin/holidays")
    answer = client.submit("/admin/holidays", day="2030-12-24", name="Christmas Eve")
    assert answer.location == "/admin/holidays?year=2030"


@STYLES
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"day": "", "name": "Ours"}, "Enter a date between 2000 and 2099"),
        ({"day": "2026-02-30", "name": "Ours"}, "Enter a date"),
        ({"day": "1999-12-31", "name": "Ours"}, "Enter a date"),
        ({"day": "2026-12-24", "name": ""}, "Enter a name"),
        ({"day": "2026-12-24", "name": "x" * 81}, "80 characters or fewer"),
        ({"day": "2026-12-24", "name": "a\u200db"}, "one line of plain text"),
        ({"day": "2026-12-31", "name": "Ours"}, "is on your list already"),
    ],
)
def test_what_is_no_day_off_is_told(client, now, admin, htmx, fields, says):
    holidays.add(date(2026, 12, 31), "New Year’s Eve", SYSTEM, now)
    client.get("/admin/holidays")
    answer = client.submit("/admin/holidays", htmx=htmx, **fields)
    assert answer.status_code == 422
    assert says in answer.text
    assert ("<html" in answer.text) is not htmx
    assert len(own()) == 1


@STYLES
def test_pasted_days_are_added_all_or_none(client, now, admin, htmx):
    holidays.add(date(2026, 12, 31), "New Year’s Eve", SYSTEM, now)
    client.get("/admin/holidays/lines")
    good = "2026-12-24, Christmas Eve\r\n\r\n2026-12-31, Something else\r\n2027-01-04,Shutdown, all of us"
    answer = client.submit(
        "/admin/holidays/lines",
        htmx=htmx,
        lines=f"{good}\r\n24.12.2026, X\r\n2026-12-28\r\n2026-12-29,\r\n1999-12-31, X",
    )
    assert answer.status_code == 422
    for words in (
        "Line 5: begin with a date",
        "Line 6: the date must be followed",
        "Line 7: the date must",
        "Line 8: begin",
    ):
        assert words in answer.text
    assert len(own()) == 1
    page = follow(client, client.submit("/admin/holidays/lines", htmx=htmx, lines=good))
    assert "2 days off are added; 1 was on the list already. Promises given already keep their date." in page
    assert own() == [
        ("2026-12-24", "Christmas Eve"),
        ("2026-12-31", "New Year’s Eve"),
        ("2027-01-04", "Shutdown, all of us"),
    ]
    assert len(recorded()) == 3


@pytest.mark.parametrize(
    ("lines", "says"), [("", "at least one line"), ("2026-12-24, Ours\n" * 101, "more than 100 lines")]
)
def test_no_line_and_too_many_are_refused_with_the_limit(client, admin, lines, says):
    client.get("/admin/holidays/lines")
    assert says in client.submit("/admin/holidays/lines", lines=lines).text
    assert own() == []


def test_public_holidays_cannot_be_removed(client, admin):
    assert client.get("/admin/holidays/remove?day=2026-12-25").status_code == 404
    assert client.get("/admin/holidays/remove?day=rubbish").status_code == 404
    client.get("/admin/holidays")
    assert "Nothing was changed" in follow(client, client.submit("/admin/holidays/remove", day="2026-12-25"))


def test_auditors_see_days_off_and_change_none(client, make, now):
    holidays.add(date(2026, 12, 24), "Christmas Eve", SYSTEM, now)
    make.sign_in(client, make.account(role=Role.AUDITOR))
    page = client.get("/admin/holidays").text
    assert rows(page)["2026-12-24"] == ("Christmas Eve", "Own")
    assert "day-form" not in page
    assert client.get("/admin/holidays/lines").status_code == 404
    assert client.get("/admin/holidays/remove?day=2026-12-24").status_code == 404
