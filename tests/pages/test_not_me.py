""" "This wasn't me" in a mail: opening it changes nothing, pressing it locks the account once (rule 6.4)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import func, select

from webapp import emails
from webapp.domain.lifecycle import AccountStatus, MailState, Role, SeedStatus
from webapp.domain.tokens import RECEIPT, derive_token, not_me_token
from webapp.extensions import db, limiter
from webapp.models import Account, Actor, AuditEvent, BrowserSession, Mail
from webapp.services import accounts, audit, log_in, not_me, outbox, purge
from webapp.services.errors import LinkEnded, NotFound
from webapp.services.keys import secret_key

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
WRITTEN = timedelta(hours=1)
"""How long after the account became active the mail was written."""


@pytest.fixture
def alarmed(make, now):
    """An active account that got a mail of a changed profile, the mail, and the path of its link."""
    account = make.account(seed_status=SeedStatus.ONBOARDED, status_at=now - WRITTEN)
    mail = written(account, now)
    return account, mail, path_of(mail)


def written(account, at, row=None):
    row = row or emails.profile_changed(account, ["mobile"], at)
    outbox.post(row)
    db.session.commit()
    return db.session.scalars(select(Mail).where(Mail.key == row["key"])).one()


def path_of(mail, token=None):
    return f"/not-me/{mail.id}/{token or not_me_token(secret_key(), mail.id, mail.created_at)}"


def fresh(account):
    return db.session.get_one(Account, account.id, populate_existing=True)


def happened():
    locked = AuditEvent.action == "account.locked"
    rows = db.session.execute(select(AuditEvent.actor, AuditEvent.detail).where(locked)).all()
    count = select(func.count()).select_from(Mail).where(Mail.kind == "account_locked")
    return [tuple(row) for row in rows], db.session.scalar(count)


def test_opening_the_link_changes_nothing(client, make, alarmed):
    account, _, path = alarmed
    make.sign_in(client, account)
    for method in ("GET", "HEAD", "GET"):
        assert client.open(path, method=method).status_code == 200
    page = client.get(path).text
    assert "a change of your profile" in page
    assert "Tuesday, 24 November 2026, 10:00 Singapore time" in page
    assert "Tuesday, 8 December 2026, 10:00 Singapore time" in page
    assert fresh(account).status is AccountStatus.ACTIVE
    assert happened() == ([], 0)
    assert client.get("/profile").status_code == 200


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])
def test_pressing_it_locks_the_account(client, app, make, alarmed, htmx):
    account, mail, path = alarmed
    thief = app.test_client()
    make.sign_in(thief, account)
    client.get(path)
    answer = client.submit(path, htmx=htmx)
    assert answer.status_code == (204 if htmx else 303)
    assert answer.headers["HX-Redirect" if htmx else "Location"] == path
    locked = fresh(account)
    assert (locked.status, locked.under_investigation) == (AccountStatus.DISABLED, True)
    assert locked.seed_status is SeedStatus.SUSPENDED
    assert not db.session.scalars(select(BrowserSession)).all()
    assert thief.get("/profile").status_code == 303
    assert happened() == ([(Actor.VISITOR, {"mail": "profile_changed"})], 1)
    assert db.session.get_one(Mail, mail.id).state is MailState.QUEUED, "what warns of it goes out still"
    page = client.get(path)
    assert page.status_code == 200
    assert "Your TechPass is locked" in page.text
    assert "Lock my TechPass" not in page.text


def test_pressed_again_it_says_the_same_and_does_nothing(client, alarmed):
    account, _, path = alarmed
    for _ in range(3):
        client.get("/log-in")
        assert client.submit(path).status_code == 303
    assert len(happened()[0]) == happened()[1] == 1
    assert fresh(account).under_investigation


def test_without_its_token_the_form_does_nothing(client, alarmed):
    account, _, path = alarmed
    assert client.post(path).status_code == 400
    assert fresh(account).status is AccountStatus.ACTIVE


@pytest.mark.parametrize("kind", emails.NOT_ME)
def test_each_kind_of_mail_that_carries_it_locks(app, make, now, policy, kind):
    account = make.account(email="peter@tech.gov.sg")
    if kind in ("sign_in_code", "new_sign_in"):
        log_in.start("peter@tech.gov.sg", now, policy)
        mail = db.session.scalars(select(Mail)).one()
        mail.kind = kind
        db.session.commit()
    else:
        write = getattr(emails, kind)
        mail = written(account, now, write(account, ["mobile"], now) if "profile" in kind else write(account, now))
    token = not_me_token(secret_key(), mail.id, mail.created_at)
    not_me.lock(mail.id, token, audit.By.visitor("192.0.2.1"), now, policy)
    assert fresh(account).status is AccountStatus.DISABLED
    assert happened() == ([(Actor.VISITOR, {"mail": kind})], 1)


def test_a_code_nobody_asked_for_is_put_into_proportion(client, make, now, policy):
    make.account(email="peter@tech.gov.sg")
    log_in.start("peter@tech.gov.sg", now, policy)
    page = client.get(path_of(db.session.scalars(select(Mail)).one())).text
    assert "means only that somebody typed your address" in page


@pytest.mark.parametrize("kind", ["account_enabled", "techpass_onboarding", "disabled", "already_have_account"])
def test_no_other_mail_locks_anything(client, alarmed, kind):
    account, mail, path = alarmed
    mail.kind = kind
    db.session.commit()
    assert client.get(path).status_code == 404
    client.get("/log-in")
    assert client.submit(path).status_code == 404
    assert fresh(account).status is AccountStatus.ACTIVE


@pytest.mark.parametrize(
    ("late", "works"), [(14 * DAY, True), (14 * DAY + SECOND, False)], ids=["at the last instant", "a second later"]
)
def test_it_works_for_fourteen_days(client, make, now, set_now, alarmed, late, works):
    account, _, path = alarmed
    set_now(now + late)
    page = client.get(path)
    assert page.status_code == (200 if works else 410)
    if not works:
        assert "works for 14 days" in page.text
        client.get("/log-in")
    client.submit(path)
    assert (fresh(account).status is AccountStatus.DISABLED) == works
    assert len(happened()[0]) == int(works)


def test_an_account_that_was_enabled_since_is_not_locked_by_the_old_mail(client, make, now, set_now, policy, alarmed):
    account, _, path = alarmed
    client.get(path)
    client.submit(path)
    accounts.enable(account.id, "looked at", audit.SYSTEM, now + SECOND, policy)
    set_now(now + DAY)
    page = client.get(path)
    assert page.status_code == 410
    assert "an admin enabled it again" in page.text
    client.get("/log-in")
    client.submit(path)
    assert fresh(account).status is AccountStatus.ACTIVE
    assert len(happened()[0]) == 1
    newer = written(account, now + DAY)
    assert client.get(path_of(newer)).status_code == 200


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (AccountStatus.DISABLED, "Your TechPass is disabled already"),
        (AccountStatus.TERMINATED, "This TechPass has ended"),
        (AccountStatus.PENDING, "This TechPass has ended"),
    ],
)
def test_who_has_nothing_to_lock_is_told_so(client, alarmed, status, says):
    account, _, path = alarmed
    account.status = status
    db.session.commit()
    page = client.get(path)
    assert page.status_code == 410
    assert says in page.text
    assert "raise a service" in " ".join(page.text.split())
    client.get("/log-in")
    client.submit(path)
    assert (fresh(account).status, happened()) == (status, ([], 0))


def test_a_token_of_another_mail_or_purpose_opens_nothing(client, make, now, alarmed):
    account, mail, path = alarmed
    other = written(make.account(), now)
    token = path.rpartition("/")[2]
    wrong = [
        path_of(other, token),
        path_of(mail, path_of(other).rpartition("/")[2]),
        path_of(mail, derive_token(secret_key(), RECEIPT, f"{mail.id}:{mail.created_at.isoformat()}")),
        path_of(mail, not_me_token(secret_key(), mail.id, mail.created_at + SECOND)),
        path_of(mail, token[:-1]),
        path_of(mail, "é" * 43),
        f"/not-me/{10**9}/{token}",
    ]
    for address in wrong:
        assert client.get(address).status_code == 404, address
        client.get("/log-in")
        assert client.submit(address).status_code == 404, address
    assert fresh(account).status is AccountStatus.ACTIVE
    assert happened() == ([], 0)


def test_a_mail_of_an_older_secret_still_locks(app, client, alarmed, monkeypatch):
    account, _, path = alarmed
    monkeypatch.setitem(app.config, "SECRET_KEYS", ("a new secret, 0123456789 abcdefghij", secret_key()))
    client.get(path)
    client.submit(path)
    assert fresh(account).status is AccountStatus.DISABLED


def test_the_number_of_a_forgotten_mail_locks_nobody_else(client, make, now, alarmed):
    account, mail, path = alarmed
    number = mail.id
    mail.state = MailState.SENT
    account.status, account.purge_at = AccountStatus.TERMINATED, now
    db.session.commit()
    assert purge.purge(now) == 1
    assert client.get(path).status_code == 404
    other = make.account()
    row = emails.profile_changed(other, ["mobile"], now + SECOND)
    db.session.add(Mail(id=number, **row))
    db.session.commit()
    assert client.get(path).status_code == 404
    client.get("/log-in")
    assert client.submit(path).status_code == 404
    assert fresh(other).status is AccountStatus.ACTIVE


def test_fifty_at_once_lock_once(app, alarmed, now, policy):
    _, mail, path = alarmed
    number, token = mail.id, path.rpartition("/")[2]
    db.session.rollback()
    barrier = Barrier(10)

    def press(turn):
        with app.app_context():
            if turn < 10:
                barrier.wait()
            try:
                not_me.lock(number, token, audit.By.visitor("192.0.2.1"), now, policy)
            except LinkEnded as error:
                return error.state
            return "done"

    with ThreadPoolExecutor(10) as pool:
        assert sorted(pool.map(press, range(50))) == ["done"] + ["locked"] * 49
    db.session.rollback()
    assert len(happened()[0]) == happened()[1] == 1


def test_the_last_admin_can_lock_themselves(client, make, now, alarmed):
    account, _, path = alarmed
    account.role = Role.ADMIN
    db.session.commit()
    client.get(path)
    client.submit(path)
    assert fresh(account).status is AccountStatus.DISABLED


def test_it_is_limited_for_each_peer(client, alarmed):
    limiter.reset()
    _, mail, _ = alarmed
    answers = []
    for _ in range(31):
        client.get("/log-in")
        answers.append(client.submit(path_of(mail, "x" * 43)).status_code)
    assert answers == [404] * 30 + [429]


def test_a_row_without_an_account_opens_nothing(app, alarmed, now, policy):
    _, mail, path = alarmed
    mail.account_id = None
    db.session.commit()
    token = path.rpartition("/")[2]
    for act in (
        lambda: not_me.look(mail.id, token, now, policy),
        lambda: not_me.lock(mail.id, token, audit.SYSTEM, now, policy),
    ):
        with pytest.raises(NotFound):
            act()


@pytest.mark.parametrize(("locked", "says"), [(True, "“This wasn’t me” was pressed"), (False, "nobody logs in for 90")])
def test_logging_in_says_after_the_code_why_the_account_is_disabled(client, make, now, locked, says):
    from webapp.domain.tokens import LOG_IN_CODE, derive_code
    from webapp.models import LogInAttempt

    make.account(AccountStatus.DISABLED, "peter@tech.gov.sg", under_investigation=locked)
    client.get("/log-in")
    client.submit("/log-in", email="peter@tech.gov.sg")
    page = client.get("/log-in/code")
    assert says not in page.text
    nonce = db.session.scalars(select(LogInAttempt.nonce)).one()
    answer = client.submit("/log-in/code", code=derive_code(secret_key(), LOG_IN_CODE, nonce))
    assert answer.status_code == 403
    assert says in " ".join(answer.text.split())
