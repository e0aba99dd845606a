"""Onboarding from an accepted link to an active account, on a real database (rules 3.6, 3.9 and 7.3)."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest
from sqlalchemy import func, select, update

from tests.onboarding import BROWSER, PEER, Walk, app_of
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState, MailState, SeedStatus
from webapp.domain.onboarding import Document, Step
from webapp.domain.tokens import token_hash
from webapp.extensions import db
from webapp.models import (
    Account,
    AgreementAcceptance,
    AuditEvent,
    Authenticator,
    BrowserSession,
    Invitation,
    Mail,
    RecoveryCode,
    SessionKind,
)
from webapp.services import agreements, audit, authenticators, expiry, invitations, onboarding, requests, sessions
from webapp.services.errors import AgreementChanged, LinkEnded, NotFound, NotTheNextStep, ServiceError, WrongCode
from webapp.services.held import hold

VISITOR = audit.By.visitor(PEER)
SECOND = timedelta(seconds=1)
STEPS = list(Step)


def count(table: type, **where) -> int:
    return db.session.scalar(select(func.count()).select_from(table).filter_by(**where)) or 0


def fresh(account: Account) -> Account:
    return db.session.get_one(Account, account.id, populate_existing=True)


def actions() -> list[str]:
    return list(db.session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)))


# Accepting


def test_accepting_begins_with_the_permissions_and_does_not_use_the_link_up(app, make, now):
    walk = Walk.begin(make)
    assert walk.step() is Step.PERMISSIONS
    invitation = db.session.scalars(select(Invitation)).one()
    assert (invitation.state, invitation.accepted_at) == (InvitationState.LIVE, now)
    assert fresh(walk.account).status is AccountStatus.PENDING
    session = db.session.scalars(select(BrowserSession)).one()
    assert (session.kind, session.peer, session.user_agent) == (SessionKind.ONBOARDING, PEER, BROWSER)
    assert session.token_hash == token_hash(walk.sid)
    assert actions() == ["invitation.accepted"]


def test_accepting_again_keeps_the_first_time_and_ends_the_other_browsers_session(app, make, now, policy):
    walk = Walk.begin(make)
    first = walk.sid
    walk.now = now + timedelta(minutes=5)
    assert walk.accept() is Step.PERMISSIONS
    assert walk.sid != first
    assert sessions.find_session(first, walk.at, policy) is None
    assert db.session.scalars(select(Invitation)).one().accepted_at == now


@pytest.mark.parametrize("stop", STEPS)
def test_onboarding_broken_off_goes_on_in_another_browser_where_it_stopped(app, make, now, stop):
    walk = Walk.begin(make, seed=True)
    walk.to(stop)
    key = db.session.scalar(select(Authenticator.encrypted_key))
    walk.now = now + timedelta(days=12)
    assert walk.accept() is stop
    assert walk.step() is stop
    assert db.session.scalar(select(Authenticator.encrypted_key)) == key
    assert walk.to(None)
    assert fresh(walk.account).status is AccountStatus.ACTIVE


def test_the_recovery_codes_are_the_same_ones_when_taken_up_again(app, make, now):
    walk = Walk.begin(make)
    walk.to(Step.RECOVERY_CODES)
    codes = authenticators.codes_to_save(fresh(walk.account))
    walk.now = now + timedelta(days=1)
    walk.accept()
    assert authenticators.codes_to_save(fresh(walk.account)) == codes


@pytest.mark.parametrize("kind", [InvitationKind.SEED, InvitationKind.AUTHENTICATOR])
def test_a_link_of_another_kind_begins_no_onboarding(app, make, now, policy, kind):
    _, token = make.invitation(kind=kind)
    with pytest.raises(NotFound):
        onboarding.accept(token, InvitationKind.TECHPASS, VISITOR, now, policy, BROWSER)
    assert (count(BrowserSession), actions()) == (0, [])


@pytest.mark.parametrize("status", [status for status in AccountStatus if status is not AccountStatus.PENDING])
def test_a_live_link_of_an_account_in_another_status_is_refused(app, make, now, policy, status):
    _, token = make.invitation(make.account(status))
    with pytest.raises(LinkEnded):
        onboarding.accept(token, InvitationKind.TECHPASS, VISITOR, now, policy, BROWSER)
    db.session.rollback()
    assert (count(BrowserSession), actions()) == (0, [])


def test_after_a_new_email_the_old_link_and_its_session_are_refused(app, make, now, policy):
    walk = Walk.begin(make)
    walk.to(Step.AUTHENTICATOR)
    invitations.resend(walk.account.id, InvitationKind.TECHPASS, VISITOR, now, policy)
    with pytest.raises(LinkEnded) as ended:
        walk.accept()
    assert ended.value.state == InvitationState.REPLACED
    db.session.rollback()
    with pytest.raises(LinkEnded):
        walk.answer(Step.AUTHENTICATOR)
    db.session.rollback()
    assert count(Authenticator, confirmed_at=None) == 1


def test_accepted_many_times_at_once_there_is_one_onboarding(app, make, now, policy):
    invitation, token = make.invitation()
    db.session.rollback()

    def accept(_: int) -> str:
        with app.app_context():
            return onboarding.accept(token, InvitationKind.TECHPASS, VISITOR, now, policy, BROWSER)[0]

    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(accept, range(50)))
    assert count(BrowserSession) == 1
    assert sum(sessions.find_session(sid, now, policy) is not None for sid in tokens) == 1
    assert db.session.get_one(Invitation, invitation.id).state is InvitationState.LIVE


# The steps


@pytest.mark.parametrize("seed", [False, True])
def test_the_whole_way_makes_the_account_active_once_and_records_it(app, make, now, policy, seed):
    walk = Walk.begin(make, seed=seed)
    token = walk.to(None)

    account = fresh(walk.account)
    assert (account.status, account.activated_at, account.idle_since) == (AccountStatus.ACTIVE, now, now)
    assert account.inactivity_due_at == now + timedelta(days=60)
    assert db.session.scalars(select(Invitation)).one().state is InvitationState.USED
    documents = [Document.TERMS_OF_USE, Document.PRIVACY_POLICY, *([Document.MDM_AUP] if seed else [])]
    rows = db.session.scalars(select(AgreementAcceptance).order_by(AgreementAcceptance.id)).all()
    assert [(row.document, row.version, row.accepted_at, row.peer) for row in rows] == [
        (document, agreements.in_force(document, now).version, now, PEER) for document in documents
    ]
    assert actions() == [
        "invitation.accepted",
        "onboarding.permissions_accepted",
        "authenticator.confirmed",
        "recovery_codes.saved",
        *["agreement.accepted"] * len(documents),
        "account.activated",
    ]
    details = [
        event.detail
        for event in db.session.scalars(
            select(AuditEvent).filter_by(action="agreement.accepted").order_by(AuditEvent.id)
        )
    ]
    assert [detail["document"] for detail in details] == documents
    assert token
    found = sessions.find_session(token, now, policy)
    assert found is not None
    assert (found.kind, found.account_id) == (SessionKind.SIGNED_IN, account.id)


def test_activation_ends_the_session_that_came_this_far(app, make, now, policy):
    walk = Walk.begin(make)
    token = walk.to(None)
    assert token != walk.sid
    assert sessions.find_session(walk.sid, now, policy) is None
    assert count(BrowserSession) == 1


def test_activation_takes_back_the_mails_that_would_ask_for_it(app, make, now, policy):
    request = make.request()
    requests.approve(request.id, audit.SYSTEM, now, policy)
    account = db.session.get_one(Account, request.account_id)
    _, token = make.invitation(account)
    walk = Walk(make, token, account)
    walk.accept()
    walk.to(None)
    assert db.session.scalars(select(Mail.state)).all() == [MailState.CANCELLED]


@pytest.mark.parametrize(("stands", "answered"), list(permutations(STEPS, 2)))
def test_no_step_can_be_answered_before_its_turn_or_again(app, make, now, policy, stands, answered):
    walk = Walk.begin(make, seed=True)
    walk.to(stands)
    before = actions(), count(AgreementAcceptance), count(RecoveryCode)
    session = walk.session()
    with pytest.raises(NotTheNextStep):
        walk.answer(answered, session, "123456")
    assert (actions(), count(AgreementAcceptance), count(RecoveryCode)) == before
    assert fresh(walk.account).status is AccountStatus.PENDING
    assert walk.step() is stands


def test_a_wrong_code_confirms_nothing(app, make, now, policy):
    walk = Walk.begin(make)
    walk.to(Step.AUTHENTICATOR)
    right = app_of(walk.account.id).at(now)
    wrong = f"{(int(right) + 1) % 1_000_000:06d}"
    for code in (
        wrong,
        "",
        "12345",
        "١٢٣٤٥٦",
        "😀",
        right[::-1] + "0",
        app_of(walk.account.id).at(now - timedelta(seconds=90)),
    ):
        with pytest.raises(WrongCode):
            onboarding.confirm_authenticator(walk.session(), code, walk.by, now, policy)
    assert count(RecoveryCode) == 0
    assert walk.step() is Step.AUTHENTICATOR


@pytest.mark.parametrize("code", ["aaaa-bbbb-cccc", "", "x" * 40, "😀", "\x00"])
def test_a_recovery_code_of_nobody_or_of_somebody_else_shows_nothing_saved(app, make, now, policy, code):
    other = Walk.begin(make)
    other.to(Step.RECOVERY_CODES)
    walk = Walk.begin(make)
    walk.to(Step.RECOVERY_CODES)
    for typed in (code, authenticators.codes_to_save(other.session().account)[0]):
        with pytest.raises(WrongCode):
            onboarding.confirm_recovery_codes(walk.session(), typed, walk.by, now, policy, BROWSER)
    assert fresh(walk.account).recovery_saved_at is None


def test_typing_a_recovery_code_back_does_not_use_it_up(app, make, now, policy):
    walk = Walk.begin(make)
    walk.to(Step.RECOVERY_CODES)
    code = authenticators.codes_to_save(walk.session().account)[0]
    typed = " " + code.replace("-", " ").upper() + " "
    onboarding.confirm_recovery_codes(walk.session(), typed, walk.by, now, policy, BROWSER)
    assert authenticators.recovery_codes_left(walk.account.id) == 10
    with pytest.raises(NotFound):
        authenticators.codes_to_save(fresh(walk.account))


# Agreements


@pytest.fixture
def newer(monkeypatch, now):
    """``newer(document)`` brings a newer version of it into force at once."""
    original = agreements.versions

    def publish(document: Document) -> None:
        later = replace(original(document)[-1], version="2026-11-24")

        def versions(asked: Document) -> tuple[agreements.Agreement, ...]:
            return (*original(asked), later) if asked is document else original(asked)

        monkeypatch.setattr(agreements, "versions", versions)

    return publish


def test_a_version_that_came_into_force_meanwhile_is_shown_before_it_is_accepted(app, make, now, policy, newer):
    walk = Walk.begin(make)
    walk.to(Step.TERMS_OF_USE)
    shown = agreements.in_force(Document.TERMS_OF_USE, now).version
    newer(Document.TERMS_OF_USE)
    args = (walk.session(), Step.TERMS_OF_USE)
    for version in (shown, "", "2030-01-01", "x" * 1000, "\x00"):
        with pytest.raises(AgreementChanged):
            onboarding.accept_agreement(*args, version, walk.by, now, policy, BROWSER)
    assert count(AgreementAcceptance) == 0
    walk.answer(Step.TERMS_OF_USE)
    assert db.session.scalars(select(AgreementAcceptance.version)).all() == ["2026-11-24"]


def test_one_accepted_in_an_older_version_is_asked_for_again(app, make, now, newer):
    walk = Walk.begin(make)
    walk.to(Step.PRIVACY_POLICY)
    newer(Document.TERMS_OF_USE)
    assert walk.step() is Step.TERMS_OF_USE
    walk.answer(Step.TERMS_OF_USE)
    assert walk.answer(Step.PRIVACY_POLICY)
    assert count(AgreementAcceptance, document="terms-of-use") == 2


def test_a_version_comes_into_force_with_its_day_in_singapore(app, now):
    first = agreements.in_force(Document.TERMS_OF_USE, now)
    begins = now.replace(year=int(first.version[:4]), month=int(first.version[5:7]), day=int(first.version[8:]))
    assert agreements.in_force(Document.TERMS_OF_USE, begins - timedelta(days=400)) == first, "there is always one"


def test_of_several_versions_the_newest_whose_day_has_come_is_in_force(app, now, monkeypatch):
    base = agreements.versions(Document.TERMS_OF_USE)[0]
    dates = ("2026-01-01", "2026-11-24", "2026-11-25")
    monkeypatch.setattr(agreements, "versions", lambda _: tuple(replace(base, version=day) for day in dates))
    midnight = now.replace(day=23, hour=16, minute=0)  # 24 November begins in Singapore.
    for instant, version in (
        (midnight - SECOND, "2026-01-01"),
        (midnight, "2026-11-24"),
        (midnight + timedelta(days=1) - SECOND, "2026-11-24"),
        (midnight + timedelta(days=1), "2026-11-25"),
    ):
        assert agreements.in_force(Document.TERMS_OF_USE, instant).version == version


@pytest.mark.parametrize(
    ("status", "asked"),
    [(status, status in ("requested", "invited", "onboarded")) for status in SeedStatus],
)
def test_the_policy_of_device_management_is_accepted_where_seed_was_asked_for(app, make, status, asked):
    account = make.account(AccountStatus.PENDING, seed_status=status)
    _, token = make.invitation(account)
    walk = Walk(make, token, account)
    walk.accept()
    assert walk.to(None)
    assert count(AgreementAcceptance, document="mdm-aup") == int(asked)


def test_seed_rejected_while_its_policy_is_read_leaves_one_answer_to_finish_with(app, make, now, policy):
    walk = Walk.begin(make, seed=True)
    walk.to(Step.MDM_AUP)
    session = walk.session()
    fresh(walk.account).seed_status = SeedStatus.REJECTED
    db.session.commit()
    with pytest.raises(NotTheNextStep):
        walk.answer(Step.MDM_AUP, session)
    assert walk.step() is Step.PRIVACY_POLICY
    assert walk.answer(Step.PRIVACY_POLICY)
    assert fresh(walk.account).status is AccountStatus.ACTIVE
    assert count(AgreementAcceptance) == 2


def test_seed_asked_for_half_way_brings_its_policy(app, make):
    walk = Walk.begin(make)
    walk.to(Step.PRIVACY_POLICY)
    fresh(walk.account).seed_status = SeedStatus.REQUESTED
    db.session.commit()
    assert walk.answer(Step.PRIVACY_POLICY) is None
    assert walk.step() is Step.MDM_AUP


# What happens meanwhile


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("beside", "works"), [(-SECOND, True), (timedelta(0), True), (SECOND, False)])
def test_the_deadline_holds_in_the_middle_of_onboarding(app, make, now, step, beside, works):
    account = make.account(AccountStatus.PENDING, seed_status=SeedStatus.REQUESTED)
    end = now + timedelta(minutes=30)
    invitation, token = make.invitation(account)
    invitation.expires_at = end
    db.session.commit()
    walk = Walk(make, token, account)
    walk.accept()
    walk.to(step)
    session, before = walk.session(), actions()
    walk.now = end + beside
    if works:
        walk.answer(step, session)
        return
    with pytest.raises(LinkEnded) as ended:
        walk.answer(step, session)
    db.session.rollback()
    assert ended.value.state == InvitationState.EXPIRED
    assert (actions(), fresh(account).status) == (before, AccountStatus.PENDING)
    with pytest.raises(LinkEnded):
        walk.accept()


@pytest.mark.parametrize("step", STEPS)
def test_an_account_terminated_meanwhile_is_not_brought_back(app, make, now, policy, step):
    walk = Walk.begin(make, seed=True)
    walk.to(step)
    session = walk.session()
    expiry.terminate(fresh(walk.account), now)
    db.session.commit()
    with pytest.raises(LinkEnded):
        walk.answer(step, session)
    db.session.rollback()
    assert fresh(walk.account).status is AccountStatus.TERMINATED
    assert sessions.find_session(walk.sid, now, policy) is None
    with pytest.raises(LinkEnded):
        walk.accept()


def test_the_databases_own_condition_refuses_a_link_that_ended_after_it_was_read(app, make, monkeypatch):
    walk = Walk.begin(make)
    walk.to(Step.PRIVACY_POLICY)
    session = walk.session()
    db.session.scalars(select(Invitation)).one().state = InvitationState.EXPIRED
    db.session.commit()
    monkeypatch.setattr(onboarding, "_check_live", lambda *_: None)
    with pytest.raises(LinkEnded) as ended:
        walk.answer(Step.PRIVACY_POLICY, session)
    assert ended.value.state == InvitationState.EXPIRED
    assert (fresh(walk.account).status, count(AgreementAcceptance)) == (AccountStatus.PENDING, 1)


def test_the_databases_own_condition_activates_a_pending_account_alone(app, make, monkeypatch):
    walk = Walk.begin(make)
    walk.to(Step.PRIVACY_POLICY)
    session = walk.session()

    def lock_and_lose(account_id: int) -> Account | None:
        account = hold(account_id)
        other = update(Account).where(Account.id == account_id).values(status=AccountStatus.TERMINATED)
        db.session.execute(other, execution_options={"synchronize_session": False})
        return account

    monkeypatch.setattr("webapp.services.onboarding.hold", lock_and_lose)
    with pytest.raises(LinkEnded):
        walk.answer(Step.PRIVACY_POLICY, session)
    assert count(AuditEvent, action="account.activated") == 0
    assert db.session.scalars(select(Invitation)).one().state is InvitationState.LIVE


def test_the_last_answer_given_many_times_at_once_activates_once(app, make, now, policy):
    walk = Walk.begin(make)
    walk.to(Step.PRIVACY_POLICY)
    sid, by = walk.sid, walk.by
    version = agreements.in_force(Document.PRIVACY_POLICY, now).version
    db.session.rollback()

    def answer(_: int) -> str:
        with app.app_context():
            session = sessions.find_session(sid, now, policy)
            if session is None:
                return "no session"
            try:
                token = onboarding.accept_agreement(session, Step.PRIVACY_POLICY, version, by, now, policy, BROWSER)
            except ServiceError as error:
                return type(error).__name__
            return "active" if token else "nothing"

    with ThreadPoolExecutor(8) as pool:
        outcomes = Counter(pool.map(answer, range(50)))
    assert outcomes["active"] == 1
    assert set(outcomes) <= {"active", "no session", "LinkEnded"}
    assert count(AuditEvent, action="account.activated") == 1
    assert count(AuditEvent, action="agreement.accepted") == 2
    assert count(BrowserSession) == 1
    assert fresh(walk.account).status is AccountStatus.ACTIVE


def test_the_last_answer_beside_the_sweep_and_a_new_email_ends_one_way(app, make, now, policy):
    """Either it is active and stays so, or its time was up: never both, and no deadlock."""
    walks = []
    for number in range(8):
        walk = Walk.begin(make)
        walk.to(Step.PRIVACY_POLICY)
        invitation = db.session.scalars(select(Invitation).filter_by(account_id=walk.account.id)).one()
        invitation.expires_at = now - SECOND if number % 2 else now
        walks.append((walk.sid, walk.by, walk.account.id))
    db.session.commit()
    version = agreements.in_force(Document.PRIVACY_POLICY, now).version

    def act(number: int) -> str:
        sid, by, account_id = walks[number % 8]
        with app.app_context():
            try:
                match number // 8:
                    case 0:
                        session = sessions.find_session(sid, now, policy)
                        if session is not None:
                            step = Step.PRIVACY_POLICY
                            onboarding.accept_agreement(session, step, version, by, now, policy, BROWSER)
                    case 1:
                        expiry.expire(now)
                    case _:
                        invitations.resend(account_id, InvitationKind.TECHPASS, by, now, policy)
            except ServiceError as error:
                return type(error).__name__
            return "done"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(act, range(24)))
    expiry.expire(now)  # A sweep passes over the rows that somebody holds, and takes them the next time.
    for number, (_, _, account_id) in enumerate(walks):
        account = db.session.get_one(Account, account_id, populate_existing=True)
        if number % 2:
            assert (account.status, account.expired_at) == (AccountStatus.PENDING, now)
        else:
            assert account.status in (AccountStatus.ACTIVE, AccountStatus.PENDING)
            assert account.expired_at is None
        assert count(Invitation, account_id=account_id, state=InvitationState.LIVE) <= 1


def test_eight_people_are_onboarded_at_once(app, make, now, policy):
    begun = []
    for _ in range(8):
        account = make.account(AccountStatus.PENDING)
        begun.append((make.invitation(account)[1], account.id))

    def go(number: int) -> bool:
        token, account_id = begun[number]
        with app.app_context():
            walk = Walk(make, token, db.session.get_one(Account, account_id))
            walk.accept()
            return bool(walk.to(None))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(go, range(8)))
    assert count(Account, status="active") == 8


# A new authenticator


def test_a_new_authenticator_asks_for_its_own_two_steps_and_signs_in(app, make, now, policy):
    account = make.account()
    make.authenticator(account)
    _, token = make.invitation(account, InvitationKind.AUTHENTICATOR)
    authenticators.reset_authenticator(account.id, "Lost phone", VISITOR, now, policy)
    invitation, token = make.invitation(account, InvitationKind.AUTHENTICATOR)
    walk = Walk(make, token, account, InvitationKind.AUTHENTICATOR, now=now + timedelta(hours=1))
    assert walk.accept() is Step.AUTHENTICATOR
    assert walk.answer(Step.AUTHENTICATOR) is None
    signed_in = walk.answer(Step.RECOVERY_CODES)
    assert signed_in
    assert sessions.find_session(signed_in, walk.at, policy)
    account = fresh(account)
    assert (account.status, account.activated_at, account.idle_since) == (AccountStatus.ACTIVE, now, walk.at)
    assert (account.changed_at, account.inactivity_due_at) == (walk.at, walk.at + timedelta(days=60))
    assert db.session.get_one(Invitation, invitation.id).state is InvitationState.USED
    states = {mail.kind: mail.state for mail in db.session.scalars(select(Mail))}
    assert states == {"authenticator_setup": MailState.CANCELLED, "authenticator_changed": MailState.QUEUED}
    assert "authenticator.replaced" in actions()
    assert count(AgreementAcceptance) == 0


def test_where_a_session_began_is_told_as_the_path_of_its_link(app, make):
    walk = Walk.begin(make)
    session = walk.session()
    assert onboarding.link_of(session) == f"/invitations/{walk.token}"
    db.session.scalars(select(Invitation)).one().nonce = ""  # Personal data was deleted meanwhile.
    db.session.commit()
    assert onboarding.link_of(session) is None


def test_the_secret_is_changed_in_the_middle_of_onboarding(app, make, now, policy, monkeypatch):
    walk = Walk.begin(make)
    walk.to(Step.RECOVERY_CODES)
    codes = authenticators.codes_to_save(fresh(walk.account))
    old = app.config["SECRET_KEYS"][0]
    monkeypatch.setitem(app.config, "SECRET_KEYS", ("another secret for tests, 9876543210", old))

    assert walk.accept() is Step.RECOVERY_CODES
    assert onboarding.link_of(walk.session()) == f"/invitations/{walk.token}"
    assert authenticators.codes_to_save(fresh(walk.account)) == codes
    assert walk.to(None)
    later = now + timedelta(seconds=60)
    assert authenticators.use_code(walk.account.id, app_of(walk.account.id).at(later), later)
    assert authenticators.use_recovery_code(walk.account.id, codes[0], later)
