"""Six weeks of believable sample data, ending now, for ``./run demo``.

Nobody is written into the tables by hand: the portal's own services are called with the clock of the time, so that
every request, link, mail and audit row is what it would be had it happened.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import altcha
import pyotp
from flask import current_app
from sqlalchemy import func, select

from webapp import clock
from webapp.dev import demo_inviting as inviting
from webapp.dev import demo_people as cast
from webapp.dev.demo_admins import Office, find, latest, open_request, person
from webapp.dev.demo_mails import MailServer
from webapp.domain.business_days import singapore_date, start_of_day
from webapp.domain.lifecycle import AccountStatus, DeviceStatus, InvitationKind, RequestKind, Role
from webapp.domain.mdm import Report
from webapp.domain.onboarding import AGREEMENT_STEPS, Step
from webapp.domain.policy import Policy
from webapp.domain.tokens import LOG_IN_CODE, derive_code, invitation_purpose, recover_token
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Authenticator, LogInAttempt
from webapp.services import (
    admins,
    agreements,
    audit,
    audit_chain,
    authenticators,
    device_reports,
    devices,
    edit_profile,
    forecast,
    invitations,
    keys,
    log_in,
    onboarding,
    requests,
    robot_check,
    seed,
    sessions,
    sign_up,
    statistics,
    sweep,
)
from webapp.services.devices import NewDevice
from webapp.services.errors import SignUpRefused

DAYS = 42
FILLED = "demo.filled"

_DAY = timedelta(days=1)
_BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0"


class DemoRefused(Exception):
    """Sample data do not belong here; the message says why, and what to do."""


def is_filled() -> bool:
    return db.session.scalar(select(AuditEvent.id).where(AuditEvent.action == FILLED).limit(1)) is not None


def fill(now: datetime, policy: Policy) -> int:
    """Tell the story of six weeks up to ``now``; how many people are in it. Nothing where it was told before (then 0).

    Raises `DemoRefused` outside development, and where there are people already.
    """
    if not current_app.config["SETTINGS"].is_development:
        raise DemoRefused("Sample data are for development only; nothing was written.")
    if is_filled():
        return 0
    # `./run` has seen to a first admin, who waits for the developer.
    if db.session.scalar(select(func.count()).select_from(Account).where(Account.role != Role.ADMIN)):
        raise DemoRefused(
            "There are people in this database already, perhaps from a demo that was stopped half-way. Nothing was "
            "written. Choose another DATA_DIR, or remove this one."
        )
    story = Story(now, policy)
    story.plan()
    with _in_a_hurry():
        story.tell()
        statistics.count(now)
        forecast.count_ahead(now, policy)
        audit.record(FILLED, None, audit.SYSTEM, now)
        db.session.commit()
        audit_chain.seal(now)
    return db.session.scalar(select(func.count()).select_from(Account)) or 0


@contextlib.contextmanager
def _in_a_hurry() -> Iterator[None]:
    """What is made up need not survive a power cut: SQLite waits for no disk meanwhile."""
    if db.engine.dialect.name != "sqlite":
        yield
        return
    _synchronous("OFF")
    try:
        yield
    finally:
        _synchronous("FULL")


def _synchronous(level: str) -> None:
    db.session.remove()  # It cannot be changed within a transaction.
    with contextlib.closing(db.engine.raw_connection()) as connection:
        connection.cursor().execute(f"PRAGMA synchronous={level}")


def log_ins() -> list[tuple[str, Role, str]]:
    """Whoever of the cast sees the dashboard: the address, the role, and the key of the authenticator app."""
    found = db.session.execute(
        select(Account.email, Account.role, Authenticator.encrypted_key)
        .join(Authenticator, Authenticator.account_id == Account.id)
        .where(
            Account.email_folded.in_((cast.COLLEAGUE, cast.SECOND_ADMIN, cast.AUDITOR)),
            Account.role != Role.OFFICER,
            Account.status == AccountStatus.ACTIVE,
            Authenticator.confirmed_at.is_not(None),
        )
        .order_by(Account.id)
    )
    return [(row.email, row.role, keys.decrypt(row.encrypted_key)) for row in found]


@dataclass
class Story:
    now: datetime
    policy: Policy
    chance: random.Random = field(default_factory=lambda: random.Random(1965))
    _events: list[tuple[datetime, Callable[[datetime], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.office = Office(self.policy)
        self.guests = inviting.Guests(self.policy)
        self.mails = MailServer(self.now)

    # What happens when

    def plan(self) -> None:
        self._add(self.now - DAYS * _DAY, self._hire_colleague)
        self._plan_officers()
        self._plan_devices()
        self._plan_project()
        self._plan_admins()
        self._plan_guests()
        for day in range(DAYS):
            self._add(self.now - day * _DAY - timedelta(minutes=10), self._sweep)

    def _plan_officers(self) -> None:
        for email, (seed_wanted, days) in cast.WAITING.items():
            self._add(self._office_hours(days), partial(self._sign_up, email, seed_wanted))
        for people in (cast.NOT_YET_ACCEPTED, cast.NEVER_ACCEPTED):
            for email, (seed_wanted, days) in people.items():
                self._invited(email, seed_wanted, days)
        for email, (seed_wanted, days, reason) in cast.REJECTED.items():
            self._add(self._office_hours(days) - 2 * _DAY, partial(self._sign_up, email, seed_wanted))
            self._add(self._office_hours(days), partial(self._reject, email, RequestKind.TECHPASS, reason))
        for email, (seed_wanted, days) in cast.ACTIVE.items():
            self._invited(email, seed_wanted, days)
            since = days - self.chance.uniform(0.11, 1.6)
            activated = self._office_hours(since)
            self._add(activated, partial(self._onboard, email, None))
            if email in cast.PROFILES:
                self._add(activated + timedelta(minutes=20), partial(self._introduce, email))
            while (since := since - self.chance.uniform(4, 13)) > 0:
                self._add(self._office_hours(since), partial(self._log_in, email))
        for email, days in cast.SEED_LATER.items():
            self._add(self._office_hours(days), partial(self._ask_for_seed, email))
        self._add(self._office_hours(0.7), partial(self._sign_up, cast.SIGNED_UP_AGAIN, True))
        for number, email in enumerate(cast.INSISTENT):
            self._add(self._office_hours(1.3 - 0.4 * number), partial(self._sign_up, email, False))
        for email in cast.ASKED_AGAIN:
            self._add(self._office_hours(3.3), partial(self._resend, email))
        for email in cast.BROKEN_OFF:
            self._add(self._office_hours(5.5), partial(self._onboard, email, Step.RECOVERY_CODES))
        for domain, tries in (
            cast.UNKNOWN.items() | {cast.ADDED_AGENCY[0]: cast.TRIED_DAYS, cast.DISMISSED: (6.3,)}.items()
        ):
            for days in tries:
                self._add(self._office_hours(days), partial(self._sign_up, f"someone@{domain}", False))

    def _plan_devices(self) -> None:
        for email, (days, device, reports) in cast.DEVICES.items():
            registered = self._office_hours(days)
            self._add(registered, partial(self._register, email, device))
            for hours, status, reason in reports:
                told = partial(self._report, device.intune_device_id, status, reason)
                self._add(registered + timedelta(hours=hours), told)

    def _plan_project(self) -> None:
        """Many are invited at one instant, and due together some hours ago."""
        ended = start_of_day(singapore_date(self.now)) + cast.PROJECT_HOUR
        if ended > self.now - timedelta(minutes=20):
            ended -= _DAY
        invited = ended - self.policy.invitation_days * _DAY
        for email in cast.PROJECT:
            days_before = self.chance.choice((1, 1, 2, 3)) * _DAY + timedelta(minutes=self.chance.randint(-90, 300))
            self._add(invited - days_before, partial(self._sign_up, email, False))
        self._add(invited, lambda at: self.office.approve_all(cast.PROJECT, at))
        # The sweep that meets them, which knows what was usual until then.
        self._add(ended + timedelta(minutes=1), self._count)
        self._add(ended + timedelta(minutes=1), self._sweep)

    def _plan_admins(self) -> None:
        office = self.office
        for email, days in cast.AUTOMATIC.items():
            asked = self._office_hours(days)
            self._add(asked, partial(self._sign_up, email, False))
            self._add(asked + timedelta(minutes=1), self._approve_automatically)
        for email, (role, days, reason) in cast.ROLES.items():
            self._add(self._office_hours(days), partial(office.give_role, email, role, reason))
        for days, what, email, reason in cast.ADMINS_DO:
            self._add(self._office_hours(days), partial(office.act, what, email, reason))
        for days, email, reason in cast.UNDONE:
            self._add(self._office_hours(days), partial(office.change_mind, email, reason))
        for days, email, question, answered, answer in cast.ASKED:
            self._add(self._office_hours(days), partial(office.ask, email, question))
            if answered is not None:
                self._add(self._office_hours(answered), partial(office.answer, email, answer))
        for days, admin, email, note in cast.NOTES:
            self._add(self._office_hours(days), partial(office.note, admin, email, note))
        for days, domain, change in cast.AGENCY_CHANGES:
            self._add(self._office_hours(days), partial(office.change_agency, domain, change))
        self._add(self.now - cast.ADDED_DAYS * _DAY, partial(office.add_agency, *cast.ADDED_AGENCY))
        self._add(self._office_hours(5.1), partial(office.dismiss, cast.DISMISSED))
        self._add(self._office_hours(cast.DAYS_OFF_ADDED), office.add_days_off)
        email, days = cast.LOCKED
        self._add(self.now - days * _DAY, partial(self._log_in, email, known=False))
        self._add(self.now - days * _DAY + timedelta(minutes=34), partial(office.holder_locks, email))

    def _plan_guests(self) -> None:
        guests = self.guests
        for one in inviting.GUESTS:
            self._add(self._office_hours(one.asked), partial(guests.ask, one))
            if one.registered is not None:
                self._add(self._office_hours(one.registered), partial(guests.register, one))
            if one.approved is not None:
                self._add(self._office_hours(one.approved), partial(guests.approve, [one.email]))
            if one.rejected is not None:
                days, reason = one.rejected
                self._add(self._office_hours(days), partial(guests.reject, one.email, reason))
            if one.activated is not None:
                self._add(self._office_hours(one.activated), partial(self._onboard, one.email, None))
            if one.again is not None:
                self._add(self._office_hours(one.again), partial(guests.ask_again, one))
        self._add(self._office_hours(inviting.FILE_SENT), guests.send_file)
        self._add(self._office_hours(inviting.FILE_APPROVED), partial(guests.approve, inviting.FILE_TO_APPROVE))
        self._add(self._office_hours(inviting.DRAFTED), guests.draft_file)

    def _invited(self, email: str, seed: bool | None, days: float) -> None:
        """Sign up, wait some hours, be approved ``days`` ago."""
        approved = self._office_hours(days)
        self._add(self._office_hours(days + self.chance.uniform(0.15, 0.9)), partial(self._sign_up, email, seed))
        self._add(approved, partial(self._approve, email, RequestKind.TECHPASS))
        if seed and email in cast.SEED_REJECTED:
            decide = partial(self._reject, email, RequestKind.SEED, cast.SEED_REJECTED[email])
            self._add(approved + timedelta(minutes=4), decide)
        elif seed and email not in cast.SEED_WAITS:
            self._add(approved + timedelta(minutes=2), partial(self._approve, email, RequestKind.SEED))

    def tell(self) -> None:
        # Sorted by time alone: what is planned for one instant keeps its order.
        for at, happens in sorted(self._events, key=lambda item: item[0]):
            self.mails.deliver(until=at)
            happens(at)
        self.mails.deliver(until=self.now)
        self.mails.put_off()

    def _add(self, at: datetime, happens: Callable[[datetime], None]) -> None:
        if at <= self.now:
            self._events.append((at, happens))

    def _office_hours(self, days: float) -> datetime:
        """About so many days ago, moved to between 8 and 18 o'clock in Singapore, or until now.

        What is a tenth of a day apart stays in its order. Deadlines are counted in days, so that a day more or less
        would change the story.
        """
        at = self.now - (days + self.chance.uniform(0, min(0.05, 0.3 * days))) * _DAY
        if at > self.now:
            return at
        midnight = start_of_day(singapore_date(at))
        opens, closes = timedelta(hours=8), timedelta(hours=18)
        whole_day = min(_DAY, self.now - midnight)
        if whole_day < _DAY:
            # Today may not have come to office hours yet.
            opens, closes = min(opens, whole_day * 0.6), whole_day
        return midnight + opens + (at - midnight) * ((closes - opens) / whole_day) if whole_day else at

    # What happens

    def _hire_colleague(self, at: datetime) -> None:
        link = admins.create(cast.COLLEAGUE, at, self.policy)
        assert link is not None
        self._onboard(cast.COLLEAGUE, None, at)
        self._introduce(cast.COLLEAGUE, at + timedelta(minutes=20))

    def _sign_up(self, email: str, seed: bool | None, at: datetime) -> None:
        with contextlib.suppress(SignUpRefused):
            sign_up.sign_up(email, seed, _solved(), audit.By.visitor(self._peer()), at)

    def _approve(self, email: str, kind: RequestKind, at: datetime) -> None:
        requests.approve(open_request(email, kind), self._admin(at), at, self.policy)

    def _approve_automatically(self, at: datetime) -> None:
        requests.approve_automatically(at, self.policy)

    def _reject(self, email: str, kind: RequestKind, reason: str, at: datetime) -> None:
        requests.reject(open_request(email, kind), reason, self._admin(at), at, self.policy)

    def _introduce(self, email: str, at: datetime) -> None:
        account = latest(email)
        first_name, last_name, department = cast.PROFILES[email]
        given = {"first_name": first_name, "last_name": last_name, "department": department}
        edit_profile.change(account.id, given, audit.By.person(account, self._peer()), at)

    def _ask_for_seed(self, email: str, at: datetime) -> None:
        account = latest(email)
        seed.request(account.id, audit.By.person(account, self._peer()), at, self.policy)

    def _resend(self, email: str, at: datetime) -> None:
        account = latest(email)
        invitations.resend(account.id, InvitationKind.TECHPASS, audit.By.visitor(self._peer()), at, self.policy)

    def _register(self, email: str, device: NewDevice, at: datetime) -> None:
        account = latest(email)
        devices.register(account.id, device, audit.By.person(account, self._peer()), at, self.policy)

    def _report(self, intune_device_id: str, status: DeviceStatus, reason: str, at: datetime) -> None:
        device_reports.apply(Report(intune_device_id, status, at, reason), at, self.policy)
        db.session.commit()

    def _sweep(self, at: datetime) -> None:
        if sweep.sweep(at, self.policy).done.get("expired"):
            # The notice first, then termination once it has left (rule 3.4).
            at += timedelta(minutes=5)
            self.mails.deliver(until=at)
            sweep.sweep(at, self.policy)

    def _count(self, at: datetime) -> None:
        statistics.count(at)

    def _onboard(self, email: str, until: Step | None, at: datetime) -> None:
        """Follow the link and answer each step, a minute apiece; up to ``until``, or to the end with None."""
        account = latest(email)
        live = invitations.live_invitation(account.id, InvitationKind.TECHPASS)
        assert live is not None
        purpose = invitation_purpose(live.kind)
        link = recover_token(keys.secret_keys(), purpose, live.nonce, live.token_hash)
        assert link is not None
        peer = self._peer()
        visitor = audit.By.visitor(peer)
        token, step = onboarding.accept(link, InvitationKind.TECHPASS, visitor, at, self.policy, _BROWSER)
        signed_in: str | None = None
        while signed_in is None and step is not until:
            at += timedelta(minutes=1)
            session = sessions.find_session(token, at, self.policy)
            assert session is not None
            by = audit.By.person(session.account, peer)
            match step:
                case Step.PERMISSIONS:
                    onboarding.accept_permissions(session, by, at)
                case Step.AUTHENTICATOR:
                    app = _app(account.id)
                    assert app is not None
                    onboarding.confirm_authenticator(session, app.at(at), by, at, self.policy)
                case Step.RECOVERY_CODES:
                    code = authenticators.codes_to_save(session.account)[0]
                    onboarding.confirm_recovery_codes(session, code, by, at, self.policy, _BROWSER)
                case _:
                    version = agreements.in_force(AGREEMENT_STEPS[step], at).version
                    signed_in = onboarding.accept_agreement(session, step, version, by, at, self.policy, _BROWSER)
            if signed_in is None:
                session = sessions.find_session(token, at, self.policy)
                assert session is not None
                step = onboarding.where(session, at).step

    def _log_in(self, email: str, at: datetime, *, known: bool | None = None) -> None:
        account = find(email)
        app = _app(account.id) if account is not None and account.status is AccountStatus.ACTIVE else None
        if account is None or app is None:
            return  # An admin was faster.
        attempt_id = log_in.start(email, at, self.policy).attempt_id
        nonce = db.session.get_one(LogInAttempt, attempt_id).nonce
        known = self.chance.random() < 0.8 if known is None else known
        at += timedelta(seconds=40)
        code = derive_code(keys.secret_key(), LOG_IN_CODE, nonce)
        log_in.check_code(attempt_id, code, at, self.policy, known_browser=known)
        at += timedelta(seconds=20)
        by = audit.By.person(account, self._peer())
        code = app.at(at)
        log_in.finish_with_authenticator(
            attempt_id, code, by, at, self.policy, _BROWSER, marked_at=at if known else None
        )

    def _admin(self, at: datetime) -> audit.By:
        """Whoever decides: mostly the colleague, in turn with the second admin once there is one."""
        since = self.now - cast.ROLES[cast.SECOND_ADMIN][1] * _DAY + _DAY
        second = at > since and self.chance.random() < 0.35
        return person(cast.SECOND_ADMIN if second else cast.COLLEAGUE)

    def _peer(self) -> str:
        return f"192.0.2.{self.chance.randint(20, 250)}"


def _app(account_id: int) -> pyotp.TOTP | None:
    """The authenticator app of an account, if it has one now."""
    sealed = db.session.scalar(select(Authenticator.encrypted_key).filter_by(account_id=account_id))
    return None if sealed is None else pyotp.TOTP(keys.decrypt(sealed))


def _solved() -> str:
    """A solved robot check of the cheapest kind, good for years: it goes by the machine's clock, the story does not."""
    challenge = altcha.Challenge.from_dict(robot_check.challenge(clock.now() + 3650 * _DAY, cost=1))
    solution = altcha.solve_challenge(challenge)
    assert solution is not None
    return base64.b64encode(
        json.dumps({"challenge": challenge.to_dict(), "solution": solution.to_dict()}).encode()
    ).decode()
