"""Agencies added, changed and deleted, and what is said to follow from it beside what does (rules 1.6 and 8.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from jobs.approve import approve_automatically
from webapp.domain.addresses import AddressError, AgencyMode, parse_domain
from webapp.domain.lifecycle import AccountStatus, AccountType, RequestKind, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Agency, AuditEvent, Request, UnknownAgency
from webapp.services import agencies, agency_changes, agency_effects, seed, sign_up
from webapp.services.agencies import AgencySettings
from webapp.services.audit import SYSTEM, By
from webapp.services.errors import (
    AgencyInUse,
    AgencyRefused,
    ChangedMeanwhile,
    DomainTaken,
    NotEligible,
    NotFound,
    OwnRequest,
    SignUpRefused,
)

NEW = AgencySettings("hsa.gov.sg", "Health Sciences Authority", AgencyMode.OPEN, "", True, False, False)
VISITOR = By.visitor("203.0.113.7")


def agency(domain: str = "moe.gov.sg") -> Agency:
    return db.session.scalars(
        select(Agency).where(Agency.domain == domain).execution_options(populate_existing=True)
    ).one()


def settings(domain: str = "moe.gov.sg") -> AgencySettings:
    return agencies.settings_of(agency(domain))


def recorded():
    return [(event.action, event.detail) for event in db.session.scalars(select(AuditEvent).order_by(AuditEvent.id))]


def change(now, by=SYSTEM, **values):
    """Change the Ministry of Education's settings; what was said of it before."""
    before = settings()
    after = replace(before, **values)
    told = agency_effects.what_follows(before, after, agency().id)
    assert agency_changes.change(agency().id, after, before.version, by, now)
    return told


def ask(email, make, now, seed=True):
    sign_up.sign_up(email, seed, make.solution(), VISITOR, now)


@pytest.mark.parametrize(
    ("text", "domain"),
    [("HSA.gov.sg", "hsa.gov.sg"), (" @hsa.gov.sg\u200b", "hsa.gov.sg"), ("a.b-c.gov.sg", "a.b-c.gov.sg")],
)
def test_a_mail_domain_is_read_in_small_letters(text, domain):
    assert parse_domain(text) == domain


@pytest.mark.parametrize(
    "text",
    [
        *("", "peter@hsa.gov.sg", "gov.sg", ".gov.sg", "hsa.gov.sg.", "hsa.com", "hsa_x.gov.sg", "h" * 104 + ".gov.sg"),
        *("hsa gov.sg", "h\u212aa.gov.sg", "\x00.gov.sg"),
    ],
)
def test_no_other_mail_domain_is_taken(text):
    with pytest.raises(AddressError):
        parse_domain(text)


def test_an_agency_that_is_added_can_be_signed_up_at_and_is_unknown_no_more(app, make, now):
    agencies.count_unknown("hsa.gov.sg", now)
    db.session.commit()
    with pytest.raises(SignUpRefused):
        ask("peter@hsa.gov.sg", make, now)
    agency_changes.add(NEW, SYSTEM, now)
    assert db.session.scalars(select(UnknownAgency)).all() == []
    assert recorded() == [("agency.added", {"domain": "hsa.gov.sg", "after": {**NEW.values(), "mode": "open"}})]
    ask("peter@hsa.gov.sg", make, now)
    assert db.session.scalars(select(Account.email)).one() == "peter@hsa.gov.sg"


def test_a_domain_is_added_once(app, now):
    with pytest.raises(DomainTaken):
        agency_changes.add(replace(NEW, domain="moe.gov.sg"), SYSTEM, now)
    assert settings().name == "Ministry of Education"
    assert recorded() == []


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("domain", {"domain": "hsa.com"}),
        ("domain", {"domain": "HSA.gov.sg"}),
        ("name", {"name": ""}),
        ("name", {"name": "x" * 121}),
        ("name", {"name": "a\u202eb"}),
        ("reason", {"mode": AgencyMode.REFUSED}),
        ("reason", {"reason": "Why"}),
        ("reason", {"mode": AgencyMode.REFUSED, "reason": "x" * 301}),
        ("reason", {"mode": AgencyMode.REFUSED, "reason": "a\nb"}),
    ],
)
def test_what_an_agency_cannot_have_is_refused(app, now, field, values):
    for act in (
        lambda: agency_changes.add(replace(NEW, **values), SYSTEM, now),
        lambda: agency_changes.change(agency().id, replace(NEW, **values), settings().version, SYSTEM, now),
    ):
        with pytest.raises(AgencyRefused) as refused:
            act()
        assert list(refused.value.problems) == [field]
    assert recorded() == []


def test_a_change_is_recorded_by_what_changed_alone_and_counts_at_once(app, now):
    agencies.find("moe.gov.sg")
    change(now, name="Education", mode=AgencyMode.REFUSED, reason="Use name@schools.gov.sg")
    assert recorded() == [
        (
            "agency.changed",
            {
                "domain": "moe.gov.sg",
                "before": {"name": "Ministry of Education", "mode": "open", "reason": ""},
                "after": {"name": "Education", "mode": "refused", "reason": "Use name@schools.gov.sg"},
            },
        )
    ]
    moe = agencies.find("moe.gov.sg")
    assert moe is not None
    assert moe.mode is AgencyMode.REFUSED


def test_no_change_writes_nothing(app, now):
    assert not agency_changes.change(agency().id, settings(), "another version", SYSTEM, now)
    assert recorded() == []
    with pytest.raises(NotFound):
        agency_changes.change(10**6, settings(), "", SYSTEM, now)


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(app, now):
    seen = settings()
    change(now, seed_eligible=False)
    with pytest.raises(ChangedMeanwhile):
        agency_changes.change(agency().id, replace(seen, name="Education"), seen.version, SYSTEM, now)
    assert (settings().name, settings().seed_eligible) == ("Ministry of Education", False)


def test_open_requests_are_approved_as_was_said_once_approval_is_automatic(app, make, now):
    for number in range(3):
        make.request(f"a{number}@moe.gov.sg", seed=number == 0)
    make.request("b@mom.gov.sg")
    disabled = make.account(AccountStatus.DISABLED, "c@moe.gov.sg", seed_status=SeedStatus.REQUESTED)
    held_too = make.account(
        AccountStatus.DISABLED, "d@moe.gov.sg", seed_status=SeedStatus.REQUESTED, under_investigation=True
    )
    db.session.add_all(
        Request(account_id=each.id, kind=RequestKind.SEED, requested_at=now) for each in (disabled, held_too)
    )
    held, vendor = (
        db.session.get_one(Account, make.request(email).account_id) for email in ("e@moe.gov.sg", "f@moe.gov.sg")
    )
    held.under_investigation = True
    vendor.account_type = AccountType.VENDOR
    make.invitee(make.account(email="g@mom.gov.sg"), vendor)
    told = change(now, approves_automatically=True)
    assert told == [
        "4 open requests are approved at once, within the next minute.",
        "Requests are approved as they come, without an admin.",
        "2 open requests wait until the hold on the applicant’s account ends.",
        "1 vendor’s request waits for an admin’s decision, since an officer of another agency asked for them.",
        "1 SEED request waits until the applicant’s TechPass is enabled again.",
    ]
    assert app.extensions["redis"].exists("portal:woken:approve"), "nobody was woken"
    approve_automatically()
    state: dict[bool, list[str]] = {True: [], False: []}
    for domain, each in db.session.execute(
        select(Account.email, Request.state).join(Account, Request.account_id == Account.id)
    ):
        state[domain.endswith("@moe.gov.sg")].append(str(each))
    assert sorted(state[True]) == ["approved"] * 4 + ["open"] * 4
    assert state[False] == ["open"]


def test_what_waits_at_an_agency_that_closes_and_approves_by_itself_is_told_once(app, make, now):
    make.request("a@moe.gov.sg", seed=True)
    told = change(now, mode=AgencyMode.INVITATION_ONLY, seed_eligible=False, approves_automatically=True)
    assert [words for words in told if "request" in words.lower() and "open" in words] == [
        "2 open requests are approved at once, within the next minute."
    ]


def test_nobody_has_their_own_request_approved_that_way(app, make, now):
    boss = make.account(email="boss@moe.gov.sg", role="admin", seed_status=SeedStatus.REQUESTED)
    db.session.add(Request(account_id=boss.id, kind=RequestKind.SEED, requested_at=now))
    db.session.commit()
    by = By.person(boss, "")
    with pytest.raises(OwnRequest):
        change(now, by=by, approves_automatically=True)
    assert not settings().approves_automatically
    change(now, by=by, name="Education")


def test_who_has_an_account_or_waits_keeps_it_when_an_agency_closes(app, make, now):
    make.request("a@moe.gov.sg")
    make.account(email="b@moe.gov.sg")
    make.account(AccountStatus.PENDING, "c@moe.gov.sg")
    make.account(AccountStatus.TERMINATED, "d@moe.gov.sg")
    told = change(now, mode=AgencyMode.REFUSED, reason="Use name@schools.gov.sg")
    assert told == [
        "Nobody can sign up with an address at moe.gov.sg. Who tries is told: “Use name@schools.gov.sg”",
        "2 people keep their TechPass account or invitation.",
        "1 open request is still yours to decide.",
    ]
    with pytest.raises(SignUpRefused, match="Use name@schools"):
        ask("new@moe.gov.sg", make, now)
    assert "Ask a public officer" in change(now, mode=AgencyMode.INVITATION_ONLY, reason="")[0]
    assert change(now, mode=AgencyMode.OPEN) == ["Officers with an address at moe.gov.sg can sign up."]
    ask("new@moe.gov.sg", make, now)


def test_nobody_new_asks_for_seed_where_it_is_not_offered(app, make, now, policy):
    make.request("a@moe.gov.sg", seed=True)
    active = make.account(email="b@moe.gov.sg")
    told = change(now, seed_eligible=False)
    assert told == [
        "Nobody new can ask for SEED, neither at sign-up nor from the profile.",
        "Who holds SEED or is invited to it keeps it.",
        "1 open SEED request stays until you decide.",
    ]
    with pytest.raises(NotEligible):
        seed.request(active.id, SYSTEM, now, policy)
    ask("c@moe.gov.sg", make, now, seed=None)
    kinds = db.session.scalars(select(Request.kind).order_by(Request.id)).all()
    assert kinds == ["techpass", "seed", "techpass"]
    assert "can ask for it" in change(now, seed_eligible=True)[0]
    assert seed.request(active.id, SYSTEM, now, policy)


def test_vendors_sign_up_where_they_may(app, make, now):
    assert "can sign up themselves" in change(now, vendors_allowed=True)[0]
    ask("tan_FROM.ACME@moe.gov.sg", make, now)
    assert "Who has an account keeps it" in change(now, vendors_allowed=False)[0]
    with pytest.raises(SignUpRefused):
        ask("lim_FROM.ACME@moe.gov.sg", make, now)


def test_numbers_are_told_no_further_than_they_are_counted():
    told = [agency_effects.counted(number, "person", "people") for number in (1, 1000, 1001)]
    assert told == ["1 person", "1,000 people", "More than 1,000 people"]


def test_an_agency_without_accounts_moves_and_goes(app, now):
    told = change(now, domain="education.gov.sg")
    assert told == ["Addresses at moe.gov.sg are not known any more; those at education.gov.sg are."]
    assert agencies.find("moe.gov.sg") is None
    moved = settings("education.gov.sg")
    taken = replace(moved, domain="mom.gov.sg")
    with pytest.raises(DomainTaken):
        agency_changes.change(agency("education.gov.sg").id, taken, moved.version, SYSTEM, now)
    agency_changes.remove(agency("education.gov.sg").id, SYSTEM, now)
    assert agencies.find("education.gov.sg") is None
    assert [action for action, _ in recorded()] == ["agency.changed", "agency.removed"]
    assert recorded()[1][1]["before"]["name"] == "Ministry of Education"


def test_an_agency_with_accounts_keeps_its_domain_and_stays(app, make, now):
    make.account(AccountStatus.DELETED, "a@moe.gov.sg")
    with pytest.raises(AgencyInUse):
        change(now, domain="education.gov.sg")
    with pytest.raises(AgencyInUse):
        agency_changes.remove(agency().id, SYSTEM, now)
    assert settings().domain == "moe.gov.sg"
    assert recorded() == []


@pytest.mark.parametrize("moved", [False, True], ids=["deleted", "moved"])
def test_a_sign_up_that_knew_the_agency_a_moment_ago_is_told_how_it_is(app, make, now, monkeypatch, moved):
    agencies.find("moe.gov.sg")
    forget = agencies.forget
    monkeypatch.setattr(agencies, "forget", lambda: None)  # As in another process.
    if moved:
        change(now, domain="education.gov.sg")
    else:
        agency_changes.remove(agency().id, SYSTEM, now)
    monkeypatch.setattr(agencies, "forget", forget)
    with pytest.raises(SignUpRefused, match="do not know"):
        ask("a@moe.gov.sg", make, now)
    assert db.session.scalars(select(Account)).all() == []


def test_an_unknown_domain_is_dismissed_and_counted_anew(app, now):
    for _ in range(2):
        agencies.count_unknown("hsa.gov.sg", now)
    db.session.commit()
    assert agencies.tries("hsa.gov.sg") == 2
    assert agency_changes.dismiss("hsa.gov.sg", SYSTEM, now)
    assert not agency_changes.dismiss("hsa.gov.sg", SYSTEM, now)
    assert recorded() == [("agency.dismissed", {"domain": "hsa.gov.sg", "tries": 2})]
    agencies.count_unknown("hsa.gov.sg", now)
    assert agencies.tries("hsa.gov.sg") == 1


def test_a_domain_that_was_counted_once_more_while_it_was_added_is_not_unknown(app, now):
    agencies.count_unknown("moe.gov.sg", now)
    agencies.count_unknown("hsa.gov.sg", now)
    db.session.commit()
    assert [row.domain for row in agencies.unknown()] == ["hsa.gov.sg"]
