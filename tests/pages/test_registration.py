"""A vendor registers by the mailed link (rule 5.5)."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from tests.onboarding import PEER
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState, RequestKind, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Agency, AuditEvent, Invitation, Mail, Request
from webapp.services import agencies, invitations, requests
from webapp.services.audit import By

STYLES = pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])
GIVEN = {"first_name": "Mei", "last_name": "Tan", "organisation": "Vendor Pte Ltd", "mobile": "9123 4567"}


@pytest.fixture
def vendor(make, now):
    """``vendor(**changes)``: an invited vendor, and the token of the link."""

    def invited(**changes):
        inviter = make.account(email="goh@tech.gov.sg")
        account = make.vendor(email="mei@vendor.example.com", organisation="Vendor Pte", **changes)
        make.invitee(inviter, account)
        return account, make.invitation(account, InvitationKind.REGISTRATION)[1]

    return invited


def fresh(account):
    db.session.rollback()
    return db.session.get_one(Account, account.id, populate_existing=True)


def asked():
    db.session.rollback()
    return list(db.session.scalars(select(Request).order_by(Request.id)))


def kinds():
    return list(db.session.scalars(select(Mail.kind).order_by(Mail.id)))


def read(answer) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


def test_the_page_says_who_invites_until_when_and_what_is_known(client, vendor):
    _, token = vendor(first_name="Mei")
    page = client.get(f"/registration/{token}")
    said = read(page)
    for words in ("mei@vendor.example.com", "goh@tech.gov.sg", "Government Technology Agency"):
        assert words in said
    assert "Sunday, 29 November 2026, 10:00 Singapore time" in said
    assert 'value="Mei"' in page.text
    assert 'value="Vendor Pte"' in page.text
    calendar = client.get(f"/registration/{token}/deadline.ics")
    assert calendar.mimetype == "text/calendar"
    assert token not in calendar.text


def test_no_field_cuts_what_is_pasted_and_what_is_too_long_is_told(client, vendor):
    _, token = vendor()
    assert "maxlength" not in client.get(f"/registration/{token}").text
    told = client.submit(f"/registration/{token}", **(GIVEN | {"last_name": "x" * 100}))
    assert "The last name must have 60 characters or fewer" in read(told)
    assert f'value="{"x" * 100}"' in told.text
    assert "maxlength" not in told.text


@STYLES
def test_a_vendor_registers_once_and_the_request_is_open(client, vendor, now, htmx):
    account, token = vendor(seed_status=SeedStatus.REQUESTED)
    client.get(f"/registration/{token}")
    answer = client.submit(f"/registration/{token}", htmx=htmx, **GIVEN)
    where = answer.headers["HX-Redirect"] if htmx else answer.location
    assert where == "/registration/received"
    assert "You are registered" in client.get(where).text
    account = fresh(account)
    assert (account.first_name, account.last_name, account.organisation, account.mobile, account.status) == (
        "Mei",
        "Tan",
        "Vendor Pte Ltd",
        "+6591234567",
        AccountStatus.REQUESTED,
    )
    assert [(row.kind, row.state, row.requested_at) for row in asked()] == [
        (RequestKind.TECHPASS, "open", now),
        (RequestKind.SEED, "open", now),
    ]
    assert kinds() == ["request_received"]
    link = db.session.scalars(select(Invitation)).one()
    assert (link.state, link.ended_at) == (InvitationState.USED, now)
    (event,) = db.session.scalars(select(AuditEvent).where(AuditEvent.action == "registration.completed")).all()
    assert (event.account_id, event.actor, event.detail) == (account.id, "visitor", {"invitation": link.id})
    assert "registered already" in client.get(f"/registration/{token}").text


WRONG = [
    ({"first_name": " "}, "Enter your first name"),
    ({"last_name": ""}, "Enter your last name"),
    ({"organisation": None}, "Enter the organisation that you work for"),
    ({"mobile": ""}, "Enter your mobile number"),
    ({"mobile": "12345"}, "This is not a number that we know"),
    ({"mobile": "6123 4567"}, "This is not a mobile number"),
    ({"first_name": "x" * 61}, "60 characters or fewer"),
    ({"organisation": "x" * 121}, "120 characters or fewer"),
]


@STYLES
@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_what_is_wrong_is_told_and_nothing_is_changed(client, vendor, changes, words, htmx):
    _, token = vendor()
    client.get(f"/registration/{token}")
    answer = client.submit(f"/registration/{token}", htmx=htmx, **(GIVEN | changes))
    assert answer.status_code == 422
    assert words in answer.text
    assert asked() == []
    assert kinds() == []


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("+44 7911 123456", "+447911123456"), ("+65 8123 4567", "+6581234567"), ("0060 12-345 6789", "+60123456789")],
)
def test_foreign_numbers_are_taken_with_their_country(client, vendor, typed, kept):
    account, token = vendor()
    client.get(f"/registration/{token}")
    assert client.submit(f"/registration/{token}", **(GIVEN | {"mobile": typed})).status_code == 303
    assert fresh(account).mobile == kept


def test_a_line_break_in_a_name_is_a_space_and_a_script_is_text(client, vendor):
    account, token = vendor()
    client.get(f"/registration/{token}")
    client.submit(
        f"/registration/{token}",
        **(GIVEN | {"first_name": "Mei\r\nBcc: x@example.com", "organisation": "<script>A</script>\r\nB"}),
    )
    assert fresh(account).first_name == "Mei Bcc: x@example.com"
    assert fresh(account).organisation == "<script>A</script> B"


@pytest.mark.parametrize(("late", "status"), [(timedelta(0), 303), (timedelta(seconds=1), 410)])
def test_the_link_works_for_five_days_to_the_second(client, vendor, now, set_now, late, status):
    _, token = vendor()
    client.get(f"/registration/{token}")
    set_now(now + timedelta(days=5) + late)
    answer = client.submit(f"/registration/{token}", **GIVEN)
    assert answer.status_code == status
    if status == 410:
        assert "This invitation has expired" in answer.text
        assert "goh@tech.gov.sg" in answer.text
        assert client.get(f"/registration/{token}").status_code == 410
    assert len(asked()) == (1 if status == 303 else 0)


def test_a_link_that_was_replaced_leads_to_the_latest(client, make, vendor, now, policy):
    account, token = vendor()
    client.get(f"/registration/{token}")
    invitations.issue(account, InvitationKind.REGISTRATION, now, policy)
    db.session.commit()
    answer = client.submit(f"/registration/{token}", **GIVEN)
    assert answer.status_code == 410
    assert "A newer email has replaced this link" in answer.text
    assert asked() == []


def test_a_form_whose_link_has_ended_leads_to_the_page_that_says_why(client, vendor, now, set_now):
    _, token = vendor()
    client.get(f"/registration/{token}")
    given = GIVEN | {"csrf_token": client.csrf_token()}
    unknown = client.htmx("POST", "/registration/nobodys", data=given)
    set_now(now + timedelta(days=5, seconds=1))
    for changes in ({}, {"mobile": ""}):
        answer = client.htmx("POST", f"/registration/{token}", data=given | changes)
        assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, f"/registration/{token}")
    assert "This invitation has expired" in client.get(f"/registration/{token}").text
    shown = client.get(unknown.headers["HX-Redirect"])
    assert shown.status_code == 404
    assert "ask the person who invited you" in read(shown)
    assert "the first email" not in read(shown)


@pytest.mark.parametrize("kind", [kind for kind in InvitationKind if kind is not InvitationKind.REGISTRATION])
def test_a_link_of_another_kind_is_none(client, make, kind):
    _, token = make.invitation(kind=kind)
    assert client.get(f"/registration/{token}").status_code == 404
    assert client.get(f"/registration/{token}/deadline.ics").status_code == 404


def test_many_at_once_register_once(app, client, vendor):
    _, token = vendor()
    client.get(f"/registration/{token}")
    csrf = client.csrf_token()
    with client.session_transaction() as cookie:
        kept = dict(cookie)

    def send(_):
        browser = app.test_client()
        with browser.session_transaction() as cookie:
            cookie.update(kept)
        with app.app_context():
            return browser.post(f"/registration/{token}", data={"csrf_token": csrf, **GIVEN}).status_code

    db.session.rollback()  # SQLite would have them wait for what this test has read.
    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(send, range(8)))
    assert answers == [303] + [410] * 7
    assert len(asked()) == 1
    assert kinds() == ["request_received"]


def test_seed_is_not_promised_where_the_sponsor_does_not_take_part_any_more(client, vendor):
    account, token = vendor(seed_status=SeedStatus.REQUESTED)
    db.session.execute(update(Agency).values(seed_eligible=False))
    db.session.commit()
    client.get(f"/registration/{token}")
    client.submit(f"/registration/{token}", **GIVEN)
    assert fresh(account).seed_status is SeedStatus.INELIGIBLE
    assert [row.kind for row in asked()] == [RequestKind.TECHPASS]


@pytest.mark.parametrize("automatically", [False, True])
def test_then_it_goes_on_as_for_officers(client, make, vendor, now, policy, automatically):
    account, token = vendor()
    db.session.execute(update(Agency).values(approves_automatically=automatically))
    db.session.commit()
    agencies.forget()
    client.get(f"/registration/{token}")
    client.submit(f"/registration/{token}", **GIVEN)
    assert requests.approve_automatically(now, policy) == automatically
    if not automatically:
        requests.approve(asked()[0].id, By.person(make.admin(), PEER), now, policy)
    assert fresh(account).status is AccountStatus.PENDING
    assert kinds() == ["request_received", "techpass_onboarding"]
    assert db.session.scalar(select(func.count()).select_from(Invitation)) == 2
