"""Going through onboarding, by the services and by the pages, for tests that begin or end somewhere on the way."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyotp
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from tests.factories import Factory
from webapp.domain.lifecycle import InvitationKind, SeedStatus
from webapp.domain.onboarding import Document, Step
from webapp.extensions import db
from webapp.models import Account, Actor, Authenticator, BrowserSession
from webapp.services import agreements, audit, authenticators, keys, onboarding, sessions

BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0"
PEER = "203.0.113.7"
VERSIONS = {Step.TERMS_OF_USE: "terms-of-use", Step.PRIVACY_POLICY: "privacy-policy", Step.MDM_AUP: "mdm-aup"}


def app_of(account_id: int) -> pyotp.TOTP:
    """The authenticator app of an account, as it was set up with the key in the database."""
    sealed = db.session.scalars(select(Authenticator.encrypted_key).filter_by(account_id=account_id)).one()
    return pyotp.TOTP(keys.decrypt(sealed))


@dataclass
class Walk:
    """One person's way through the services; ``token`` is the link's."""

    make: Factory
    token: str
    account: Account
    kind: InvitationKind = InvitationKind.TECHPASS
    sid: str = ""
    now: datetime | None = None

    @classmethod
    def begin(cls, make: Factory, *, seed: bool = False, now: datetime | None = None) -> Walk:
        status = SeedStatus.REQUESTED if seed else SeedStatus.NOT_REQUIRED
        account = make.account("pending", seed_status=status)  # type: ignore[arg-type]
        _, token = make.invitation(account)
        walk = cls(make, token, account, now=now)
        walk.accept()
        return walk

    @property
    def at(self) -> datetime:
        return self.now or self.make.now

    @property
    def by(self) -> audit.By:
        return audit.By(Actor.OFFICER, self.account.id, PEER)

    def accept(self) -> Step:
        visitor = audit.By.visitor(PEER)
        self.sid, step = onboarding.accept(self.token, self.kind, visitor, self.at, self.make.policy, BROWSER)
        return step

    def session(self) -> BrowserSession:
        found = sessions.find_session(self.sid, self.at, self.make.policy)
        assert found is not None, "the session has ended"
        return found

    def step(self) -> Step:
        return onboarding.where(self.session(), self.at).step

    def answer(self, step: Step, session: BrowserSession | None = None, code: str = "") -> str | None:
        """The right answer to ``step``, or that with ``code``."""
        session, at, policy = session or self.session(), self.at, self.make.policy
        match step:
            case Step.PERMISSIONS:
                onboarding.accept_permissions(session, self.by, at)
            case Step.AUTHENTICATOR:
                code = code or app_of(self.account.id).at(at)
                onboarding.confirm_authenticator(session, code, self.by, at, policy)
            case Step.RECOVERY_CODES:
                code = code or authenticators.codes_to_save(session.account)[3]
                return onboarding.confirm_recovery_codes(session, code, self.by, at, policy, BROWSER)
            case _:
                version = agreements.in_force(Document(VERSIONS[step]), at).version
                return onboarding.accept_agreement(session, step, version, self.by, at, policy, BROWSER)
        return None

    def to(self, step: Step | None) -> str | None:
        """Answer everything before ``step``; all of it with None, which gives the token of the signed-in session."""
        token = None
        while token is None and self.step() is not step:
            token = self.answer(self.step())
        return token


def landing(response: TestResponse) -> str:
    """Where an answer leads, by 303 or, for htmx, by HX-Redirect."""
    assert response.status_code in (303, 204), (response.status_code, response.text)
    return str(response.headers["HX-Redirect"] if response.status_code == 204 else response.headers["Location"])


@dataclass
class Visit:
    """One browser's way through the pages. With ``htmx`` every form is sent as htmx sends it."""

    client: FlaskClient
    now: datetime
    htmx: bool = False

    def accept(self, address: str) -> str:
        """Open a link and press its button; where that leads."""
        self.client.get(address)
        return landing(self.send(f"{address}/accept"))

    def send(self, address: str, **fields: Any) -> TestResponse:
        return self.client.submit(address, htmx=self.htmx, **fields)  # type: ignore[attr-defined]

    def answer(self, page: str) -> str:
        """Give the right answer on ``page``, from what the page shows alone; where that leads."""
        shown = self.client.get(page)
        assert shown.status_code == 200, (page, shown.status_code, shown.headers.get("Location"))
        text = html.unescape(shown.text)
        fields = {}
        if page == "/onboarding/authenticator":
            fields["code"] = pyotp.TOTP(self.typed_key(text)).at(self.now)
        elif page == "/onboarding/recovery-codes":
            fields["code"] = self.codes(text)[0]
        elif version := re.search(r'name="version" value="([^"]+)"', text):
            fields["version"] = version.group(1)
        return landing(self.send(page, **fields))

    def to(self, last: str, page: str) -> str:
        """From ``page`` to ``last``."""
        for _ in range(10):
            if page == last:
                return page
            page = self.answer(page)
        raise AssertionError(f"never came to {last}")

    @staticmethod
    def typed_key(text: str) -> str:
        found = re.search(r'id="authenticator-key">([A-Z2-7 ]+)<', text)
        assert found
        return found.group(1).replace(" ", "")

    @staticmethod
    def codes(text: str) -> list[str]:
        return re.findall(r"<li>([a-z2-9]{4}-[a-z2-9]{4}-[a-z2-9]{4})</li>", text)
