"""What admins do with an account: each with a reason, a mail to its holder and a line on record (rules 8.3 and 8.9)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from sqlalchemy import select, update

from webapp.domain.deadlines import DAY
from webapp.domain.lifecycle import AccountStatus, InvitationKind, SeedStatus
from webapp.extensions import db
from webapp.models import Account, Actor, AuditEvent, Invitation, Mail
from webapp.services import audit, expiry, extending, holding, reminders
from webapp.services.errors import DayRefused, NotFound, NotPossible, OwnAccount, ReasonMissing

WHY = "Asked by the service desk"


@pytest.fixture
def admin(make):
    return make.admin()


@pytest.fixture
def by(admin):
    return audit.By(Actor.ADMIN, admin.id, "10.1.2.3")


def fresh(row):
    return db.session.get_one(type(row), row.id, populate_existing=True)


def last_event(account):
    event = db.session.scalars(
        select(AuditEvent).where(AuditEvent.account_id == account.id).order_by(AuditEvent.id.desc()).limit(1)
    ).one()
    return event.action, event.actor_id, event.peer, event.detail


def mailed(account, state="queued"):
    query = select(Mail.kind).where(Mail.account_id == account.id, Mail.state == state).order_by(Mail.id)
    return list(db.session.scalars(query))


def nothing_was_done():
    """To be asked after a refusal: neither mails nor events were written."""
    return not db.session.scalars(select(Mail.id)).all() and not db.session.scalars(select(AuditEvent.id)).all()


# Hold and release.


@pytest.mark.parametrize("status", [s for s in AccountStatus if s is not AccountStatus.DELETED], ids=str)
def test_whatever_its_state_an_account_is_held_and_released_with_a_mail_each(make, by, admin, now, status):
    account = make.account(status)
    holding.hold(account.id, f"  {WHY}\n", by, now)
    assert fresh(account).under_investigation
    assert mailed(account) == ["account_held"]
    change = {"before": {"on_hold": False}, "after": {"on_hold": True}}
    assert last_event(account) == ("account.held", admin.id, "10.1.2.3", {"reason": WHY, **change})

    with pytest.raises(NotPossible):
        holding.hold(account.id, WHY, by, now)
    holding.release(account.id, WHY, by, now + DAY)
    assert not fresh(account).under_investigation
    assert fresh(account).changed_at == now + DAY
    assert mailed(account) == ["account_released"], "what is overtaken does not leave"
    assert last_event(account)[0] == "account.released"
    with pytest.raises(NotPossible):
        holding.release(account.id, WHY, by, now)
    assert mailed(account) == ["account_released"]


def test_a_hold_needs_an_account_that_is_not_ones_own_and_a_reason(make, by, admin, now):
    gone = make.account(AccountStatus.DELETED)
    for act in (holding.hold, holding.release):
        for account_id, reason, error in (
            (gone.id, WHY, NotPossible),
            (gone.id, " \n", ReasonMissing),
            (admin.id, WHY, OwnAccount),
            (999, WHY, NotFound),
        ):
            with pytest.raises(error):
                act(account_id, reason, by, now)
    assert nothing_was_done()


# Extend.


@pytest.mark.parametrize("kind", [InvitationKind.TECHPASS, InvitationKind.SEED], ids=str)
def test_an_extended_link_works_until_the_end_of_the_day_in_singapore(make, by, admin, now, policy, kind):
    if kind is InvitationKind.SEED:
        account = make.account(seed_status=SeedStatus.INVITED)
    else:
        account = make.account(AccountStatus.PENDING)
    link, _ = make.invitation(account, kind)
    before, token = link.expires_at, link.token_hash
    extending.extend(account.id, kind, date(2027, 1, 31), WHY, by, now + DAY, policy)
    link = fresh(link)
    assert (link.state, link.token_hash) == ("live", token)
    assert link.expires_at.isoformat() == "2027-01-31T15:59:00+00:00"
    assert link.extended_at == fresh(account).changed_at == now + DAY
    assert mailed(account) == ["invitation_extended"]
    detail = {
        "reason": WHY,
        "invitation": link.id,
        "kind": kind,
        "before": {"until": before.isoformat()},
        "after": {"until": link.expires_at.isoformat()},
    }
    assert last_event(account) == ("invitation.extended", admin.id, "10.1.2.3", detail)
    assert (
        link.remind_at
        == {
            # 7 days before it ends, on a whole day since it was issued.
            InvitationKind.TECHPASS: now + 62 * DAY,
            InvitationKind.SEED: link.expires_at - 7 * DAY,
        }[kind]
    )


def test_extending_twice_mails_the_last_deadline_alone(make, by, now, policy):
    account = make.account(AccountStatus.PENDING)
    make.invitation(account)
    for day in (date(2027, 1, 1), date(2027, 1, 2)):
        extending.extend(account.id, InvitationKind.TECHPASS, day, WHY, by, now + DAY * day.day, policy)
    assert mailed(account) == ["invitation_extended"]
    assert mailed(account, "cancelled") == ["invitation_extended"]


def test_reminders_of_an_extended_link_come_daily_in_its_last_days(make, by, now, policy):
    account = make.account(AccountStatus.PENDING)
    link, _ = make.invitation(account)
    reminders.remind(now + 24 * DAY)
    extending.extend(account.id, InvitationKind.TECHPASS, date(2027, 1, 31), WHY, by, now + 24 * DAY, policy)
    days = [day for day in range(24, 70) if reminders.remind(now + day * DAY)]
    assert days == [62, 63, 64, 65, 66, 67, 68]
    assert fresh(link).remind_at is None


def test_a_link_past_its_time_is_extended_until_the_sweep_has_written_the_notice(make, by, now, policy):
    account = make.account(AccountStatus.PENDING)
    link, _ = make.invitation(account)
    late = link.expires_at + DAY
    extending.extend(account.id, InvitationKind.TECHPASS, date(2027, 1, 31), WHY, by, late, policy)
    assert expiry.expire(late) == (0, 0)
    assert not expiry.is_overdue(fresh(account), late)

    expiry.expire(fresh(link).expires_at + DAY)
    with pytest.raises(NotPossible):
        extending.extend(account.id, InvitationKind.TECHPASS, date(2027, 2, 27), WHY, by, late + 40 * DAY, policy)
    # Should a live link be there all the same, the notice that was written holds.
    db.session.execute(update(Invitation).values(state="live"))
    db.session.commit()
    with pytest.raises(NotPossible):
        extending.extend(account.id, InvitationKind.TECHPASS, date(2027, 2, 27), WHY, by, late + 40 * DAY, policy)


@pytest.mark.parametrize(
    ("day", "fits"),
    [
        (date(2026, 12, 23), False),
        (date(2026, 12, 24), True),  # The day of the deadline itself, which is at 10:00.
        (date(2027, 2, 22), True),
        (date(2027, 2, 23), False),
    ],
)
def test_a_link_is_never_shortened_nor_extended_beyond_the_limit(make, by, now, policy, day, fits):
    account = make.account(AccountStatus.PENDING)
    link, _ = make.invitation(account)
    before = link.expires_at
    if fits:
        extending.extend(account.id, InvitationKind.TECHPASS, day, WHY, by, now, policy)
        assert fresh(link).expires_at > before
        return
    with pytest.raises(DayRefused) as refused:
        extending.extend(account.id, InvitationKind.TECHPASS, day, WHY, by, now, policy)
    assert (refused.value.first, refused.value.last) == (date(2026, 12, 24), date(2027, 2, 22))
    assert nothing_was_done()


def test_what_ran_out_today_is_extended_to_tomorrow_at_least(now, policy):
    first, _ = extending.days(now - timedelta(hours=1), now, policy)
    assert first == date(2026, 11, 25)
    first, _ = extending.days(extending.end_of(date(2026, 11, 28)), now, policy)
    assert first == date(2026, 11, 29), "that day's end is its deadline already"


def test_only_a_link_that_somebody_waits_for_is_extended(make, by, admin, now, policy):
    active = make.account()
    make.invitation(active, InvitationKind.AUTHENTICATOR)
    suspended = make.account(AccountStatus.DISABLED, seed_status=SeedStatus.SUSPENDED)
    make.invitation(suspended, InvitationKind.SEED)
    for account_id, kind, reason, error in (
        (active.id, InvitationKind.TECHPASS, WHY, NotPossible),
        (active.id, InvitationKind.SEED, WHY, NotPossible),
        (active.id, InvitationKind.AUTHENTICATOR, WHY, NotPossible),
        (suspended.id, InvitationKind.SEED, WHY, NotPossible),
        (admin.id, InvitationKind.SEED, WHY, OwnAccount),
        (active.id, InvitationKind.SEED, "", ReasonMissing),
        (999, InvitationKind.SEED, WHY, NotFound),
    ):
        with pytest.raises(error):
            extending.extend(account_id, kind, date(2026, 12, 24), reason, by, now, policy)
    assert nothing_was_done()
    assert db.session.get_one(Account, active.id).changed_at == now
