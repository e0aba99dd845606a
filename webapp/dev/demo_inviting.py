"""Whom people of `webapp.dev.demo` asked for: colleagues, vendors, and files of both (section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from webapp.dev import demo_people as cast
from webapp.dev.demo_admins import latest, open_request, person
from webapp.domain.inviting import COLUMNS
from webapp.domain.lifecycle import InvitationKind, RequestKind, SeedStatus
from webapp.domain.tokens import invitation_purpose, recover_token
from webapp.extensions import db
from webapp.models import Invitee
from webapp.services import (
    audit,
    batch,
    batch_sending,
    invitations,
    invite_fields,
    inviting,
    keys,
    registration,
    requests,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from webapp.domain.policy import Policy

_TEACHER = "haslinda_osman@moe.gov.sg"
_ENGINEER = "zulkifli_rahman@lta.gov.sg"
_ADDRESSES = {cast.COLLEAGUE: "192.0.2.10", _TEACHER: "192.0.2.31", _ENGINEER: "192.0.2.32"}


@dataclass(frozen=True)
class Guest:
    """Somebody who was asked for, and how many days ago what happened; None where it has not."""

    email: str
    reason: str
    asked: float
    registered: float | None = None
    approved: float | None = None
    activated: float | None = None
    again: float | None = None
    rejected: tuple[float, str] | None = None
    inviter: str = cast.COLLEAGUE
    seed: bool = False
    first_name: str = ""
    last_name: str = ""
    organisation: str = ""
    agency: str = ""
    mobile: str = ""

    @property
    def fields(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in COLUMNS} | {"seed": "yes" if self.seed else "no"}


GUESTS = [
    Guest(
        "boon_hwee_ang@tech.gov.sg", "Joins Identity Services as a developer", 27.3, approved=26.9, activated=26.2,
        seed=True,
    ),
    Guest(
        "arjun.mehta@nimbus-systems.example.com", "Runs the penetration test of the portal", 20.6, registered=19.8,
        approved=19.2, activated=18.7, seed=True, first_name="Arjun", last_name="Mehta",
        organisation="Nimbus Systems Pte Ltd", agency="tech.gov.sg", mobile="9123 4567",
    ),
    Guest(
        "edwin_soh@tech.gov.sg", "Helps out until December", 3.3,
        rejected=(2.8, "Interns use the sandbox; they need no TechPass."),
    ),
    Guest(
        "ingrid.holm@fjordworks.example.com", "Maintains the design system", 8.1, first_name="Ingrid",
        last_name="Holm", organisation="Fjordworks", agency="tech.gov.sg",
    ),
    Guest("ming_zhu_ho@mom.gov.sg", "Tests the log-in of the Work Pass services", 6.6, approved=6.1, again=2.2),
    Guest(
        "lena.brandt@kestrel-data.example.com", "Moves the reports to the new data platform", 4.3, registered=2.9,
        first_name="Lena", last_name="Brandt", organisation="Kestrel Data GmbH", agency="tech.gov.sg",
        mobile="+49 151 23456789",
    ),
    Guest(
        "samuel.oduya@kestrel-data.example.com", "Moves the reports to the new data platform", 1.6,
        first_name="Samuel", last_name="Oduya", organisation="Kestrel Data GmbH", agency="tech.gov.sg",
    ),
    Guest("wei_xiang_pek@tech.gov.sg", "On call for Identity Services from Monday", 0.4, seed=True),
    Guest(
        "tan_bee_choo@moe.gov.sg", "Takes over the Parents Gateway backend", 17.2, approved=16.8, activated=16.1,
        inviter=_TEACHER,
    ),
    Guest(
        "ravi_FROM.STRATOSOFT@moe.gov.sg", "Fixes the timetable service", 1.2, inviter=_TEACHER, first_name="Ravi",
        last_name="Shetty", organisation="Stratosoft Pte Ltd",
    ),
    Guest("fiona_yeo@lta.gov.sg", "Traffic data for the new dashboard", 3.4, inviter=_ENGINEER, seed=True),
]  # fmt: skip

FILE = "identity-services-rollout.csv"
FILE_SENT, FILE_APPROVED = 3.9, 3.2
FILE_ROWS = [
    *(
        (f"{name}@tech.gov.sg", "no", "", "", "", "", "Roll-out of single sign-on")
        for name in ("adeline_koh", "benjamin_quah", "charmaine_see", "dinesh_rao", "esther_lau", "faizal_hassan")
    ),
    ("boon_hwee_ang@tech.gov.sg", "yes", "", "", "", "", "Roll-out of single sign-on"),
    ("gerald_ooi@hdb.gov.sg", "yes", "", "", "", "", "Pilot agency"),
    ("hidayah_noor@hdb.gov.sg", "no", "", "", "", "", "Pilot agency"),
    ("irene_cheong@gmail.com", "no", "", "", "", "", "Pilot agency"),
    (
        "joel.martens@fjordworks.example.com", "no", "Joel", "Martens", "Fjordworks", "tech.gov.sg",
        "Trains the service desk",
    ),
]  # fmt: skip
FILE_TO_APPROVE = ("adeline_koh@tech.gov.sg", "charmaine_see@tech.gov.sg", "gerald_ooi@hdb.gov.sg")
DRAFT = "pilot-agencies.csv"
DRAFTED = 0.08
DRAFT_ROWS = [
    ("karen_loh@nea.gov.sg", "no", "", "", "", "", "Second pilot"),
    ("lim_swee_lian@nea.gvo.sg", "no", "", "", "", "", "Second pilot"),
    ("mohd_rizal@ura.gov.sg", "yes", "", "", "", "", "Second pilot"),
    ("mohd_rizal@ura.gov.sg", "yes", "", "", "", "", "Second pilot"),
    ("natalie_fong@iras.gov.sg", "perhaps", "", "", "", "", "Second pilot"),
    ("adeline_koh@tech.gov.sg", "no", "", "", "", "", "Second pilot"),
    ("ingrid.holm@fjordworks.example.com", "no", "Ingrid", "Holm", "Fjordworks", "tech.gov.sg", "Design system"),
    ("oscar_lindt@gmail.com", "no", "", "", "", "", "Second pilot"),
]


class Guests:
    """What those who ask, those who are asked for and those who decide do, each at its time ``at``."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def ask(self, guest: Guest, at: datetime) -> None:
        read = invite_fields.read(guest.fields)
        assert read.person is not None, read.problems
        inviting.ask_for(read.person, _inviter(guest.inviter), at, self._policy)

    def ask_again(self, guest: Guest, at: datetime) -> None:
        row = db.session.scalars(select(Invitee.id).filter_by(account_id=latest(guest.email).id)).one()
        inviting.send_again(row, _inviter(guest.inviter), at, self._policy)

    def register(self, guest: Guest, at: datetime) -> None:
        """The vendor, by the link in the mail."""
        kind = InvitationKind.REGISTRATION
        live = invitations.live_invitation(latest(guest.email).id, kind)
        assert live is not None
        token = recover_token(keys.secret_keys(), invitation_purpose(kind), live.nonce, live.token_hash)
        assert token is not None
        details = {name: getattr(guest, name) for name in registration.FIELDS}
        registration.register(token, details, audit.By.visitor("192.0.2.90"), at)

    def approve(self, emails: Iterable[str], at: datetime) -> None:
        """Whoever asked does not decide: the second admin does."""
        for email in emails:
            by = person(cast.SECOND_ADMIN)
            requests.approve(open_request(email), by, at, self._policy)
            if latest(email).seed_status is SeedStatus.REQUESTED:
                requests.approve(open_request(email, RequestKind.SEED), by, at, self._policy)

    def reject(self, email: str, reason: str, at: datetime) -> None:
        requests.reject(open_request(email), reason, person(cast.SECOND_ADMIN), at, self._policy)

    def send_file(self, at: datetime) -> None:
        number, by = self._begin(FILE, FILE_ROWS, at), _inviter(cast.COLLEAGUE)
        batch.send(number, by, at)
        batch_sending.send_some(at, self._policy, lambda: True)

    def draft_file(self, at: datetime) -> None:
        self._begin(DRAFT, DRAFT_ROWS, at)

    def _begin(self, name: str, rows: Iterable[tuple[str, ...]], at: datetime) -> int:
        table = [(number, list(row)) for number, row in enumerate([COLUMNS, *rows], 1)]
        return batch.begin(name, table, {}, _inviter(cast.COLLEAGUE), at, self._policy)


def _inviter(email: str) -> audit.By:
    return audit.By.person(latest(email), _ADDRESSES[email])
