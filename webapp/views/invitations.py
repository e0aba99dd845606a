"""The TechPass invitation: opening it changes nothing, accepting it begins onboarding (rules 3.6 to 3.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, current_app, flash, render_template, request, url_for
from flask_wtf.csrf import CSRFError

from webapp import access, clock
from webapp.access import Audience, allow, by
from webapp.domain.lifecycle import InvitationKind
from webapp.extensions import csrf, limiter
from webapp.htmx import go_to
from webapp.services import calendar, onboarding
from webapp.services import invitations as service
from webapp.services.errors import LinkEnded, NotFound, TooSoon
from webapp.views import downloads

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("invitations", __name__)


@blueprint.get("/invitations/<token>")
@allow(Audience.PUBLIC)
def invitation(token: str) -> ResponseReturnValue:
    try:
        found = service.open_link(token, clock.now(), InvitationKind.TECHPASS)
    except (NotFound, LinkEnded) as error:
        return ended(token, error)
    return render_template("invitations/page.html", invitation=found, account=found.account, token=token)


@blueprint.get("/invitations/<token>/deadline.ics")
@allow(Audience.PUBLIC)
def deadline(token: str) -> ResponseReturnValue:
    """By when to activate TechPass, for the calendar."""
    try:
        return downloads.calendar(calendar.for_invitation(token, clock.now(), InvitationKind.TECHPASS))
    except (NotFound, LinkEnded) as error:
        return ended(token, error)


@blueprint.post("/invitations/<token>/accept")
@allow(Audience.PUBLIC)
@csrf.exempt  # Checked by `begin_onboarding`.
@limiter.limit("200 per hour")  # An agency's officers may all come from one address.
def accept(token: str) -> ResponseReturnValue:
    try:
        return begin_onboarding(token, InvitationKind.TECHPASS)
    except (NotFound, LinkEnded) as error:
        return ended(token, error)


@blueprint.post("/invitations/<token>/resend")
@allow(Audience.PUBLIC)
@limiter.limit("30 per hour")
def resend(token: str) -> ResponseReturnValue:
    """A new email to the address signed up with, for who comes by a link that was replaced (rule 3.7)."""
    try:
        found = service.find(token, InvitationKind.TECHPASS)
    except NotFound as error:
        return ended(token, error)
    send_again(found.account_id)
    return go_to(url_for("invitations.invitation", token=token))


def begin_onboarding(token: str, kind: InvitationKind) -> ResponseReturnValue:
    """Accept a link, and lead to the first step that is missing. Raises `NotFound` or `LinkEnded`."""
    try:
        csrf.protect()
    except CSRFError:
        # Accepted in another tab meanwhile, which gave the browser another token: there is nothing more to accept.
        session = access.onboarding or access.signed_in
        if not session or session.account_id != service.find(token, kind).account_id:
            raise
        return go_to(url_for("onboarding.permissions"))
    policy, user_agent = current_app.config["POLICY"], request.user_agent.string
    opened, step = onboarding.accept(token, kind, by(), clock.now(), policy, user_agent)
    access.begin(opened)
    return go_to(url_for(f"onboarding.{step}"))


def send_again(account_id: int) -> None:
    """Mail the invitation again, and say what came of it."""
    policy = current_app.config["POLICY"]
    try:
        service.resend(account_id, InvitationKind.TECHPASS, by(), clock.now(), policy)
    except TooSoon:
        hours = policy.resend_cooldown_hours
        flash(
            f"Nothing new was sent: we sent the invitation again within the last {hours} hours. "
            "Use that email. Look in Junk Email and Deleted Items too.",
            "info",
        )
    except LinkEnded:
        flash("Nothing was sent: this TechPass no longer waits to be activated.", "info")
    else:
        flash("We have sent a new email to the address you signed up with. Use the link in that one.", "success")


def ended(token: str, error: NotFound | LinkEnded) -> ResponseReturnValue:
    """The page of a link that does not work: it says why, and offers the one thing that does (rule 3.7)."""
    if isinstance(error, NotFound):
        return render_template("invitations/unknown.html"), 404
    account = service.find(token, *InvitationKind).account
    return render_template(f"invitations/{error.state}.html", token=token, account=account), 410
