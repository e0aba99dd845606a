"""One person's TechPass, SEED and device together, in random order, time and repetition, against a small model.

Hypothesis chooses what happens next; whether it may is for the model to say, and for the portal to do or refuse alike.
The model knows no tables, links or sweeps: time alone ends what has run out, whether or not a sweep has come (promise
5). After each sweep the database must say what the model says, and of each kind as many mails must have been written as
there were events (promise 2).
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flask import Flask
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select, update

from tests.conftest import NOW
from tests.factories import Factory
from tests.onboarding import Walk
from webapp.domain.deadlines import DAY
from webapp.domain.lifecycle import (
    AccountStatus,
    DeviceStatus,
    InvitationKind,
    InvitationState,
    MailState,
    OperatingSystem,
    RequestKind,
    RequestState,
    SeedStatus,
)
from webapp.domain.mdm import Report
from webapp.domain.onboarding import Document
from webapp.domain.tokens import derive_token, invitation_purpose
from webapp.emails.purpose import has_ended
from webapp.emails.render import load
from webapp.extensions import db
from webapp.models import Account, Agency, Device, Invitation, Mail, Request
from webapp.services import (
    accounts,
    agreements,
    audit,
    device_removal,
    device_reports,
    devices,
    invitations,
    requests,
    seed,
    seed_card,
    sweep,
)
from webapp.services.errors import (
    AlreadyDecided,
    DeviceFirst,
    LinkEnded,
    NoSeed,
    NotFound,
    ServiceError,
    SessionOver,
    TechPassFirst,
    TooManyDevices,
    TooSoon,
)
from webapp.services.keys import secret_key

A, S, D = AccountStatus, SeedStatus, DeviceStatus
UNDER_WAY = (D.TRIGGERED, D.SOFTWARE_INSTALLED)
REQUESTABLE = (S.NOT_REQUIRED, S.REJECTED, S.EXPIRED, S.WITHDRAWN)
TO_THE_TERMINATED = {"terminated", "terminated_for_inactivity"}
REMINDERS = ("onboarding_reminder", "seed_reminder")
PAUSES = (timedelta(seconds=1), timedelta(hours=25), 7 * DAY, 15 * DAY, 30 * DAY, 31 * DAY, 31 * DAY)
INTUNE_ID = "8e2b3c44-5d6f-4a7b-8c9d-0e1f2a3b4c5d"


@dataclass
class Person:
    """The model: what is true at ``now``, by the rules alone."""

    now: datetime
    account: AccountStatus = A.REQUESTED
    seed: SeedStatus = S.NOT_REQUIRED
    activate_by: datetime | None = None
    onboard_by: datetime | None = None
    sent_again_at: datetime | None = None
    device: DeviceStatus | None = None
    remove_at: datetime | None = None
    reported_at: datetime = NOW
    told: Counter[str] = field(default_factory=Counter)
    """How many mails of each kind the events so far make."""

    def pass_time(self, by: timedelta) -> None:
        self.now += by
        if self.account is A.PENDING and self.activate_by and self.now > self.activate_by:
            self.account = A.TERMINATED
            self.told["terminated"] += 1
            self.seed = {S.REQUESTED: S.WITHDRAWN, S.INVITED: S.EXPIRED}.get(self.seed, self.seed)
            return
        if self.remove_at and self.now > self.remove_at:
            self.lose_device()
            self.told["device_removed"] += 1
        elif self.seed is S.INVITED and self.device is None and self.has_run_out():
            self.seed = S.EXPIRED
            self.told["seed_expired"] += 1

    def has_run_out(self) -> bool:
        return self.onboard_by is not None and self.now > self.onboard_by

    def lose_device(self) -> None:
        was, self.device, self.remove_at = self.device, None, None
        if self.seed is S.ONBOARDED:
            assert was is D.ONBOARDED
            self.seed, self.onboard_by, self.sent_again_at = S.INVITED, self.now + 30 * DAY, None
        elif self.seed is S.INVITED:
            self.sent_again_at = None
            if self.has_run_out():
                self.seed = S.EXPIRED

    def invite_to_seed(self) -> None:
        self.seed, self.onboard_by, self.sent_again_at = S.INVITED, self.now + 30 * DAY, None
        self.told["seed_onboarding"] += 1


class Lives(RuleBasedStateMachine):
    """The portal's services beside the model."""

    app: Flask

    def __init__(self) -> None:
        super().__init__()
        self.person = Person(NOW)
        self.make = Factory(NOW, self.app.config["POLICY"])
        self.policy = self.make.policy
        self.admin = audit.By.person(self.make.admin(), "203.0.113.9")
        self.device_id = 0

    # What is there.

    @initialize(
        wants_seed=st.booleans(),
        begins=st.sampled_from(["requested", "pending", "active", "invited", "invited", "onboarding", "onboarded"]),
    )
    def sign_up(self, wants_seed: bool, begins: str) -> None:
        """Lives begin somewhere on the way, since by chance alone few would come far."""
        self.account_id = self.make.request(seed=wants_seed).account_id
        self.by = audit.By.person(self.account(), "203.0.113.7")
        if wants_seed:
            self.person.seed = S.REQUESTED
        far = ["requested", "pending", "active", "invited", "onboarding", "onboarded"].index(begins)
        if far >= 1:
            self.techpass_is_decided(approves=True)
        if far >= 2:
            self.activates()
        if far >= 3:
            self.asks_for_seed()
            self.seed_is_decided(approves=True)
        if far >= 4:
            self.registers_a_device()
        if far >= 5:
            self.the_mdm_system_reports(D.ONBOARDED, timedelta(0), 1)

    @property
    def now(self) -> datetime:
        return self.person.now

    def account(self) -> Account:
        found = db.session.get_one(Account, self.account_id, populate_existing=True)
        found.agency = db.session.get_one(Agency, found.agency_id)
        return found

    def open_request(self, kind: RequestKind) -> int:
        """The request that is to be decided, or the last one, to try it in vain."""
        query = select(Request.id).where(Request.account_id == self.account_id, Request.kind == kind)
        waiting = db.session.scalar(query.where(Request.state == RequestState.OPEN))
        return waiting or db.session.scalar(query.order_by(Request.id.desc()).limit(1)) or 10**9

    def a_moment_later(self) -> Person:
        """What one person does twice in the same instant is one event; here no two are."""
        self.person.pass_time(timedelta(seconds=1))
        return self.person

    def does(self, action, *refusals: type[ServiceError], succeeds: bool) -> object:
        """Do it as the portal does; it is done exactly where the model says so."""
        db.session.rollback()
        try:
            result = action()
        except refusals:
            assert not succeeds, "refused what the rules allow"
            return None
        finally:
            db.session.rollback()
        assert succeeds or result is False, "done although the rules forbid it"
        return result

    # What happens.

    @rule(by=st.sampled_from(PAUSES))
    def time_passes(self, by: timedelta) -> None:
        self.person.pass_time(by)
        if self.person.account is A.ACTIVE:
            # Signs in now and then, so that inactivity has no part in this.
            db.session.execute(
                update(Account)
                .where(Account.id == self.account_id)
                .values(idle_since=self.now, inactivity_due_at=self.now + 60 * DAY)
            )
            db.session.commit()

    @rule(times=st.integers(1, 2))
    def sweeps_come(self, times: int) -> None:
        for _ in range(times):
            assert not sweep.sweep(self.now, self.policy).failed
        self.mails_leave()
        assert not sweep.sweep(self.now, self.policy).failed
        found = self.account()
        if found.status is A.DELETED:
            assert self.person.account in (A.TERMINATED, A.REJECTED)
            return
        assert (found.status, found.seed_status) == (self.person.account, self.person.seed)
        device = db.session.scalar(
            select(Device.status).where(Device.account_id == self.account_id, Device.status != D.REMOVED)
        )
        assert device == (None if self.person.account is A.TERMINATED else self.person.device)
        self.counts_mails()

    @rule()
    def mails_leave(self) -> None:
        waiting = db.session.scalars(select(Mail).where(Mail.state == MailState.QUEUED)).all()
        for letter in load(waiting):
            ended = has_ended(letter, self.now)
            letter.mail.state = MailState.CANCELLED if ended else MailState.SENT
        db.session.commit()

    @rule(approves=st.booleans())
    def techpass_is_decided(self, approves: bool) -> None:
        person = self.person
        number = self.open_request(RequestKind.TECHPASS)

        def decide() -> object:
            if approves:
                return requests.approve(number, self.admin, self.now, self.policy)
            return requests.reject(number, "No.", self.admin, self.now, self.policy)

        waits = person.account is A.REQUESTED
        self.does(decide, AlreadyDecided, succeeds=waits)
        if waits and approves:
            person.account, person.activate_by = A.PENDING, self.now + 30 * DAY
            person.told["techpass_onboarding"] += 1
        elif waits:
            person.account = A.REJECTED
            person.seed = S.REJECTED if person.seed is S.REQUESTED else person.seed
            person.told["request_rejected"] += 1

    @rule(approves=st.booleans())
    def seed_is_decided(self, approves: bool) -> None:
        person = self.person
        number = self.open_request(RequestKind.SEED)

        def decide() -> object:
            if approves:
                return requests.approve(number, self.admin, self.now, self.policy)
            return requests.reject(number, "No.", self.admin, self.now, self.policy)

        may = person.seed is S.REQUESTED and (not approves or person.account in (A.PENDING, A.ACTIVE))
        if person.account is A.TERMINATED and not approves:
            return  # Until the sweep has come it may be rejected or not: nobody is told.
        self.does(decide, AlreadyDecided, TechPassFirst, NotFound, succeeds=may)
        if may and approves:
            person.invite_to_seed()
        elif may:
            person.seed = S.REJECTED
            person.told["seed_rejected"] += 1

    @precondition(lambda self: self.person.account is A.PENDING)
    @rule()
    def activates(self) -> None:
        link = invitations.live_invitation(self.account_id, InvitationKind.TECHPASS)
        assert link is not None
        token = derive_token(secret_key(), invitation_purpose(link.kind), link.nonce)
        walk = Walk(self.make, token, self.account(), now=self.now)
        walk.accept()
        walk.to(None)
        self.person.account = A.ACTIVE

    @rule()
    def asks_for_seed(self) -> None:
        person = self.person
        may = person.account is A.ACTIVE and person.seed in REQUESTABLE
        done = self.does(
            lambda: seed.request(self.account_id, self.by, self.now, self.policy), SessionOver, succeeds=may
        )
        assert (done is True) == may
        if may:
            person.seed = S.REQUESTED

    @rule()
    def gives_seed_up(self) -> None:
        person = self.a_moment_later()
        may = person.account is A.ACTIVE and person.seed in (S.REQUESTED, S.INVITED) and person.device is None
        done = self.does(
            lambda: seed.withdraw(self.account_id, self.by, self.now, self.policy),
            SessionOver,
            DeviceFirst,
            succeeds=may,
        )
        assert (done is True) == may
        if may:
            person.seed = S.WITHDRAWN
            person.told["seed_withdrawn"] += 1

    @rule()
    def has_the_seed_mail_sent_again(self) -> None:
        person = self.person
        lately = person.sent_again_at is not None and self.now - person.sent_again_at < DAY
        may = person.account is A.ACTIVE and person.seed is S.INVITED and person.device is None and not lately

        def again() -> None:
            invitations.resend(self.account_id, InvitationKind.SEED, self.by, self.now, self.policy)

        self.does(again, LinkEnded, TooSoon, succeeds=may)
        if may:
            person.sent_again_at = self.now
            person.told["seed_onboarding"] += 1

    @rule()
    def registers_a_device(self) -> None:
        person = self.person
        repeated = person.device is not None  # Pressed twice: the same device, nothing new.
        may = person.account is A.ACTIVE and (repeated or person.seed is S.INVITED)
        if person.account is A.ACTIVE:
            self.accept_mdm_aup()

        new = devices.NewDevice("MacBook", OperatingSystem.MACOS, "C02XG2JHH3JK", INTUNE_ID)

        def register() -> Device:
            return devices.register(self.account_id, new, self.by, self.now, self.policy)

        made = self.does(register, NoSeed, SessionOver, TooManyDevices, succeeds=may)
        if may and not repeated:
            assert isinstance(made, Device)
            self.device_id = made.id
            person.device = D.TRIGGERED
            person.remove_at = self.now + 14 * DAY
            person.reported_at = self.now - timedelta(minutes=5)

    def accept_mdm_aup(self) -> None:
        agreements.accept(self.account_id, agreements.in_force(Document.MDM_AUP, self.now), "", self.now)
        db.session.commit()

    @precondition(lambda self: self.device_id)
    @rule()
    def tries_the_device_again(self) -> None:
        person = self.person
        may = person.account is A.ACTIVE and person.device is D.FAILED

        def again() -> bool:
            return devices.retry(self.account_id, self.device_id, self.by, self.now, self.policy)

        self.does(again, NotFound, SessionOver, succeeds=may)
        if may:
            person.device, person.remove_at = D.TRIGGERED, self.now + 14 * DAY
            person.reported_at = max(person.reported_at, self.now - timedelta(minutes=5))

    @precondition(lambda self: self.device_id and self.person.account is A.ACTIVE)
    @rule(times=st.integers(1, 2))
    def removes_the_device(self, times: int) -> None:
        person = self.person
        for _ in range(times):
            device_removal.remove(self.account_id, self.device_id, self.by, self.now, self.policy)
        if person.device is not None:
            person.told["device_removed"] += person.device is D.ONBOARDED
            person.lose_device()

    @rule(
        status=st.sampled_from([D.SOFTWARE_INSTALLED, D.ONBOARDED, D.FAILED, D.REMOVED]),
        age=st.sampled_from([timedelta(0), timedelta(seconds=1), timedelta(minutes=4), 3 * DAY]),
        times=st.integers(1, 2),
    )
    def the_mdm_system_reports(self, status: DeviceStatus, age: timedelta, times: int) -> None:
        person = self.person
        at = self.now - age
        for time in range(times):
            try:
                reason = "No space." if status is D.FAILED else ""
                device_reports.apply(Report(INTUNE_ID, status, at, reason), self.now, self.policy)
                db.session.commit()
            except NotFound:
                assert person.device is None or (time and status is D.REMOVED)
        if person.device is None or at <= person.reported_at:
            return
        person.reported_at = at
        allowed = {
            D.TRIGGERED: {D.SOFTWARE_INSTALLED, D.ONBOARDED, D.FAILED, D.REMOVED},
            D.SOFTWARE_INSTALLED: {D.ONBOARDED, D.FAILED, D.REMOVED},
            D.FAILED: {D.SOFTWARE_INSTALLED, D.ONBOARDED, D.REMOVED},
            D.ONBOARDED: {D.REMOVED},
        }
        if status not in allowed[person.device]:
            return
        if status is D.REMOVED:
            person.lose_device()
            person.told["device_removed"] += 1
            return
        if status is D.SOFTWARE_INSTALLED and person.device is D.FAILED:
            person.remove_at = self.now + 14 * DAY
        person.device = status
        if status is D.ONBOARDED:
            person.remove_at = None
            person.seed = S.ONBOARDED if person.seed is S.INVITED else person.seed
            person.told["device_onboarded"] += person.account is A.ACTIVE
        elif status is D.FAILED:
            person.remove_at = None
            person.told["device_failed"] += person.account is A.ACTIVE

    @rule()
    def an_operator_locks(self) -> None:
        person = self.a_moment_later()
        may = person.account is A.ACTIVE
        self.does(
            lambda: accounts.lock(self.account_id, "Asked for.", self.admin, self.now, self.policy),
            NotFound,
            succeeds=may,
        )
        if may:
            person.account = A.DISABLED
            person.told["account_locked"] += 1
            if person.seed in (S.INVITED, S.ONBOARDED):
                person.seed = S.SUSPENDED

    @rule()
    def an_operator_enables(self) -> None:
        person = self.a_moment_later()
        may = person.account is A.DISABLED

        def enable() -> None:
            accounts.enable(self.account_id, "Looked at.", self.admin, self.now, self.policy)

        self.does(enable, NotFound, succeeds=may)
        if not may:
            return
        person.account = A.ACTIVE
        person.told["account_enabled"] += 1
        if person.seed is S.SUSPENDED:
            if person.device is D.ONBOARDED:
                person.seed = S.ONBOARDED
            elif person.device is not None:
                person.seed = S.INVITED
            else:
                person.invite_to_seed()

    # What always holds.

    @invariant()
    def the_card_shows_what_is_true(self) -> None:
        if self.person.account is A.ACTIVE:
            shown = seed_card.card(self.account(), self.now)
            assert shown.status is self.person.seed
            assert [device.status for device in shown.devices] == [d for d in [self.person.device] if d]
            if shown.valid_until:
                assert shown.valid_until == self.person.onboard_by
            db.session.rollback()

    @invariant()
    def nothing_goes_to_the_terminated_but_the_notice(self) -> None:
        waiting = db.session.scalars(
            select(Mail).where(Mail.state == MailState.QUEUED, Mail.account_id == getattr(self, "account_id", 0))
        ).all()
        for letter in load(waiting):
            if self.account().status is A.TERMINATED and not has_ended(letter, self.now):
                assert letter.mail.kind in TO_THE_TERMINATED
        db.session.rollback()

    @invariant()
    def there_is_one_of_each(self) -> None:
        live = select(func.count()).where(
            Invitation.state == InvitationState.LIVE, Invitation.kind == InvitationKind.SEED
        )
        assert (db.session.scalar(live) or 0) <= 1
        assert (db.session.scalar(select(func.count()).where(Device.status != D.REMOVED)) or 0) <= 1
        db.session.rollback()

    def counts_mails(self) -> None:
        written = Counter(
            db.session.scalars(
                select(Mail.kind).where(Mail.account_id == self.account_id, Mail.kind.not_in(REMINDERS))
            ).all()
        )
        expected = Counter({kind: count for kind, count in self.person.told.items() if count})
        assert written == expected


def test_account_seed_and_device_go_only_where_the_rules_lead(app, portals, request):
    kind = request.node.callspec.params["app"]

    class OnThisDatabase(Lives):
        def __init__(self) -> None:
            db.session.remove()
            db.engine.dispose()
            portals[kind].empty()
            super().__init__()

    OnThisDatabase.app = app
    # The same lives each time, so that nobody's change fails for what was there before it; LIVES=500 looks further.
    more = os.environ.get("LIVES")
    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=int(more or 25),
            stateful_step_count=40,
            derandomize=more is None,
            database=None,
            deadline=None,
            # Shrinking takes minutes on a real database; the steps as they were say enough.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
