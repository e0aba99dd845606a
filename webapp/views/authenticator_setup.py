"""The link to set up a new authenticator after an admin's reset (rule 7.3); the steps are those of onboarding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template

from webapp import clock
from webapp.access import Audience, allow
from webapp.domain.lifecycle import InvitationKind
from webapp.extensions import csrf, limiter
from webapp.services import invitations as service
from webapp.services.errors import LinkEnded, NotFound
from webapp.views.invitations import begin_onboarding

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("authenticator_setup", __name__)


@blueprint.get("/set-up-authenticator/<token>")
@allow(Audience.PUBLIC)
def invitation(token: str) -> ResponseReturnValue:
    try:
        found = service.open_link(token, clock.now(), InvitationKind.AUTHENTICATOR)
    except (NotFound, LinkEnded) as error:
        return _ended(error)
    return render_template("invitations/authenticator.html", invitation=found, account=found.account, token=token)


@blueprint.post("/set-up-authenticator/<token>/accept")
@allow(Audience.PUBLIC)
@csrf.exempt  # Checked by `begin_onboarding`.
@limiter.limit("200 per hour")
def accept(token: str) -> ResponseReturnValue:
    try:
        return begin_onboarding(token, InvitationKind.AUTHENTICATOR)
    except (NotFound, LinkEnded) as error:
        return _ended(error)


def _ended(error: NotFound | LinkEnded) -> ResponseReturnValue:
    if isinstance(error, NotFound):
        return render_template("invitations/unknown.html"), 404
    return render_template("invitations/authenticator_ended.html", state=error.state), 410
