"""Asking for one person, and the people one asked for (rules 5.1 and 5.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

from flask import Blueprint, abort, current_app, flash, render_template, request, url_for

from webapp import access, clock, paging
from webapp.access import Audience, allow, by, signed_in
from webapp.domain.addresses import is_unfinished
from webapp.domain.inviting import may_sponsor
from webapp.domain.lifecycle import AccountType
from webapp.extensions import csrf, limiter
from webapp.formatting import sg_short
from webapp.forms import squeeze
from webapp.forms.invite import InviteForm
from webapp.htmx import go_to, wants_fragment
from webapp.services import agencies, invite_fields, invited, inviting
from webapp.services.errors import MayNotInvite, NotFound
from webapp.services.invited import Stand
from webapp.services.inviting import Outcome, Result

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from webapp.services.invite_fields import Read
    from webapp.services.inviting import Person

blueprint = Blueprint("invite", __name__, url_prefix="/invite")

STAND_NAMES = {
    Stand.TO_REGISTER: "To register",
    Stand.WAITS: "Waits for an admin",
    Stand.TO_ACTIVATE: "To activate",
    Stand.ACTIVE: "Active",
    Stand.DISABLED: "Disabled",
    Stand.REJECTED: "Not approved",
    Stand.RAN_OUT: "Not used in time",
    Stand.ENDED: "Ended",
}
_STAYS = (
    "Nothing else is changed, since they are approved already: whether they need SEED, they say themselves in their "
    "profile."
)


@blueprint.context_processor
def _words() -> dict[str, Any]:
    return {"stand_names": STAND_NAMES}


@blueprint.get("")
@allow(Audience.INVITER)
def invite() -> str:
    return render_template("invite/page.html", **_shown(InviteForm(formdata=None).offer(_sponsors()), None))


@blueprint.post("")
@allow(Audience.INVITER)
@csrf.exempt  # The form checks its own token, and keeps what was typed.
@limiter.limit("100 per hour", key_func=access.person)
def ask() -> ResponseReturnValue:
    form = InviteForm().offer(_sponsors())
    valid = form.validate()
    if "use" in request.form:
        form.email.data = squeeze(request.form["use"])
    read = invite_fields.read(form.fields())
    person = read.person
    if person is not None and person.address.folded == signed_in.account.email_folded:
        read.problems["email"], person = "This is your own address: you have TechPass already", None
    if not valid or person is None or "use" in request.form:
        # Fields that were not shown before are no mistake yet: without scripts the address alone comes first.
        is_new = "use" in request.form or not _asked(read) <= set(request.form.get("asked", "").split())
        moved_on = valid and is_new and "email" not in read.problems
        if not moved_on:
            for name, problem in read.problems.items():
                form[name].errors = [problem]
        template = "invite/_form.html" if wants_fragment() else "invite/page.html"
        return render_template(template, **_shown(form, read), moved_on=moved_on), 200 if moved_on else 422
    now = clock.now()
    try:
        outcome = inviting.ask_for(person, by(), now, current_app.config["POLICY"])
    except MayNotInvite:
        abort(404)
    if outcome.result not in (Result.SENT, Result.SENT_ANEW) and inviting.is_repeat(person, by(), now):
        outcome = Outcome(Result.SENT, stays=outcome.stays)
    flash(*_told(person, outcome))
    return go_to(url_for("invite.sent"))


@blueprint.post("/check")
@allow(Audience.INVITER)
@csrf.exempt  # It changes nothing and tells no more than the form itself does.
def check() -> ResponseReturnValue:
    """What the address calls for, and what is said of it, as a fragment: nothing that can be typed in is in it."""
    if not wants_fragment():
        return go_to(url_for("invite.invite"))
    form = InviteForm(meta={"csrf": False}).offer(_sponsors())
    text = form.email.data or ""
    read = None if is_unfinished(text) else invite_fields.read(form.fields())
    if read is not None and read.address is None:
        read = None  # Nobody likes to be told off half-way through a word; submitting tells.
    shown = _shown(form, read)
    if request.form.get("shown") == shown["mark"]:
        return "", 204  # The same words are not said twice, and a button that has the focus keeps it.
    return render_template("invite/_address.html", **shown)


@blueprint.get("/sent")
@allow(Audience.INVITER)
def sent() -> str:
    """Newest first, a page at a time by key."""
    policy, words = current_app.config["POLICY"], request.args.get("q", "").strip()[:113]
    stand = next((each for each in Stand if each == request.args.get("stand")), None)
    rows = invited.listed(signed_in.account, words, clock.now(), policy, paging.key(), stand)
    people, more = paging.cut(rows, invited.PAGE)
    shown = {
        "people": people,
        "words": words,
        "stand": stand,
        "first": paging.here(before=None) if paging.key() else None,
        "following": paging.here(before=people[-1].id) if more else None,
    }
    return render_template("invite/_list.html" if wants_fragment() else "invite/sent.html", **shown)


@blueprint.post("/sent/<id:invitee_id>/resend")
@allow(Audience.INVITER)
@limiter.limit("100 per hour", key_func=access.person)
def resend(invitee_id: int) -> ResponseReturnValue:
    """Send the email again to somebody who has not used it."""
    now, policy = clock.now(), current_app.config["POLICY"]
    try:
        outcome = inviting.send_again(invitee_id, by(), now, policy)
    except (MayNotInvite, NotFound):
        abort(404)
    found = invited.row(signed_in.account, invitee_id, now, policy) or abort(404)
    message, kind = _resent(found.email, outcome)
    if wants_fragment():
        return render_template("invite/_row.html", person=found, message=message)
    flash(message, kind)
    return go_to(url_for("invite.sent"))


def _sponsors() -> list[tuple[str, str]]:
    """The agencies that can sponsor a vendor, by domain and name: one's own first."""
    own = signed_in.account.agency.domain
    found = [each for each in agencies.known().values() if may_sponsor(each)]
    found.sort(key=lambda each: (each.domain != own, each.name))
    return [(each.domain, f"{each.name} ({each.domain})") for each in found]


def _asked(read: Read | None) -> set[str]:
    """The groups of fields that an address calls for; none as long as it is none to go on with."""
    invitable = read.invitable if read else None
    if read is None or invitable is None or invitable.account_type is None or read.suggestion:
        return set()
    asked = {
        "names": invitable.account_type is AccountType.VENDOR,
        "sponsor": invitable.needs_sponsor,
        "seed": read.seed_offered or invitable.needs_sponsor,
        "reason": True,
    }
    return {name for name, is_asked in asked.items() if is_asked}


def _shown(form: InviteForm, read: Read | None) -> dict[str, Any]:
    """The form with what an address calls for; ``mark`` is of that and of the verdict: swapped where it differs."""
    asked = " ".join(sorted(_asked(read)))
    told = read and read.invitable and (read.invitable.message, read.suggestion, asked)
    # An error is told in the verdict's place: whatever is said next takes it away.
    mark = "" if form.email.errors else f"{crc32(repr(told).encode()):x}"
    return {"form": form, "read": read, "asked": asked, "mark": mark}


def _told(person: Person, outcome: Outcome) -> tuple[str, str]:
    email, policy = person.address.typed, current_app.config["POLICY"]
    is_vendor = person.account_type is AccountType.VENDOR
    by_whom = f" by {outcome.by}" if outcome.by else ""
    at = sg_short(outcome.at) if outcome.at else ""
    stays = f" {_STAYS}" if outcome.stays else ""
    match outcome.result:
        case Result.SENT if outcome.stays:
            return f"We have mailed {email}.{stays}", "success"
        case Result.SENT if is_vendor:
            return f"We have mailed {email}: they have {policy.registration_days} days to register.", "success"
        case Result.SENT:
            return f"We have mailed {email}. An admin decides next, unless the agency approves at once.", "success"
        case Result.SENT_ANEW:
            sent = f"{email} was invited on {at}{by_whom}. We have sent a new email; the old link is void."
            return f"{sent}{stays}", "success"
        case Result.TOO_SOON:
            return f"Nothing was sent or changed: {email} was mailed on {at}{by_whom}. Once a day is the most.", "info"
        case Result.WAITS:
            return f"Nothing was sent or changed: a request for {email} waits for an admin since {at}{by_whom}.", "info"
    since = f"asked for on {at}{by_whom}" if outcome.by else f"by a sign-up of {at}"
    return f"Nothing was sent: {email} has a TechPass account, {since}.", "info"


def _resent(email: str, outcome: Outcome) -> tuple[str, str]:
    match outcome.result:
        case Result.SENT_ANEW:
            return f"We have sent a new email to {email}.", "success"
        case Result.TOO_SOON:
            at = sg_short(outcome.at) if outcome.at else ""
            return f"Nothing was sent: {email} was mailed on {at}. Once a day is the most.", "info"
        case Result.WAITS:
            return f"Nothing was sent: an admin has yet to decide about {email}.", "info"
    return f"Nothing was sent: no email to {email} waits to be used any more.", "info"
