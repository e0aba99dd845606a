"""The admins' queue, with htmx and without: the same outcome (section 2 of the rules)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from sqlalchemy import func, select, update

from webapp.domain.lifecycle import RequestKind
from webapp.extensions import db
from webapp.forms.requests import COMMON_REASONS
from webapp.models import Account, Agency, Mail, Request
from webapp.services import audit, notes, questions, queue_list
from webapp.services import requests as service

PROMISED = 'SEED due <time datetime="2026-11-27">27 Nov 2026</time>'
STYLES = pytest.mark.parametrize("htmx", [False, True], ids=["page", "htmx"])


@pytest.fixture
def admin(client, make):
    account = make.admin("boss@tech.gov.sg")
    make.sign_in(client, account)
    return account


def state(request: Request) -> str:
    return db.session.get_one(Request, request.id, populate_existing=True).state


def follow(client, answer):
    return client.get(answer.location)


def test_an_empty_queue_says_so(client, admin):
    assert "Nothing waits for you" in client.get("/admin/requests").text


def test_the_oldest_comes_first_with_its_age(client, make, now, admin):
    make.request("young@tech.gov.sg", at=now - timedelta(hours=1))
    make.request("old@tech.gov.sg", at=now - timedelta(days=3))
    page = client.get("/admin/requests").text
    assert page.index("old@tech.gov.sg") < page.index("young@tech.gov.sg")
    assert "3 days ago" in page
    assert "21 Nov 2026, 10:00" in page
    assert "Times are in Singapore time" in page


@STYLES
def test_once_techpass_is_approved_the_seed_row_says_by_when(client, make, admin, htmx):
    request = make.request("peter@tech.gov.sg", seed=True)
    assert "SEED due" not in client.get("/admin/requests").text
    answer = client.submit(f"/admin/requests/{request.id}/approve", htmx=htmx)
    text = answer.text if htmx else follow(client, answer).text
    assert text.count("SEED due") == 1
    assert PROMISED in " ".join(text.split())
    assert "At risk" not in text


@pytest.mark.parametrize(
    ("seconds_before_midnight", "days", "says"),
    [(1, 2, None), (0, 2, "At risk"), (1, 3, "At risk"), (0, 3, "Overdue"), (0, 30, "Overdue")],
)
def test_a_promise_is_at_risk_from_its_last_day_and_overdue_after_it(
    client, make, now, policy, admin, set_now, seconds_before_midnight, days, says
):
    request = make.request(seed=True)
    service.approve(request.id, audit.SYSTEM, now, policy)
    midnight = datetime(2026, 11, 24, 16, 0, tzinfo=UTC)  # The end of the day of the approval in Singapore.
    at = midnight + timedelta(days=days, seconds=-seconds_before_midnight)
    set_now(at)
    make.now = at
    make.sign_in(client, admin)
    page = client.get("/admin/requests").text
    assert PROMISED in " ".join(page.split())
    assert {word for word in ("At risk", "Overdue") if word in page} == ({says} if says else set())
    assert ("status-bad" in page) == (says is not None)


def test_a_decided_request_is_no_promise_any_more(client, make, now, policy, admin):
    request = make.request(seed=True)
    service.approve(request.id, audit.SYSTEM, now, policy)
    seed = db.session.scalars(select(Request).filter_by(kind=RequestKind.SEED)).one()
    client.get("/admin/requests")
    assert "SEED due" not in client.submit(f"/admin/requests/{seed.id}/approve", htmx=True).text


@STYLES
def test_approving_swaps_the_row_or_returns_to_the_queue(client, make, admin, htmx):
    request = make.request("peter@tech.gov.sg")
    client.get("/admin/requests")
    answer = client.submit(f"/admin/requests/{request.id}/approve", htmx=htmx)
    assert state(request) == "approved"
    assert list(db.session.scalars(select(Mail.kind))) == ["techpass_onboarding"]
    text = answer.text if htmx else follow(client, answer).text
    assert "TechPass for peter@tech.gov.sg: approved" in text
    assert answer.status_code == (200 if htmx else 303)
    if htmx:
        assert answer.text.strip().startswith(f'<tr id="request-{request.id}"')


@STYLES
def test_rejecting_asks_for_the_reason_first(client, make, admin, htmx):
    request = make.request("peter@tech.gov.sg")
    address = f"/admin/requests/{request.id}/reject"
    client.get("/admin/requests")
    asked = client.htmx("GET", address) if htmx else client.get(address)
    assert "The applicant is told it by email" in asked.text
    assert ("<html" in asked.text) is not htmx
    refused = client.submit(address, htmx=htmx, reason="  ")
    assert refused.status_code == 422
    assert "Enter a reason" in refused.text
    assert state(request) == "open"
    answer = client.submit(address, htmx=htmx, reason="Not an officer")
    assert state(request) == "rejected"
    assert answer.status_code == (200 if htmx else 303)
    assert list(db.session.scalars(select(Mail.kind))) == ["request_rejected"]


@pytest.mark.parametrize("reason", ["x" * 501])
def test_a_reason_too_long_is_refused_and_kept(client, make, admin, reason):
    request = make.request()
    client.get(f"/admin/requests/{request.id}/reject")
    answer = client.submit(f"/admin/requests/{request.id}/reject", reason=reason)
    assert answer.status_code == 422
    assert reason in answer.text
    assert state(request) == "open"


def test_a_reason_cannot_break_the_page_or_a_mail(client, make, admin):
    request = make.request()
    client.get(f"/admin/requests/{request.id}/reject")
    client.submit(f"/admin/requests/{request.id}/reject", reason="No\r\nBcc: a@b.sg <script>alert(1)</script>")
    row = db.session.get_one(Request, request.id, populate_existing=True)
    assert row.reason == "No Bcc: a@b.sg <script>alert(1)</script>"
    assert "<script>alert" not in client.htmx("GET", f"/admin/requests/{request.id}").text


@STYLES
def test_the_second_admin_is_told_what_the_first_did(client, make, admin, htmx):
    request = make.request("peter@tech.gov.sg")
    client.get("/admin/requests")
    other = make.admin("other@tech.gov.sg")
    service.approve(request.id, audit.By.person(other, "x"), make.now, make.policy)

    answer = client.submit(f"/admin/requests/{request.id}/reject", htmx=htmx, reason="No")

    text = answer.text if htmx else follow(client, answer).text
    assert "other@tech.gov.sg has approved this request already" in text
    assert state(request) == "approved"
    assert db.session.scalar(select(func.count()).select_from(Mail)) == 1


@STYLES
def test_nobody_decides_on_their_own_request(client, make, admin, now, htmx):
    own = Request(account_id=admin.id, kind=RequestKind.SEED, requested_at=now)
    db.session.add(own)
    db.session.commit()
    page = client.get("/admin/requests").text
    assert "Another admin decides on your own request" in page
    answer = client.submit(f"/admin/requests/{own.id}/approve", htmx=htmx)
    text = answer.text if htmx else follow(client, answer).text
    assert "another admin must decide on your own request" in text
    assert state(own) == "open"


@STYLES
def test_nobody_decides_on_whom_they_asked_for(client, make, admin, htmx):
    theirs, others = make.request("theirs@tech.gov.sg"), make.request("others@tech.gov.sg")
    make.invitee(admin, db.session.get_one(Account, theirs.account_id))
    page = client.get("/admin/requests").text
    assert page.count("Another admin decides on whom you asked for.") == 1
    assert "Asked for by you" in page
    assert f'value="{theirs.id}" form="selection"' not in page
    assert f"/admin/requests/{theirs.id}/approve" not in page
    assert f"/admin/requests/{others.id}/approve" in page
    said = "Nothing was done: another admin must decide on whom you asked for."
    for action in ("approve", "reject", "ask"):
        answer = client.submit(f"/admin/requests/{theirs.id}/{action}", htmx=htmx, reason="No", question="Who?")
        assert said in (answer.text if htmx else follow(client, answer).text)
    for action in ("reject", "ask"):
        answer = client.open(f"/admin/requests/{theirs.id}/{action}", headers={"HX-Request": "true"} if htmx else {})
        assert said in (answer.text if htmx else follow(client, answer).text)
    client.get("/admin/requests")
    answer = client.submit("/admin/requests/approve", htmx=htmx, request=[theirs.id, others.id])
    text = answer.text if htmx else follow(client, answer).text
    assert "1 request approved, 1 not." in text
    assert "TechPass for theirs@tech.gov.sg: another admin must decide on whom you asked for." in text
    assert (state(theirs), state(others)) == ("open", "approved")


def test_a_row_says_who_asked_why_and_who_a_vendor_is(client, make, now, admin):
    goh = make.account(email="goh@moe.gov.sg")
    vendor = make.vendor(email="mei@vendor.example.com", first_name="Mei", last_name="Tan", organisation="<script>V")
    db.session.add(Request(account_id=vendor.id, kind=RequestKind.TECHPASS, requested_at=now))
    make.invitee(goh, vendor, reason='Keeps "our" site')
    # Who asked for somebody that was there already is none of them.
    make.invitee(make.account(email="lim@moe.gov.sg"), vendor, is_theirs=False)
    page = client.get("/admin/requests").text
    said = " ".join(unescape(re.sub(r"<[^>]+>", " ", page.replace("<wbr>", ""))).split())
    for words in (
        "mei@vendor.example.com Vendor Mei Tan, <script>V For Government Technology Agency",
        'Asked for by goh@moe.gov.sg (Ministry of Education): Keeps "our" site',
    ):
        assert words in said, said
    assert "lim@moe.gov.sg" not in said
    assert "<script>V" not in page


def test_seed_waits_for_techpass(client, make, admin):
    request = make.request(seed=True)
    assert "After TechPass is approved" in client.get("/admin/requests").text
    seed = db.session.scalars(select(Request).filter_by(account_id=request.account_id, kind="seed")).one()
    assert (
        "SEED needs a TechPass that is approved" in client.submit(f"/admin/requests/{seed.id}/approve", htmx=True).text
    )


@pytest.mark.parametrize("number", ["0", "999", "99999999999999999999", "9" * 400])
def test_there_may_be_no_such_request(client, admin, number):
    client.get("/profile")
    for address in (f"/admin/requests/{number}", f"/admin/requests/{number}/reject"):
        assert client.get(address).status_code == 404
    for address in (f"/admin/requests/{number}/approve", f"/admin/requests/{number}/reject"):
        assert client.submit(address, reason="x").status_code == 404


def test_pages_of_the_queue_follow_each_other_by_key(client, make, now, admin):
    for number in range(queue_list.PAGE + 3):
        make.request(f"o{number:03}@tech.gov.sg", at=now - timedelta(minutes=500 - number))
    first = client.get("/admin/requests").text
    assert f"o{queue_list.PAGE - 1:03}@" in first
    assert f"o{queue_list.PAGE:03}@" not in first
    following = first.split('href="/admin/requests?after=')[1].split('"')[0].replace("&amp;", "&")
    second = client.get(f"/admin/requests?after={following}").text
    assert f"o{queue_list.PAGE:03}@" in second
    assert f"o{queue_list.PAGE - 1:03}@" not in second
    assert "Back to the oldest" in second


@pytest.mark.parametrize(
    "after", ["", "x", "2026-11-24_x", "_1", "2026-11-24T00:00:00_1", "2026-11-24T00:00:00+00:00_" + "9" * 30]
)
def test_a_garbled_page_key_shows_the_first_page(client, make, admin, after):
    make.request("peter@tech.gov.sg")
    answer = client.get("/admin/requests", query_string={"after": after})
    assert answer.status_code == 200


def test_taking_back_an_unfinished_rejection_brings_the_row_back(client, make, admin):
    request = make.request("peter@tech.gov.sg")
    client.get("/admin/requests")
    row = client.htmx("GET", f"/admin/requests/{request.id}").text
    assert "Approve" in row
    assert client.get(f"/admin/requests/{request.id}").location == "/admin/requests"


def test_a_decision_on_techpass_brings_the_row_of_its_seed_up_to_date(client, make, admin):
    request = make.request("peter@tech.gov.sg", seed=True)
    other = make.request("other@tech.gov.sg", seed=True)
    page = client.get("/admin/requests")
    assert "After TechPass is approved" in page.text
    answer = client.submit(f"/admin/requests/{request.id}/approve", htmx=True)
    seed_row = re.search(r'<tr id="request-2"[^>]*hx-swap-oob="true">.*?</tr>', answer.text, re.DOTALL)
    assert seed_row
    assert "SEED for peter@tech.gov.sg" in seed_row.group()
    assert answer.text.count("<tr") == 2
    assert f'id="request-{other.id}"' not in answer.text


def test_seed_of_a_disabled_person_cannot_be_approved_but_rejected(client, make, now):
    account = make.account("disabled", "peter@tech.gov.sg", seed_status="requested")
    db.session.add(Request(account_id=account.id, kind="seed", requested_at=now))
    db.session.commit()
    make.sign_in(client, make.admin())
    page = client.get("/admin/requests").text
    assert "TechPass is disabled: approve once it is enabled again." in page
    number = db.session.scalar(select(Request.id))
    assert f"/{number}/approve" not in page
    assert f"/{number}/reject" in page


# Filters, selections, taking back, questions, notes and keys (rule 8.2).


def listed(client, **arguments) -> set[str]:
    page = client.get("/admin/requests", query_string=arguments).text
    return set(re.findall(r"(\w+)@\w+\.gov\.sg</", page))


def test_the_filters_of_the_address_narrow_the_queue(client, make, now, policy, admin):
    late = make.request("late@moe.gov.sg", seed=True, at=now - timedelta(days=8))
    service.approve(late.id, audit.SYSTEM, now - timedelta(days=8), policy)
    make.request("both@tech.gov.sg", seed=True, at=now - timedelta(days=2))
    young = make.request("young@tech.gov.sg")
    by = audit.By.person(admin, "x")
    questions.ask(young.id, "Which team?", by, now)
    db.session.execute(update(Account).filter_by(id=young.account_id).values(account_type="vendor"))
    db.session.commit()
    agency = db.session.scalar(select(Agency.id).where(Agency.domain == "moe.gov.sg"))
    assert listed(client) == {"late", "both", "young"}
    for arguments, expected in (
        ({"agency": agency}, {"late"}),
        ({"kind": "seed"}, {"late", "both"}),
        ({"kind": "techpass", "age": "1"}, {"both"}),
        ({"age": "3"}, {"late"}),
        ({"seed": "with"}, {"late", "both"}),
        ({"seed": "without"}, {"young"}),
        ({"seed": "at_risk"}, {"late"}),
        ({"question": "asked"}, {"young"}),
        ({"question": "answered"}, set()),
        ({"person": "vendor"}, {"young"}),
        ({"person": "officer", "age": "1"}, {"late", "both"}),
        ({"q": "OUN"}, {"young"}),
        ({"q": "_oung"}, set()),
        ({"q": "%"}, set()),
        (
            {"agency": "x", "kind": "x", "age": "2", "seed": "x", "question": "x", "person": "x"},
            {"late", "both", "young"},
        ),
    ):
        assert listed(client, **arguments) == expected, arguments
    assert "No request that waits is like this" in client.get("/admin/requests?q=nobody").text
    fragment = client.htmx("GET", "/admin/requests?q=young")
    assert fragment.text.strip().startswith('<div id="queue">')
    assert 'data-announce="1 request"' in fragment.text


@pytest.fixture
def undo_time(app, monkeypatch):
    monkeypatch.setitem(app.config, "POLICY", replace(app.config["POLICY"], undo_seconds=10))


@STYLES
def test_a_decision_is_taken_back_from_where_it_is_told(client, make, now, admin, undo_time, set_now, htmx):
    request = make.request("peter@tech.gov.sg", seed=True)
    client.get("/admin/requests?kind=techpass")
    answer = client.submit(f"/admin/requests/{request.id}/approve?kind=techpass", htmx=htmx)
    if not htmx:
        assert answer.location == "/admin/requests?kind=techpass"
    told = answer if htmx else follow(client, answer)
    assert 'data-undo-seconds="10.0"' in told.text
    answer = client.submit("/admin/requests/undo", htmx=htmx, request=request.id)
    text = answer.text if htmx else follow(client, answer).text
    assert "Taken back: TechPass for peter@tech.gov.sg waits again." in text
    assert "data-undo-seconds" not in text
    assert state(request) == "open"
    assert db.session.scalars(select(Mail)).all() == []

    client.submit(f"/admin/requests/{request.id}/approve", htmx=htmx)
    client.get("/admin/requests")
    set_now(now + timedelta(seconds=10))
    answer = client.submit("/admin/requests/undo", htmx=htmx, request=request.id)
    text = answer.text if htmx else follow(client, answer).text
    assert "Nothing was taken back: the time to take it back is over" in text
    assert state(request) == "approved"


@STYLES
def test_a_selection_is_approved_one_by_one_and_taken_back_whole(client, make, now, policy, admin, undo_time, htmx):
    first, second = make.request("first@tech.gov.sg"), make.request("second@tech.gov.sg")
    decided = make.request("decided@tech.gov.sg")
    client.get("/admin/requests")
    service.reject(decided.id, "No", audit.By.person(make.admin("other@tech.gov.sg"), "x"), now, policy)
    chosen = [first.id, second.id, decided.id, 10**12, "x", "9" * 400]
    answer = client.submit("/admin/requests/approve", htmx=htmx, request=chosen)
    text = answer.text if htmx else follow(client, answer).text
    assert "2 requests approved, 1 not." in text
    assert "TechPass for decided@tech.gov.sg: other@tech.gov.sg has rejected this request already." in text
    assert (state(first), state(second), state(decided)) == ("approved", "approved", "rejected")
    answer = client.submit("/admin/requests/undo", htmx=htmx, request=[first.id, second.id], list="1")
    text = answer.text if htmx else follow(client, answer).text
    assert "2 requests taken back." in text
    assert (state(first), state(second)) == ("open", "open")
    assert db.session.scalars(select(Mail.kind)).all() == ["request_rejected"]


@STYLES
def test_what_of_a_selection_cannot_be_taken_back_keeps_nothing_else_from_it(
    client, make, now, policy, admin, undo_time, htmx
):
    mine, second, third = (make.request(f"{name}@tech.gov.sg") for name in ("mine", "second", "third"))
    client.get("/admin/requests")
    client.submit("/admin/requests/approve", htmx=htmx, request=[mine.id, third.id])
    # Tried between the two: the newest comes first.
    service.reject(second.id, "No", audit.By.person(make.admin("other@tech.gov.sg"), "x"), now, policy)
    client.get("/admin/requests")
    answer = client.submit("/admin/requests/undo", htmx=htmx, request=[mine.id, second.id, third.id], list="1")
    text = answer.text if htmx else follow(client, answer).text
    assert "2 requests taken back, 1 not." in text
    assert "TechPass for second@tech.gov.sg: only the admin who decided can take it back." in text
    assert (state(mine), state(second), state(third)) == ("open", "rejected", "open")
    for nothing in ([second.id], [], [10**9]):
        client.get("/admin/requests")
        answer = client.submit("/admin/requests/undo", htmx=htmx, request=nothing, list="1")
        text = answer.text if htmx else follow(client, answer).text
        assert "Nothing was taken back." in text


@STYLES
def test_what_was_decided_last_is_offered_to_be_taken_back_on_a_page_loaded_again(
    client, make, now, admin, undo_time, set_now, htmx
):
    request = make.request("peter@tech.gov.sg")
    client.get("/admin/requests")
    client.submit(f"/admin/requests/{request.id}/approve", htmx=htmx)
    page = client.get("/admin/requests").text
    assert 'data-undo-seconds="10.0"' in page.split('id="filter-q"')[0]
    found = client.htmx("GET", "/admin/requests?q=peter").text
    assert 'data-undo-seconds="10.0"' in found
    assert '<div id="page-undo" hx-swap-oob="true"></div>' in found
    set_now(now + timedelta(seconds=10))
    assert "data-undo-seconds" not in client.get("/admin/requests").text


@STYLES
def test_a_selection_is_rejected_with_a_reason_that_is_asked_for(client, make, admin, htmx):
    first, seed_too = make.request("first@tech.gov.sg"), make.request("both@tech.gov.sg", seed=True)
    chosen = [first.id, seed_too.id, seed_too.id + 1]
    client.get("/admin/requests")
    asked = client.submit("/admin/requests/reject", htmx=htmx, request=chosen)
    page = asked if htmx else follow(client, asked)
    assert "first@tech.gov.sg" in page.text
    assert (state(first), state(seed_too)) == ("open", "open")
    refused = client.submit("/admin/requests/reject", htmx=htmx, request=chosen, reason=" ")
    assert refused.status_code == 422
    assert "Enter a reason" in refused.text
    common = COMMON_REASONS[RequestKind.TECHPASS][0]
    answer = client.submit("/admin/requests/reject", htmx=htmx, request=chosen, reason="Ring us.", common=common)
    text = answer.text if htmx else follow(client, answer).text
    assert "2 requests rejected." in text
    rows = db.session.scalars(select(Request).execution_options(populate_existing=True)).all()
    assert {row.reason for row in rows} == {f"{common} Ring us."}
    assert {row.state for row in rows} == {"rejected"}


@STYLES
@pytest.mark.parametrize("action", ["approve", "reject"])
def test_an_empty_selection_changes_nothing(client, make, admin, action, htmx):
    make.request()
    client.get("/admin/requests")
    answer = client.submit(f"/admin/requests/{action}", htmx=htmx, reason="No")
    assert "select at least one" in (answer.text if htmx else follow(client, answer).text)


@STYLES
def test_asking_brings_the_question_and_then_the_answer_into_the_row(client, make, now, admin, htmx):
    request = make.request("peter@tech.gov.sg")
    address = f"/admin/requests/{request.id}/ask"
    client.get("/admin/requests")
    form = client.htmx("GET", address) if htmx else client.get(address)
    assert "peter@tech.gov.sg" in form.text
    assert client.submit(address, htmx=htmx, question=" ").status_code == 422
    answer = client.submit(address, htmx=htmx, question="Which <team>?")
    text = answer.text if htmx else follow(client, answer).text
    assert "Question sent to peter@tech.gov.sg." in text
    assert "Which &lt;team&gt;?" in text
    assert "Waits for an answer" in text
    answer = client.submit(address, htmx=htmx, question="And the floor?")
    assert "waits for its answer already" in (answer.text if htmx else follow(client, answer).text)
    assert address not in client.get("/admin/requests").text
    answer = client.htmx("GET", address) if htmx else client.get(address)
    assert "waits for its answer already" in (answer.text if htmx else follow(client, answer).text)
    token = make.receipt_token(db.session.get_one(Account, request.account_id))
    questions.answer(token, 1, "Cyber <security>", audit.By.visitor("x"), now)
    assert "Cyber &lt;security&gt;" in client.get("/admin/requests").text


@STYLES
@pytest.mark.parametrize("action", ["reject", "ask"])
def test_no_form_is_shown_for_what_is_decided_already(client, make, admin, htmx, action):
    request = make.request("peter@tech.gov.sg")
    client.get("/admin/requests")
    client.submit(f"/admin/requests/{request.id}/approve", htmx=htmx)
    address = f"/admin/requests/{request.id}/{action}"
    answer = client.htmx("GET", address) if htmx else client.get(address)
    assert "you have approved this request already." in (answer.text if htmx else follow(client, answer).text)


@STYLES
def test_that_an_applicant_is_on_hold_is_seen_in_the_row(client, make, admin, htmx):
    request = make.request("peter@tech.gov.sg")
    account = db.session.get_one(Account, request.account_id)
    assert "On hold" not in client.get("/admin/requests").text
    account.under_investigation = True
    db.session.commit()
    assert "On hold" in client.get("/admin/requests").text
    answer = client.submit(f"/admin/requests/{request.id}/approve", htmx=htmx)
    assert "approved. The account is on hold." in (answer.text if htmx else follow(client, answer).text)


def test_what_stands_in_the_way_of_taking_back_can_itself_be_taken_back(client, make, admin, undo_time):
    techpass = make.request("peter@tech.gov.sg", seed=True)
    seed = db.session.scalars(select(Request).where(Request.kind == RequestKind.SEED)).one()
    client.get("/admin/requests")
    for request in (techpass, seed):
        client.submit(f"/admin/requests/{request.id}/approve", htmx=True)
    text = client.submit("/admin/requests/undo", htmx=True, request=techpass.id).text
    assert "SEED was approved after it. Take that back first." in text
    assert text.count("data-undo-seconds") == 2


@STYLES
def test_what_was_taken_back_in_another_window_is_told_as_that(client, make, admin, undo_time, htmx):
    request = make.request("peter@tech.gov.sg")
    client.get("/admin/requests")
    client.submit(f"/admin/requests/{request.id}/approve", htmx=htmx)
    for said in ("waits again.", "it waits again already."):
        client.get("/admin/requests")
        answer = client.submit("/admin/requests/undo", htmx=htmx, request=request.id)
        assert said in (answer.text if htmx else follow(client, answer).text)


@STYLES
def test_a_note_on_a_page_that_is_too_old_is_not_lost_without_a_word(client, make, admin, htmx):
    request = make.request("peter@tech.gov.sg")
    client.get("/admin/requests")
    answer = client.submit(f"/admin/requests/{request.id}/note", htmx=htmx, note="Rang back", csrf_token="old")
    assert answer.status_code == 422
    assert "open for too long" in answer.text
    assert 'value="Rang back"' in answer.text


@STYLES
def test_a_note_stays_with_the_row(client, make, admin, htmx):
    request = make.request("peter@tech.gov.sg")
    address = f"/admin/requests/{request.id}/note"
    client.get("/admin/requests")
    assert client.submit(address, htmx=htmx, note=" ").status_code == 422
    client.get("/admin/requests")
    answer = client.submit(address, htmx=htmx, note="Rang <back>")
    text = answer.text if htmx else follow(client, answer).text
    # The cell alone, so that a rejection begun in the row stays.
    assert ("<tr" not in text) == htmx
    assert "Note about peter@tech.gov.sg kept." in text
    assert "Rang &lt;back&gt;" in text
    assert "1 note" in text


def test_the_keys_are_switched_off_and_on_by_who_uses_them(client, make, admin):
    assert 'data-keys="on"' in client.get("/admin/requests").text
    answer = client.submit("/admin/requests/keys", keys="off")
    assert answer.status_code == 303
    assert 'data-keys="off"' in follow(client, answer).text
    client.submit("/admin/requests/keys", keys="on")
    assert 'data-keys="on"' in client.get("/admin/requests").text


def test_an_auditor_reads_the_queue_with_questions_and_notes_and_no_button(client, make, now):
    request = make.request("peter@tech.gov.sg")
    by = audit.By.person(make.admin(), "x")
    questions.ask(request.id, "Which team?", by, now)
    notes.add(request.account_id, "Rang back", by, now)
    make.sign_in(client, make.auditor())
    page = client.get("/admin/requests").text
    assert "Which team?" in page
    assert "Rang back" in page
    assert 'data-keys="off"' in page
    main = page.split("<main")[1].split("</main>")[0]
    assert 'method="post"' not in main
    assert f"/admin/requests/{request.id}/" not in main
    assert client.htmx("GET", f"/admin/requests/{request.id}").status_code == 200
