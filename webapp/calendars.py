"""Deadlines as calendar files (.ics): one event at the instant at which something ends, and an alarm the day before.

A file says no more than its mail does, and less: no address, and never the link, since calendars are shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from flask import current_app

from webapp.domain.lifecycle import InvitationKind
from webapp.links import public_link

if TYPE_CHECKING:
    from webapp.models import Account, Invitation

_ALARM_BEFORE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CalendarFile:
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class _Words:
    file_name: str
    summary: str
    path: str
    """Where in the portal the event leads."""
    description: str


_WORDS = {
    InvitationKind.TECHPASS: _Words(
        "techpass-deadline.ics",
        "Activate your TechPass",
        "/",
        "Open the TechPass onboarding email that we sent you, and finish onboarding before this time. The link is in "
        "that email alone. After this time the account is terminated, and you would have to sign up again.",
    ),
    InvitationKind.REGISTRATION: _Words(
        "registration-deadline.ics",
        "Register for TechPass",
        "/",
        "Open the invitation that we sent you, and register before this time. The link is in that email alone. After "
        "this time you would have to be invited anew.",
    ),
    InvitationKind.SEED: _Words(
        "seed-deadline.ics",
        "Onboard your device to SEED",
        "/profile",
        "Log in to your TechPass profile and onboard your internet device before this time. After it, you would have "
        "to request SEED again.",
    ),
}


def deadline_file(account: Account, invitation: Invitation) -> CalendarFile:
    """By when ``invitation`` must be taken up, of any kind with words of its own. It always gives the same file."""
    # Imported here, as many processes start and end without it (a quarter of a second).
    from icalendar import Alarm, Calendar, Event

    words = _WORDS[invitation.kind]
    address = public_link(words.path)
    event = Event()
    # One event for a person and a thing: the file of a later or extended invitation moves it, and adds no second one.
    # Calendar programs take the greater number for the newer state.
    event.add("uid", str(uuid5(NAMESPACE_URL, public_link(f"/deadlines/{invitation.kind}/{account.id}"))))
    said_at = invitation.extended_at or invitation.issued_at
    event.add("sequence", max(0, int((said_at - account.created_at).total_seconds())))
    event.add("dtstamp", said_at)
    event.add("dtstart", invitation.expires_at)
    event.add("summary", words.summary)
    event.add("description", f"{words.description}\n\n{address}\n\nDone already? Then delete this entry.")
    event.add("url", address)
    event.add("organizer", f"mailto:{parseaddr(current_app.config['MAIL_DEFAULT_SENDER'])[1]}")
    event.add("transp", "TRANSPARENT")  # It takes up no time of the day.
    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("trigger", -_ALARM_BEFORE)
    alarm.add("description", words.summary)
    event.add_component(alarm)
    calendar = Calendar()
    calendar.add("version", "2.0")
    calendar.add("prodid", "-//TechPass Portal//EN")
    calendar.add("method", "PUBLISH")
    calendar.add_component(event)
    return CalendarFile(words.file_name, calendar.to_ical().decode())
