"""From rows of the outbox to the words of the mails: subject, plain text and HTML (rule 9.1).

Links and codes are derived here, when a mail is about to leave, and nowhere kept (decision 0003). Who only looks at a
mail gets it without them (rule 8.5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import css_inline
from flask import current_app
from jinja2 import Environment, StrictUndefined, TemplateError
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from webapp.calendars import CalendarFile, deadline_file
from webapp.domain.deadlines import is_expired
from webapp.domain.devices import advice
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState
from webapp.domain.tokens import (
    LOG_IN_CODE,
    RECEIPT,
    derive_code,
    invitation_purpose,
    not_me_token,
    recover_token,
)
from webapp.emails import MORE_INFORMATION, NOT_ME
from webapp.extensions import db
from webapp.links import invitation_link, not_me_link, public_link, receipt_link
from webapp.models import Account, Device, Invitation, Invitee, LogInAttempt, Mail, Question, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from webapp.models import Agency


WITH_CALENDAR = frozenset(
    (
        "techpass_onboarding",
        "onboarding_reminder",
        "seed_onboarding",
        "seed_reminder",
        "invitation_extended",
        "vendor_registration",
    )
)
"""The kinds that tell a deadline by which an officer has to do something."""


_NAMES_WHO_ASKED = frozenset(("techpass_onboarding", "onboarding_reminder"))
"""The kinds that say who asked for TechPass, where somebody did for the holder (rule 5.1)."""


class LinkLost(Exception):
    """A link whose secret is no longer configured: it can be followed, but not mailed (decision 0003)."""


class NotOneLine(Exception):
    """A subject that is empty or more than one line."""


class CannotBeShown(Exception):
    """A mail that cannot be written any more, since what it speaks of is gone."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail and what it speaks of."""

    mail: Mail
    account: Account | None
    invitation: Invitation | None
    """The link that it carries; where it tells how an account stands, the one that waits for a pending person."""
    request: Request | None
    attempt: LogInAttempt | None
    device: Device | None
    question: Question | None = None
    inviter: Account | None = None
    """Whoever asked for the person that it is for."""
    invitee: Invitee | None = None
    """The person of whom it tells whoever asked for them."""


@dataclass(frozen=True, slots=True)
class Rendered:
    subject: str
    text: str
    html: str
    secrets: tuple[str, ...]
    """The tokens and codes inside, so that whoever notes what a mail server answered can leave them out."""
    calendar: CalendarFile | None = None
    """The deadline that it tells, to attach."""


_WITH_AGENCY = joinedload(Account.agency, innerjoin=True)
"""On each query of accounts: one may be whom a mail is for and whom another mail names, and is one object for both."""


def load(mails: Sequence[Mail]) -> list[Letter]:
    """Each mail with what it speaks of: a query a table, however many."""
    accounts = _by_id(Account, (mail.account_id for mail in mails), _WITH_AGENCY)
    links = _by_id(Invitation, (mail.context.get("invitation_id") for mail in mails))
    requests = _by_id(Request, (mail.context.get("request_id") for mail in mails))
    attempts = _by_id(LogInAttempt, (mail.context.get("attempt_id") for mail in mails))
    devices = _by_id(Device, (mail.context.get("device_id") for mail in mails))
    questions = _by_id(Question, (mail.context.get("question_id") for mail in mails))
    inviters = _by_id(Account, (mail.context.get("inviter_id") for mail in mails), _WITH_AGENCY)
    asked_by = _asked_by({mail.account_id for mail in mails if mail.kind in _NAMES_WHO_ASKED})
    invitees = _by_id(Invitee, (mail.context.get("invitee_id") for mail in mails))
    waiting = _waiting_links({mail.account_id for mail in mails if mail.kind == "already_have_account"})
    return [
        Letter(
            mail,
            accounts.get(mail.account_id),
            links.get(mail.context.get("invitation_id")) or waiting.get(mail.account_id),
            requests.get(mail.context.get("request_id")),
            attempts.get(mail.context.get("attempt_id")),
            devices.get(mail.context.get("device_id")),
            questions.get(mail.context.get("question_id")),
            inviters.get(mail.context.get("inviter_id")) or asked_by.get(mail.account_id),
            invitees.get(mail.context.get("invitee_id")),
        )
        for mail in mails
    ]


def _by_id(table: type[Any], ids: Iterable[int | None], *options: Any) -> dict[int | None, Any]:
    wanted = {number for number in ids if number is not None}
    if not wanted:
        return {}
    # What an earlier batch loaded may have changed since.
    query = select(table).where(table.id.in_(wanted)).options(*options).execution_options(populate_existing=True)
    return {row.id: row for row in db.session.scalars(query)}


def _asked_by(account_ids: set[int | None]) -> dict[int | None, Account]:
    """Whoever asked for each of the accounts last; of those who signed up themselves there is none."""
    if not account_ids:
        return {}
    query = (
        select(Invitee.account_id, Account)
        .join(Account, Account.id == Invitee.inviter_id)
        .where(Invitee.account_id.in_(account_ids), Invitee.is_theirs)
        .order_by(Invitee.asked_at, Invitee.id)
        .options(_WITH_AGENCY)
        .execution_options(populate_existing=True)
    )
    return {row.account_id: row.Account for row in db.session.execute(query)}


def _waiting_links(account_ids: set[int | None]) -> dict[int | None, Invitation]:
    if not account_ids:
        return {}
    query = (
        select(Invitation)
        .where(
            Invitation.account_id.in_(account_ids),
            # Of somebody pending or, as a vendor, not registered yet: nobody has both.
            Invitation.kind.in_((InvitationKind.TECHPASS, InvitationKind.REGISTRATION)),
            Invitation.state == InvitationState.LIVE,
        )
        .execution_options(populate_existing=True)
    )
    return {link.account_id: link for link in db.session.scalars(query)}


def render(letter: Letter, keys: Sequence[str], now: datetime) -> Rendered:
    """The mail in words. ``keys`` are the portal's secrets, the current one first.

    Raises `LinkLost`, `NotOneLine`, or what Jinja raises where a template asks for something that is missing: no mail
    leaves with a gap.
    """
    opened = _Opened(keys)
    subject, text, html = _words(letter, opened, now)
    return Rendered(subject, text, html, tuple(opened.secrets), _calendar(letter))


def preview(mail: Mail, now: datetime) -> Rendered:
    """The mail as it would read at ``now``, for whoever only looks at it (rule 8.5): no link of it leads anywhere.

    ``mail`` may be a row of the outbox or one that was never written. No token and no code is derived, and what the
    HTML marks as a link is none. Raises `CannotBeShown`.
    """
    (letter,) = load([mail])
    try:
        subject, text, html = _words(letter, _Hidden(), now)
    except (TemplateError, NotOneLine) as error:
        raise CannotBeShown(mail.kind) from error
    html = _HREF.sub(r"\1", html).replace("</head>", f"{_STILL_A_LINK}</head>", 1)
    return Rendered(subject, text, html, ())


_HREF = re.compile(r"""(<a\b[^>]*?)\shref=(?:"[^"]*"|'[^']*')""")
_STILL_A_LINK = "<style>a { text-decoration: underline }</style>"


def _words(letter: Letter, links: _Links, now: datetime) -> tuple[str, str, str]:
    """Subject, text and HTML."""
    context = _context(letter, links, now)
    environment = _environment()
    folder = f"mail/{letter.mail.kind}"
    subject, text, html = (
        environment.get_template(f"{folder}/{name}").render(context)
        for name in ("subject.txt", "body.txt", "body.html")
    )
    subject = subject.strip()
    if not subject or not subject.isprintable():
        raise NotOneLine(letter.mail.kind)
    return subject, text.strip() + "\n", _inliner.inline(html)


class _Links(Protocol):
    """Where the templates get links and codes from."""

    def receipt(self, nonce: str, token_hash: str) -> str: ...

    def invitation(self, link: Invitation) -> str: ...

    def not_me(self, mail: Mail) -> str: ...

    def code(self, attempt: LogInAttempt) -> str: ...


class _Opened:
    """Links and codes as they work; ``secrets`` are the tokens and codes that were asked for."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys
        self.secrets: list[str] = []

    def receipt(self, nonce: str, token_hash: str) -> str:
        return receipt_link(self._recovered(RECEIPT, nonce, token_hash))

    def invitation(self, link: Invitation) -> str:
        return invitation_link(link.kind, self._recovered(invitation_purpose(link.kind), link.nonce, link.token_hash))

    def not_me(self, mail: Mail) -> str:
        return not_me_link(mail.id, self._noted(not_me_token(self._keys[0], mail.id, mail.created_at)))

    def code(self, attempt: LogInAttempt) -> str:
        return self._noted(derive_code(self._keys[0], LOG_IN_CODE, attempt.nonce))

    def _recovered(self, purpose: str, nonce: str, token_hash: str) -> str:
        token = recover_token(self._keys, purpose, nonce, token_hash)
        if token is None:
            raise LinkLost(purpose)
        return self._noted(token)

    def _noted(self, secret: str) -> str:
        self.secrets.append(secret)
        return secret


class _Hidden:
    """What stands in their place for whoever only looks at a mail. It knows none of the portal's secrets."""

    def receipt(self, _nonce: str, _token_hash: str) -> str:
        return public_link("/(link)")

    def invitation(self, _link: Invitation) -> str:
        return public_link("/(link)")

    def not_me(self, _mail: Mail) -> str:
        return public_link("/(link)")

    def code(self, _attempt: LogInAttempt) -> str:
        return "••••••"


def _calendar(letter: Letter) -> CalendarFile | None:
    if letter.mail.kind not in WITH_CALENDAR or letter.account is None or letter.invitation is None:
        return None
    return deadline_file(letter.account, letter.invitation)


_inliner = css_inline.CSSInliner(load_remote_stylesheets=False)
"""Takes a tenth of a millisecond for a mail, so that inlining the base once and for all would win nothing."""


def _environment() -> Environment:
    """The app's templates, but a name that is missing is an error instead of nothing."""
    found: Environment | None = current_app.extensions.get("mail_templates")
    if found is None:
        # A setting that reloads templates would look at three files for each mail.
        found = current_app.jinja_env.overlay(undefined=StrictUndefined, auto_reload=current_app.debug)
        current_app.extensions["mail_templates"] = found
    return found


def _context(letter: Letter, links: _Links, now: datetime) -> dict[str, Any]:
    """What the templates may name, only as far as it is there."""
    mail, account = letter.mail, letter.account
    settings = current_app.config["SETTINGS"]
    context: dict[str, Any] = {
        "policy": current_app.config["POLICY"],
        "portal_url": current_app.config["PUBLIC_BASE_URL"],
        "sign_up_link": public_link("/sign-up"),
        "log_in_link": public_link("/log-in"),
        "profile_link": public_link("/profile"),
        "devices_link": public_link("/profile/devices"),
        "admin_link": public_link("/admin"),
        "invite_link": public_link("/invite"),
        "invited_link": public_link("/invite/sent"),
        "service_request_url": settings.service_request_url,
        "happened_at": mail.created_at,
        **_given(mail.context),
    }
    if account is not None:
        agency: Agency = account.agency
        context |= {"account": account, "agency": agency, "may_sign_up": account.may_sign_up}
        # Who has yet to register asked for nothing that a receipt could tell of.
        is_asked_for = account.status is AccountStatus.REQUESTED and mail.kind != "vendor_registration"
        has_receipt = is_asked_for or mail.kind == MORE_INFORMATION
        if has_receipt and account.receipt_nonce and account.receipt_hash:
            context["receipt_link"] = links.receipt(account.receipt_nonce, account.receipt_hash)
    link = letter.invitation
    if link is not None:
        live = link.state is InvitationState.LIVE and not is_expired(link.expires_at, now)
        context |= {
            "link": links.invitation(link),
            "deadline": link.expires_at,
            "link_is_live": live,
            "invited_at": link.issued_at,
            "link_kind": link.kind,
            "was_extended": link.extended_at is not None,
        }
    elif mail.kind == "already_have_account":
        context["link_is_live"] = False
    if letter.request is not None:
        context |= {"reason": letter.request.reason, "asked_for": letter.request.kind}
    if letter.inviter is not None or "inviter_id" in mail.context:
        context["inviter_name"] = _named(letter.inviter)
    if letter.invitee is not None:
        context["invitee_email"] = letter.invitee.email
    if letter.question is not None:
        context["question"] = letter.question.question
    if letter.attempt is not None:
        context |= {"code": links.code(letter.attempt), "deadline": letter.attempt.expires_at}
    if letter.device is not None:
        context |= {"device": letter.device, "advice": advice(letter.device.reason)}
    if mail.kind in NOT_ME and account is not None and account.status is AccountStatus.ACTIVE:
        context["not_me_link"] = links.not_me(mail)
    return context


def _named(inviter: Account | None) -> str:
    """An inviter as the invited know them: by name and address, as long as their data are there."""
    if inviter is None or inviter.status is AccountStatus.DELETED:
        return "A public officer"
    name = " ".join(part for part in (inviter.first_name, inviter.last_name) if part)
    return f"{name} ({inviter.email})" if name else inviter.email


def _given(context: dict[str, Any]) -> dict[str, Any]:
    """What the row itself says, with instants in place of their text."""
    given: dict[str, Any] = {
        name: context[name]
        for name in ("tried", "browser", "cause", "changed", "was_onboarded", "reason", "role", "waits")
        if name in context
    }
    return given | {name: datetime.fromisoformat(context[name]) for name in ("at", "deadline") if name in context}
