"""The profile: what the account is, and SEED in exactly one state (rule 6.1 and section 4)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from webapp.domain.lifecycle import InvitationKind, Role, SeedStatus
from webapp.extensions import db


def test_it_shows_who_i_am_and_since_when(client, make):
    make.sign_in(client, make.account(email="Peter_Wilson@tech.gov.sg"))
    page = client.get("/profile").text
    assert "Peter_Wilson@tech.gov.sg" in page
    assert "peter_wilson@tech.gov.sg" in page
    assert "Tuesday, 24 November 2026, 10:00 Singapore time" in page
    assert "Public officer" in page
    assert "/admin" not in page


def test_an_admin_finds_the_way_to_the_queue(client, make):
    make.sign_in(client, make.account(role=Role.ADMIN))
    assert 'href="/admin/requests"' in client.get("/profile").text


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (SeedStatus.NOT_REQUIRED, "You did not ask for SEED"),
        (SeedStatus.INELIGIBLE, "SEED does not apply"),
        (SeedStatus.REQUESTED, "An admin decides next"),
        (SeedStatus.REJECTED, "SEED was not approved"),
        (SeedStatus.EXPIRED, "has expired"),
        (SeedStatus.ONBOARDED, "in SEED since"),
        (SeedStatus.WITHDRAWN, "You gave SEED up"),
        (SeedStatus.SUSPENDED, "SEED is suspended"),
    ],
)
def test_seed_is_in_one_state(client, make, status, says):
    make.sign_in(client, make.account(seed_status=status))
    assert says in client.get("/profile").text


def test_who_is_invited_to_seed_is_told_until_when(client, make, now, set_now):
    account = make.account(seed_status=SeedStatus.INVITED)
    make.invitation(account, InvitationKind.SEED)
    make.sign_in(client, account)
    assert "Thursday, 24 December 2026, 10:00 Singapore time" in client.get("/profile").text


def test_a_seed_invitation_past_its_time_is_expired_before_the_sweep_comes(client, make, now):
    account = make.account(seed_status=SeedStatus.INVITED)
    make.invitation(account, InvitationKind.SEED, at=now - timedelta(days=31))
    make.sign_in(client, account)
    assert "has expired" in client.get("/profile").text


def test_invited_without_a_live_link_is_expired_too(client, make):
    account = make.account(seed_status=SeedStatus.INVITED)
    make.sign_in(client, account)
    assert "has expired" in client.get("/profile").text
    db.session.rollback()
