"""Deadlines as calendar files: what they say, what they keep to themselves, and how a mail carries one."""

from __future__ import annotations

import email
from datetime import UTC, timedelta
from email.policy import default

import pytest
from icalendar import Calendar
from sqlalchemy import select

from webapp import emails
from webapp.calendars import deadline_file
from webapp.domain.lifecycle import AccountStatus, InvitationKind, InvitationState, SeedStatus
from webapp.emails.message import OutgoingMail
from webapp.emails.render import load, render
from webapp.extensions import db
from webapp.models import Mail
from webapp.services import audit, calendar, invitations, outbox
from webapp.services.errors import LinkEnded, NotFound
from webapp.services.keys import secret_keys

TECHPASS = InvitationKind.TECHPASS


def event_of(file):
    """The one event of a calendar file, which is read as calendar programs do."""
    whole = Calendar.from_ical(file.text)
    assert (whole["version"], whole["method"]) == ("2.0", "PUBLISH")
    assert whole["prodid"]
    (event,) = whole.subcomponents
    assert event.name == "VEVENT"
    return event


def is_well_formed(text):
    """Line ends, and no line longer than the 75 octets that RFC 5545 allows."""
    lines = text.split("\r\n")
    return lines[-1] == "" and "\n" not in "".join(lines) and all(len(line.encode()) <= 75 for line in lines)


@pytest.mark.parametrize(
    ("kind", "status", "summary", "leads_to"),
    [
        (InvitationKind.TECHPASS, AccountStatus.PENDING, "Activate your TechPass", "http://localhost/"),
        (InvitationKind.SEED, AccountStatus.ACTIVE, "Onboard your device to SEED", "http://localhost/profile"),
    ],
)
def test_it_holds_the_deadline_with_an_alarm_the_day_before(app, make, now, kind, status, summary, leads_to):
    account = make.account(status, "wei.ling@tech.gov.sg", created_at=now - timedelta(days=2))
    link, token = make.invitation(account, kind)
    file = deadline_file(account, link)
    assert is_well_formed(file.text)
    assert token not in file.text
    assert "wei.ling" not in file.text
    event = event_of(file)
    assert event["dtstart"].dt == now + timedelta(days=30)
    assert event["dtstart"].dt.tzinfo is UTC or event["dtstart"].dt.utcoffset() == timedelta(0)
    assert event["dtstart"].to_ical() == b"20261224T020000Z"
    assert event["dtstamp"].dt == now
    assert event["summary"] == summary
    assert event["url"] == leads_to
    assert f"\n\n{leads_to}\n\n" in event["description"]
    assert event["organizer"].startswith("mailto:")
    assert "@" in event["organizer"]
    assert event["sequence"] == 2 * 24 * 3600
    (alarm,) = event.subcomponents
    assert (alarm.name, alarm["action"], alarm["trigger"].dt) == ("VALARM", "DISPLAY", timedelta(days=-1))
    assert alarm["description"] == summary


def test_a_later_invitation_moves_the_same_event(app, make, now, policy):
    account = make.account(AccountStatus.PENDING)
    link, token = make.invitation(account)
    before = event_of(deadline_file(account, link))
    reminder = event_of(calendar.for_invitation(token, now + timedelta(days=25), TECHPASS))
    assert before.to_ical() == reminder.to_ical()

    invitations.resend(account.id, InvitationKind.TECHPASS, audit.SYSTEM, now + timedelta(days=1), policy)
    resent = event_of(calendar.for_receipt(make.receipt_token(account), now + timedelta(days=1)))
    assert (resent["uid"], resent["dtstart"].dt) == (before["uid"], before["dtstart"].dt)
    assert resent["sequence"] > before["sequence"]
    assert resent["dtstamp"].dt > before["dtstamp"].dt

    again = invitations.issue(account, InvitationKind.TECHPASS, now + timedelta(days=9), policy)
    moved = event_of(deadline_file(account, again))
    assert moved["uid"] == before["uid"]
    assert moved["dtstart"].dt == now + timedelta(days=39)
    assert moved["sequence"] > resent["sequence"]


def test_each_person_and_each_thing_has_an_event_of_its_own(app, make):
    one, other = make.account(AccountStatus.PENDING), make.account(AccountStatus.PENDING)
    links = [
        (one, make.invitation(one)[0]),
        (one, make.invitation(one, InvitationKind.SEED)[0]),
        (other, make.invitation(other)[0]),
    ]
    assert len({event_of(deadline_file(*each))["uid"] for each in links}) == 3


def test_an_invitation_gives_its_deadline_until_it_ends(app, make, now):
    link, token = make.invitation()
    assert event_of(calendar.for_invitation(token, link.expires_at, TECHPASS))["dtstart"].dt == link.expires_at
    with pytest.raises(LinkEnded):
        calendar.for_invitation(token, link.expires_at + timedelta(seconds=1), TECHPASS)
    _, seed = make.invitation(make.account(), InvitationKind.SEED)
    for unknown in (seed, "x" * 43, ""):
        with pytest.raises(NotFound):
            calendar.for_invitation(unknown, now, TECHPASS)


def test_a_receipt_gives_it_while_an_invitation_waits(app, make, now):
    account = make.account(AccountStatus.PENDING)
    token = make.receipt_token(account)
    with pytest.raises(NotFound):
        calendar.for_receipt(token, now)
    link, _ = make.invitation(account)
    assert event_of(calendar.for_receipt(token, link.expires_at))["summary"] == "Activate your TechPass"
    with pytest.raises(NotFound):
        calendar.for_receipt(token, link.expires_at + timedelta(seconds=1))
    for status in (AccountStatus.ACTIVE, AccountStatus.TERMINATED):
        account.status = status
        db.session.commit()
        with pytest.raises(NotFound):
            calendar.for_receipt(token, now)


def test_seed_gives_it_to_who_is_invited(app, make, now):
    account = make.account(seed_status=SeedStatus.INVITED)
    with pytest.raises(NotFound):
        calendar.for_seed(account, now)
    link, _ = make.invitation(account, InvitationKind.SEED)
    assert event_of(calendar.for_seed(account, link.expires_at))["dtstart"].dt == link.expires_at
    with pytest.raises(NotFound):
        calendar.for_seed(account, link.expires_at + timedelta(seconds=1))
    for status in set(SeedStatus) - {SeedStatus.INVITED}:
        account.seed_status = status
        with pytest.raises(NotFound):
            calendar.for_seed(account, now)
    account.seed_status = SeedStatus.INVITED
    link.state = InvitationState.USED
    db.session.commit()
    with pytest.raises(NotFound):
        calendar.for_seed(account, now)


# In the mails.


def mailed(row, now):
    """A row as its recipient's program reads it."""
    outbox.post(row)
    db.session.commit()
    mail = db.session.scalars(select(Mail).where(Mail.key == row["key"])).one()
    (letter,) = load([mail])
    rendered = render(letter, secret_keys(), now)
    message = OutgoingMail(
        sender="TechPass <no-reply@techpass.example>",
        recipient=mail.recipient,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        id_="<1@techpass.example>",
        now=now,
        calendar=rendered.calendar,
    )
    raw = message.as_bytes()
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert len(raw) < 40_000
    return email.message_from_bytes(raw, policy=default), rendered


CARRYING = {
    "techpass_onboarding": (InvitationKind.TECHPASS, emails.techpass_onboarding),
    "onboarding_reminder": (
        InvitationKind.TECHPASS,
        lambda account, link, now: emails.onboarding_reminder(account, link, 23, now),
    ),
    "seed_onboarding": (InvitationKind.SEED, emails.seed_onboarding),
    "seed_reminder": (InvitationKind.SEED, lambda account, link, now: emails.seed_reminder(account, link, 7, now)),
}


@pytest.mark.parametrize("kind", CARRYING)
def test_what_tells_a_deadline_carries_its_file(app, make, now, kind):
    link_kind, write = CARRYING[kind]
    account = make.account(AccountStatus.PENDING)
    link, token = make.invitation(account, link_kind)
    message, rendered = mailed(write(account, link, now), now)

    assert message.get_content_type() == "multipart/mixed"
    words, attached = message.iter_parts()
    assert words.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in words.iter_parts()] == ["text/plain", "text/html"]
    assert message.get_body(("plain",)).get_content().replace("\r\n", "\n") == rendered.text
    assert token in message.get_body(("html",)).get_content()
    assert attached["Content-Type"] == 'text/calendar; charset="utf-8"'
    assert attached.get_content_disposition() == "attachment"
    assert attached.get_filename() == (
        "seed-deadline.ics" if link_kind is InvitationKind.SEED else "techpass-deadline.ics"
    )
    assert attached.get_payload(decode=True).decode() == deadline_file(account, link).text
    assert event_of(rendered.calendar)["dtstart"].dt == link.expires_at
    assert token not in rendered.calendar.text
    assert "attached file puts the deadline into your calendar" in " ".join(rendered.text.split())
    assert "attached file puts the deadline into your calendar" in " ".join(rendered.html.split())


def test_no_other_mail_carries_one(app, make, now):
    account = make.account(AccountStatus.PENDING)
    make.invitation(account)
    officer = make.account()
    setup, _ = make.invitation(officer, InvitationKind.AUTHENTICATOR)
    for row in (emails.already_have_account(account, now), emails.authenticator_setup(officer, setup, now)):
        message, rendered = mailed(row, now)
        assert rendered.calendar is None
        assert message.get_content_type() == "multipart/alternative"
