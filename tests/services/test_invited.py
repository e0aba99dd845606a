"""The people somebody asked for, and what nobody may infer from them (rules 5.2 and 5.3, promise 3, decision 0011)."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update

from tests.onboarding import PEER
from webapp.domain.addresses import parse
from webapp.domain.lifecycle import AccountStatus, InvitationKind, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Agency, AuditEvent, Invitee, Mail
from webapp.services import agencies, audit, batch_rows, expiry, invite_fields, invited, inviting, purge, requests
from webapp.services.batch_rows import Row
from webapp.services.errors import MayNotInvite, NotFound
from webapp.services.invited import Stand
from webapp.services.inviting import Result

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def inviter(make):
    return make.account(email="inviter@tech.gov.sg")


@pytest.fixture
def by(inviter):
    return audit.By.person(inviter, PEER)


def given(email, **changes):
    fields = {"email": email, "first_name": "Mei", "last_name": "Tan", "organisation": "Vendor Pte Ltd"}
    return fields | {"agency": "moe.gov.sg", "seed": "yes", "reason": "New here"} | changes


def ask(fields, by, now, policy):
    person = invite_fields.read(fields).person
    assert person is not None
    return inviting.ask_for(person, by, now, policy)


def rows(inviter, now, policy, **more):
    db.session.rollback()
    fresh = db.session.get_one(Account, inviter.id, populate_existing=True)
    return invited.listed(fresh, more.pop("words", ""), now, policy, **more)


def number_of(domain) -> int:
    agency = agencies.find(domain)
    assert agency is not None
    return agency.id


def one(inviter, number, now, policy) -> invited.Row:
    found = invited.row(inviter, number, now, policy)
    assert found is not None
    return found


def sweep(now, policy):
    """What the clock does, with the mails on their way delivered."""
    db.session.execute(update(Mail).values(state="sent"))
    db.session.commit()
    requests.approve_automatically(now, policy)
    expiry.terminate_notified(now)
    expiry.expire(now)
    invited.lapse(now, policy)
    purge.purge(now)


# What an inviter is told of somebody of another agency: every step of it, whether they are new or there.

OTHERS = {
    "officer": ("peter@moe.gov.sg", False),
    "officer, approved at once": ("peter@moe.gov.sg", True),
    "vendor": ("mei@vendor.example.com", False),
    "vendor of an agency": ("mei_FROM.VENDOR@moe.gov.sg", True),
}


STEPS = [
    *((0, "ask"), (0, "again"), (1, "ask"), (25, "correct"), (49, "again"), (50, "again")),
    *((24 * 7 + 3, "ask"), (24 * 9, "correct"), (24 * 20, "look"), (24 * 45, "look"), (24 * 60, "ask")),
]
"""What an inviter does, with the hours since the first time."""


@pytest.mark.parametrize("case", OTHERS)
def test_whoever_is_there_looks_like_whoever_is_new_at_every_step(make, inviter, by, now, policy, case):
    email, at_once = OTHERS[case]
    agency = number_of("moe.gov.sg")
    db.session.execute(update(Agency).values(approves_automatically=at_once))
    db.session.commit()
    agencies.forget()
    fields = given(email)
    corrected = given(email, agency="tech.gov.sg", seed="no", first_name="May", organisation="Other", reason="Other")

    def seen(at):
        listing = [re.sub(r"id=\d+", "", repr(row)) for row in rows(inviter, at, policy)]
        judged = batch_rows.judge([Row(2, fields)], db.session.get_one(Account, inviter.id), at, {})
        mails = db.session.scalars(select(Mail.kind).where(Mail.account_id == inviter.id)).all()
        return listing, [(each.verdict, each.words) for each in judged], sorted(mails)

    def story():
        told = []
        for hours, does in STEPS:
            at = now + timedelta(hours=hours)
            if hours > 1:
                sweep(at, policy)
            latest = rows(inviter, at, policy)[:1]
            if does == "ask":
                told.append(ask(fields, by, at, policy))
            elif does == "correct":
                told.append(ask(corrected, by, at, policy))
            elif does == "again" and latest:
                told.append(inviting.send_again(latest[0].id, by, at, policy))
            sweep(at, policy)
            told.append(seen(at))
        return told

    new = story()
    for table in (Invitee, Mail):
        db.session.execute(delete(table))
    gone = {"status": AccountStatus.DELETED, "email": "gone", "email_folded": "gone"}
    db.session.execute(update(Account).where(Account.id != inviter.id).values(gone))
    db.session.commit()
    there = make.account(email=email, agency_id=agency)
    for number, (as_new, as_there) in enumerate(zip(new, story(), strict=True)):
        assert as_there == as_new, number
    assert db.session.get_one(Account, there.id, populate_existing=True).status is AccountStatus.ACTIVE
    agencies.forget()


def test_asking_twice_tells_nothing_but_that_one_has_asked(make, inviter, by, now, policy):
    make.account(email="peter@moe.gov.sg")
    fields = given("peter@moe.gov.sg")
    assert ask(fields, by, now, policy).result is Result.SENT
    again = ask(fields, by, now + DAY, policy)
    assert (again.result, again.at, again.by) == (Result.WAITS, now, "inviter@tech.gov.sg")
    kinds = db.session.scalars(select(Mail.kind)).all()
    assert kinds == ["already_have_account"]


# The list.


def test_it_says_where_each_stands_and_is_filtered_by_that(make, inviter, now, policy):
    def somebody(status, kind=None, at=now, **changes):
        account = make.account(status, **changes)
        if kind:
            make.invitation(account, kind, at)
        return make.invitee(inviter, account).id

    there = {
        somebody(AccountStatus.REQUESTED, InvitationKind.REGISTRATION): Stand.TO_REGISTER,
        somebody(AccountStatus.REQUESTED): Stand.WAITS,
        somebody(AccountStatus.REQUESTED, InvitationKind.REGISTRATION, now - 6 * DAY): Stand.RAN_OUT,
        somebody(AccountStatus.PENDING, InvitationKind.TECHPASS): Stand.TO_ACTIVATE,
        somebody(AccountStatus.PENDING, InvitationKind.TECHPASS, now - 31 * DAY): Stand.RAN_OUT,
        somebody(AccountStatus.PENDING): Stand.RAN_OUT,
        somebody(AccountStatus.ACTIVE): Stand.ACTIVE,
        somebody(AccountStatus.DISABLED): Stand.DISABLED,
        somebody(AccountStatus.REJECTED): Stand.REJECTED,
        somebody(AccountStatus.TERMINATED): Stand.RAN_OUT,
        somebody(AccountStatus.TERMINATED, activated_at=now): Stand.ENDED,
    }
    shown = rows(inviter, now, policy)
    assert [(row.id, row.stand) for row in shown] == sorted(there.items(), reverse=True)
    for stand in Stand:
        expected = [number for number, each in there.items() if each is stand]
        assert [row.id for row in rows(inviter, now, policy, stand=stand)] == expected[::-1], stand
        assert [one(inviter, number, now, policy).stand for number in expected] == [stand] * len(expected)


@pytest.mark.parametrize("kind", [InvitationKind.REGISTRATION, InvitationKind.TECHPASS])
def test_a_deadline_counts_to_its_very_end_before_the_sweep_comes(make, inviter, now, policy, kind):
    status = AccountStatus.PENDING if kind is InvitationKind.TECHPASS else AccountStatus.REQUESTED
    account = make.account(status)
    link, _ = make.invitation(account, kind)
    number = make.invitee(inviter, account).id
    at_the_end = one(inviter, number, link.expires_at, policy)
    assert at_the_end.deadline == link.expires_at
    assert at_the_end.may_be_sent_again(link.expires_at)
    after = one(inviter, number, link.expires_at + SECOND, policy)
    assert (after.stand, after.deadline, after.again_at) == (Stand.RAN_OUT, None, None)


def test_whoever_was_asked_for_anew_is_there_once(make, inviter, by, now, policy):
    fields = given("mei@vendor.example.com", agency="tech.gov.sg")
    ask(fields, by, now, policy)
    expiry.expire(now + 6 * DAY)
    assert ask(fields, by, now + 6 * DAY, policy).result is Result.SENT
    assert [row.stand for row in rows(inviter, now + 6 * DAY, policy)] == [Stand.TO_REGISTER]
    assert db.session.query(Invitee).count() == 2


def test_a_name_is_searched_as_far_as_it_is_told(make, inviter, now, policy):
    told = make.invitee(inviter, make.account(first_name="Wei Ling", last_name="Tan"))
    make.invitee(inviter, make.account(email="x@moe.gov.sg", first_name="Wei", last_name="Lim"), is_theirs=False)
    own = make.account(email="y@moe.gov.sg", last_name="Ong")
    typed = make.invitee(inviter, own, is_theirs=False, name="Wei Ong")
    assert [row.id for row in rows(inviter, now, policy, words="wei")] == [typed.id, told.id]
    assert [row.id for row in rows(inviter, now, policy, words="TAN wei")] == [told.id]
    assert rows(inviter, now, policy, words="lim") == []
    assert rows(inviter, now, policy, words="%") == []


# Sending again.


def waiting(make, inviter, now, email="mei@vendor.example.com"):
    vendor = make.vendor(email=email)
    make.invitation(vendor, InvitationKind.REGISTRATION, now)
    return vendor, make.invitee(inviter, vendor, asked_at=now)


def test_one_day_counts_from_the_last_email_whoever_had_it_sent(make, inviter, by, now, policy):
    vendor, row = waiting(make, inviter, now - 2 * DAY)
    colleague = make.account(email="colleague@tech.gov.sg")
    theirs = make.invitee(colleague, vendor, asked_at=now - 2 * DAY)
    assert inviting.send_again(theirs.id, audit.By.person(colleague, PEER), now, policy).result is Result.SENT_ANEW
    assert rows(inviter, now, policy)[0].again_at == now + DAY
    assert inviting.send_again(row.id, by, now + DAY - SECOND, policy).result is Result.TOO_SOON
    assert inviting.send_again(row.id, by, now + DAY, policy).result is Result.SENT_ANEW
    events = db.session.execute(
        select(AuditEvent.action, AuditEvent.actor_id).where(AuditEvent.account_id == vendor.id).order_by(AuditEvent.id)
    ).all()
    assert events == [("invite.sent_again", colleague.id), ("invite.sent_again", inviter.id)]
    assert (vendor.first_name, vendor.organisation) == (None, "Vendor Pte Ltd")


def test_whoever_was_approved_just_now_was_mailed_just_now(make, inviter, by, now, policy):
    pending = make.account(AccountStatus.PENDING)
    make.invitation(pending)
    row = make.invitee(inviter, pending, asked_at=now - 3 * DAY)
    assert inviting.send_again(row.id, by, now, policy).result is Result.TOO_SOON
    assert rows(inviter, now, policy)[0].again_at == now + DAY


def test_what_is_not_ones_own_or_has_ended_is_not_sent(make, inviter, by, now, policy):
    _, others = waiting(make, make.account(), now - 2 * DAY)
    with pytest.raises(NotFound):
        inviting.send_again(others.id, by, now, policy)
    _, over = waiting(make, inviter, now - 6 * DAY, "x@vendor.example.com")
    assert inviting.send_again(over.id, by, now, policy).result is Result.HOLDS
    ended = make.vendor(AccountStatus.TERMINATED, "y@vendor.example.com")
    old = make.invitee(inviter, ended, asked_at=now - 9 * DAY)
    waiting(make, inviter, now - 2 * DAY, "y@vendor.example.com")
    assert inviting.send_again(old.id, by, now, policy).result is Result.HOLDS
    db.session.execute(update(Account).where(Account.id == inviter.id).values(status=AccountStatus.DISABLED))
    db.session.commit()
    with pytest.raises(MayNotInvite):
        inviting.send_again(over.id, by, now, policy)
    assert db.session.query(Mail).count() == 0


def test_what_was_asked_for_in_vain_is_forgotten_with_what_was_not(make, inviter, by, now, policy):
    make.account(email="mei@vendor.example.com", agency_id=number_of("moe.gov.sg"))
    ask(given("mei@vendor.example.com"), by, now, policy)
    over = now + 5 * DAY
    assert (invited.lapse(over, policy), invited.lapse(over + SECOND, policy), invited.lapse(over + DAY, policy)) == (
        0,
        1,
        0,
    )
    assert [row.stand for row in rows(inviter, over + DAY, policy)] == [Stand.RAN_OUT]
    invited.lapse(over + policy.purge_after_days * DAY + 2 * SECOND, policy)
    assert db.session.query(Invitee).count() == 0


def test_an_address_keeps_to_its_form_in_the_list(make, inviter, now, policy):
    there = make.account(email="mei@moe.gov.sg")
    for email, is_vendor in (("a_FROM.X@moe.gov.sg", True), ("a@x.example", True), ("a@moe.gov.sg", False)):
        assert parse(email)
        db.session.execute(delete(Invitee))
        make.invitee(inviter, there, email=email, email_folded=email.lower(), is_theirs=False)
        (row,) = rows(inviter, now, policy)
        assert (row.email, row.is_vendor, row.name, row.seed) == (email, is_vendor, "", None)


def test_seed_is_told_of_ones_own_agency_alone(make, inviter, now, policy):
    for email, seed in (("a@moe.gov.sg", None), ("a@tech.gov.sg", SeedStatus.ONBOARDED)):
        make.invitee(inviter, make.account(email=email, seed_status=SeedStatus.ONBOARDED), is_theirs=False)
        assert rows(inviter, now, policy)[0].seed is seed
