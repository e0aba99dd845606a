"""What the admins of `webapp.dev.demo` do beside deciding on requests one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from webapp.dev import demo_people as cast
from webapp.domain.addresses import AgencyMode
from webapp.domain.business_days import singapore_date
from webapp.domain.lifecycle import InvitationKind, RequestKind, RequestState
from webapp.domain.tokens import RECEIPT, not_me_token, recover_token
from webapp.extensions import db
from webapp.models import Account, Agency, Mail, Question, Request
from webapp.services import (
    account_actions,
    accounts,
    agency_changes,
    audit,
    authenticators,
    extending,
    holding,
    holidays,
    keys,
    not_me,
    notes,
    questions,
    requests,
    roles,
    undo,
)
from webapp.services.agencies import AgencySettings, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webapp.domain.lifecycle import Role
    from webapp.domain.policy import Policy

_ADDRESSES = {cast.COLLEAGUE: "192.0.2.10", cast.SECOND_ADMIN: "192.0.2.11"}
_EXTENDED_BY = timedelta(days=12)


def find(email: str) -> Account | None:
    """The latest account of an address: who signed up again has two. None once its data are deleted."""
    query = select(Account).where(Account.email_folded == email.lower()).order_by(Account.id.desc()).limit(1)
    return db.session.scalar(query)


def latest(email: str) -> Account:
    """`find`, of somebody who is there."""
    account = find(email)
    assert account is not None, email
    return account


def person(email: str) -> audit.By:
    """An admin, at their desk."""
    return audit.By.person(latest(email), _ADDRESSES[email])


def open_request(email: str, kind: RequestKind = RequestKind.TECHPASS) -> int:
    query = select(Request.id).where(Request.account_id == latest(email).id, Request.kind == kind)
    return db.session.scalars(query.where(Request.state == RequestState.OPEN)).one()


class Office:
    """The admins' doings, each at its time ``at``."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def approve_all(self, emails: Iterable[str], at: datetime) -> None:
        requests.approve_each([open_request(email) for email in emails], person(cast.COLLEAGUE), at, self._policy)

    def give_role(self, email: str, role: Role, reason: str, at: datetime) -> None:
        roles.change(latest(email).id, role, reason, person(cast.COLLEAGUE), at)

    def act(self, what: str, email: str, reason: str, at: datetime) -> None:
        """Do one of the things of an account's page; for `extend`, to a day `_EXTENDED_BY` after the deadline."""
        number, by = latest(email).id, person(cast.COLLEAGUE if what in ("hold", "extend") else cast.SECOND_ADMIN)
        match what:
            case "hold":
                holding.hold(number, reason, by, at)
            case "release":
                holding.release(number, reason, by, at)
            case "disable":
                account_actions.disable(number, reason, by, at, self._policy)
            case "enable":
                accounts.enable(number, reason, by, at, self._policy)
            case "terminate":
                account_actions.terminate(number, reason, by, at)
            case "reset_authenticator":
                authenticators.reset_authenticator(number, reason, by, at, self._policy)
            case "resend":
                account_actions.resend(number, InvitationKind.TECHPASS, reason, by, at, self._policy)
            case "extend":
                link = extending.extendable(latest(email), InvitationKind.TECHPASS)
                assert link is not None
                until = singapore_date(link.expires_at + _EXTENDED_BY)
                extending.extend(number, InvitationKind.TECHPASS, until, reason, by, at, self._policy)
            case _:
                raise ValueError(what)

    def change_mind(self, email: str, reason: str, at: datetime) -> None:
        """Reject, or approve where there is no reason, and take it back before the mail leaves."""
        by, number = person(cast.SECOND_ADMIN), open_request(email)
        if reason:
            requests.reject(number, reason, by, at, self._policy)
        else:
            requests.approve(number, by, at, self._policy)
        undo.undo(number, by, at + timedelta(seconds=6), self._policy)

    def ask(self, email: str, question: str, at: datetime) -> None:
        questions.ask(open_request(email), question, person(cast.SECOND_ADMIN), at)

    def answer(self, email: str, words: str, at: datetime) -> None:
        """The applicant, by the private link of the request."""
        account = latest(email)
        assert account.receipt_nonce is not None
        assert account.receipt_hash is not None
        token = recover_token(keys.secret_keys(), RECEIPT, account.receipt_nonce, account.receipt_hash)
        asked = db.session.scalars(select(Question.id).where(Question.request_id == open_request(email))).one()
        assert token is not None
        questions.answer(token, asked, words, audit.By.visitor("192.0.2.77"), at)

    def note(self, admin: str, email: str, words: str, at: datetime) -> None:
        notes.add(latest(email).id, words, person(admin), at)

    def holder_locks(self, email: str, at: datetime) -> None:
        """ "This wasn't me", in the mail about the log-in just before (rule 6.4)."""
        mail = db.session.scalars(
            select(Mail)
            .where(Mail.account_id == latest(email).id, Mail.kind == "new_sign_in")
            .order_by(Mail.id.desc())
            .limit(1)
        ).one()
        token = not_me_token(keys.secret_key(), mail.id, mail.created_at)
        not_me.lock(mail.id, token, audit.By.visitor("192.0.2.141"), at, self._policy)

    def add_agency(self, domain: str, name: str, at: datetime) -> None:
        settings = AgencySettings(
            domain, name, AgencyMode.OPEN, "", seed_eligible=True, approves_automatically=False, vendors_allowed=False
        )
        agency_changes.add(settings, person(cast.COLLEAGUE), at)

    def change_agency(self, domain: str, change: dict[str, Any], at: datetime) -> None:
        agency = db.session.scalars(select(Agency).filter_by(domain=domain)).one()
        before = settings_of(agency)
        agency_changes.change(agency.id, replace(before, **change), before.version, person(cast.COLLEAGUE), at)

    def dismiss(self, domain: str, at: datetime) -> None:
        agency_changes.dismiss(domain, person(cast.SECOND_ADMIN), at)

    def add_days_off(self, at: datetime) -> None:
        for days, name in cast.DAYS_OFF.items():
            day = singapore_date(at) + timedelta(days=days)
            while not holidays.is_business_day(day):
                day += timedelta(days=1)
            holidays.add(day, name, person(cast.COLLEAGUE), at)
