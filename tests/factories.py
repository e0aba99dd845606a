"""People and things in the state that a test begins with, made by the portal's own services where that is short."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import altcha
import pyotp
from flask.testing import FlaskClient
from sqlalchemy import select

from webapp.access import SESSION_TOKEN
from webapp.domain.lifecycle import (
    AccountStatus,
    AccountType,
    DeviceStatus,
    InvitationKind,
    OperatingSystem,
    RequestKind,
    Role,
    SeedStatus,
)
from webapp.domain.policy import Policy
from webapp.domain.tokens import RECEIPT, derive_token, invitation_purpose, new_nonce, token_hash
from webapp.extensions import db
from webapp.models import Account, Agency, Authenticator, Device, Invitation, Invitee, Request, SessionKind
from webapp.services import invitations, keys, robot_check, sessions


@dataclass
class Factory:
    now: datetime
    policy: Policy
    count: int = 0

    def account(
        self, status: AccountStatus = AccountStatus.ACTIVE, email: str | None = None, **changes: Any
    ) -> Account:
        """A committed account; ``make.account(role=Role.ADMIN)``, ``make.account(AccountStatus.PENDING)`` …"""
        self.count += 1
        email = email or f"officer{self.count}@tech.gov.sg"
        agency_id = db.session.scalar(select(Agency.id).where(Agency.domain == email.lower().partition("@")[2]))
        nonce = new_nonce()
        values: dict[str, Any] = {
            "email": email,
            "email_folded": email.lower(),
            "agency_id": agency_id,
            "status": status,
            "created_at": self.now,
            "status_at": self.now,
            "changed_at": self.now,
            "receipt_nonce": nonce,
            "receipt_hash": token_hash(derive_token(keys.secret_key(), RECEIPT, nonce)),
            "seed_status": SeedStatus.NOT_REQUIRED,
            "seed_status_at": self.now,
        }
        if status in (AccountStatus.ACTIVE, AccountStatus.DISABLED):
            values |= {"activated_at": self.now, "idle_since": self.now}
        account = Account(**values | changes)
        db.session.add(account)
        db.session.commit()
        return account

    def vendor(
        self, status: AccountStatus = AccountStatus.REQUESTED, email: str | None = None, **changes: Any
    ) -> Account:
        """A vendor whom tech.gov.sg sponsors; unregistered with a link of kind REGISTRATION alone."""
        sponsor = db.session.scalar(select(Agency.id).where(Agency.domain == "tech.gov.sg"))
        email = email or f"vendor{self.count + 1}@vendor.example.com"
        given = {"agency_id": sponsor, "account_type": AccountType.VENDOR, "organisation": "Vendor Pte Ltd"}
        return self.account(status, email, **(given | changes))

    def invitee(self, inviter: Account, account: Account, **changes: Any) -> Invitee:
        """That ``inviter`` asked for ``account``."""
        values: dict[str, Any] = {"email": account.email, "is_theirs": True, "asked_at": self.now, "reason": "New here"}
        values |= {"inviter_id": inviter.id, "account_id": account.id, "email_folded": account.email_folded}
        row = Invitee(**values | changes)
        db.session.add(row)
        db.session.commit()
        return row

    def admin(self, email: str | None = None) -> Account:
        return self.account(email=email, role=Role.ADMIN)

    def auditor(self, email: str | None = None) -> Account:
        return self.account(email=email, role=Role.AUDITOR)

    def request(self, email: str | None = None, *, seed: bool = False, at: datetime | None = None) -> Request:
        """An account that waits for approval; its TechPass request (the SEED one is beside it)."""
        at = at or self.now
        account = self.account(
            AccountStatus.REQUESTED,
            email,
            created_at=at,
            seed_status=SeedStatus.REQUESTED if seed else SeedStatus.NOT_REQUIRED,
        )
        asked = [
            Request(account_id=account.id, kind=kind, requested_at=at)
            for kind in (RequestKind.TECHPASS, *([RequestKind.SEED] if seed else []))
        ]
        db.session.add_all(asked)
        db.session.commit()
        return asked[0]

    def invitation(
        self,
        account: Account | None = None,
        kind: InvitationKind = InvitationKind.TECHPASS,
        at: datetime | None = None,
    ) -> tuple[Invitation, str]:
        """A live link and its token, for a new pending account unless one is given."""
        account = account or self.account(AccountStatus.PENDING)
        invitation = invitations.issue(account, kind, at or self.now, self.policy)
        db.session.commit()
        return invitation, derive_token(keys.secret_key(), invitation_purpose(kind), invitation.nonce)

    def device(
        self,
        account: Account,
        status: DeviceStatus = DeviceStatus.TRIGGERED,
        at: datetime | None = None,
        **changes: Any,
    ) -> Device:
        """A committed device with an Intune Device ID of its own."""
        self.count += 1
        at = at or self.now
        values: dict[str, Any] = {
            "name": "MacBook Air",
            "operating_system": OperatingSystem.MACOS,
            "serial_number": "C02XG2JHH3JK",
            "intune_device_id": f"8e2b3c44-5d6f-4a7b-8c9d-{self.count:012x}",
            "status": status,
            "registered_at": at,
            "status_at": at,
            "reported_at": at - timedelta(minutes=self.policy.mdm_tolerance_minutes),
        }
        if status in (DeviceStatus.TRIGGERED, DeviceStatus.SOFTWARE_INSTALLED):
            values["remove_at"] = at + timedelta(days=self.policy.device_pending_days)
        device = Device(account_id=account.id, **values | changes)
        db.session.add(device)
        db.session.commit()
        return device

    def receipt_token(self, account: Account) -> str:
        assert account.receipt_nonce
        return derive_token(keys.secret_key(), RECEIPT, account.receipt_nonce)

    def authenticator(self, account: Account) -> pyotp.TOTP:
        """A confirmed authenticator for ``account``; ``totp.at(instant)`` gives its codes."""
        key = pyotp.random_base32()
        db.session.add(
            Authenticator(
                account_id=account.id,
                encrypted_key=keys.encrypt(key),
                created_at=self.now,
                confirmed_at=self.now,
            )
        )
        db.session.commit()
        return pyotp.TOTP(key)

    def sign_in(self, client: FlaskClient, account: Account) -> str:
        """Sign ``account`` in on ``client`` without going through the pages; the session's token."""
        token = sessions.open_session(
            account, SessionKind.SIGNED_IN, self.now, self.policy, peer="127.0.0.1", user_agent="tests"
        )
        db.session.commit()
        with client.session_transaction() as cookie:
            cookie[SESSION_TOKEN] = token
        return token

    def solution(self, **changes: Any) -> str:
        """A solved robot check, as the widget sends it."""
        challenge = altcha.Challenge.from_dict(robot_check.challenge(self.now + timedelta(days=3650)))
        solved = altcha.solve_challenge(challenge)
        assert solved is not None
        payload = {"challenge": challenge.to_dict(), "solution": solved.to_dict()} | changes
        return base64.b64encode(json.dumps(payload).encode()).decode()
