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
from sqlalchemy import event, func, select

from webapp import clock
from webapp.domain.business_days import SINGAPORE
from webapp.domain.lifecycle import (
    DeviceStatus,
    InvitationKind,
    MailState,
    OperatingSystem,
    RequestKind,
    RequestState,
    Role,
)
from webapp.domain.mdm import Report
from webapp.domain.onboarding import AGREEMENT_STEPS, Step
from webapp.domain.policy import Policy
from webapp.domain.tokens import LOG_IN_CODE, derive_code, invitation_purpose, recover_token
from webapp.emails.message import message_id
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Authenticator, LogInAttempt, Mail, Request
from webapp.services import (
    admins,
    agreements,
    audit,
    authenticators,
    devices,
    invitations,
    keys,
    log_in,
    onboarding,
    requests,
    robot_check,
    sessions,
    sign_up,
    sweep,
)
from webapp.services.devices import NewDevice
from webapp.services.errors import SignUpRefused

DAYS = 42
FILLED = "demo.filled"
COLLEAGUE = "grace_lim@tech.gov.sg"
"""The admin who decided on all of it. She shares the office with whoever runs the demo, and has her own phone."""

_DAY = timedelta(days=1)
_BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0"


class DemoRefused(Exception):
    """Sample data do not belong here; the message says why, and what to do."""


# Who they are, and the days before the present on which things happened to them.

WAITING = {
    # An address: whether SEED is asked for, and how long ago.
    "tan_wei_ling@moe.gov.sg": (True, 4.2),
    "nurul_aisyah@moh.gov.sg": (False, 3.9),
    "kumar_rajan@lta.gov.sg": (True, 3.1),
    "Lim_Jia_Hui@hdb.gov.sg": (False, 2.8),
    "siti_nurhaliza@schools.gov.sg": (None, 2.2),
    "ong_kai_xiang@iras.gov.sg": (True, 1.9),
    "priya_nair@nea.gov.sg": (False, 1.4),
    "goh_zhi_wei@ura.gov.sg": (False, 1.1),
    "muhammad_hafiz@ica.gov.sg": (True, 0.9),
    "chua_mei_fang@cpf.gov.sg": (False, 0.4),
    "deepa_krishnan@mof.gov.sg": (True, 0.2),
    "teo_boon_kiat@mom.gov.sg": (False, 0.05),
}
NOT_YET_ACCEPTED = {
    "lee_hui_min@moe.gov.sg": (False, 1.2),
    "ahmad_faizal@lta.gov.sg": (True, 2.6),
    "wong_shu_ting@hdb.gov.sg": (False, 4.1),
    "anand_pillai@moh.gov.sg": (False, 6.8),
    "koh_yi_xuan@iras.gov.sg": (True, 9.3),
    "nur_syafiqah@nea.gov.sg": (False, 12.9),
    "chan_wai_kit@ura.gov.sg": (False, 16.2),
    "suresh_menon@tech.gov.sg": (True, 19.7),
    # From here on a reminder came each day.
    "ng_xiu_li@mom.gov.sg": (False, 24.4),
    "faridah_ismail@ica.gov.sg": (False, 25.8),
    "low_jun_hao@schools.gov.sg": (None, 27.1),
    "kavitha_subramaniam@cpf.gov.sg": (True, 28.3),
    "yeo_pei_shan@mof.gov.sg": (False, 29.2),
}
ACTIVE = {
    "Alvin_TAN@tech.gov.sg": (True, 41.0),
    "rachel_lim@tech.gov.sg": (True, 40.2),
    "vignesh_kumar@tech.gov.sg": (False, 39.8),
    "haslinda_osman@moe.gov.sg": (True, 39.1),
    "ho_jing_wen@moe.gov.sg": (False, 36.7),
    "daniel_ng@cpf.gov.sg": (False, 35.2),
    "sharifah_aminah@hdb.gov.sg": (True, 33.6),
    "toh_kok_leong@hdb.gov.sg": (False, 31.4),
    "meera_iyer@iras.gov.sg": (False, 29.9),
    "zulkifli_rahman@lta.gov.sg": (True, 27.5),
    "cheryl_ong@lta.gov.sg": (False, 25.1),
    "foo_wei_jie@mom.gov.sg": (False, 23.8),
    "nadia_yusof@moh.gov.sg": (True, 21.3),
    "gopal_raman@moh.gov.sg": (False, 18.6),
    "sim_li_ting@nea.gov.sg": (False, 16.9),
    "ibrahim_salleh@ura.gov.sg": (True, 14.2),
    "seah_min_hui@ica.gov.sg": (False, 11.7),
    "lakshmi_devi@mof.gov.sg": (True, 9.4),
    "quek_hong_yi@schools.gov.sg": (None, 7.8),
    "aisha_binte_omar@tech.gov.sg": (True, 5.6),
    "jeremy_chia@tech.gov.sg": (False, 3.7),
    "pang_su_yin@iras.gov.sg": (True, 2.9),
}
SEED_WAITS = {"aisha_binte_omar@tech.gov.sg", "pang_su_yin@iras.gov.sg", "ahmad_faizal@lta.gov.sg"}
SEED_REJECTED = {
    "sharifah_aminah@hdb.gov.sg": "Your team works on GSIB laptops only. Ask again once you have an internet device.",
    "nadia_yusof@moh.gov.sg": "The device named in your project’s list is enrolled by the vendor.",
}
DEVICES = {
    # Days ago; then hours later, as the MDM system reported. What it does not know begins with 0000: the stand-in of
    # `./run` leaves it alone, so that it can be looked at.
    "Alvin_TAN@tech.gov.sg": (
        38.0,
        NewDevice("Alvin’s ThinkPad", OperatingSystem.WINDOWS, "PF3A9K7L", "00005a1e-7c3d-4f6b-9a20-5d1c8e4b7f30"),
        [],  # Never heard of, and removed after 14 days.
    ),
    "rachel_lim@tech.gov.sg": (
        37.5,
        NewDevice("MacBook Pro 14", OperatingSystem.MACOS, "C02ZN4PLMD6R", "3f8c2a7d-91be-4d05-8a6c-1e7b40d9f3a2"),
        [(0.8, DeviceStatus.SOFTWARE_INSTALLED, ""), (1.5, DeviceStatus.ONBOARDED, "")],
    ),
    "haslinda_osman@moe.gov.sg": (
        36.5,
        NewDevice("Surface Laptop", OperatingSystem.WINDOWS, "010233704157", "b27e6d19-4c8a-4e37-bf51-90a3c7d2e684"),
        [
            (0.6, DeviceStatus.FAILED, "Device is not compliant: the disk is not encrypted with BitLocker."),
            (20.0, DeviceStatus.SOFTWARE_INSTALLED, ""),
            (20.9, DeviceStatus.ONBOARDED, ""),
        ],
    ),
    "zulkifli_rahman@lta.gov.sg": (
        6.2,
        NewDevice("MacBook Air", OperatingSystem.MACOS, "FVFGK3C1Q6L7", "00007b94-2e1f-4a83-8d6e-3c5f9b0a1d72"),
        [(1.1, DeviceStatus.FAILED, "Software installation error occurred while onboarding.")],
    ),
    "ibrahim_salleh@ura.gov.sg": (
        3.1,
        NewDevice("Dell Latitude", OperatingSystem.WINDOWS, "7XK2QY3", "0000e85c-6f02-4b19-a3d7-8b4e1c6f2a95"),
        [],
    ),
    "lakshmi_devi@mof.gov.sg": (
        1.4,
        NewDevice("Work MacBook", OperatingSystem.MACOS, "C02DV8XHP3XY", "00002d47-8a5b-4c91-b6f0-7e3d9c1a4b58"),
        [(0.7, DeviceStatus.SOFTWARE_INSTALLED, "")],
    ),
}
REJECTED = {
    "loh_cheng_soon@nea.gov.sg": (False, 33.0, "This is a shared mailbox. Sign up with your own address."),
    "ravi_shankar@mof.gov.sg": (True, 22.5, "Your agency’s records show that you left in September."),
    "azlan_hamid@hdb.gov.sg": (False, 15.1, "Your project does not use SGTS yet. Sign up again when it starts."),
    "tay_siew_kheng@moe.gov.sg": (False, 8.3, "You signed up twice; your other request was approved."),
    "bala_chandran@ica.gov.sg": (True, 2.4, "We could not confirm with your supervisor that you need it."),
}
NEVER_ACCEPTED = {
    "chew_eng_huat@mom.gov.sg": (False, 37.9),  # Deleted since.
    "noraini_kassim@cpf.gov.sg": (False, 34.3),
    "sanjay_gupta@lta.gov.sg": (True, 33.1),
    "liew_ah_kow@ura.gov.sg": (False, 32.2),
    "hema_malini@iras.gov.sg": (False, 31.6),
}
SIGNED_UP_AGAIN = "sanjay_gupta@lta.gov.sg"
INSISTENT = ("nurul_aisyah@moh.gov.sg", "anand_pillai@moh.gov.sg", "foo_wei_jie@mom.gov.sg")
"""They signed up a second time, and were told by mail where they stand."""
ASKED_AGAIN = ("koh_yi_xuan@iras.gov.sg", "kavitha_subramaniam@cpf.gov.sg")
"""They asked for the invitation a second time."""
BROKEN_OFF = ("chan_wai_kit@ura.gov.sg", "faridah_ismail@ica.gov.sg")
"""They began onboarding and went home."""
UNKNOWN = ("info@spf.gov.sg", "hello@stb.gov.sg", "contact@spf.gov.sg")


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
    with _mails_have_left(now - _DAY):
        story.tell()
    audit.record(FILLED, None, audit.SYSTEM, now)
    db.session.commit()
    return db.session.scalar(select(func.count()).select_from(Account)) or 0


@contextlib.contextmanager
def _mails_have_left(until: datetime) -> Iterator[None]:
    """Whatever is committed, its mails from before ``until`` count as sent: nobody wants them in the mailbox today."""
    settings = current_app.config["SETTINGS"]

    def send(_session: object) -> None:
        old = select(Mail).where(Mail.state == MailState.QUEUED, Mail.created_at < until)
        for mail in db.session.scalars(old):
            mail.state, mail.tries, mail.last_answer = MailState.SENT, 1, "250 OK"
            mail.sent_at = mail.created_at + timedelta(seconds=3)
            mail.message_id = message_id(settings.secret_key, mail.key, settings.mail_default_sender)

    event.listen(db.session, "before_commit", send)
    try:
        yield
    finally:
        event.remove(db.session, "before_commit", send)


@dataclass
class Story:
    now: datetime
    policy: Policy
    chance: random.Random = field(default_factory=lambda: random.Random(1965))
    _events: list[tuple[datetime, Callable[[datetime], None]]] = field(default_factory=list)

    # What happens when

    def plan(self) -> None:
        self._add(self.now - DAYS * _DAY, self._hire_colleague)
        for email, (seed, days) in WAITING.items():
            self._add(self._office_hours(days), partial(self._sign_up, email, seed))
        for email, (seed, days) in NOT_YET_ACCEPTED.items():
            self._invited(email, seed, days)
        for email, (seed, days) in NEVER_ACCEPTED.items():
            self._invited(email, seed, days)
        for email, (seed, days, reason) in REJECTED.items():
            self._add(self._office_hours(days) - 2 * _DAY, partial(self._sign_up, email, seed))
            self._add(self._office_hours(days), partial(self._reject, email, RequestKind.TECHPASS, reason))
        for email, (seed, days) in ACTIVE.items():
            approved = self._invited(email, seed, days)
            activated = approved + timedelta(hours=self.chance.uniform(1, 40))
            self._add(activated, partial(self._onboard, email, None))
            following = activated
            while (following := following + self.chance.uniform(3, 11) * _DAY) < self.now:
                self._add(following, partial(self._log_in, email))
        self._add(self._office_hours(0.7), partial(self._sign_up, SIGNED_UP_AGAIN, True))
        for number, email in enumerate(INSISTENT):
            self._add(self._office_hours(1.3 - 0.4 * number), partial(self._sign_up, email, False))
        for email, (days, device, reports) in DEVICES.items():
            registered = self._office_hours(days)
            self._add(registered, partial(self._register, email, device))
            for hours, status, reason in reports:
                told = partial(self._report, device.intune_device_id, status, reason)
                self._add(registered + timedelta(hours=hours), told)
        for email in ASKED_AGAIN:
            self._add(self._office_hours(3.3), partial(self._resend, email))
        for email in BROKEN_OFF:
            self._add(self._office_hours(5.5), partial(self._onboard, email, Step.RECOVERY_CODES))
        for number, email in enumerate(UNKNOWN):
            self._add(self._office_hours(20 - 6 * number), partial(self._sign_up, email, False))
        for day in range(DAYS):
            # Twice: the notice first, then termination once it has left (rule 3.4).
            for minutes in (0, 5):
                self._add(self.now - day * _DAY - timedelta(minutes=10 - minutes), self._sweep)

    def _invited(self, email: str, seed: bool | None, days: float) -> datetime:
        """Sign up, wait some hours, be approved ``days`` ago; when that was."""
        approved = self._office_hours(days)
        self._add(approved - timedelta(hours=self.chance.uniform(2, 20)), partial(self._sign_up, email, seed))
        self._add(approved, partial(self._approve, email, RequestKind.TECHPASS))
        if seed and email in SEED_REJECTED:
            decide = partial(self._reject, email, RequestKind.SEED, SEED_REJECTED[email])
            self._add(approved + timedelta(minutes=4), decide)
        elif seed and email not in SEED_WAITS:
            self._add(approved + timedelta(minutes=2), partial(self._approve, email, RequestKind.SEED))
        return approved

    def tell(self) -> None:
        # Sorted by time alone: what is planned for one instant keeps its order.
        for at, happens in sorted(self._events, key=lambda item: item[0]):
            happens(at)

    def _add(self, at: datetime, happens: Callable[[datetime], None]) -> None:
        if at <= self.now:
            self._events.append((at, happens))

    def _office_hours(self, days: float) -> datetime:
        """So many days ago, moved to between 8 and 18 o'clock in Singapore, unless that is far off or still to come."""
        at = self.now - days * _DAY
        morning = at.astimezone(SINGAPORE).replace(hour=8, minute=0, second=0, microsecond=0)
        moved = morning + timedelta(hours=self.chance.uniform(0, 10))
        # Deadlines are counted in days, so that a day more or less would change the story.
        return moved if abs(moved - at) < _DAY / 2 and moved < self.now else at

    # What happens

    def _hire_colleague(self, at: datetime) -> None:
        link = admins.create(COLLEAGUE, at, self.policy)
        assert link is not None
        self._onboard(COLLEAGUE, None, at)

    def _sign_up(self, email: str, seed: bool | None, at: datetime) -> None:
        with contextlib.suppress(SignUpRefused):
            sign_up.sign_up(email, seed, _solved(), audit.By.visitor(self._peer()), at)

    def _approve(self, email: str, kind: RequestKind, at: datetime) -> None:
        requests.approve(self._request(email, kind), self._colleague(), at, self.policy)

    def _reject(self, email: str, kind: RequestKind, reason: str, at: datetime) -> None:
        requests.reject(self._request(email, kind), reason, self._colleague(), at, self.policy)

    def _resend(self, email: str, at: datetime) -> None:
        account = _account(email)
        invitations.resend(account.id, InvitationKind.TECHPASS, audit.By.visitor(self._peer()), at, self.policy)

    def _register(self, email: str, device: NewDevice, at: datetime) -> None:
        account = _account(email)
        devices.register(account.id, device, audit.By.person(account, self._peer()), at, self.policy)

    def _report(self, intune_device_id: str, status: DeviceStatus, reason: str, at: datetime) -> None:
        devices.apply(Report(intune_device_id, status, at, reason), at, self.policy)
        db.session.commit()

    def _sweep(self, at: datetime) -> None:
        sweep.sweep(at, self.policy, confirmed=True)

    def _onboard(self, email: str, until: Step | None, at: datetime) -> None:
        """Follow the link and answer each step, a minute apiece; up to ``until``, or to the end with None."""
        account = _account(email)
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
                    onboarding.confirm_authenticator(session, _app(account.id).at(at), by, at, self.policy)
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

    def _log_in(self, email: str, at: datetime) -> None:
        attempt_id = log_in.start(email, at, self.policy).attempt_id
        nonce = db.session.get_one(LogInAttempt, attempt_id).nonce
        known = self.chance.random() < 0.8
        at += timedelta(seconds=40)
        code = derive_code(keys.secret_key(), LOG_IN_CODE, nonce)
        log_in.check_code(attempt_id, code, at, self.policy, known_browser=known)
        at += timedelta(seconds=20)
        account = _account(email)
        by = audit.By.person(account, self._peer())
        code = _app(account.id).at(at)
        log_in.finish_with_authenticator(
            attempt_id, code, by, at, self.policy, _BROWSER, marked_at=at if known else None
        )

    def _colleague(self) -> audit.By:
        return audit.By.person(_account(COLLEAGUE), "192.0.2.10")

    def _request(self, email: str, kind: RequestKind) -> int:
        query = select(Request.id).where(Request.account_id == _account(email).id, Request.kind == kind)
        return db.session.scalars(query.where(Request.state == RequestState.OPEN)).one()

    def _peer(self) -> str:
        return f"192.0.2.{self.chance.randint(20, 250)}"


def _account(email: str) -> Account:
    """The latest account of an address: who signed up again has two."""
    query = select(Account).where(Account.email_folded == email.lower()).order_by(Account.id.desc()).limit(1)
    return db.session.scalars(query).one()


def _app(account_id: int) -> pyotp.TOTP:
    """The authenticator app of an account."""
    sealed = db.session.scalars(select(Authenticator.encrypted_key).filter_by(account_id=account_id)).one()
    return pyotp.TOTP(keys.decrypt(sealed))


def _solved() -> str:
    """A solved robot check of the cheapest kind, good for years: it goes by the machine's clock, the story does not."""
    challenge = altcha.Challenge.from_dict(robot_check.challenge(clock.now() + 3650 * _DAY, cost=1))
    solution = altcha.solve_challenge(challenge)
    assert solution is not None
    return base64.b64encode(
        json.dumps({"challenge": challenge.to_dict(), "solution": solution.to_dict()}).encode()
    ).decode()
