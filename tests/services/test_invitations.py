"""Mailed links: valid until an instant, replaced by a later one, of one kind (rules 3.2, 3.7 and 3.8)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState, SeedStatus
from webapp.domain.tokens import new_nonce, token_hash
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Invitation, Mail
from webapp.services import audit, invitations
from webapp.services.errors import LinkEnded, NotFound, ServiceError, TooSoon

VISITOR = audit.By.visitor("203.0.113.7")
SECOND = timedelta(seconds=1)


def count(table: type) -> int:
    return db.session.scalar(select(func.count()).select_from(table)) or 0


def states() -> list[str]:
    return list(db.session.scalars(select(Invitation.state).order_by(Invitation.id)))


@pytest.mark.parametrize(
    ("kind", "life"),
    [
        (InvitationKind.TECHPASS, timedelta(days=30)),
        (InvitationKind.SEED, timedelta(days=30)),
        (InvitationKind.AUTHENTICATOR, timedelta(hours=24)),
    ],
)
@pytest.mark.parametrize(("beside", "works"), [(-SECOND, True), (timedelta(0), True), (SECOND, False)])
def test_a_link_is_valid_until_the_end_of_its_instant_without_any_sweep(app, make, now, kind, life, beside, works):
    account = make.account(AccountStatus.PENDING)
    invitation, token = make.invitation(account, kind)
    assert invitation.expires_at == now + life
    if works:
        assert invitations.open_link(token, now + life + beside, kind).id == invitation.id
    else:
        with pytest.raises(LinkEnded) as refused:
            invitations.open_link(token, now + life + beside, kind)
        assert refused.value.state == InvitationState.EXPIRED
    db.session.rollback()
    assert states() == ["live"]


@pytest.mark.parametrize("kind", InvitationKind)
@pytest.mark.parametrize("opened_as", InvitationKind)
def test_a_link_of_one_kind_opens_no_other_flow(app, make, now, kind, opened_as):
    _, token = make.invitation(kind=kind)
    if kind is opened_as:
        assert invitations.open_link(token, now, opened_as).kind is kind
    else:
        with pytest.raises(NotFound):
            invitations.open_link(token, now, opened_as)


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "x" * 5000, "é" * 43, "%00" + "x" * 40])
def test_an_unknown_token_is_nothing(app, make, now, token):
    make.invitation()
    with pytest.raises(NotFound):
        invitations.open_link(token, now, InvitationKind.TECHPASS)


def test_the_database_keeps_no_token(app, make):
    invitation, token = make.invitation()
    assert invitation.token_hash == token_hash(token)
    row = db.session.execute(select(*Invitation.__table__.columns)).one()
    assert token not in "".join(str(value) for value in row)


def test_a_new_link_replaces_the_one_before_of_its_kind_alone(app, make, now):
    account = make.account(AccountStatus.PENDING)
    other, _ = make.invitation()
    seed, _ = make.invitation(account, InvitationKind.SEED)
    _, old_token = make.invitation(account)
    fresh, token = make.invitation(account)
    with pytest.raises(LinkEnded) as refused:
        invitations.open_link(old_token, now, InvitationKind.TECHPASS)
    assert refused.value.state == InvitationState.REPLACED
    assert invitations.open_link(token, now, InvitationKind.TECHPASS).id == fresh.id
    assert {seed.state, other.state} == {InvitationState.LIVE}


def test_the_database_forbids_two_live_links_of_one_kind(app, make, now):
    first, _ = make.invitation()
    second = Invitation(
        account_id=first.account_id,
        kind=first.kind,
        nonce=new_nonce(),
        token_hash="0" * 64,
        issued_at=now,
        expires_at=now,
    )
    db.session.add(second)
    with pytest.raises(IntegrityError):
        db.session.commit()
    db.session.rollback()


@pytest.mark.parametrize("status", [AccountStatus.TERMINATED, AccountStatus.DELETED])
def test_a_replaced_link_of_an_account_that_has_ended_is_an_expired_one(app, make, now, status):
    account = make.account(AccountStatus.PENDING)
    _, old = make.invitation(account)
    fresh, _ = make.invitation(account)
    account.status, fresh.state = status, InvitationState.EXPIRED
    db.session.commit()
    with pytest.raises(LinkEnded) as refused:
        invitations.open_link(old, now, InvitationKind.TECHPASS)
    assert refused.value.state == InvitationState.EXPIRED, "it would offer a new email, which never comes"


def test_a_replaced_link_is_expired_once_the_one_that_replaced_it_is(app, make, now):
    account = make.account(AccountStatus.PENDING)
    _, old = make.invitation(account)
    make.invitation(account)
    for later, state in ((30 * 86400, "replaced"), (30 * 86400 + 1, "expired")):
        with pytest.raises(LinkEnded) as refused:
            invitations.open_link(old, now + timedelta(seconds=later), InvitationKind.TECHPASS)
        assert refused.value.state == state


@pytest.mark.parametrize("status", [AccountStatus.ACTIVE, AccountStatus.DISABLED])
def test_a_replaced_link_of_an_account_that_was_activated_is_a_used_one(app, make, now, status):
    account = make.account(AccountStatus.PENDING)
    _, old = make.invitation(account)
    fresh, _ = make.invitation(account)
    account.status, account.activated_at, fresh.state = status, now, InvitationState.USED
    db.session.commit()
    with pytest.raises(LinkEnded) as refused:
        invitations.open_link(old, now, InvitationKind.TECHPASS)
    assert refused.value.state == InvitationState.USED


def test_resending_replaces_the_link_keeps_the_deadline_and_mails_once(app, make, now, policy):
    invitation, token = make.invitation()
    later = now + timedelta(days=3)
    invitations.resend(invitation.account_id, InvitationKind.TECHPASS, VISITOR, later, policy)

    assert states() == ["replaced", "live"]
    fresh = invitations.live_invitation(invitation.account_id, InvitationKind.TECHPASS)
    assert fresh is not None
    assert (fresh.expires_at, fresh.remind_at) == (now + timedelta(days=30), now + timedelta(days=23))
    mail = db.session.scalars(select(Mail)).one()
    assert (mail.kind, mail.context) == ("techpass_onboarding", {"invitation_id": fresh.id})
    event = db.session.scalars(select(AuditEvent)).one()
    told = {"invitation": fresh.id, "kind": "techpass"}
    assert (event.action, event.peer, event.detail) == ("invitation.resent", "203.0.113.7", told)
    with pytest.raises(LinkEnded):
        invitations.open_link(token, later, InvitationKind.TECHPASS)


@pytest.mark.parametrize(
    ("after", "sent"), [(timedelta(0), False), (timedelta(hours=24) - SECOND, False), (timedelta(hours=24), True)]
)
def test_an_officer_has_it_sent_again_once_a_day(app, make, now, policy, after, sent):
    invitation, _ = make.invitation()
    invitations.resend(invitation.account_id, InvitationKind.TECHPASS, VISITOR, now, policy)
    if sent:
        invitations.resend(invitation.account_id, InvitationKind.TECHPASS, VISITOR, now + after, policy)
    else:
        with pytest.raises(TooSoon):
            invitations.resend(invitation.account_id, InvitationKind.TECHPASS, VISITOR, now + after, policy)
    assert (count(Mail), len(states()), count(AuditEvent)) == ((2, 3, 2) if sent else (1, 2, 1))


@pytest.mark.parametrize("status", [status for status in AccountStatus if status is not AccountStatus.PENDING])
def test_nothing_is_sent_again_to_who_waits_for_no_activation(app, make, now, policy, status):
    account = make.account(status)
    make.invitation(account)
    with pytest.raises(LinkEnded):
        invitations.resend(account.id, InvitationKind.TECHPASS, VISITOR, now, policy)
    assert (states(), count(Mail)) == (["live"], 0)


@pytest.mark.parametrize(("beside", "sent"), [(timedelta(0), True), (SECOND, False)])
def test_nothing_is_sent_again_past_the_deadline(app, make, now, policy, beside, sent):
    invitation, _ = make.invitation()
    at = invitation.expires_at + beside
    if sent:
        invitations.resend(invitation.account_id, InvitationKind.TECHPASS, VISITOR, at, policy)
    else:
        with pytest.raises(LinkEnded):
            invitations.resend(invitation.account_id, InvitationKind.TECHPASS, VISITOR, at, policy)
    assert count(Mail) == int(sent)


def test_there_may_be_no_such_account(app, now, policy):
    with pytest.raises(LinkEnded):
        invitations.resend(10**15, InvitationKind.TECHPASS, VISITOR, now, policy)


def test_asked_for_many_times_at_once_one_mail_goes_out(app, make, now, policy):
    invitation, _ = make.invitation()
    account_id = invitation.account_id
    db.session.rollback()

    def ask(_: int) -> str:
        with app.app_context():
            try:
                invitations.resend(account_id, InvitationKind.TECHPASS, VISITOR, now, policy)
            except ServiceError as error:
                return type(error).__name__
            return "sent"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(ask, range(24)))
    assert sorted(set(outcomes)) == ["TooSoon", "sent"]
    assert outcomes.count("sent") == 1
    assert (count(Mail), sorted(states())) == (1, ["live", "replaced"])


def test_a_link_for_seed_is_first_reminded_of_seven_days_before_its_end(app, make, now, policy):
    account = make.account(AccountStatus.ACTIVE, seed_status=SeedStatus.INVITED)
    invitations.invite(account, InvitationKind.SEED, now, policy)
    db.session.commit()
    assert db.session.scalars(select(Invitation)).one().remind_at == now + timedelta(days=23)
    assert db.session.scalars(select(Mail.kind)).all() == ["seed_onboarding"]
    assert db.session.get_one(Account, account.id).seed_status is SeedStatus.INVITED
