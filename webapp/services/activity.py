"""My activity: the record of one account in plain words (rule 6.2).

It names nobody but "you": neither who else acted nor from where. What only the holder can have done tells from where.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from webapp.extensions import db
from webapp.formatting import document_date, sg_datetime
from webapp.models import Actor, AuditEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAGE = 30

_DOCUMENTS = {"terms-of-use": "Terms of Use", "privacy-policy": "Privacy Policy", "mdm-aup": "MDM AUP"}
_FIELDS = {"first_name": "first name", "last_name": "last name", "mobile": "mobile number", "department": "department"}
_LINKS = {
    "techpass": "TechPass invitation",
    "seed": "SEED invitation",
    "authenticator": "link to a new authenticator",
    "registration": "invitation to register",
}
_MAILS = {
    "sign_in_code": "a code to log in",
    "new_sign_in": "a new sign-in",
    "authenticator_changed": "a new authenticator",
    "recovery_codes_changed": "new recovery codes",
    "profile_changed": "a change of your profile",
}
_DEVICE_IS = {
    "triggered": "Device waits for software to be installed (step 1 of 2)",
    "software_installed": "Software installed on the device (step 2 of 2)",
    "onboarded": "Device onboarded to SEED",
    "failed": "Device could not be onboarded to SEED",
    "removed": "Device taken out of SEED",
}
_WHY_REMOVED = {
    "time": ", because it got no further",
    "mdm": ", as the device management system reported",
    "account ended": ", because the account ended",
}
_WHY_ENDED = {
    "not activated in time": "because the invitation was not taken up in time",
    "not registered in time": "because the invitation to register was not taken up in time",
    "not signed in": "because nobody logged in for a long time",
    "locked": "as a part of locking it",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened: ``number`` is its key, ``where`` the address of your own browser."""

    number: int
    title: str
    at: datetime
    who: str
    where: str = ""


def happened(account_id: int, before: int | None = None) -> Sequence[Entry]:
    """What happened to an account, newest first: one more than a page, which tells that there is a next one.

    ``before`` is the number of the last entry of the page before.
    """
    query = (
        select(AuditEvent)
        .where(AuditEvent.account_id == account_id, AuditEvent.action != _FOR_ADMINS)
        .order_by(AuditEvent.id.desc())
        .limit(PAGE + 1)
    )
    if before is not None:
        query = query.where(AuditEvent.id < before)
    return [
        Entry(
            event.id,
            title(event.action, event.detail or {}),
            event.at,
            _who(event, account_id),
            _where(event, account_id),
        )
        for event in db.session.scalars(query)
    ]


def title(action: str, detail: dict[str, Any]) -> str:
    """What happened, as its holder reads it."""
    words = WORDS.get(action, "Something was changed that we have no words for yet")
    return words if isinstance(words, str) else words(detail)


def plainly(action: str, detail: dict[str, Any]) -> str:
    """What happened, as anybody else than the holder reads it: `title` without "you" and "your"."""
    words = title(action, detail)
    for own, others in (
        ("You became", "Became"),
        ("on your behalf", "by somebody else"),
        ("Your ", "The "),
        (" your ", " the "),
        ("how you log", "how one logs"),
    ):
        words = words.replace(own, others)
    return words


def _who(event: AuditEvent, account_id: int) -> str:
    if event.actor_id == account_id:
        return "You"
    return _actor(event)


def actor(event: AuditEvent) -> str:
    """Who acted, as anybody else than the holder reads it; an admin's address is better, where it is known."""
    return "The holder" if event.actor_id is not None and event.actor_id == event.account_id else _actor(event)


def _actor(event: AuditEvent) -> str:
    match event.actor:
        case Actor.ADMIN:
            return "An admin"
        case Actor.OFFICER:
            return "Another public officer"
        case Actor.VISITOR:
            return "Somebody without logging in, from the sign-up page or a link"
        case Actor.SYSTEM if (event.detail or {}).get("source") == "mdm":
            return "The device management system"
        case Actor.SYSTEM if event.action in BY_OPERATORS:
            return "Who operates the portal"
    return "The portal"


def _where(event: AuditEvent, account_id: int) -> str:
    return event.peer or "" if event.action == "log_in.succeeded" and event.actor_id == account_id else ""


_FOR_ADMINS = "note.added"
"""Notes are for admins alone (rule 8.2)."""

BY_OPERATORS = ("role.granted", "authenticator.reset", "account.locked", "account.enabled")
"""What no sweep does: without an admin it was a command."""


def _ended(what: str) -> Callable[[dict[str, Any]], str]:
    def words(detail: dict[str, Any]) -> str:
        why = _WHY_ENDED.get(detail.get("reason", ""), "")
        return f"{what}, {why}" if why else what

    return words


def _agreement(detail: dict[str, Any]) -> str:
    name = _DOCUMENTS.get(detail.get("document", ""), "An agreement")
    try:
        return f"{name} of {document_date(detail['version'])} accepted"
    except (KeyError, ValueError):
        return f"{name} accepted"


def _sessions_ended(detail: dict[str, Any]) -> str:
    count = detail.get("count", 1)
    return "One browser signed out" if count == 1 else f"{count} browsers signed out"


def _profile(detail: dict[str, Any]) -> str:
    names = [_FIELDS[name] for name in detail.get("fields", ()) if name in _FIELDS]
    return f"Profile changed: {', '.join(names)}" if names else "Profile changed"


def _locked(detail: dict[str, Any]) -> str:
    mail = _MAILS.get(detail.get("mail", ""))
    return f"TechPass locked by “This wasn’t me” in the email about {mail}" if mail else "TechPass locked"


WORDS: dict[str, str | Callable[[dict[str, Any]], str]] = {
    "sign_up.requested": lambda detail: "TechPass and SEED asked for" if detail.get("seed") else "TechPass asked for",
    "sign_up.repeated": "Your address entered on the sign-up page again",
    "invite.requested": "TechPass asked for on your behalf",
    "invite.repeated": "TechPass asked for on your behalf again",
    "invite.sent_again": lambda detail: f"{_link(detail)} sent again",
    "batch.begun": "A batch of invitations submitted",
    "batch.sent": "A batch of invitations sent",
    "registration.completed": "Registered, by the link of the invitation",
    "techpass.approved": "TechPass approved",
    "techpass.rejected": "TechPass not approved",
    "techpass.approval_undone": "Approval of TechPass taken back, at once after it",
    "techpass.rejection_undone": "Rejection of TechPass taken back, at once after it",
    "seed.approval_undone": "Approval of SEED taken back, at once after it",
    "seed.rejection_undone": "Rejection of SEED taken back, at once after it",
    "request.asked": "More information asked for",
    "request.answered": "The question about the request answered",
    "note.added": "A note for admins written",
    "invitation.accepted": lambda detail: f"{_link(detail)} opened and accepted",
    "invitation.resent": lambda detail: f"{_link(detail)} sent again",
    "invitation.extended": lambda detail: f"{_link(detail)} extended{_until(detail)}",
    "onboarding.permissions_accepted": "Permissions of the portal accepted",
    "agreement.accepted": _agreement,
    "authenticator.confirmed": "Authenticator set up",
    "authenticator.replaced": "Authenticator replaced by a new one",
    "authenticator.replacement_begun": "Setting up a new authenticator begun; the old one stays in force until then",
    "authenticator.replacement_cancelled": "Setting up a new authenticator broken off; the old one stays in force",
    "authenticator.reset": "Authenticator and recovery codes taken away, to be set up anew",
    "recovery_codes.saved": "Recovery codes confirmed as saved",
    "recovery_codes.changed": "New recovery codes made, in place of the old ones",
    "identity.confirmed": lambda detail: (
        f"A code of your {_method(detail)} given again, before a change of how you log in"
    ),
    "identity.refused": "Too many wrong codes given, before a change of how you log in",
    "log_in.succeeded": lambda detail: f"Logged in, with a code of your {_method(detail)}",
    "sessions.ended": _sessions_ended,
    "account.activated": "TechPass activated",
    "account.disabled": _ended("TechPass disabled"),
    "account.locked": _locked,
    "account.enabled": "TechPass enabled again",
    "account.held": "TechPass put on hold: nothing about it changes by time alone",
    "account.released": "TechPass on hold no more",
    "account.terminated": _ended("TechPass terminated"),
    "account.deleted": "Personal data deleted",
    "role.granted": "You became an admin",
    "role.changed": lambda detail: f"Role changed{_change(detail, 'role')}",
    "profile.changed": _profile,
    "seed.requested": "SEED asked for",
    "seed.approved": "SEED approved",
    "seed.rejected": "SEED not approved",
    "seed.expired": "The SEED invitation expired",
    "seed.withdrawn": "SEED given up",
    "device.registered": "Device registered for SEED",
    "device.retried": "Onboarding of the device tried again",
    "device.status": lambda detail: _DEVICE_IS.get(detail.get("status", ""), "Device got further on its way to SEED"),
    "device.removed": lambda detail: f"Device removed from SEED{_WHY_REMOVED.get(detail.get('cause', ''), '')}",
    "mail.retried": "Emails that had failed sent again",
    "job.retried": "Failed jobs asked to run again",
    "job.forgotten": "A failed job forgotten",
    "agency.added": "An agency added",
    "agency.changed": "An agency’s settings changed",
    "agency.removed": "An agency deleted",
    "agency.dismissed": "An unknown agency dismissed",
    "holiday.added": "A day off added",
    "holiday.removed": "A day off removed",
    "demo.filled": "Sample data written, for development",
    "sweep.held": "A part of the sweep held, to be looked at",
    "audit.exported": lambda detail: f"The audit log given out as {str(detail.get('format', '')).upper() or 'a file'}",
    "sweep.allowed": "A held part of the sweep let run",
}
"""A sentence for each action of the record: its words, or what makes them of the event's detail."""


def _link(detail: dict[str, Any]) -> str:
    return f"The {_LINKS.get(detail.get('kind', ''), 'link')}"


def _change(detail: dict[str, Any], name: str) -> str:
    """Like " from officer to admin", where ``detail`` says so."""
    try:
        return f" from {detail['before'][name]} to {detail['after'][name]}"
    except (KeyError, TypeError):
        return ""


def _until(detail: dict[str, Any]) -> str:
    try:
        return f" to {sg_datetime(datetime.fromisoformat(detail['after']['until']))}"
    except (KeyError, TypeError, ValueError):
        return ""


def _method(detail: dict[str, Any]) -> str:
    return "recovery codes" if detail.get("method") == "recovery code" else "authenticator"
