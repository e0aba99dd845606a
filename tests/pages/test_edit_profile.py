"""Edit profile: name, mobile number and department, told by mail and on record without what they say (rule 6.1)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import select

from webapp import mobiles
from webapp.domain.lifecycle import AccountStatus, Role, SeedStatus
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Mail
from webapp.services import audit, edit_profile
from webapp.services.errors import SessionOver

FULL = {"first_name": "Wei Ling", "last_name": "Tan", "mobile": "9123 4567", "department": "Data and AI"}
KEPT = ("Wei Ling", "Tan", "+6591234567", "Data and AI")


def kept(account):
    fresh = db.session.get_one(Account, account.id, populate_existing=True)
    return tuple(getattr(fresh, name) for name in edit_profile.EDITABLE)


def told():
    events = db.session.execute(select(AuditEvent.action, AuditEvent.detail).order_by(AuditEvent.id))
    mails = db.session.execute(select(Mail.kind, Mail.context).order_by(Mail.id))
    return [tuple(row) for row in events], [tuple(row) for row in mails]


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])
def test_a_change_is_kept_recorded_and_mailed_without_what_it_says(client, make, htmx):
    account = make.account()
    make.sign_in(client, account)
    page = client.get("/profile/edit")
    assert page.status_code == 200
    for token in ("given-name", "family-name", "tel"):
        assert f'autocomplete="{token}"' in page.text
    answer = client.submit("/profile/edit", htmx=htmx, **FULL)
    assert answer.headers["HX-Redirect" if htmx else "Location"] == "/profile"
    assert answer.status_code == (204 if htmx else 303)
    assert kept(account) == KEPT
    fields = ["first_name", "last_name", "mobile", "department"]
    assert told() == ([("profile.changed", {"fields": fields})], [("profile_changed", {"changed": fields})])
    profile = client.get("/profile").text
    assert "Your profile was changed" in profile
    for words in ("Wei Ling Tan", "+65 9123 4567", "Data and AI", 'href="/profile/edit"'):
        assert words in profile


def test_only_what_changed_is_named(client, make, now, set_now):
    account = make.account(first_name="Wei Ling", last_name="Tan", mobile="+6591234567", department="Data and AI")
    make.sign_in(client, account)
    page = client.get("/profile/edit").text
    assert 'value="+65 9123 4567"' in page
    client.submit("/profile/edit", **FULL | {"department": ""})
    assert kept(account) == (*KEPT[:3], None)
    assert told() == (
        [("profile.changed", {"fields": ["department"]})],
        [("profile_changed", {"changed": ["department"]})],
    )
    assert "Not given" in client.get("/profile").text


def test_nothing_changed_writes_nothing_and_says_so(client, make):
    account = make.account(first_name="Wei Ling", last_name="Tan", mobile="+6591234567", department="Data and AI")
    make.sign_in(client, account)
    client.get("/profile/edit")
    assert client.submit("/profile/edit", **FULL).status_code == 303
    assert told() == ([], [])
    assert "Nothing was changed" in client.get("/profile").text


def test_other_fields_are_ignored(client, make):
    account = make.account()
    make.sign_in(client, account)
    client.get("/profile/edit")
    more = {"role": "admin", "status": "terminated", "seed_status": "onboarded", "email": "x@tech.gov.sg", "id": "99"}
    client.submit("/profile/edit", **FULL, **more)
    fresh = db.session.get_one(Account, account.id, populate_existing=True)
    assert kept(account) == KEPT
    assert (fresh.role, fresh.status, fresh.seed_status) == (
        Role.OFFICER,
        AccountStatus.ACTIVE,
        SeedStatus.NOT_REQUIRED,
    )
    assert fresh.email == account.email == "officer1@tech.gov.sg"


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("91234567", "+6591234567"),
        ("9123 4567", "+6591234567"),
        (" 8123-4567 ", "+6581234567"),
        ("+65 9123 4567", "+6591234567"),
        ("65 9123 4567", "+6591234567"),
        ("6591234567", "+6591234567"),
        ("(65) 9123 4567", "+6591234567"),
        ("９１２３４５６７", "+6591234567"),
        ("+44 7911 123456", "+447911123456"),
        ("+44 (0) 7911 123456", "+447911123456"),
        ("001 44 7911 123456", "+447911123456"),
        ("0065 9123 4567", "+6591234567"),
        ("0044 7911 123456", "+447911123456"),
        ("tel:+6591234567", "+6591234567"),
        ("+60 12-345 6789", "+60123456789"),
        ("+1 650 253 0000", "+16502530000"),
    ],
)
def test_a_mobile_number_is_understood_as_it_is_typed(typed, number):
    assert mobiles.read(typed) == number
    assert mobiles.read(mobiles.shown(number)) == number


NOT_A_NUMBER, NOT_MOBILE = "not a number that we know", "not a mobile number"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("12345", NOT_A_NUMBER),
        ("999", NOT_A_NUMBER),
        ("+", NOT_A_NUMBER),
        ("+999 123456789", NOT_A_NUMBER),
        ("07911 123456", NOT_A_NUMBER),
        ("call 9123 4567", NOT_A_NUMBER),
        ("9123 4567 ext 5", NOT_A_NUMBER),
        ("9CALLME1", NOT_A_NUMBER),
        ("9" * 41, NOT_A_NUMBER),
        ("6123 4567", NOT_MOBILE),
        ("+65 3123 4567", NOT_MOBILE),
    ],
)
@pytest.mark.parametrize("app", ["sqlite"], indirect=True)
def test_what_is_no_mobile_number_is_said_and_kept_for_mending(client, make, typed, said):
    account = make.account()
    make.sign_in(client, account)
    client.get("/profile/edit")
    answer = client.submit("/profile/edit", **FULL | {"mobile": typed})
    assert answer.status_code == 422
    assert said in answer.text
    assert f'value="{typed}"' in answer.text
    assert 'href="#mobile"' in answer.text
    assert kept(account) == (None,) * 4
    assert told() == ([], [])


@pytest.mark.parametrize(("field", "most"), [("first_name", 60), ("last_name", 60), ("department", 120)])
def test_what_is_too_long_is_said(client, make, field, most):
    account = make.account()
    make.sign_in(client, account)
    client.get("/profile/edit")
    answer = client.submit("/profile/edit", htmx=True, **{field: "x" * (most + 1)})
    assert answer.status_code == 422
    assert "<html" not in answer.text
    assert f"must have {most} characters or fewer" in answer.text
    assert told() == ([], [])
    client.submit("/profile/edit", **{field: "\N{SNAKE}" * most})
    assert "\N{SNAKE}" * most in kept(account)


def test_line_breaks_and_markup_in_a_name_are_inert(client, make):
    account = make.account()
    make.sign_in(client, account)
    client.get("/profile/edit")
    name = "<script>alert(1)</script>\r\nBcc: x@y.example\u202e"
    client.submit("/profile/edit", first_name=name, department=" \u200b ")
    assert kept(account) == ("<script>alert(1)</script> Bcc: x@y.example", None, None, None)
    for address in ("/profile", "/profile/edit", "/profile/activity"):
        page = client.get(address).text
        assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in client.get("/profile").text


def test_a_stale_form_keeps_what_was_typed(client, make):
    account = make.account()
    make.sign_in(client, account)
    answer = client.post("/profile/edit", data=FULL)
    assert answer.status_code == 422
    assert 'value="Wei Ling"' in answer.text
    assert kept(account) == (None,) * 4


def test_an_account_that_was_disabled_meanwhile_changes_nothing(client, make, monkeypatch):
    account = make.account()
    make.sign_in(client, account)
    client.get("/profile/edit")
    validate = edit_profile.change

    def late(*arguments):
        db.session.query(Account).update({"status": AccountStatus.DISABLED})
        db.session.commit()
        return validate(*arguments)

    monkeypatch.setattr(edit_profile, "change", late)
    assert client.submit("/profile/edit", **FULL).headers["Location"] == "/log-in"
    assert kept(account) == (None,) * 4
    with pytest.raises(SessionOver):
        validate(10**9, {}, audit.SYSTEM, make.now)


def test_pressed_in_many_tabs_at_once_it_is_one_change(app, make, now):
    account = make.account()
    number, by = account.id, audit.By.person(account, "192.0.2.1")
    barrier = Barrier(6)

    def save(_):
        with app.app_context():
            db.session.connection()  # Opened before, so that all begin at once.
            db.session.rollback()
            barrier.wait()
            return edit_profile.change(number, {"first_name": "Wei Ling"}, by, now)

    with ThreadPoolExecutor(6) as pool:
        assert sorted(map(bool, pool.map(save, range(6)))) == [False] * 5 + [True]
    db.session.rollback()
    events, mails = told()
    assert (len(events), len(mails)) == (1, 1)


def test_an_older_tab_undoes_nothing(client, make):
    account = make.account()
    make.sign_in(client, account)
    client.get("/profile/edit")
    older = {f"{name}_shown": "" for name in ("first_name", "last_name", "mobile", "department")}
    client.submit("/profile/edit", department="Digital Services", **older)
    client.get("/profile/edit")
    client.submit("/profile/edit", last_name="Wilson", department="", **older)
    kept = db.session.get_one(Account, account.id, populate_existing=True)
    assert (kept.last_name, kept.department) == ("Wilson", "Digital Services")


@pytest.mark.parametrize("name", ["ශ්\u200dරී", "ک\u200cب"])
def test_a_name_keeps_its_joiners(client, make, name):
    account = make.account()
    make.sign_in(client, account)
    client.get("/profile/edit")
    client.submit("/profile/edit", first_name=f" {name}\u200d ")
    assert db.session.get_one(Account, account.id, populate_existing=True).first_name == name
