"""Accounts and the requests that they begin with (rules 1.8, 2.1 and sections 3 and 4)."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import Date, ForeignKey, Index, String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.domain.addresses import judge, parse
from webapp.domain.lifecycle import (
    LIVE,
    AccountStatus,
    AccountType,
    RequestKind,
    RequestState,
    Role,
    SeedStatus,
    check_account_transition,
    check_account_undone,
    check_seed_transition,
    check_seed_undone,
)
from webapp.extensions import Model
from webapp.models.agency import Agency
from webapp.models.base import Id, Instant, enum_column, one_of, where

_LIVE = text("status IN ({})".format(", ".join(f"'{status}'" for status in LIVE)))

ASKING = text("(status = 'requested' OR seed_status = 'requested')")
"""Whose request may be open: where these are looked for, they are asked for by these very words, so that the index
serves it."""


class Account(Model):
    """One person's TechPass from request to deletion, SEED's state included; each deadline is a column.

    One sign-up makes one row: who signs up again after termination or rejection gets a new one.
    """

    id: Mapped[Id]
    email: Mapped[str] = mapped_column(String(113))
    email_folded: Mapped[str] = mapped_column(String(113))
    agency_id: Mapped[int] = mapped_column(ForeignKey("agency.id"))
    status: Mapped[AccountStatus] = mapped_column(enum_column(AccountStatus))
    account_type: Mapped[AccountType] = mapped_column(
        enum_column(AccountType), default=AccountType.OFFICER, server_default=AccountType.OFFICER
    )
    organisation: Mapped[str | None] = mapped_column(String(120))
    """Whom an invited vendor works for; the agency is the one that sponsors them (rule 5.1)."""
    role: Mapped[Role] = mapped_column(enum_column(Role), default=Role.OFFICER)
    created_at: Mapped[Instant]
    status_at: Mapped[Instant]
    changed_at: Mapped[Instant]
    """When a person last changed it: inactivity leaves it alone for some days after (rule 3.10)."""
    activated_at: Mapped[Instant | None]
    disabled_at: Mapped[Instant | None]
    idle_since: Mapped[Instant | None]
    """What inactivity counts from: activation, then each sign-in."""
    inactivity_due_at: Mapped[Instant | None]
    expired_at: Mapped[Instant | None]
    """Set when the notice of termination was written; the account follows once that mail has left (rule 3.4)."""
    purge_at: Mapped[Instant | None]
    under_investigation: Mapped[bool] = mapped_column(default=False)
    """On hold: nothing is done to it by the clock alone (rules 3.10 and 8.7)."""
    shortcuts_off: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether the admin wants no keys of one letter in the lists (rule 8.2)."""
    receipt_nonce: Mapped[str | None] = mapped_column(String(32))
    receipt_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    recovery_nonce: Mapped[str | None] = mapped_column(String(32))
    """Lets the recovery codes be shown until they are confirmed as saved; then it is forgotten."""
    recovery_session_hash: Mapped[str | None] = mapped_column(String(64))
    """Hash of the token of the session that made them on the security page: no other shows them (rule 6.3)."""
    browsers_known_since: Mapped[Instant | None]
    """Browsers that were marked as known before then are told of by mail again (rule 7.1)."""
    permissions_at: Mapped[Instant | None]
    recovery_saved_at: Mapped[Instant | None]
    seed_status: Mapped[SeedStatus] = mapped_column(enum_column(SeedStatus), default=SeedStatus.NOT_REQUIRED)
    seed_status_at: Mapped[Instant]
    first_name: Mapped[str | None] = mapped_column(String(60))
    last_name: Mapped[str | None] = mapped_column(String(60))
    mobile: Mapped[str | None] = mapped_column(String(20))
    """In the international form of E.164, like +6591234567."""
    department: Mapped[str | None] = mapped_column(String(120))

    agency: Mapped[Agency] = relationship(lazy="raise")

    __table_args__ = (
        one_of("status", AccountStatus),
        one_of("account_type", AccountType),
        one_of("role", Role),
        one_of("seed_status", SeedStatus),
        Index("uq_account_live_email", "email_folded", unique=True, **where(_LIVE)),
        Index("ix_account_email", "email_folded"),
        # For the lists of people, newest first: by agency, by status, by both.
        Index("ix_account_agency", "agency_id", "id"),
        Index("ix_account_status", "status", "id"),
        Index("ix_account_agency_status", "agency_id", "status", "id"),
        Index("ix_account_asking", "agency_id", "id", "email_folded", **where(ASKING)),
        Index("ix_account_inactivity", "inactivity_due_at", **where(text("inactivity_due_at IS NOT NULL"))),
        Index("ix_account_expired", "id", **where(text("status = 'pending' AND expired_at IS NOT NULL"))),
        Index("ix_account_admin", "id", **where(text("role = 'admin'"))),
        Index("ix_account_auditor", "id", **where(text("role = 'auditor'"))),
        Index("ix_account_vendor", "id", **where(text("account_type = 'vendor'"))),
        Index("ix_account_on_hold", "id", **where(text("under_investigation"))),
        Index("ix_account_purge", "purge_at", "id", **where(text("purge_at IS NOT NULL"))),
    )

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    @property
    def may_invite(self) -> bool:
        """Whether they may ask for others: public officers with an active account (rule 5.1)."""
        return self.status is AccountStatus.ACTIVE and self.account_type is AccountType.OFFICER

    @property
    def is_vendor(self) -> bool:
        return self.account_type is AccountType.VENDOR

    @property
    def may_sign_up(self) -> bool:
        """Whether whoever has this address may sign up by themselves; others are invited. With the agency loaded.

        What is left of the deleted does not tell: they may try.
        """
        return self.status is AccountStatus.DELETED or judge(parse(self.email), self.agency).may_sign_up

    @property
    def is_staff(self) -> bool:
        """Whether the dashboard is open to them: admins, and auditors who only read (rule 8.9)."""
        return self.role in (Role.ADMIN, Role.AUDITOR)

    @property
    def seed_requested(self) -> bool:
        """Whether SEED is on its way or held, so that its policy must be accepted (rule 3.9)."""
        return self.seed_status in (SeedStatus.REQUESTED, SeedStatus.INVITED, SeedStatus.ONBOARDED)

    def move(self, status: AccountStatus, now: datetime) -> None:
        """Change the status, by a person. Raises `ForbiddenTransition` where the rules do not allow it (section 3)."""
        check_account_transition(self.status, status)
        self.status, self.status_at, self.changed_at = status, now, now

    def move_seed(self, status: SeedStatus, now: datetime) -> None:
        """Change SEED's state. Raises `ForbiddenTransition` where the rules do not allow it (section 4)."""
        check_seed_transition(self.seed_status, status)
        self.seed_status, self.seed_status_at = status, now

    def put_back(self, status: AccountStatus, since: datetime) -> None:
        """Take a decision back: the status as it was, ``since`` then. Raises `ForbiddenTransition` (rule 8.2)."""
        check_account_undone(self.status, status)
        self.status, self.status_at = status, since

    def put_seed_back(self, status: SeedStatus, since: datetime) -> None:
        """`put_back`, for SEED."""
        check_seed_undone(self.seed_status, status)
        self.seed_status, self.seed_status_at = status, since


class Request(Model):
    """One thing asked for, TechPass or SEED, and what was decided, by whom and why (section 2)."""

    id: Mapped[Id]
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    kind: Mapped[RequestKind] = mapped_column(enum_column(RequestKind))
    state: Mapped[RequestState] = mapped_column(enum_column(RequestState), default=RequestState.OPEN)
    requested_at: Mapped[Instant]
    decided_at: Mapped[Instant | None]
    decided_by_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    """The admin; None where the agency approves automatically."""
    reason: Mapped[str] = mapped_column(String(500), default="")
    due_on: Mapped[date | None] = mapped_column(Date)
    """SEED alone: by the end of which day in Singapore the onboarding email was promised (rule 4.2)."""

    account: Mapped[Account] = relationship(lazy="raise", foreign_keys=[account_id])

    __table_args__ = (
        one_of("kind", RequestKind),
        one_of("state", RequestState),
        Index("uq_request_open", "account_id", "kind", unique=True, **where(text("state = 'open'"))),
        Index("ix_request_queue", "requested_at", "id", **where(text("state = 'open'"))),
        Index("ix_request_due", "due_on", **where(text("state = 'open' AND due_on IS NOT NULL"))),
    )


class Question(Model):
    """What an admin asked an applicant about a request, and the answer (rule 8.2)."""

    id: Mapped[Id]
    request_id: Mapped[int] = mapped_column(ForeignKey("request.id"), index=True)
    asked_by_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    asked_at: Mapped[Instant]
    question: Mapped[str] = mapped_column(String(500))
    answered_at: Mapped[Instant | None]
    answer: Mapped[str] = mapped_column(Text, default="")

    __table_args__ = (Index("uq_question_open", "request_id", unique=True, **where(text("answered_at IS NULL"))),)


class Note(Model):
    """What an admin noted about a person, for other admins alone (rule 8.2)."""

    id: Mapped[Id]
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    by_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    at: Mapped[Instant]
    note: Mapped[str] = mapped_column(String(500))
