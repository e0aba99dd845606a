"""Each kind of mail in words, in every state that it is written for (section 9 of the rules; M2)."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from sqlalchemy import select

from tests.factories import Factory
from webapp import emails
from webapp.domain.lifecycle import (
    AccountStatus,
    DeviceStatus,
    InvitationKind,
    InvitationState,
    RequestKind,
    RequestState,
    SeedStatus,
)
from webapp.domain.policy import Policy
from webapp.domain.tokens import LOG_IN_CODE, derive_code, new_nonce
from webapp.emails import names
from webapp.emails import render as rendering
from webapp.emails.purpose import has_ended
from webapp.emails.render import CannotBeShown, NotOneLine, load, preview, render
from webapp.extensions import db
from webapp.links import invitation_link, receipt_link
from webapp.models import Account, Invitation, Invitee, LogInAttempt, Mail, Question, Request
from webapp.services import outbox
from webapp.services.keys import secret_key, secret_keys

FOLDER = Path(__file__).parents[2] / "templates/mail"
IN_5_DAYS = "Sunday, 29 November 2026, 10:00 Singapore time"
IN_30_DAYS = "Thursday, 24 December 2026, 10:00 Singapore time"
TODAY = "Tuesday, 24 November 2026, 10:00 Singapore time"
NASTY = 'Not "ours" <script>alert(1)</script> & more'


@dataclass
class World:
    make: Factory
    now: datetime
    policy: Policy

    def requested(self, **changes):
        return db.session.get_one(Account, self.make.request(**changes).account_id)

    def invited(self, kind=InvitationKind.TECHPASS, status=AccountStatus.PENDING, **changes):
        account = self.make.account(status, **changes)
        link, token = self.make.invitation(account, kind)
        return account, link, invitation_link(kind, token)

    def refused(self, kind, status, reason="Not an officer of ours."):
        account = self.make.account(status)
        request = Request(
            account_id=account.id, kind=kind, state=RequestState.REJECTED, requested_at=self.now, reason=reason
        )
        db.session.add(request)
        db.session.commit()
        return account, request.id

    def attempt(self):
        account = self.make.account()
        attempt = LogInAttempt(
            account_id=account.id,
            address_hash="0" * 64,
            nonce=new_nonce(),
            created_at=self.now,
            code_sent_at=self.now,
            expires_at=self.now + timedelta(minutes=10),
        )
        db.session.add(attempt)
        db.session.commit()
        return account, attempt


@pytest.fixture
def world(app, make, now, policy):
    return World(make, now, policy)


def request_received(world):
    account = world.requested(email="wei.ling@tech.gov.sg")
    return emails.request_received(account, world.now), [
        "wei.ling@tech.gov.sg",
        receipt_link(world.make.receipt_token(account)),
        account.agency.name if "agency" in account.__dict__ else "review it next",
    ]


def request_received_with_seed(world):
    account = world.requested(seed=True)
    link = receipt_link(world.make.receipt_token(account))
    return emails.request_received(account, world.now), ["and for SEED for your internet device", link]


def request_received_late(world):
    return emails.request_received(world.make.account(AccountStatus.PENDING), world.now), ["decided meanwhile"]


def more_information(world):
    account = world.requested()
    return asked(world, account, RequestKind.TECHPASS), [
        NASTY,
        receipt_link(world.make.receipt_token(account)),
        "reviews your request for TechPass",
        "If you did not ask for TechPass,",
    ]


def more_information_about_seed(world):
    account = world.make.account(seed_status=SeedStatus.REQUESTED)
    db.session.add(Request(account_id=account.id, kind=RequestKind.SEED, requested_at=world.now))
    link = receipt_link(world.make.receipt_token(account))
    return asked(world, account, RequestKind.SEED), [link, "reviews your request for SEED"]


def asked(world, account, kind):
    request = db.session.scalars(select(Request).filter_by(account_id=account.id, kind=kind)).one()
    question = Question(request_id=request.id, asked_by_id=account.id, asked_at=world.now, question=NASTY)
    db.session.add(question)
    db.session.commit()
    return emails.more_information(account, question.id, request.id, world.now)


def request_rejected(world):
    account, number = world.refused(RequestKind.TECHPASS, AccountStatus.REJECTED)
    return emails.request_rejected(account, number, world.now), [
        "Not an officer of ours.",
        "http://localhost/sign-up",
        "after 30 days",
    ]


def techpass_onboarding(world):
    account, link, address = world.invited()
    return emails.techpass_onboarding(account, link, world.now), [
        address,
        IN_30_DAYS,
        "valid for 30 days.",
        "WOG account",
        "Terms of Use and the Privacy Policy.",
    ]


def techpass_onboarding_with_seed(world):
    account, link, address = world.invited(seed_status=SeedStatus.REQUESTED)
    return emails.techpass_onboarding(account, link, world.now), [address, "acceptable use policy for managed devices"]


def techpass_onboarding_of_a_vendor(world):
    inviter = world.make.account(email="lim@tech.gov.sg", first_name="Lim")
    account = world.make.vendor(AccountStatus.PENDING, "mei@vendor.example.com")
    world.make.invitee(inviter, account)
    link, token = world.make.invitation(account)
    said = [
        invitation_link(InvitationKind.TECHPASS, token),
        "Lim (lim@tech.gov.sg) asked for it for you.",
        "If you did not expect this,",
        "you would have to be invited again",
        "our mailbox account, that of mei@vendor.example.com",
    ]
    return emails.techpass_onboarding(account, link, world.now), said


def onboarding_reminder_of_who_was_asked_for(world):
    account, link, address = world.invited()
    world.make.invitee(world.make.account(email="koh@tech.gov.sg"), account)
    said = [address, "koh@tech.gov.sg asked for", "you would have to sign up again"]
    return emails.onboarding_reminder(account, link, 23, world.now), said


def onboarding_reminder(world):
    account, link, address = world.invited()
    return emails.onboarding_reminder(account, link, 23, world.now + timedelta(days=23)), [
        address,
        IN_30_DAYS,
        "from day 23 of 30",
        "the link of our latest invitation",
    ]


def seed_onboarding(world):
    account, link, address = world.invited(InvitationKind.SEED, AccountStatus.ACTIVE)
    return emails.seed_onboarding(account, link, world.now), [address, IN_30_DAYS, "Yours is active"]


def seed_onboarding_while_pending(world):
    account, link, address = world.invited(InvitationKind.SEED)
    return emails.seed_onboarding(account, link, world.now), [address, IN_30_DAYS, "First activate your TechPass"]


def seed_rejected(world):
    account, number = world.refused(RequestKind.SEED, AccountStatus.ACTIVE)
    return emails.seed_rejected(account, number, world.now), [
        "Not an officer of ours.",
        "https://go.gov.sg/techpass-sr",
    ]


def seed_reminder(world):
    account, link, address = world.invited(InvitationKind.SEED, AccountStatus.ACTIVE)
    return emails.seed_reminder(account, link, 7, world.now), [address, IN_30_DAYS, "waits for a device"]


def seed_reminder_while_pending(world):
    account, link, address = world.invited(InvitationKind.SEED)
    return emails.seed_reminder(account, link, 1, world.now), [address, "First activate your TechPass"]


def seed_expired(world):
    account, link, _ = world.invited(InvitationKind.SEED, AccountStatus.ACTIVE)
    return emails.seed_expired(account, link, world.now), [
        "within 30 days",
        "Nothing that you use was taken away, and your TechPass stays active",
        "http://localhost/profile#seed",
    ]


def seed_expired_while_pending(world):
    account, link, _ = world.invited(InvitationKind.SEED)
    return emails.seed_expired(account, link, world.now), ["Your TechPass is not activated yet"]


def seed_withdrawn(world):
    return emails.seed_withdrawn(world.make.account(seed_status=SeedStatus.WITHDRAWN), world.now), [
        TODAY,
        "Your TechPass is not affected",
        "http://localhost/profile#seed",
    ]


def authenticator_setup(world):
    account, link, address = world.invited(InvitationKind.AUTHENTICATOR, AccountStatus.ACTIVE)
    return emails.authenticator_setup(account, link, world.now), [
        address,
        "Wednesday, 25 November 2026, 10:00 Singapore time",
    ]


def authenticator_setup_while_pending(world):
    account, link, address = world.invited()
    return emails.authenticator_setup(account, link, world.now), [address, IN_30_DAYS, "goes on from this step"]


def authenticator_changed(world):
    return emails.authenticator_changed(world.make.account(), world.now), [TODAY, "https://go.gov.sg/techpass-sr"]


def recovery_codes_changed(world):
    row = emails.recovery_codes_changed(world.make.account(), world.now)
    return row, [TODAY, "The old ones work no longer", "https://go.gov.sg/techpass-sr"]


def profile_changed(world):
    row = emails.profile_changed(world.make.account(), ["first_name", "mobile"], world.now)
    return row, [TODAY, "First name", "Mobile number", "http://localhost/profile", "works for 14 days"]


def account_locked(world):
    account = world.make.account(AccountStatus.DISABLED)
    return emails.account_locked(account, "holder", world.now), [
        "pressed “This wasn’t me”",
        TODAY,
        "https://go.gov.sg/techpass-sr",
    ]


def account_locked_by_the_operator(world):
    account = world.make.account(AccountStatus.DISABLED)
    return emails.account_locked(account, "operator", world.now), [
        "We locked the TechPass of",
        TODAY,
        "and we tell you more",
    ]


def account_enabled(world):
    row = emails.account_enabled(world.make.account(), world.now + timedelta(days=5), world.now)
    return row, ["Sunday, 29 November 2026, 10:00 Singapore time", "http://localhost/log-in"]


def account_disabled(world):
    account = world.make.account(AccountStatus.DISABLED, seed_status=SeedStatus.SUSPENDED)
    return emails.account_disabled(account, "Left the agency.", world.now), [
        TODAY,
        "Reason: Left the agency.",
        "SEED is suspended until then",
        "https://go.gov.sg/techpass-sr",
    ]


def account_terminated(world):
    account = world.make.account(AccountStatus.TERMINATED)
    return emails.account_terminated(account, "Left the agency.", world.now), [
        TODAY,
        "Reason: Left the agency.",
        "deleted 5 days after",
        "http://localhost/sign-up",
        "https://go.gov.sg/techpass-sr",
    ]


def role_changed(world):
    return emails.role_changed(world.make.admin(), world.now), [
        TODAY,
        "You are an admin of TechPass Portal",
        "http://localhost/profile",
        "https://go.gov.sg/techpass-sr",
    ]


def role_changed_to_auditor(world):
    return emails.role_changed(world.make.auditor(), world.now), ["see what admins see, and change nothing of it"]


def role_changed_to_officer(world):
    return emails.role_changed(world.make.account(), world.now), ["pages are closed to you now"]


def account_held(world):
    account = world.make.account(under_investigation=True)
    return emails.account_held(account, world.now), [
        TODAY,
        "Nothing about your account changes by time alone until the hold ends",
        "https://go.gov.sg/techpass-sr",
    ]


def account_released(world):
    return emails.account_released(world.make.account(), world.now), [TODAY, "time counts for your account again"]


def invitation_extended(world):
    account, link, address = world.invited()
    return emails.invitation_extended(account, link, world.now), [
        address,
        IN_30_DAYS,
        "The link that we sent you before works until",
        "more time to activate your TechPass",
    ]


def invitation_extended_for_seed(world):
    account, link, address = world.invited(InvitationKind.SEED, AccountStatus.ACTIVE)
    return emails.invitation_extended(account, link, world.now), [address, "onboard your device to SEED"]


def account_enabled_with_its_device(world):
    account = world.make.account(seed_status=SeedStatus.ONBOARDED)
    return emails.account_enabled(account, world.now, world.now), ["SEED is back as well"]


def account_enabled_and_invited(world):
    account = world.make.account(seed_status=SeedStatus.INVITED)
    return emails.account_enabled(account, world.now, world.now), ["You may onboard a device to SEED again"]


def sign_in_code_while_disabled(world):
    account, attempt = world.attempt()
    account.status = AccountStatus.DISABLED
    return emails.sign_in_code(account, attempt, world.now), ["without this code and your authenticator app"]


def device_onboarded(world):
    device = world.make.device(world.make.account(seed_status=SeedStatus.ONBOARDED), DeviceStatus.ONBOARDED)
    account = db.session.get_one(Account, device.account_id)
    return emails.device_onboarded(account, device, world.now), [
        "MacBook Air",
        "C02XG2JHH3JK",
        TODAY,
        "http://localhost/profile/devices",
    ]


def failed_device(world, reason):
    account = world.make.account(seed_status=SeedStatus.INVITED)
    return account, world.make.device(account, DeviceStatus.FAILED, reason=reason)


def device_failed(world):
    account, device = failed_device(world, "BitLocker is off")
    return emails.device_failed(account, device, world.now), [
        "Reason: BitLocker is off",
        "Turn on the disk’s encryption",
        "http://localhost/profile/devices",
        "https://go.gov.sg/techpass-sr",
    ]


def device_failed_without_a_reason(world):
    account, device = failed_device(world, "")
    return emails.device_failed(account, device, world.now), ["Reason: none was given", "What to do: Restart"]


def removed_device(world, seed_status, status=AccountStatus.ACTIVE):
    account = world.make.account(status, seed_status=seed_status)
    return account, world.make.device(account, DeviceStatus.REMOVED)


def device_removed(world):
    account, device = removed_device(world, SeedStatus.INVITED)
    later = world.now + timedelta(days=30)
    return emails.device_removed(account, device, "holder", world.now, later, was_onboarded=True), [
        "Your device is no longer in SEED",
        "If this was not you,",
        TODAY,
        "It was removed from your devices page. Your TechPass is not affected.",
        f"by {IN_30_DAYS}",
        "http://localhost/profile/devices",
        "http://localhost/profile#seed",
    ]


def device_removed_by_time(world):
    account, device = removed_device(world, SeedStatus.EXPIRED)
    return emails.device_removed(account, device, "time", world.now, was_onboarded=False), [
        "Your device was not onboarded to SEED and was removed",
        "it happened by itself, and nobody did it",
        "was not completed within 14 days",
        "Your SEED invitation has run out meanwhile",
        "http://localhost/profile#seed",
    ]


def device_removed_by_the_mdm_system(world):
    account, device = removed_device(world, SeedStatus.SUSPENDED, AccountStatus.DISABLED)
    return emails.device_removed(account, device, "mdm", world.now, was_onboarded=True), [
        "Your device is no longer in SEED",
        "it happened by itself, and nobody did it",
        "The MDM system told us",
        "as long as your TechPass is disabled",
    ]


def sign_in_code(world):
    account, attempt = world.attempt()
    return emails.sign_in_code(account, attempt, world.now), [
        derive_code(secret_key(), LOG_IN_CODE, attempt.nonce),
        "Tuesday, 24 November 2026, 10:10 Singapore time",
        "(10 minutes)",
    ]


def new_sign_in(world):
    account, attempt = world.attempt()
    return emails.new_sign_in(account, attempt, world.now, "Firefox on Linux"), ["Firefox on Linux", TODAY]


def inactivity_reminder(world):
    account = world.make.account()
    deadline = world.now + timedelta(days=30)
    return emails.inactivity_reminder(account, 60, deadline, world.now), [
        IN_30_DAYS,
        "http://localhost/log-in",
        "since Tuesday, 24 November 2026",
        "disabled after 90 days",
    ]


def inactivity_reminder_while_disabled(world):
    account = world.make.account(AccountStatus.DISABLED)
    deadline = world.now + timedelta(days=30)
    return emails.inactivity_reminder(account, 173, deadline, world.now), [
        IN_30_DAYS,
        "https://go.gov.sg/techpass-sr",
        "within 5 days",
    ]


def disabled(world):
    return emails.disabled(world.make.account(AccountStatus.DISABLED), world.now), ["for 90 days", "180 days after"]


def terminated(world):
    return emails.terminated(world.make.account(AccountStatus.TERMINATED), world.now), [
        "within 30 days",
        "http://localhost/sign-up",
        "5 days after the account has ended",
    ]


ASK = "ask the public officer you work with to invite you"


def terminated_vendor(world):
    return emails.terminated(world.make.vendor(AccountStatus.TERMINATED), world.now), [ASK]


def terminated_where_only_who_is_invited_takes_part(world):
    return emails.terminated(world.make.account(AccountStatus.TERMINATED, "a@mindef.gov.sg"), world.now), [ASK]


def terminated_for_inactivity_vendor(world):
    return emails.terminated_for_inactivity(world.make.vendor(AccountStatus.TERMINATED), world.now), [ASK]


def account_terminated_vendor(world):
    return emails.account_terminated(world.make.vendor(AccountStatus.TERMINATED), "Left.", world.now), [ASK, "Left."]


def request_rejected_vendor(world):
    account = world.make.vendor(AccountStatus.REJECTED)
    asked = {"kind": RequestKind.TECHPASS, "state": RequestState.REJECTED, "requested_at": world.now, "reason": "No."}
    request = Request(account_id=account.id, **asked)
    db.session.add(request)
    db.session.commit()
    return emails.request_rejected(account, request.id, world.now), [ASK, "No."]


def terminated_before_the_account_is(world):
    account, *_ = world.invited()
    return emails.terminated(account, world.now), ["no longer work"]


def terminated_for_inactivity(world):
    return emails.terminated_for_inactivity(world.make.account(AccountStatus.TERMINATED), world.now), [
        "for 180 days",
        "http://localhost/sign-up",
    ]


def already_have_account(world):
    return emails.already_have_account(world.make.account(), world.now), ["tried to sign up", "http://localhost/log-in"]


def already_have_account_requested(world):
    account = world.requested()
    link = receipt_link(world.make.receipt_token(account))
    return emails.already_have_account(account, world.now), [link]


def already_have_account_requested_log_in(world):
    account = world.requested()
    return emails.already_have_account(account, world.now, tried="log_in"), ["tried to log in"]


def asked_for(world):
    inviter = world.make.account(email="mei@tech.gov.sg", first_name="Mei", last_name="Tan")
    account = world.requested(seed=True)
    link = receipt_link(world.make.receipt_token(account))
    said = [link, "Mei Tan (mei@tech.gov.sg) asked for TechPass for you", "and for SEED for your internet device"]
    return emails.asked_for(account, inviter.id, world.now), said


def asked_for_by_somebody_who_is_gone(world):
    return emails.asked_for(world.requested(), 10**9, world.now), ["A public officer asked for TechPass for you"]


def vendor_registration(world):
    inviter = world.make.account(email="goh@tech.gov.sg")
    account, link, address = world.invited(InvitationKind.REGISTRATION, AccountStatus.REQUESTED)
    said = [address, "goh@tech.gov.sg invites you, for your work for Government Technology Agency", IN_5_DAYS]
    return emails.vendor_registration(account, link, inviter.id, world.now), said


def _invited_by(world):
    inviter, account = world.make.account(), world.make.account()
    row = Invitee(
        inviter_id=inviter.id,
        account_id=account.id,
        email="Peter@tech.gov.sg",
        email_folded="peter@tech.gov.sg",
        is_theirs=True,
        asked_at=world.now,
    )
    db.session.add(row)
    db.session.commit()
    return inviter, row


def invitation_completed(world):
    inviter, row = _invited_by(world)
    said = [
        "Peter@tech.gov.sg, for whom you asked for TechPass, activated it on",
        TODAY,
        "http://localhost/invite/sent",
    ]
    return emails.invitation_completed(inviter, row.id, world.now), said


def invitation_expired(world):
    inviter, row = _invited_by(world)
    said = ["Peter@tech.gov.sg, for whom you asked for TechPass, did not take", "http://localhost/invite"]
    return emails.invitation_expired(inviter, row.id, world.now), said


def already_have_account_invited(world):
    account = world.make.account()
    return emails.already_have_account(account, world.now, tried="invite"), [
        "A public officer asked for TechPass for you"
    ]


def already_have_account_unregistered(world):
    account, _, address = world.invited(InvitationKind.REGISTRATION, AccountStatus.REQUESTED)
    return emails.already_have_account(account, world.now), [address, "have yet to register", IN_5_DAYS]


def already_have_account_too_late_to_register(world):
    account = world.make.vendor()
    link, _ = world.make.invitation(account, InvitationKind.REGISTRATION)
    link.expires_at = world.now - timedelta(seconds=1)
    db.session.commit()
    said = ["did not register in time. Ask the public officer you work with"]
    return emails.already_have_account(account, world.now, tried="invite"), said


def already_have_account_vendor_too_late(world):
    said = ["so your TechPass ends. Ask the public officer you work with to invite you again."]
    return emails.already_have_account(world.make.vendor(AccountStatus.PENDING), world.now, tried="log_in"), said


def already_have_account_pending(world):
    account, _, address = world.invited()
    return emails.already_have_account(account, world.now), [address, IN_30_DAYS]


def already_have_account_pending_expired(world):
    account, link, _ = world.invited()
    link.expires_at = world.now - timedelta(seconds=1)
    db.session.commit()
    return emails.already_have_account(account, world.now), ["was not taken up in time", "http://localhost/sign-up"]


def already_have_account_pending_without_link(world):
    account = world.make.account(AccountStatus.PENDING)
    return emails.already_have_account(account, world.now), ["was not taken up in time", "http://localhost/sign-up"]


def already_have_account_disabled(world):
    account = world.make.account(AccountStatus.DISABLED)
    return emails.already_have_account(account, world.now), ["it is disabled", "https://go.gov.sg/techpass-sr"]


def admin_digest(world):
    found = {"requests": (1200, "1,000+"), "at_risk": (1, "1"), "failed_mails": (3, "3"), "queue_down": (None, "")}
    waits = [{"what": what, "number": number, "said": said} for what, (number, said) in found.items()]
    return emails.admin_digest(world.make.admin(), world.now.date(), waits, world.now), [
        "1,000+ requests wait for a decision",
        "1 promise of SEED ends today",
        "3 emails have failed",
        "The queue server does not answer",
        TODAY,
        "http://localhost/admin",
    ]


CASES = [
    request_received,
    request_received_with_seed,
    request_received_late,
    more_information,
    more_information_about_seed,
    request_rejected,
    techpass_onboarding,
    techpass_onboarding_with_seed,
    techpass_onboarding_of_a_vendor,
    onboarding_reminder,
    onboarding_reminder_of_who_was_asked_for,
    seed_onboarding,
    seed_onboarding_while_pending,
    seed_rejected,
    seed_reminder,
    seed_reminder_while_pending,
    seed_expired,
    seed_expired_while_pending,
    seed_withdrawn,
    authenticator_setup,
    authenticator_setup_while_pending,
    authenticator_changed,
    recovery_codes_changed,
    profile_changed,
    account_locked,
    account_locked_by_the_operator,
    account_enabled,
    account_disabled,
    account_terminated,
    role_changed,
    role_changed_to_auditor,
    role_changed_to_officer,
    account_held,
    account_released,
    invitation_extended,
    invitation_extended_for_seed,
    account_enabled_with_its_device,
    account_enabled_and_invited,
    sign_in_code_while_disabled,
    device_onboarded,
    device_failed,
    device_failed_without_a_reason,
    device_removed,
    device_removed_by_time,
    device_removed_by_the_mdm_system,
    sign_in_code,
    new_sign_in,
    inactivity_reminder,
    inactivity_reminder_while_disabled,
    disabled,
    terminated,
    terminated_vendor,
    terminated_where_only_who_is_invited_takes_part,
    terminated_before_the_account_is,
    terminated_for_inactivity,
    terminated_for_inactivity_vendor,
    account_terminated_vendor,
    request_rejected_vendor,
    already_have_account,
    already_have_account_requested,
    already_have_account_requested_log_in,
    asked_for,
    asked_for_by_somebody_who_is_gone,
    vendor_registration,
    invitation_completed,
    invitation_expired,
    already_have_account_invited,
    already_have_account_unregistered,
    already_have_account_too_late_to_register,
    already_have_account_vendor_too_late,
    already_have_account_pending,
    already_have_account_pending_expired,
    already_have_account_pending_without_link,
    already_have_account_disabled,
    admin_digest,
]


def rendered(row, now):
    outbox.post(row)
    db.session.commit()
    mail = db.session.scalars(select(Mail).where(Mail.key == row["key"])).one()
    (letter,) = load([mail])
    return render(letter, secret_keys(), now)


def one_line(words):
    """As it is read: without tags, with single spaces."""
    return " ".join(unescape(re.sub(r"</?(?:strong|a|p|td)\b[^>]*>", "", words)).split())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_each_mail_says_what_it_is_for(world, case):
    row, said = case(world)
    mail = rendered(row, world.now)
    assert mail.subject
    assert mail.subject == mail.subject.strip()
    assert mail.subject.isprintable()
    assert len(mail.subject) <= 78
    for words in said:
        assert words in one_line(mail.text), words
        assert words in one_line(mail.html), words
        if words.startswith("http"):
            assert f'href="{words}"' in mail.html
    for words in (mail.subject, mail.text, mail.html):
        assert not re.search(r"\bNone\b|\{\{|\{%|Undefined", words)
    assert len(mail.html.encode()) < 40_000
    assert "<script" not in mail.html
    assert "If " in mail.text
    assert "Sent by TechPass Portal, http://localhost" in mail.text
    for link in re.findall(r"http://localhost/\S+", mail.text):
        assert link in mail.html
    assert not re.search(r"<(?:img|link|iframe)\b|\bsrc=|@import|url\(", mail.html), "nothing is loaded from elsewhere"
    for secret in mail.secrets:
        assert secret in mail.text or row["kind"] in ("terminated", "already_have_account")


KINDS = {
    name
    for name, function in vars(emails).items()
    if inspect.isfunction(function) and function.__module__ == emails.__name__ and not name.startswith("_")
}


def test_each_kind_has_its_templates_and_its_test():
    assert KINDS
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == KINDS == set(names.KINDS)
    for kind in KINDS:
        assert {path.name for path in (FOLDER / kind).iterdir()} == {"subject.txt", "body.txt", "body.html"}, kind
        assert any(case.__name__ == kind for case in CASES), kind


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_each_row_is_of_its_kind_and_holds_no_secret(world, case):
    row, _ = case(world)
    assert row["kind"] in KINDS
    assert case.__name__.startswith(row["kind"])
    assert row["key"].startswith(f"{row['kind']}:")
    mail = rendered(row, world.now)
    assert not any(secret in repr(row) for secret in mail.secrets)


def test_a_name_that_is_missing_is_an_error(world, app):
    account, link, _ = world.invited()
    row = emails.techpass_onboarding(account, link, world.now) | {"context": {}}
    with pytest.raises(UndefinedError):
        rendered(row, world.now)


@pytest.mark.parametrize("subject", ["", "two\nlines"])
def test_a_subject_of_no_or_two_lines_is_an_error(world, monkeypatch, subject):
    class Template:
        def render(self, _context):
            return subject

    class Environment:
        def get_template(self, _name):
            return Template()

    monkeypatch.setattr(rendering, "_environment", Environment)
    with pytest.raises(NotOneLine):
        rendered(emails.disabled(world.make.account(AccountStatus.DISABLED), world.now), world.now)


@pytest.mark.parametrize(
    ("kind", "status", "write"),
    [
        (RequestKind.TECHPASS, AccountStatus.REJECTED, emails.request_rejected),
        (RequestKind.SEED, AccountStatus.ACTIVE, emails.seed_rejected),
    ],
)
def test_what_an_admin_typed_is_text_and_never_markup(world, kind, status, write):
    account, number = world.refused(kind, status, reason=NASTY)
    mail = rendered(write(account, number, world.now), world.now)
    assert NASTY in mail.text
    assert "<script" not in mail.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in mail.html
    assert NASTY in one_line(mail.html)


@pytest.mark.parametrize(
    "write", [emails.account_disabled, emails.account_terminated], ids=lambda write: write.__name__
)
def test_so_is_the_reason_of_an_end(world, write):
    mail = rendered(write(world.make.account(), NASTY, world.now), world.now)
    assert NASTY in mail.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in mail.html


def test_what_a_device_is_called_and_why_it_failed_is_text_and_never_markup(world):
    account = world.make.account(seed_status=SeedStatus.INVITED)
    device = world.make.device(account, DeviceStatus.FAILED, name=NASTY, reason=NASTY)
    mail = rendered(emails.device_failed(account, device, world.now), world.now)
    assert mail.text.count(NASTY) == 2
    assert "<script" not in mail.html


@pytest.mark.parametrize(("cause", "was_onboarded"), [("holder", True), ("time", False), ("mdm", False), ("mdm", True)])
def test_a_removed_device_is_told_of_as_it_was_and_as_it_came_about(world, cause, was_onboarded):
    account, device = removed_device(world, SeedStatus.INVITED)
    row = emails.device_removed(account, device, cause, world.now, was_onboarded=was_onboarded)
    mail = rendered(row, world.now)
    for words in (mail.subject, one_line(mail.text), one_line(mail.html)):
        assert ("no longer in SEED" in words) is was_onboarded
        assert ("was not onboarded to SEED" in words) is not was_onboarded
    for words in (one_line(mail.text), one_line(mail.html)):
        assert ("sign out everywhere" in words) is (cause == "holder")


def test_what_a_browser_calls_itself_is_text_and_never_markup(world):
    account, attempt = world.attempt()
    mail = rendered(emails.new_sign_in(account, attempt, world.now, NASTY), world.now)
    assert NASTY in mail.text
    assert "<script" not in mail.html
    assert NASTY in one_line(mail.html)


OTHER = Policy(
    invitation_days=47,
    reminders_from_day=41,
    purge_after_days=8,
    rejected_purge_days=44,
    inactive_disable_days=97,
    inactive_terminate_days=188,
    enabled_sign_in_days=9,
    seed_invitation_days=43,
    device_pending_days=17,
    login_code_minutes=12,
)


@pytest.mark.parametrize(
    ("case", "numbers"),
    [
        (request_rejected, [44]),
        (device_removed_by_time, [17]),
        (techpass_onboarding, [47]),
        (onboarding_reminder, [41, 47]),
        (seed_onboarding, [43]),
        (sign_in_code, [12]),
        (inactivity_reminder, [97, 188]),
        (inactivity_reminder_while_disabled, [9]),
        (disabled, [97, 9, 188]),
        (terminated, [47, 8]),
        (account_terminated, [8]),
        (terminated_for_inactivity, [188, 8]),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_numbers_come_from_the_policy(world, app, monkeypatch, case, numbers):
    row, _ = case(world)
    usual = rendered(row, world.now)
    monkeypatch.setitem(app.config, "POLICY", OTHER)
    changed = rendered(row, world.now)
    for number in numbers:
        wanted = re.compile(rf"\b{number}(?:\.| days| minutes| of)")
        for before, after in ((usual.text, changed.text), (usual.html, changed.html)):
            assert wanted.search(one_line(after)), number
            assert not wanted.search(one_line(before)), number


@pytest.mark.parametrize("kind", [*emails.NOT_ME])
def test_who_reads_of_what_only_they_should_do_finds_this_was_not_me(world, kind):
    case = next(case for case in CASES if case.__name__ == kind)
    row, _ = case(world)
    mail = rendered(row, world.now)
    (link,) = re.findall(r"http://localhost/not-me/\d+/\S+", mail.text)
    assert link.rpartition("/")[2] in mail.secrets
    assert f'href="{link}"' in mail.html
    assert "It works for 14 days" in one_line(mail.html)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.__name__ not in emails.NOT_ME], ids=lambda case: case.__name__
)
def test_no_other_mail_carries_it(world, case):
    mail = rendered(case(world)[0], world.now)
    assert "/not-me/" not in mail.text + mail.html


def test_the_reminder_carries_the_link_of_the_first_mail(world):
    account, link, address = world.invited()
    first = rendered(emails.techpass_onboarding(account, link, world.now), world.now)
    later = world.now + timedelta(days=23)
    reminder = rendered(emails.onboarding_reminder(account, link, 23, later), later)
    found = [re.findall(r"\S+/invitations/\S+", mail.text) for mail in (first, reminder)]
    assert found == [[address], [address]]


def test_a_link_of_an_older_secret_is_mailed_still(world, app, monkeypatch):
    account, link, address = world.invited()
    keys = ("a new secret, 0123456789 abcdefghij", *secret_keys())
    monkeypatch.setitem(app.config, "SECRET_KEYS", keys)
    assert address in rendered(emails.techpass_onboarding(account, link, world.now), world.now).text


def test_a_link_that_ended_is_not_called_live(world):
    account, link, _ = world.invited()
    outbox.post(emails.already_have_account(account, world.now))
    db.session.commit()
    link.state = InvitationState.EXPIRED
    db.session.commit()
    (letter,) = load(list(db.session.scalars(select(Mail))))
    assert letter.invitation is None
    assert "was not taken up in time" in one_line(render(letter, secret_keys(), world.now).text)


def test_many_mails_are_read_with_few_queries(world):
    rows = [techpass_onboarding(world)[0] for _ in range(5)]
    outbox.post(*rows)
    db.session.commit()
    letters = load(list(db.session.scalars(select(Mail).order_by(Mail.id))))
    assert [letter.invitation.id for letter in letters if letter.invitation] == sorted(
        db.session.scalars(select(Invitation.id))
    )
    assert replace(letters[0], request=None) == letters[0]


def test_a_mail_to_somebody_can_leave_beside_those_that_name_them(world):
    inviter, attempt = world.attempt()
    pending, link, _ = world.invited()
    asked = world.requested()
    for account in (pending, asked):
        db.session.add(
            Invitee(
                inviter_id=inviter.id,
                account_id=account.id,
                email=account.email,
                email_folded=account.email_folded,
                is_theirs=True,
                asked_at=world.now,
            )
        )
    mails = (
        emails.sign_in_code(inviter, attempt, world.now),
        emails.asked_for(asked, inviter.id, world.now),
        emails.techpass_onboarding(pending, link, world.now),
    )
    outbox.post(*mails)
    db.session.commit()
    first, *others = db.session.scalars(select(Mail).order_by(Mail.id)).all()
    for other in others:
        for letter in load([first, other]):
            assert render(letter, secret_keys(), world.now).text


@pytest.mark.parametrize("status", [AccountStatus.ACTIVE, AccountStatus.DISABLED], ids=str)
@pytest.mark.parametrize("kind", [DeviceStatus.ONBOARDED, DeviceStatus.FAILED], ids=str)
def test_news_of_a_device_reach_only_who_can_use_it(world, kind, status):
    account = world.make.account(status)
    device = world.make.device(account, kind)
    outbox.post(
        {"onboarded": emails.device_onboarded, "failed": emails.device_failed}[kind](account, device, world.now)
    )
    db.session.commit()
    (letter,) = load(db.session.scalars(select(Mail)).all())
    assert has_ended(letter, world.now) is (status is AccountStatus.DISABLED)


@pytest.mark.parametrize("write", [emails.invitation_completed, emails.invitation_expired])
@pytest.mark.parametrize("why", ["", "inviter", "invitee"])
def test_news_of_the_invited_reach_only_who_may_still_ask_for_others(world, write, why):
    inviter, row = _invited_by(world)
    outbox.post(write(inviter, row.id, world.now))
    if why == "inviter":
        inviter.status = AccountStatus.DISABLED
    elif why == "invitee":
        db.session.delete(row)
    db.session.commit()
    (letter,) = load(db.session.scalars(select(Mail)).all())
    assert has_ended(letter, world.now) is bool(why)


def hidden(words, secrets):
    """As a preview is to read: each link or code by its stand-in."""
    for secret in secrets:
        words = re.sub(rf"http://localhost/\S*{re.escape(secret)}", "http://localhost/(link)", words)
        words = words.replace(secret, "••••••")
    return words


def test_a_preview_reads_as_the_mail_does_but_for_its_links_and_codes(world, app, monkeypatch):
    for case in CASES:
        row, _ = case(world)
        mail = rendered(row, world.now)
        kept = db.session.scalars(select(Mail).where(Mail.key == row["key"])).one()
        with monkeypatch.context() as without:
            without.setitem(app.config, "SECRET_KEYS", None)  # With what they derive from, they would be there at once.
            shown = [preview(each, world.now) for each in (kept, Mail(**row))]
        for each in shown:
            assert each.subject == hidden(mail.subject, mail.secrets), case
            assert each.text == hidden(mail.text, mail.secrets), case
            assert each.secrets == ()
            assert one_line(each.html).count("(link)") >= each.text.count("(link)"), case
            assert not re.search(r"\bhref\b|/not-me/|/invitations/|/seed/|/requests/|/set-up-authenticator/", each.html)
            letter = load([kept])[0]
            link, attempt, account = letter.invitation, letter.attempt, letter.account
            assert account is not None
            assert ("••••••" in each.html) is ("••••••" in each.text)
            secrets = [*(each for each in mail.secrets if len(each) > 6), account.receipt_nonce, account.receipt_hash]
            secrets += [link.nonce, link.token_hash] if link else []
            secrets += [attempt.nonce] if attempt else []
            assert not [secret for secret in secrets if secret in repr(each)], case
        assert set(db.session.scalars(select(Mail.key))) >= {row["key"]}
        assert not db.session.dirty
        assert not db.session.new


def test_what_a_mail_speaks_of_may_be_gone_and_then_it_cannot_be_shown(world):
    account, link, _ = world.invited()
    row = emails.techpass_onboarding(account, link, world.now) | {"context": {"invitation_id": link.id + 1}}
    for gone in (row, row | {"kind": "no_such_kind"}, row | {"account_id": account.id + 1}):
        with pytest.raises(CannotBeShown):
            preview(Mail(**gone), world.now)
