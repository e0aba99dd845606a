"""Browser sessions: opened, found and ended by a token of which only the hash is kept (rule 6.3)."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update
from sqlalchemy.orm import joinedload

from webapp.domain.lifecycle import AccountStatus
from webapp.domain.tokens import token_hash
from webapp.extensions import db
from webapp.models import Account, BrowserSession, SessionKind

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.domain.policy import Policy

_TOUCH_EVERY = timedelta(minutes=1)
_RIGHTFUL = {
    SessionKind.SIGNED_IN: (AccountStatus.ACTIVE,),
    # An active person is "being onboarded" while setting up a new authenticator (rule 7.3).
    SessionKind.ONBOARDING: (AccountStatus.PENDING, AccountStatus.ACTIVE),
}


def open_session(
    account: Account,
    kind: SessionKind,
    now: datetime,
    policy: Policy,
    *,
    peer: str,
    user_agent: str,
    invitation_id: int | None = None,
) -> str:
    """The token of a new session, always a fresh one. An onboarding session replaces the one before it. No commit."""
    if kind is SessionKind.ONBOARDING:
        db.session.execute(
            delete(BrowserSession).where(
                BrowserSession.account_id == account.id, BrowserSession.kind == SessionKind.ONBOARDING
            )
        )
        life = timedelta(minutes=policy.onboarding_minutes)
    else:
        life = timedelta(hours=policy.session_hours)
    token = secrets.token_urlsafe(32)
    db.session.add(
        BrowserSession(
            token_hash=token_hash(token),
            account_id=account.id,
            kind=kind,
            invitation_id=invitation_id,
            created_at=now,
            last_seen_at=now,
            expires_at=now + life,
            peer=peer[:45],
            user_agent="".join(c for c in user_agent if c.isprintable())[:200],
        )
    )
    return token


def find_session(token: str, now: datetime, policy: Policy) -> BrowserSession | None:
    """The live session of ``token`` with account and agency; None if expired, idle too long, or no longer rightful."""
    found = db.session.scalar(
        select(BrowserSession)
        .where(BrowserSession.token_hash == token_hash(token), BrowserSession.expires_at > now)
        .options(joinedload(BrowserSession.account, innerjoin=True).joinedload(Account.agency, innerjoin=True))
    )
    if found is None:
        return None
    idle = timedelta(minutes=policy.session_idle_minutes)
    rightful = _RIGHTFUL[found.kind]
    if found.account.status not in rightful or (
        found.kind is SessionKind.SIGNED_IN and now - found.last_seen_at > idle
    ):
        return None
    if now - found.last_seen_at >= _TOUCH_EVERY:
        db.session.execute(update(BrowserSession).where(BrowserSession.id == found.id).values(last_seen_at=now))
        db.session.commit()
    return found


def end_session(token: str) -> None:
    """End the session of ``token``; nothing happens if it has ended already."""
    db.session.execute(delete(BrowserSession).where(BrowserSession.token_hash == token_hash(token)))
    db.session.commit()


def end_all_sessions(account_id: int) -> None:
    """Sign the account out everywhere. No commit: it belongs to what takes the right away."""
    db.session.execute(delete(BrowserSession).where(BrowserSession.account_id == account_id))
