"""Browser sessions, which end at once with what they stand for (rule 6.3, L6)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from webapp.domain.lifecycle import AccountStatus
from webapp.extensions import db
from webapp.models import Account, AuditEvent, BrowserSession, SessionKind
from webapp.services import audit, sessions
from webapp.services.errors import NotFound

SECOND = timedelta(seconds=1)


def opened(make, now, policy, kind=SessionKind.SIGNED_IN, status=AccountStatus.ACTIVE, **changes) -> str:
    account = make.account(status)
    token = sessions.open_session(account, kind, now, policy, **{"peer": "203.0.113.7", "user_agent": "x"} | changes)
    db.session.commit()
    return token


def count() -> int:
    return db.session.scalar(select(func.count()).select_from(BrowserSession)) or 0


@pytest.mark.parametrize(
    ("kind", "rightful"),
    [
        (SessionKind.SIGNED_IN, {AccountStatus.ACTIVE}),
        (SessionKind.ONBOARDING, {AccountStatus.PENDING, AccountStatus.ACTIVE}),
    ],
)
@pytest.mark.parametrize("status", AccountStatus)
def test_a_session_is_one_of_an_account_in_its_right(app, make, now, policy, kind, rightful, status):
    token = opened(make, now, policy, kind, status)
    assert (sessions.find_session(token, now, policy) is not None) == (status in rightful)


def test_a_session_not_used_for_a_while_ends(app, make, now, policy):
    token = opened(make, now, policy)
    idle = timedelta(minutes=policy.session_idle_minutes)
    assert sessions.find_session(token, now + idle, policy) is not None
    assert sessions.find_session(token, now + 2 * idle, policy) is not None, "it was used in between"
    assert sessions.find_session(token, now + 3 * idle + SECOND, policy) is None


def test_a_session_ends_after_its_hours_however_much_it_is_used(app, make, now, policy):
    token = opened(make, now, policy)
    for minutes in range(0, policy.session_hours * 60, 20):
        assert sessions.find_session(token, now + timedelta(minutes=minutes), policy) is not None
    assert sessions.find_session(token, now + timedelta(hours=policy.session_hours) - SECOND, policy) is not None
    assert sessions.find_session(token, now + timedelta(hours=policy.session_hours), policy) is None


def test_its_use_is_noted_once_a_minute(app, make, now, policy):
    token = opened(make, now, policy)
    for seconds, noted in ((59, 0), (60, 60), (119, 60), (120, 120)):
        sessions.find_session(token, now + timedelta(seconds=seconds), policy)
        assert db.session.scalars(select(BrowserSession.last_seen_at)).one() == now + timedelta(seconds=noted)


def test_ending_one_leaves_the_others(app, make, now, policy):
    first, second = opened(make, now, policy), opened(make, now, policy)
    sessions.end_session(first)
    sessions.end_session(first)
    assert sessions.find_session(first, now, policy) is None
    assert sessions.find_session(second, now, policy) is not None


def test_signing_out_everywhere_ends_all_of_one_account(app, make, now, policy):
    account = make.account()
    tokens = [
        sessions.open_session(account, SessionKind.SIGNED_IN, now, policy, peer="", user_agent="") for _ in range(3)
    ]
    other = opened(make, now, policy)
    sessions.end_all_sessions(account.id)
    assert not any(sessions.find_session(token, now, policy) for token in tokens)
    assert sessions.find_session(other, now, policy) is not None


@pytest.mark.parametrize("token", ["", "x", "x" * 5000, "é", "\x00"])
def test_an_unknown_token_is_nobody(app, make, now, policy, token):
    opened(make, now, policy)
    assert sessions.find_session(token, now, policy) is None
    sessions.end_session(token)
    assert count() == 1


def test_what_a_browser_says_of_itself_is_kept_short_and_plain(app, make, now, policy):
    opened(make, now, policy, peer="1" * 100, user_agent="a\r\n\x00\x1b" + "b" * 500)
    row = db.session.scalars(select(BrowserSession)).one()
    assert (row.peer, row.user_agent) == ("1" * 45, "a" + "b" * 199)


# The list, and ending what is on it


def ids() -> set[int]:
    return set(db.session.scalars(select(BrowserSession.id)))


def several(make, now, policy) -> tuple[Account, list[int]]:
    """Somebody signed in four times: just now, last used a while ago, idle too long, and past its end."""
    account = make.account()
    for used, age in ((0, 0), (20, 60), (31, 60), (0, 720)):
        sessions.open_session(
            account, SessionKind.SIGNED_IN, now - timedelta(minutes=age), policy, peer="", user_agent=""
        )
        db.session.flush()
        newest = db.session.scalars(select(BrowserSession).order_by(BrowserSession.id.desc()).limit(1)).one()
        newest.last_seen_at = now - timedelta(minutes=used)
    sessions.open_session(account, SessionKind.ONBOARDING, now, policy, peer="", user_agent="")
    db.session.commit()
    return account, sorted(ids())


def test_only_browsers_that_are_signed_in_are_listed_the_one_used_last_first(app, make, now, policy):
    account, numbers = several(make, now, policy)
    opened(make, now, policy)
    assert [each.id for each in sessions.signed_in_browsers(account.id, now, policy)] == numbers[:2]
    later = now + timedelta(minutes=policy.session_idle_minutes)
    assert [each.id for each in sessions.signed_in_browsers(account.id, later, policy)] == numbers[:1]


def test_one_is_ended_and_on_record(app, make, now, policy):
    account, numbers = several(make, now, policy)
    sessions.end_one(numbers[0], account.id, audit.By.person(account, "203.0.113.7"), now, policy)
    assert ids() == set(numbers[1:])
    event = db.session.scalars(select(AuditEvent)).one()
    assert (event.action, event.account_id, event.actor_id, event.detail) == (
        "sessions.ended",
        account.id,
        account.id,
        {"count": 1},
    )


def test_somebody_elses_is_not_ended_nor_one_that_is_not_there(app, make, now, policy):
    """Z2."""
    _, numbers = several(make, now, policy)
    other = make.account()
    for session_id in (numbers[0], 10**15):
        with pytest.raises(NotFound):
            sessions.end_one(session_id, other.id, audit.By.person(other, ""), now, policy)
    assert ids() == set(numbers)
    assert db.session.scalar(select(func.count()).select_from(AuditEvent)) == 0


@pytest.mark.parametrize("keeps", [True, False])
def test_all_are_ended_or_all_but_one_and_counted_as_listed(app, make, now, policy, keeps):
    account, numbers = several(make, now, policy)
    opened(make, now, policy)
    before = ids()
    keep = numbers[0] if keeps else None
    by = audit.By.person(account, "")
    assert sessions.end_many(account.id, by, now, policy, keep=keep) == (1 if keeps else 2)
    assert ids() == before - set(numbers) | ({keep} if keeps else set())
    assert db.session.scalars(select(AuditEvent.detail)).all() == [{"count": 1 if keeps else 2}]
    assert sessions.end_many(account.id, by, now, policy, keep=keep) == 0
    assert db.session.scalar(select(func.count()).select_from(AuditEvent)) == 1, "nothing ended is nothing on record"
    db.session.refresh(account)
    assert account.browsers_known_since == now
