"""The forecast: its table, its lists and what is done with a selection, the rehearsal, and the brake (rule 8.7)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from webapp.domain.deadlines import DAY
from webapp.domain.lifecycle import AccountStatus, InvitationKind, Role, SeedStatus
from webapp.extensions import db
from webapp.models import Account, AuditEvent, HeldSweep, Invitation, Mail
from webapp.services import brake, forecast, selection, sweep

TODAY = "2026-11-24"
EXPIRE = f"/admin/forecast?kind=expire&day={TODAY}"


def act(address):
    return address.replace("/admin/forecast?", "/admin/forecast/selection?")


@pytest.fixture
def admin(client, make):
    account = make.admin("admin@tech.gov.sg")
    make.sign_in(client, account)
    return account


@pytest.fixture
def late(make, now):
    """``late(email)`` runs out later today."""

    def somebody(email=None, **changes):
        account = make.account(AccountStatus.PENDING, email, **changes)
        make.invitation(account, at=now - 30 * DAY + timedelta(hours=1))
        return account

    return somebody


@pytest.fixture
def held(make, now, policy):
    """Three people more than the brake lets end."""
    for number in range(3):
        make.invitation(make.account(AccountStatus.PENDING, f"late{number}@tech.gov.sg"), at=now - 31 * DAY)
    sweep.sweep(now, replace(policy, sweep_limit=2))


def fresh(account):
    return db.session.get_one(Account, account.id, populate_existing=True)


def rows(table=Mail):
    return db.session.scalar(select(func.count()).select_from(table))


def test_the_table_says_how_many_and_leads_to_who(client, admin, late, make, now, policy):
    late("late@tech.gov.sg")
    make.account(inactivity_due_at=now + 2 * DAY)
    page = client.get("/admin/forecast").text
    assert "Nothing is counted yet" in page
    forecast.count_ahead(now, policy)
    page = client.get("/admin/forecast").text
    assert "As of 24 Nov 2026, 10:00" in page
    assert f'href="/admin/forecast?day={TODAY}&amp;kind=expire">1</a>' in page
    assert 'href="/admin/forecast?day=2026-11-26&amp;kind=check_inactivity">1</a>' in page
    assert "2026-12-23" in page
    assert "2026-12-24" not in page
    page = client.get(EXPIRE).text
    assert "TechPass terminated on Tuesday, 24 November 2026" in page
    assert "late@tech.gov.sg" in page
    assert "24 Nov 2026, 11:00" in page


def test_each_list_is_a_page_and_a_fragment(client, admin):
    for kind in (*forecast.Kind, "on_hold"):
        address = f"/admin/forecast?kind={kind}&day=2026-12-01"
        assert "<h1>" in client.get(address).text
        fragment = client.htmx("GET", address).text
        assert fragment.startswith('<div id="forecast-list">')
        assert "data-announce" in fragment


def test_a_day_outside_of_the_forecast_is_today(client, admin, late):
    late("late@tech.gov.sg")
    for day in ("", "2026-11-23", "2026-12-24", "yesterday", "0001-01-01", "9999-12-31"):
        address = f"/admin/forecast?kind=expire&day={day}&endpoint=x&_external=1"
        assert "late@tech.gov.sg" in client.htmx("GET", address).text, day


def test_a_list_goes_on_by_key(client, admin, late, monkeypatch):
    monkeypatch.setattr(forecast, "PAGE", 2)
    for number in range(3):
        late(f"late{number}@tech.gov.sg")
    page = client.get(EXPIRE).text
    following = page.partition("after=")[2].partition('"')[0].replace("&amp;", "&")
    page = client.get(f"{EXPIRE}&after={following}").text
    assert "late2@tech.gov.sg" in page
    assert "late0@tech.gov.sg" not in page
    assert "Back to the first page" in page


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])
def test_a_selection_is_held_and_released(client, admin, late, htmx):
    one, two, other = late("one@tech.gov.sg"), late("two@tech.gov.sg"), late("other@tech.gov.sg")
    client.get(EXPIRE)
    fields = {"reason": "a school holiday", "action": "hold", "chosen": [f"{one.id}.techpass", f"{two.id}.techpass"]}
    answer = client.submit(act(EXPIRE), htmx=htmx, **fields)
    assert answer.status_code == (200 if htmx else 303)
    page = answer.text if htmx else client.get(answer.location).text
    assert "2 were put on hold." in page
    assert "other@tech.gov.sg" in page
    assert "one@tech.gov.sg" not in page
    assert [fresh(a).under_investigation for a in (one, two, other)] == [True, True, False]

    address = "/admin/forecast?kind=on_hold"
    assert "one@tech.gov.sg" in client.get(address).text
    fields = {"reason": "it is over", "action": "release", "chosen": [str(one.id)]}
    answer = client.submit(act(address), htmx=htmx, **fields)
    page = answer.text if htmx else client.get(answer.location).text
    assert "1 was released." in page
    assert [fresh(a).under_investigation for a in (one, two)] == [False, True]
    details = db.session.scalars(
        select(AuditEvent.detail).where(AuditEvent.account_id == one.id).order_by(AuditEvent.id)
    )
    assert [detail["reason"] for detail in details] == ["a school holiday", "it is over"]


def test_a_selection_is_extended_by_the_link_of_each_line(client, admin, make, now):
    techpass = make.invitation(at=now - 25 * DAY)[0]
    seed = make.account(seed_status=SeedStatus.INVITED)
    of_seed = make.invitation(seed, InvitationKind.SEED, at=now - 23 * DAY)[0]
    address = f"/admin/forecast?kind=remind&day={TODAY}"
    assert client.get(address).text.count('name="chosen"') == 2
    chosen = [f"{techpass.account_id}.techpass", f"{seed.id}.seed"]
    answer = client.submit(act(address), action="extend", reason="ill", until="2026-12-20", chosen=chosen)
    assert "2 were extended." in client.get(answer.location).text
    ends = {str(link.expires_at.date()) for link in db.session.scalars(select(Invitation)).all()}
    assert ends == {"2026-12-20"}
    assert of_seed.id
    assert rows() == 2


def test_of_whom_nothing_was_done_to_it_says_why(client, admin, late, make):
    one = late("one@tech.gov.sg")
    client.get(EXPIRE)
    gone = late("gone@tech.gov.sg", under_investigation=True)
    chosen = [f"{one.id}.techpass", f"{gone.id}.techpass", str(admin.id), "999999", "rubbish", "9" * 30, "7.rubbish"]
    answer = client.submit(act(EXPIRE), action="hold", reason="why", chosen=chosen)
    page = client.get(answer.location).text
    assert "1 was put on hold." in page
    assert "gone@tech.gov.sg: it is so already, or the account is not like that any more." in page
    assert "admin@tech.gov.sg: your own account is another admin’s affair." in page
    assert "Account 999999: there is no such account any more." in page
    assert not fresh(admin).under_investigation

    two = late("two@tech.gov.sg")
    fields = {"action": "extend", "reason": "why", "chosen": f"{two.id}.techpass"}
    answer = client.submit(act(EXPIRE), htmx=True, until="2027-12-01", **fields)
    assert "it can be extended to a day from" in answer.text


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])
def test_what_is_wrong_is_told_and_what_was_ticked_is_kept(client, admin, late, htmx):
    one = late("one@tech.gov.sg")
    chosen = f"{one.id}.techpass"
    for changes, problem in (
        ({"reason": " "}, "Enter a reason"),
        ({"reason": "x" * 201}, "200 characters or fewer"),
        ({"chosen": None}, "Tick the people"),
        ({"action": "extend", "until": "soon"}, "Choose the day"),
        ({"csrf_token": "rubbish"}, "open for too long"),
        ({"chosen": [str(number) for number in range(1, selection.MOST + 2)]}, "at most 200"),
    ):
        client.get(EXPIRE)
        fields = {"reason": "why", "action": "hold", "chosen": chosen} | changes
        answer = client.submit(act(EXPIRE), htmx=htmx, **fields)
        assert answer.status_code == 422
        assert problem in answer.text
        assert htmx or "<title>Error: TechPass terminated on " in answer.text
        ticked = re.search(rf'value="{chosen}"[^>]*', answer.text)
        assert ticked
        assert ("checked" in ticked.group()) is ("chosen" not in changes)
    assert rows() == 0
    assert not fresh(one).under_investigation


def test_what_nobody_offers_is_refused(client, admin, late):
    one = late()
    client.get(EXPIRE)
    fields = {"reason": "why", "chosen": f"{one.id}.techpass"}
    assert client.submit(act(EXPIRE), action="terminate", **fields).status_code == 400
    client.get(EXPIRE)
    assert client.submit("/admin/forecast/selection?kind=all", action="hold", **fields).status_code == 404
    assert not fresh(one).under_investigation


def test_a_leave_that_has_ended_can_be_given_anew(client, admin, held, now, set_now):
    client.get("/admin/forecast")
    client.submit("/admin/forecast/held/expiry", seen="3", reason="why")
    for minutes, offered in ((29, False), (58, False), (61, True)):
        set_now(now + timedelta(minutes=minutes))
        page = client.get("/admin/forecast").text
        assert ('action="/admin/forecast/held/expiry"' in page) is offered


def test_the_brake_tells_and_an_admin_lets_it_run(client, admin, held, make, now, policy):
    page = client.get("/admin/forecast").text
    assert "Expiry of TechPass is held: it would terminate 3 accounts" in page
    assert "up to 2 at once" in page
    assert "late0@tech.gov.sg, late1@tech.gov.sg, late2@tech.gov.sg" in page
    address = "/admin/forecast/held/expiry"
    for changes, problem in (
        ({"reason": " "}, "Enter a reason"),
        ({"reason": "x" * 201}, "200 characters or fewer"),
        ({"seen": "2"}, "By now it would terminate 3 accounts"),
        ({"seen": "²"}, "the number is missing"),
        ({"csrf_token": "rubbish"}, "open for too long"),
    ):
        answer = client.submit(address, **{"seen": "3", "reason": "a term’s end"} | changes)
        assert answer.status_code == 422
        assert problem in answer.text
        assert "<title>Error: Forecast" in answer.text
        assert 'name="seen" value="3"' in answer.text
        assert f'name="reason" value="{changes.get("reason", "a term’s end").strip()}"' in answer.text
    assert brake.held()[0].allowed is None
    answer = client.submit(address, seen="3", reason="a term’s end")
    page = client.get(answer.location).text
    assert "The next sweep will terminate 3 accounts" in page
    assert "Let run by an admin" in page
    assert 'action="/admin/forecast/held/expiry"' not in page
    make.sign_in(client, make.admin("other@tech.gov.sg"))
    client.get("/admin/requests")
    answer = client.submit(address, seen="3", reason="the same")
    assert "Nothing was changed: admin@tech.gov.sg let it run at 10:00 already." in client.get(answer.location).text
    assert db.session.scalar(select(func.count()).where(AuditEvent.action == brake.ALLOWED)) == 1
    assert sweep.sweep(now, replace(policy, sweep_limit=2)).done["expired"] == 3
    client.get("/admin/requests")
    assert "is held" not in client.get("/admin/forecast").text


@pytest.mark.parametrize(
    ("posted", "page"),
    [
        ("/admin/forecast/held/expiry", "/admin/forecast"),
        ("/admin/forecast/selection?kind=expire&day=2026-11-24", "/admin/forecast?kind=expire&day=2026-11-24"),
        ("/admin/forecast/selection", "/admin/forecast"),
    ],
)
def test_the_address_of_an_error_leads_back_to_the_page(client, admin, posted, page):
    answer = client.get(posted)
    assert (answer.status_code, answer.location) == (303, page)


@pytest.mark.parametrize(
    ("part", "words", "never"),
    [
        ("expiry", ["Invitations past their time are refused all the same", "and hold or extend whoever"], []),
        ("inactivity", ["See who is due today", "and hold whoever"], ["Invitations past", "extend"]),
        ("deletion", ["See who is due today", "and hold whoever"], ["Invitations past", "extend"]),
    ],
)
def test_what_is_said_of_a_held_part_fits_it(client, admin, make, now, part, words, never):
    make.account(AccountStatus.TERMINATED, purge_at=now)
    make.account(idle_since=now - 120 * DAY, changed_at=now - 120 * DAY, inactivity_due_at=now)
    make.invitation(make.account(AccountStatus.PENDING), at=now - 31 * DAY)
    db.session.add(HeldSweep(part=part, would_end=1, usual=0, held_at=now))
    db.session.commit()
    page = client.get("/admin/forecast").text
    said = " ".join(page.partition("notice-warning")[2].partition("held-form")[0].split())
    for each in words:
        assert each in said.replace("</a>,", "")
    for each in never:
        assert each not in said


def test_letting_what_is_not_held_run_does_nothing(client, admin, held, now, policy):
    client.get("/admin/forecast")
    sweep.sweep(now, policy)
    answer = client.submit("/admin/forecast/held/expiry", seen="3", reason="why")
    assert "not held any more" in client.get(answer.location).text
    assert db.session.scalar(select(func.count()).where(AuditEvent.action == brake.ALLOWED)) == 0


def test_only_what_can_be_held_can_be_let_run(client, admin, held):
    client.get("/admin/forecast")
    for part in ("reminders", "x" * 300):
        assert client.submit(f"/admin/forecast/held/{part}", seen="3", reason="why").status_code == 404
        client.get("/admin/forecast")


def test_the_rehearsal_says_to_whom_what_would_happen(client, admin, make, now):
    make.invitation(make.account(AccountStatus.PENDING, "late@tech.gov.sg"), at=now - 31 * DAY)
    make.invitation(make.account(AccountStatus.PENDING, "soon@tech.gov.sg"), at=now - 20 * DAY)
    page = client.get("/admin/forecast/rehearsal").text
    assert "TechPass expires, notice of termination" in page
    assert "late@tech.gov.sg" in page
    assert "soon@tech.gov.sg" not in page
    fragment = client.htmx("GET", "/admin/forecast/rehearsal?at=2026-11-28&what=reminded").text
    assert fragment.startswith('<div id="rehearsal"')
    assert "soon@tech.gov.sg" in fragment
    assert "at the end of Saturday, 28 November 2026" in fragment
    assert rows() == rows(AuditEvent) == 0


def test_a_mail_is_seen_as_it_would_read_and_leads_nowhere(client, admin, make, now):
    soon, token = make.invitation(make.account(AccountStatus.PENDING, "soon@tech.gov.sg"), at=now - 20 * DAY)
    listed = client.get("/admin/forecast/rehearsal?at=2026-11-28&what=reminded").text
    address = f"/admin/forecast/rehearsal/reminded/{soon.id}"
    assert f'href="{address}?at=2026-11-28"' in listed
    page = client.get(f"{address}?at=2026-11-28").text
    assert "soon@tech.gov.sg" in page
    assert f'src="{address}/html?at=2026-11-28"' in page
    assert "Friday, 4 December 2026, 10:00 Singapore time" in page
    html = client.get(f"{address}/html?at=2026-11-28")
    assert "sandbox" in html.headers["Content-Security-Policy"]
    assert html.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "<a href" not in html.text
    assert token not in page + html.text
    assert rows() == rows(AuditEvent) == 0
    answer = client.get(address)
    assert "will not happen any more" in client.get(answer.location).text
    assert client.get(f"{address}/html").status_code == 404
    assert client.get("/admin/forecast/rehearsal/forgotten/1").status_code == 404


def test_with_nothing_due_the_rehearsal_says_so(client, admin):
    assert "Nothing falls due now." in client.get("/admin/forecast/rehearsal?at=nonsense&after=x").text


def test_auditors_see_all_of_it_and_change_nothing(client, make, held, now, late):
    make.sign_in(client, make.account(role=Role.AUDITOR))
    late("late@tech.gov.sg")
    page = client.get("/admin/forecast").text
    assert "is held: it would terminate 3 accounts" in page
    pages = [page, client.get(EXPIRE).text, client.get("/admin/forecast/rehearsal").text]
    assert not any(
        'action="/admin/forecast/' in page.replace('action="/admin/forecast/rehearsal"', "") for page in pages
    )
    assert not any('type="checkbox"' in page for page in pages)


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])
def test_enter_in_a_field_does_nothing_but_ask(client, admin, late, htmx):
    one = late("one@tech.gov.sg")
    client.get(EXPIRE)
    answer = client.submit(act(EXPIRE), htmx=htmx, action="", reason="ill", chosen=f"{one.id}.techpass")
    assert answer.status_code == 422
    assert "Press the button of what is to be done" in answer.text
    assert fresh(one).under_investigation is False
    page = client.get(EXPIRE).text
    first = re.search(r'<button type="submit" name="action" value="([^"]*)"', page.partition('id="selection"')[2])
    assert first
    assert first.group(1) == "", "the first button of the form is what Enter presses"
