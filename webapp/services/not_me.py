""" "This wasn't me" in a mail: its holder locks the account for an admin to look at (rule 6.4, decision 0008).

Nothing is stored for it. The mail's own row says whose account it is and since when the link is good, and the account's
status, which locking and enabling change, makes it work once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from hmac import compare_digest
from typing import TYPE_CHECKING

import structlog

from webapp.domain.deadlines import is_expired
from webapp.domain.lifecycle import AccountStatus
from webapp.domain.tokens import TOKEN_LENGTH, not_me_token
from webapp.emails import NOT_ME
from webapp.extensions import db
from webapp.models import Account, Mail
from webapp.services import audit
from webapp.services.accounts import lock_held
from webapp.services.errors import LinkEnded, NotFound
from webapp.services.held import hold
from webapp.services.keys import secret_keys

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.domain.policy import Policy

log = structlog.get_logger()

LOCKED = "locked"
"""How a link ended: the account is locked, by this one or otherwise."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A mail that somebody says "This wasn't me" to, and until when that works."""

    kind: str
    email: str
    written_at: datetime
    until: datetime


def look(mail_id: int, token: str, now: datetime, policy: Policy) -> Alarm:
    """What the link is about; changes nothing. Raises `NotFound`, or `LinkEnded` with how it ended."""
    mail = _mail(mail_id, token)
    account = db.session.get_one(Account, mail.account_id)
    _check(mail, account, now, policy)
    return Alarm(mail.kind, account.email, mail.created_at, _until(mail, policy))


def lock(mail_id: int, token: str, by: audit.By, now: datetime, policy: Policy) -> None:
    """Lock the account, once. Raises `NotFound`, or `LinkEnded` with how the link ended."""
    mail = _mail(mail_id, token)
    # Held, so that of many at once the first one locks and the others find it done.
    account = hold(mail.account_id)
    if account is None:
        db.session.rollback()
        raise NotFound
    try:
        _check(mail, account, now, policy)
    except LinkEnded:
        db.session.rollback()
        raise
    lock_held(account, "holder", by, now, policy, mail=mail.kind)
    number = account.id
    db.session.commit()
    log.warning("an account was locked by its holder: somebody should look at it", account=number)


def _mail(mail_id: int, token: str) -> Mail:
    if len(token) != TOKEN_LENGTH:
        raise NotFound
    mail = db.session.get(Mail, mail_id)
    if mail is None or mail.account_id is None or mail.kind not in NOT_ME:
        raise NotFound
    expected = [not_me_token(secret, mail.id, mail.created_at) for secret in secret_keys()]
    if not any(compare_digest(one.encode(), token.encode()) for one in expected):
        raise NotFound
    return mail


def _until(mail: Mail, policy: Policy) -> datetime:
    return mail.created_at + timedelta(days=policy.not_me_days)


def _check(mail: Mail, account: Account, now: datetime, policy: Policy) -> None:
    """Raises `LinkEnded` unless the link is in force: "locked", "disabled", "ended", "changed" or "expired"."""
    if account.status is AccountStatus.DISABLED:
        raise LinkEnded(LOCKED if account.under_investigation else "disabled")
    if account.status is not AccountStatus.ACTIVE:
        raise LinkEnded("ended")
    if mail.created_at < account.status_at:
        raise LinkEnded("changed")
    if is_expired(_until(mail, policy), now):
        raise LinkEnded("expired")
