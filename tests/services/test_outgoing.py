"""The outgoing mails as admins see them (rules 8.5 and 8.10)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from webapp import emails
from webapp.domain.lifecycle import MailState
from webapp.extensions import db
from webapp.models import Mail
from webapp.services import outbox, outgoing
from webapp.services.errors import NotFound
from webapp.services.outgoing import Standing, Wanted

MINUTE = timedelta(minutes=1)


@pytest.fixture
def mails(make, now):
    """A mail in each state, the first queued; by state."""
    made = {}
    for number, state in enumerate(MailState):
        account = make.account(email=f"peter{number}@tech.gov.sg")
        kind = emails.authenticator_changed if number % 2 else emails.recovery_codes_changed
        outbox.post(kind(account, now) | {"state": state, "urgent": False})
        made[state] = db.session.scalars(select(Mail).where(Mail.account_id == account.id)).one()
    db.session.commit()
    return made


@pytest.mark.parametrize("state", MailState)
def test_each_filter_gives_its_own_alone(mails, state):
    one = mails[state]
    assert outgoing.listed(Wanted(state=state)) == [one]
    assert outgoing.listed(Wanted(recipient=one.recipient.upper())) == [one]
    assert outgoing.listed(Wanted(state=state, kind=one.kind, recipient=one.recipient)) == [one]
    others = {"authenticator_changed", "recovery_codes_changed"} - {one.kind}
    assert outgoing.listed(Wanted(state=state, kind=others.pop())) == []


def test_the_newest_come_first_and_the_list_goes_on_by_key(mails, monkeypatch):
    monkeypatch.setattr(outgoing, "PAGE", 2)
    newest_first = sorted(mails.values(), key=lambda mail: -mail.id)
    assert outgoing.listed(Wanted()) == newest_first[:3]  # One more than a page: there is a next one.
    assert outgoing.listed(Wanted(), newest_first[1].id) == newest_first[2:]
    assert outgoing.listed(Wanted(recipient="nobody@tech.gov.sg")) == []


@pytest.mark.parametrize(("minutes", "is_late"), [(5, False), (6, True)])
@pytest.mark.parametrize("urgent", [False, True])
def test_how_the_outbox_stands(mails, now, minutes, is_late, urgent):
    mails[MailState.QUEUED].urgent = urgent
    db.session.commit()
    assert outgoing.standing(now + minutes * MINUTE) == Standing(1, 1, now, is_late)


def test_what_is_not_due_yet_is_not_late(mails, now):
    mails[MailState.QUEUED].due_at = now + 30 * MINUTE
    db.session.commit()
    assert outgoing.standing(now + 20 * MINUTE) == Standing(1, 1, None, is_late=False)


def test_no_more_than_the_most_are_counted(mails, now, monkeypatch):
    monkeypatch.setattr(outgoing, "MOST_COUNTED", 1)
    for mail in mails.values():
        mail.state = MailState.FAILED
    db.session.commit()
    assert outgoing.standing(now) == Standing(2, 0, None, is_late=False)


def test_one_that_is_gone_is_not_found(mails):
    one = mails[MailState.SENT]
    assert outgoing.find(one.id) is one
    with pytest.raises(NotFound):
        outgoing.find(one.id + 1000)
