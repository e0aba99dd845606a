"""An invited vendor's registration, by the mailed link (rule 5.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template, url_for

from webapp import clock
from webapp.access import Audience, allow, by
from webapp.domain.lifecycle import InvitationKind
from webapp.extensions import csrf, limiter
from webapp.forms.registration import RegistrationForm
from webapp.htmx import go_to, wants_fragment
from webapp.services import calendar, invitations
from webapp.services import registration as service
from webapp.services.errors import LinkEnded, NotFound
from webapp.views import downloads

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("registration", __name__, url_prefix="/registration")


@blueprint.get("/<token>")
@allow(Audience.PUBLIC)
def registration(token: str) -> ResponseReturnValue:
    """Who invites whom, and the form. Opening it changes nothing."""
    return _page(token, None)


@blueprint.post("/<token>")
@allow(Audience.PUBLIC)
@csrf.exempt  # The form checks its own token, and keeps what was typed.
@limiter.limit("200 per hour")  # A vendor's people may all come from one address.
def register(token: str) -> ResponseReturnValue:
    form = RegistrationForm()
    if not form.validate():
        return _page(token, form)
    try:
        service.register(token, form.values(), by(), clock.now())
    except (NotFound, LinkEnded) as error:
        return _ended(token, error)
    return go_to(url_for("registration.received"))


@blueprint.get("/received")
@allow(Audience.PUBLIC)
def received() -> str:
    return render_template("registration/received.html")


@blueprint.get("/<token>/deadline.ics")
@allow(Audience.PUBLIC)
def deadline(token: str) -> ResponseReturnValue:
    """By when to register, for the calendar."""
    try:
        return downloads.calendar(calendar.for_invitation(token, clock.now(), InvitationKind.REGISTRATION))
    except (NotFound, LinkEnded) as error:
        return _ended(token, error)


def _page(token: str, form: RegistrationForm | None) -> ResponseReturnValue:
    try:
        found = service.open_link(token, clock.now())
    except (NotFound, LinkEnded) as error:
        return _ended(token, error)
    account = found.account
    if form is None:
        known = {name: getattr(account, name) or "" for name in service.FIELDS}
        form = RegistrationForm(formdata=None, data=known)
    template = "registration/_form.html" if wants_fragment() else "registration/page.html"
    page = render_template(
        template,
        form=form,
        token=token,
        account=account,
        invitation=found,
        inviter=service.invited_by(account.id),
    )
    return page, 422 if form.errors else 200


def _ended(token: str, error: NotFound | LinkEnded) -> ResponseReturnValue:
    """The page of a link that does not work: it says why, and whom to ask (rule 3.7)."""
    if wants_fragment():
        return go_to(url_for("registration.registration", token=token))
    if isinstance(error, NotFound):
        return render_template("invitations/unknown.html", is_invited=True), 404
    found = invitations.find(token, InvitationKind.REGISTRATION)
    inviter = service.invited_by(found.account_id)
    return render_template("registration/ended.html", state=error.state, inviter=inviter), 410
