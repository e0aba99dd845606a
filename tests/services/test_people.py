"""Finding people by words and filters, newest first and by key (rules 8.3 and 8.10)."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from webapp.domain.lifecycle import AccountStatus, AccountType, Role
from webapp.extensions import db
from webapp.models import Account, Agency
from webapp.services import activity, people
from webapp.services.errors import NotFound
from webapp.services.people import Wanted


def found(words="", before=None, **filters):
    accounts, _ = people.find(Wanted(words, **filters), before)
    return [account.email.partition("@")[0] for account in accounts]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", ["tan_wl", "muthu", "wei_ling"]),
        ("LING", ["tan_wl", "wei_ling"]),  # In an address and in a first name.
        ("ling tan", ["tan_wl", "wei_ling"]),  # All words, each anywhere.
        ("tan_", ["tan_wl"]),  # An underscore is one, and no joker.
        ("%", []),
        ("\\", []),
        ("mut%", []),
        ("krishnan muthu", ["muthu"]),
        ("krishnan ling", []),
        ("tech.gov", ["muthu"]),
        ("ta", ["tan_wl", "wei_ling"]),  # Where an address or a name begins …
        ("in", []),  # … and not within.
        ("mu kr", ["muthu"]),
        ("m", ["muthu"]),
        ("wei_ling@moh.gov.sg", ["wei_ling"]),
        ("wei_ling@moh", ["wei_ling"]),
        ("krishnan sundaram muthu mut thu shn nobody", ["muthu"]),  # So many words are enough.
    ],
)
def test_words_are_looked_for_in_address_and_names(make, words, expected):
    make.account(email="wei_ling@moh.gov.sg", last_name="Tan")
    make.account(email="muthu@tech.gov.sg", first_name="Muthu", last_name="Krishnan Sundaram")
    make.account(email="Tan_WL@moh.gov.sg", first_name="Wei Ling", last_name="Tan")
    assert [name.lower() for name in found(words)] == expected


def test_a_whole_address_finds_whoever_has_it_or_had_it_alone(make, monkeypatch):
    make.account(AccountStatus.TERMINATED, "tan@moh.gov.sg")
    make.account(email="tan@moh.gov.sg")
    make.account(email="a.tan@moh.gov.sg")
    accounts, more = people.find(Wanted(" TAN@moh.gov.sg "))
    assert [(a.email, a.status) for a in accounts] == [("tan@moh.gov.sg", "active"), ("tan@moh.gov.sg", "terminated")]
    assert not more
    # What nobody has is a part of an address.
    assert [a.email for a in people.find(Wanted("a.tan@moh"))[0]] == ["a.tan@moh.gov.sg"]
    monkeypatch.setattr(people, "PAGE", 1)
    accounts, more = people.find(Wanted("tan@moh.gov.sg"))
    assert more
    assert [a.status for a in people.find(Wanted("tan@moh.gov.sg"), accounts[0].id)[0]] == ["terminated"]


def test_the_newest_are_looked_at_first_and_all_of_them_after(make, monkeypatch):
    monkeypatch.setattr(people, "_NEWEST", 2)
    monkeypatch.setattr(people, "PAGE", 2)
    for number in range(5):
        make.account(email=f"{'tan' if number != 3 else 'lim'}{number}@moh.gov.sg")
    accounts, more = people.find(Wanted("tan"))
    assert ([a.email for a in accounts], more) == (["tan4@moh.gov.sg", "tan2@moh.gov.sg"], True)
    accounts, more = people.find(Wanted("tan"), accounts[-1].id)
    assert ([a.email for a in accounts], more) == (["tan1@moh.gov.sg", "tan0@moh.gov.sg"], False)


def test_filters_narrow_and_the_deleted_are_found_by_their_status_alone(make):
    make.account(email="gone@tech.gov.sg", status=AccountStatus.DELETED)
    make.account(email="held@tech.gov.sg", under_investigation=True)
    make.account(AccountStatus.DISABLED, "off@moh.gov.sg")
    make.auditor("auditor@tech.gov.sg")
    make.admin("admin@moh.gov.sg")
    assert found() == ["admin", "auditor", "off", "held"]
    assert found(status=AccountStatus.DELETED) == ["gone"]
    assert found(status=AccountStatus.DISABLED) == ["off"]
    assert found(role=Role.ADMIN) == ["admin"]
    assert found(role=Role.AUDITOR) == ["auditor"]
    assert found(role=Role.OFFICER) == ["off", "held"]
    assert found(on_hold=True) == ["held"]
    make.invitee(make.account(email="goh@moh.gov.sg"), make.vendor(email="mei@vendor.example.com"))
    assert found(account_type=AccountType.VENDOR) == ["mei"]
    assert found(account_type=AccountType.OFFICER, role=Role.OFFICER) == ["goh", "off", "held"]
    goh = db.session.scalar(select(Account.id).filter_by(email="goh@moh.gov.sg"))
    assert found(asked_for_by=goh) == found("mei", asked_for_by=goh) == ["mei"]
    assert found("held", asked_for_by=goh) == []
    moh = db.session.query(Agency.id).filter_by(domain="moh.gov.sg").scalar()
    assert found(agency_id=moh) == ["goh", "admin", "off"]
    assert found("off@moh.gov.sg", agency_id=moh, status=AccountStatus.ACTIVE) == []
    assert found("admin", agency_id=moh) == ["admin"]
    assert found(agency_id=10**9) == []


def test_nobody_of_that_number_is_no_person(app, now, policy):
    with pytest.raises(NotFound):
        people.person(1, now, policy)


def test_no_line_of_the_record_says_you_to_an_admin():
    details: tuple[dict[str, object], ...] = (
        {},
        {"mail": "profile_changed", "method": "recovery code", "before": {"role": "a"}, "after": {"role": "b"}},
    )
    for action in activity.WORDS:
        for detail in details:
            said = activity.plainly(action, detail).lower().split()
            assert not {"you", "your", "yours", "yourself"} & set(said), action
