"""Browser sessions: opened, found and ended by a token of which only the hash is kept (rule 6.3)."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Delete, and_, delete, select, update
from sqlalchemy.orm import joinedload

from webapp.domain.lifecycle import AccountStatus
from webapp.domain.tokens import token_hash
from webapp.extensions import db
from webapp.models import Account, BrowserSession, SessionKind
from webapp.services import audit
from webapp.services.errors import NotFound

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
    confirmed_at: datetime | None = None,
) -> str:
    """The token of a new session, always a fresh one. An onboarding session replaces the one before it. No commit.

    ``confirmed_at`` is when its holder gave a code of the authenticator or a recovery code (rule 6.3).
    """
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
            confirmed_at=confirmed_at,
        )
    )
    return token


def find_session(token: str, now: datetime, policy: Policy, *, used: bool = True) -> BrowserSession | None:
    """The live session of ``token`` with account and agency; None if expired, idle too long, or no longer rightful.

    Unless it is ``used`` by its holder, it goes on being idle.
    """
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
    if used and now - found.last_seen_at >= _TOUCH_EVERY:
        db.session.execute(update(BrowserSession).where(BrowserSession.id == found.id).values(last_seen_at=now))
        db.session.commit()
    return found


def signed_in_browsers(account_id: int, now: datetime, policy: Policy) -> list[BrowserSession]:
    """The sessions that a person is signed in with, the one used last first (rule 6.3)."""
    return list(
        db.session.scalars(
            select(BrowserSession)
            .where(BrowserSession.account_id == account_id, _is_alive(now, policy))
            .order_by(BrowserSession.last_seen_at.desc(), BrowserSession.id.desc())
        )
    )


def end_one(session_id: int, account_id: int, by: audit.By, now: datetime, policy: Policy) -> None:
    """Sign one browser out. Raises `NotFound` if it is not signed in as ``account_id`` (Z2)."""
    done = db.session.scalar(
        delete(BrowserSession)
        .where(BrowserSession.id == session_id, BrowserSession.account_id == account_id, _is_alive(now, policy))
        .returning(BrowserSession.id)
    )
    if done is None:
        db.session.rollback()
        raise NotFound
    audit.record("sessions.ended", account_id, by, now, count=1)
    db.session.commit()


def end_many(account_id: int, by: audit.By, now: datetime, policy: Policy, *, keep: int | None = None) -> int:
    """Sign an account out everywhere, or everywhere but in the session ``keep``; how many browsers that were.

    No browser of before is known any more: the next log-in from it is told of by mail.
    """
    count = end_on_record(account_id, by, now, policy, keep=keep)
    forget_browsers(account_id, now)
    db.session.commit()
    return count


def end_on_record(account_id: int, by: audit.By, now: datetime, policy: Policy, *, keep: int | None = None) -> int:
    """As `end_all_sessions`, and on record with how many browsers that were. No commit."""
    ended = db.session.scalars(_delete_all(account_id, keep).returning(_is_alive(now, policy))).all()
    count = sum(map(bool, ended))  # Those past their time were not signed in any more.
    if count:
        audit.record("sessions.ended", account_id, by, now, count=count)
    return count


def forget_browsers(account_id: int, now: datetime) -> None:
    """No browser that was marked as known before ``now`` is known any more (rule 7.1). No commit."""
    db.session.execute(update(Account).where(Account.id == account_id).values(browsers_known_since=now))


def _is_alive(now: datetime, policy: Policy) -> ColumnElement[bool]:
    """A condition on sessions of browsers that are signed in and may go on."""
    idle = timedelta(minutes=policy.session_idle_minutes)
    return and_(
        BrowserSession.kind == SessionKind.SIGNED_IN,
        BrowserSession.expires_at > now,
        BrowserSession.last_seen_at >= now - idle,
    )


def end_session(token: str) -> None:
    """End the session of ``token``; nothing happens if it has ended already."""
    db.session.execute(delete(BrowserSession).where(BrowserSession.token_hash == token_hash(token)))
    db.session.commit()


def end_all_sessions(account_id: int, *, keep: int | None = None) -> None:
    """Sign the account out everywhere, but for the session ``keep``.

    No commit: it belongs to what takes the right away.
    """
    db.session.execute(_delete_all(account_id, keep))


def _delete_all(account_id: int, keep: int | None) -> Delete:
    found = delete(BrowserSession).where(BrowserSession.account_id == account_id)
    return found if keep is None else found.where(BrowserSession.id != keep)
