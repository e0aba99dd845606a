"""Asking for one person, and the people one asked for (rules 5.1, 5.3 and 5.4; promise 3)."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, update

from webapp.domain.lifecycle import AccountStatus, AccountType, InvitationKind, RequestKind, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Agency, Invitee, Mail, Request
from webapp.services import agencies, invited

STYLES = pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])
OFFICER = {"email": "peter@tech.gov.sg", "seed": "yes", "reason": "New in the team"}
VENDOR = {
    "email": "mei@vendor.example.com",
    "first_name": "Mei",
    "last_name": "Tan",
    "organisation": "Vendor Pte Ltd",
    "agency": "tech.gov.sg",
    "seed": "no",
    "reason": "Maintains our website",
}
DAY = timedelta(days=1)


@pytest.fixture
def inviter(client, make):
    account = make.account(email="inviter@tech.gov.sg")
    make.sign_in(client, account)
    return account


def read(text) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text.replace("<wbr>", "")))


def asked(text) -> str:
    """The groups of fields that are shown."""
    found = re.search(r'name="asked" value="([^"]*)"', text)
    assert found
    return found.group(1)


def find(email):
    db.session.rollback()
    return db.session.scalar(select(Account).where(Account.email_folded == email).order_by(Account.id.desc()))


def counted(table=Account):
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(table))


def submit(client, htmx=False, **fields):
    client.get("/invite")
    answer = client.submit("/invite", htmx=htmx, **fields)
    if answer.status_code not in (204, 303):
        return answer, answer.text
    where = answer.headers["HX-Redirect"] if htmx else answer.location
    assert where == "/invite/sent"
    return answer, client.get(where).text


@STYLES
def test_a_colleague_is_asked_for(client, inviter, htmx):
    _, page = submit(client, htmx, **OFFICER)
    assert "We have mailed peter@tech.gov.sg." in read(page)
    account = find("peter@tech.gov.sg")
    assert (account.account_type, account.seed_status) == (AccountType.OFFICER, SeedStatus.REQUESTED)
    assert counted(Request) == 2


@STYLES
def test_a_vendor_is_invited(client, inviter, htmx):
    _, page = submit(client, htmx, **VENDOR)
    assert "they have 5 days to register" in read(page)
    account = find("mei@vendor.example.com")
    assert (account.account_type, account.organisation) == (AccountType.VENDOR, "Vendor Pte Ltd")
    assert account.seed_status is SeedStatus.NOT_REQUIRED


def test_a_vendor_with_an_agencys_address_needs_no_sponsor(client, inviter):
    submit(client, **(VENDOR | {"email": "mei_FROM.VENDOR@moe.gov.sg", "agency": None}))
    account = find("mei_from.vendor@moe.gov.sg")
    assert account.account_type is AccountType.VENDOR
    assert db.session.get_one(Agency, account.agency_id).domain == "moe.gov.sg"


def test_where_seed_does_not_apply_it_is_not_asked(client, inviter):
    submit(client, email="peter@schools.gov.sg", reason="Teaches")
    assert find("peter@schools.gov.sg").seed_status is SeedStatus.INELIGIBLE


def test_people_of_agencies_by_invitation_only_are_invited(client, inviter):
    submit(client, **(OFFICER | {"email": "peter@mindef.gov.sg"}))
    assert find("peter@mindef.gov.sg").status is AccountStatus.REQUESTED


@pytest.mark.parametrize("given", [OFFICER, OFFICER | {"email": "peter@moe.gov.sg"}, VENDOR])
def test_a_form_that_is_sent_twice_is_one_asking(client, make, inviter, now, set_now, given):
    client.get("/invite")
    fields = {"csrf_token": client.csrf_token(), **given}
    for _ in range(2):
        assert client.post("/invite", data=fields).location == "/invite/sent"
    page = read(client.get("/invite/sent").text)
    assert page.count("We have mailed") == 1
    assert "Nothing was sent" not in page
    assert counted(Mail) == counted(Invitee) == 1
    set_now(now + timedelta(minutes=1))
    _, page = submit(client, **given)
    assert "Nothing was sent" in read(page)


@pytest.mark.parametrize("given", [OFFICER, VENDOR])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_correction_right_away_is_not_told_as_done(client, make, inviter, given, is_there):
    moe = db.session.scalar(select(Agency.id).where(Agency.domain == "moe.gov.sg"))
    given = given | {"agency": "moe.gov.sg", "email": given["email"].replace("tech", "moe")}
    if is_there:
        make.account(email=given["email"], agency_id=moe)
    submit(client, **given)
    for changes in ({"reason": "Another one"}, {"seed": "no" if given["seed"] == "yes" else "yes"}):
        _, page = submit(client, **(given | changes))
        assert "We have mailed" not in read(page)
        assert "Nothing was sent or changed: " in read(page)
    assert counted(Mail) == counted(Invitee) == 1


@STYLES
def test_who_is_approved_is_mailed_again_and_it_is_told_what_stays(client, make, inviter, now, htmx):
    pending = make.account(AccountStatus.PENDING, "peter@tech.gov.sg")
    make.invitation(pending, at=now - 3 * DAY)
    for _ in range(2):  # As a double click does.
        _, page = submit(client, htmx, **OFFICER)
        assert "Nothing else is changed, since they are approved already" in read(page)
    assert "Not asked for" in read(page)
    assert counted(Mail) == 1


WRONG = [
    (OFFICER | {"email": ""}, "Enter their work email address, like name@agency.gov.sg"),
    (OFFICER | {"email": "Peter Tan <peter@tech.gov.sg>"}, "Did you mean peter@tech.gov.sg?"),
    (OFFICER | {"email": "peter@gmail.com"}, "Personal email addresses cannot be invited"),
    (OFFICER | {"email": "peter@litemail.gov.sg"}, "standard mailbox"),
    (OFFICER | {"email": "peter@unknown.gov.sg"}, "We do not know the agency unknown.gov.sg"),
    (OFFICER | {"email": "peter@tech.gvo.sg"}, "Did you mean peter@tech.gov.sg?"),
    (OFFICER | {"email": "inviter@tech.gov.sg"}, "This is your own address"),
    (OFFICER | {"seed": None}, "Say yes or no"),
    (OFFICER | {"reason": " "}, "Say why they need TechPass"),
    (OFFICER | {"reason": "x" * 301}, "300 characters or fewer"),
    (VENDOR | {"first_name": ""}, "Enter the vendor’s first name"),
    (VENDOR | {"last_name": ""}, "Enter the vendor’s last name"),
    (VENDOR | {"organisation": "x" * 121}, "120 characters or fewer"),
    (VENDOR | {"agency": ""}, "Say which agency sponsors the vendor"),
    (VENDOR | {"agency": "litemail.gov.sg"}, "We know no agency litemail.gov.sg that can sponsor"),
    (VENDOR | {"csrf_token": "old"}, "open for too long"),
]


@STYLES
@pytest.mark.parametrize(("fields", "words"), WRONG)
def test_what_is_wrong_is_told_and_nobody_is_mailed(client, inviter, fields, words, htmx):
    answer, page = submit(client, htmx, **({"asked": "names reason seed sponsor"} | fields))
    assert answer.status_code == 422
    assert words in read(page)
    assert counted() == 1
    assert counted(Mail) == 0


def test_without_scripts_the_address_comes_first(client, inviter):
    client.get("/invite")
    answer = client.submit("/invite", **dict.fromkeys(VENDOR, "") | {"email": "mei@vendor.example.com"})
    assert answer.status_code == 200
    assert asked(answer.text) == "names reason seed sponsor"
    assert "error-summary" not in answer.text
    answer = client.submit("/invite", email="peter@tech.gvo.sg", use="peter@tech.gov.sg", reason="")
    assert answer.status_code == 200
    assert 'value="peter@tech.gov.sg"' in answer.text
    assert counted() == 1


@STYLES
def test_what_was_typed_is_kept_when_the_address_calls_for_other_fields(client, inviter, htmx):
    given = {**VENDOR, "asked": "names reason seed sponsor"}
    _, page = submit(client, htmx, **(given | {"email": "mei@tech.gov.sg", "reason": ""}))
    assert asked(page) == "reason seed"
    assert "Say why they need TechPass" in page
    for value in ("Mei", "Tan", "Vendor Pte Ltd"):
        assert f'value="{value}"' in page
    assert '<option selected value="tech.gov.sg">' in page
    assert re.search(r'checked[^>]* value="no"', page)
    # And the other way round: fields that are shown for the first time are no mistake yet.
    answer, page = submit(client, htmx, **(OFFICER | {"email": "mei@vendor.example.com", "asked": "reason seed"}))
    assert answer.status_code == 200
    assert "error-summary" not in page
    assert 'value="New in the team"' in page
    assert counted() == 1


@STYLES
def test_a_suggested_address_is_taken_and_nobody_is_asked_for_yet(client, inviter, htmx):
    answer, page = submit(client, htmx, **(OFFICER | {"email": "peter@tech.gvo.sg", "use": "peter@tech.gov.sg"}))
    assert answer.status_code == 200
    assert 'value="peter@tech.gov.sg"' in page
    assert 'value="New in the team"' in page
    assert counted() == 1


@pytest.mark.parametrize(
    ("email", "groups", "words"),
    [
        ("peter@tech.gov.sg", "reason seed", "a public officer"),
        ("mei@vendor.example.com", "names reason seed sponsor", "A vendor’s address"),
        ("mei_FROM.VENDOR@moe.gov.sg", "names reason seed", "a vendor"),
        ("peter@schools.gov.sg", "reason", "a public officer"),
        ("peter@tech.gvo.sg", "", "Use peter@tech.gov.sg"),
        ("peter@gmail.com", "", "cannot be invited"),
        ("peter@tech.gov", "", ""),
        ("peter", "", ""),
    ],
)
def test_the_form_becomes_the_one_for_the_address(client, inviter, email, groups, words):
    client.get("/invite")
    fragment = client.htmx("POST", "/invite/check", data={"email": email, "reason": "Kept"}).text
    assert asked(fragment) == groups
    assert words in fragment
    assert set(re.findall(r' name="([^"]+)"', fragment)) <= {"asked", "shown", "use"}, "whoever types is left alone"
    shown = re.search(r'name="shown" value="([^"]+)"', fragment)
    assert shown
    given = {"email": email, "reason": "Kept", "shown": shown.group(1)}
    assert client.htmx("POST", "/invite/check", data=given).status_code == 204
    assert counted() == 1


def test_an_error_of_the_address_gives_way_to_what_is_said_of_the_next(client, inviter):
    _, page = submit(client, htmx=True, **(OFFICER | {"email": "inviter@tech.gov.sg"}))
    assert "This is your own address" in page
    shown = re.search(r'name="shown" value="([^"]*)"', page)
    assert shown
    given = OFFICER | {"shown": shown.group(1)}
    assert 'data-mends="email"' in client.htmx("POST", "/invite/check", data=given).text


TOLD = [
    (AccountStatus.REQUESTED, "a request for peter@tech.gov.sg waits for an admin since 24 Nov 2026, 10:00"),
    (AccountStatus.ACTIVE, "peter@tech.gov.sg has a TechPass account, by a sign-up of 24 Nov 2026, 10:00"),
    (AccountStatus.DISABLED, "has a TechPass account"),
]


@pytest.mark.parametrize(("status", "words"), TOLD)
def test_within_the_agency_it_is_told_who_is_there(client, make, inviter, status, words):
    make.account(status, "peter@tech.gov.sg")
    _, page = submit(client, **OFFICER)
    assert "Nothing was sent" in read(page)
    assert words in read(page)
    assert counted(Invitee) == 0


@pytest.mark.parametrize("status", [status for status, _ in TOLD] + [AccountStatus.PENDING])
@pytest.mark.parametrize("given", [OFFICER | {"email": "peter@moe.gov.sg"}, VENDOR | {"agency": "moe.gov.sg"}])
def test_nobody_else_learns_who_is_there(client, make, inviter, now, status, given):
    def answers():
        _, page = submit(client, **given)
        _, listed = submit(client, **given)
        db.session.rollback()
        return [
            re.sub(r'(csrf_token"[^>]*value=)"[^"]+"|invitee-\d+|/sent/\d+/', r"\1", text) for text in (page, listed)
        ]

    sponsor = db.session.scalar(select(Agency.id).where(Agency.domain == "moe.gov.sg"))
    new = answers()
    db.session.execute(update(Account).where(Account.email_folded == given["email"]).values(status="terminated"))
    db.session.execute(delete(Invitee))
    db.session.commit()
    there = make.account(status, given["email"], agency_id=sponsor)
    if status is AccountStatus.PENDING:
        make.invitation(there)
    assert answers() == new
    assert db.session.scalars(select(Mail.kind).where(Mail.account_id == there.id)).all() == ["already_have_account"]


def test_only_inviters_find_the_way(client, make):
    for account in (make.vendor(AccountStatus.ACTIVE), make.vendor(AccountStatus.ACTIVE, "x_from.y@tech.gov.sg")):
        make.sign_in(client, account)
        assert 'href="/invite"' not in client.get("/profile").text
        assert client.get("/invite").status_code == 404
    make.sign_in(client, make.account())
    assert 'href="/invite"' in client.get("/profile").text


# The people I invited.


def test_the_list_says_where_each_stands(client, make, inviter, now, policy):
    for status, kind, words in (
        (AccountStatus.PENDING, InvitationKind.TECHPASS, "To activate Until 24 Dec 2026, 10:00"),
        (AccountStatus.REQUESTED, None, "Waits for an admin"),
        (AccountStatus.REJECTED, None, "Not approved"),
        (AccountStatus.ACTIVE, None, "Active"),
        (AccountStatus.TERMINATED, None, "Ended"),
    ):
        account = make.account(status, seed_status=SeedStatus.REQUESTED, first_name="Wei Ling", activated_at=now)
        if kind:
            make.invitation(account, kind)
        make.invitee(inviter, account)
        page = read(client.get("/invite/sent").text)
        assert words in page
    assert "Wei Ling" in page
    vendor = make.vendor()
    make.invitation(vendor, InvitationKind.REGISTRATION)
    make.invitee(inviter, vendor)
    page = read(client.get("/invite/sent").text)
    assert "To register Until 29 Nov 2026, 10:00" in page
    assert "6 people, newest first" in page


def test_whoever_is_asked_for_again_need_not_be_typed_again(client, make, inviter, now):
    account = make.account(AccountStatus.REJECTED, "Peter@tech.gov.sg")
    make.invitee(inviter, account)
    page = client.get("/invite/sent").text
    email = re.search(r'name="use" value="([^"]+)"', page)
    assert email
    answer = client.submit("/invite", use=email.group(1))
    assert answer.status_code == 200
    assert 'value="Peter@tech.gov.sg"' in answer.text
    assert asked(answer.text) == "reason seed"
    assert "error-summary" not in answer.text


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", 2),
        ("q=wei", 1),
        ("q=OFFICER2", 1),
        ("q=nobody", 0),
        ("q=%25", 0),
        ("before=1", 0),
        ("stand=active", 2),
        ("stand=active&q=wei", 1),
        ("stand=waits", 0),
        ("stand=nonsense", 2),
        (f"q={'x' * 5000}&before={10**20}", 0),
    ],
)
def test_search_stands_in_the_address(client, make, inviter, asked, found):
    for name in ("Wei Ling", "Peter"):
        make.invitee(inviter, make.account(first_name=name))
    assert client.get(f"/invite/sent?{asked}").text.count('id="invitee-') == found
    fragment = client.htmx("GET", f"/invite/sent?{asked}").text
    assert fragment.startswith('<div id="invited">')
    assert fragment.count('id="invitee-') == found
    if not found:
        assert "Nobody whom you invited is like that" in fragment or "No more people" in fragment


def test_who_has_asked_for_nobody_yet_is_shown_the_way(client, inviter):
    page = client.get("/invite/sent").text
    assert "You have not asked for anybody yet" in page
    assert "<table" not in page


def test_what_is_typed_is_text_on_every_page_and_one_line_in_every_mail(client, inviter):
    evil = "<script>alert(1)</script>"
    submit(client, **(VENDOR | {"first_name": f"{evil}\r\nBcc: x@y.example", "reason": f"{evil}\tmore"}))
    account = find("mei@vendor.example.com")
    assert account.first_name == f"{evil} Bcc: x@y.example"
    assert db.session.scalar(select(Invitee.reason)) == f"{evil} more"
    assert "<script>alert" not in client.get("/invite/sent").text
    for fields in (
        VENDOR | {"email": "x" * 200_000},
        VENDOR | {"email": "a@b.example\x00"},
        {"email": "Kelvin\u212a@tech.gov.sg"},
    ):
        assert submit(client, **fields)[0].status_code in (400, 422)
    submit(client, **(OFFICER | {"role": "admin", "status": "active", "agency": "moe.gov.sg", "organisation": "Mine"}))
    account = find("peter@tech.gov.sg")
    assert (account.status, account.is_admin, account.organisation) == (AccountStatus.REQUESTED, False, None)
    assert db.session.get_one(Agency, account.agency_id).domain == "tech.gov.sg"


def test_a_name_of_somebody_who_is_not_told_is_not_found(client, make, inviter):
    make.invitee(inviter, make.account(email="x@moe.gov.sg", first_name="Secret"), is_theirs=False)
    assert "invitee-" not in client.get("/invite/sent?q=secret").text
    assert "Secret" not in client.get("/invite/sent").text


def test_the_list_goes_on_by_key_and_is_ones_own(client, make, inviter, monkeypatch):
    monkeypatch.setattr(invited, "PAGE", 1)
    # By when they were asked for last, and not by which is the newest row.
    rows = [make.invitee(inviter, make.account()) for _ in range(3)]
    rows[0].asked_at += timedelta(hours=1)
    db.session.commit()
    rows = [rows[1], rows[2], rows[0]]
    make.invitee(make.account(), make.account(email="others@tech.gov.sg"))
    page = client.get("/invite/sent?q=officer").text
    assert "others@" not in page
    seen = []
    for _ in rows:
        seen += re.findall(r'<tr id="invitee-(\d+)"', page)
        address = next((each for each in re.findall(r'href="([^"]+)"', page) if "before=" in each), "")
        if address:
            assert "q=officer" in address
            page = client.get(address.replace("&amp;", "&")).text
    assert seen == [str(row.id) for row in reversed(rows)]
    assert not address


@STYLES
def test_an_email_that_was_not_used_is_sent_again_once_a_day(client, make, inviter, now, set_now, htmx):
    vendor = make.vendor()
    make.invitation(vendor, InvitationKind.REGISTRATION)
    row = make.invitee(inviter, vendor)
    page = client.get("/invite/sent").text
    assert "Can be sent again from 25 Nov 2026, 10:00" in read(page)

    def again():
        client.get("/invite/sent")
        answer = client.submit(f"/invite/sent/{row.id}/resend", htmx=htmx)
        return read(answer.text if htmx else client.get(answer.location).text)

    assert "Once a day is the most" in again()
    set_now(now + DAY)
    make.now = now + DAY
    make.sign_in(client, inviter)
    assert "We have sent a new email to" in again()
    assert "Once a day is the most" in again()
    db.session.rollback()
    assert db.session.scalars(select(Mail.kind).where(Mail.account_id == vendor.id)).all() == ["vendor_registration"]


def test_what_is_not_ones_own_or_waits_for_no_email_is_not_sent(client, make, inviter, now, set_now):
    others = make.invitee(make.account(), make.vendor())
    active = make.invitee(inviter, make.account())
    requested = make.invitee(inviter, db.session.get_one(Account, make.request().account_id))
    set_now(now + 2 * DAY)
    make.now = now + 2 * DAY
    make.sign_in(client, inviter)
    client.get("/invite/sent")
    assert client.submit(f"/invite/sent/{others.id}/resend").status_code == 404
    for row, words in ((active, "waits to be used any more"), (requested, "an admin has yet to decide")):
        client.get("/invite/sent")
        answer = client.submit(f"/invite/sent/{row.id}/resend")
        assert words in read(client.get(answer.location).text)
    assert counted(Mail) == 0


def test_an_inviter_whose_account_ends_can_do_nothing_more(client, make, inviter):
    client.get("/invite")
    db.session.execute(update(Account).values(account_type=AccountType.VENDOR))
    db.session.commit()
    assert client.submit("/invite", **OFFICER).status_code == 404
    assert counted() == 1


def test_a_limit_an_hour(app, client, make, inviter, monkeypatch):
    assert agencies.find("tech.gov.sg")
    for _ in range(100):
        client.get("/invite")
        client.submit("/invite", email="x")
    client.get("/invite")
    assert client.submit("/invite", **OFFICER).status_code == 429
    assert counted() == 1


def test_the_invited_persons_story_names_what_was_done_for_them(client, make, inviter):
    submit(client, **OFFICER)
    account = find("peter@tech.gov.sg")
    db.session.execute(update(Account).where(Account.id == account.id).values(status="active"))
    db.session.commit()
    make.sign_in(client, account)
    said = read(client.get("/profile/activity").text)
    assert "TechPass asked for on your behalf" in said
    assert "Another public officer" in said
    assert db.session.scalars(select(Request.kind).order_by(Request.id)).all() == [
        RequestKind.TECHPASS,
        RequestKind.SEED,
    ]
