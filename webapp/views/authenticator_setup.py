"""The link to set up a new authenticator after an admin's reset (rule 7.3); the steps are those of onboarding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, current_app, render_template, request, url_for

from webapp import access, clock
from webapp.access import Audience, allow, by
from webapp.domain.lifecycle import InvitationKind
from webapp.extensions import limiter
from webapp.htmx import go_to
from webapp.services import invitations as service
from webapp.services import onboarding
from webapp.services.errors import LinkEnded, NotFound

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
@limiter.limit("60 per hour")
def accept(token: str) -> ResponseReturnValue:
    try:
        opened, step = onboarding.accept(
            token,
            InvitationKind.AUTHENTICATOR,
            by(),
            clock.now(),
            current_app.config["POLICY"],
            request.user_agent.string,
        )
    except (NotFound, LinkEnded) as error:
        return _ended(error)
    access.begin(opened)
    return go_to(url_for(f"onboarding.{step}"))


def _ended(error: NotFound | LinkEnded) -> ResponseReturnValue:
    if isinstance(error, NotFound):
        return render_template("invitations/unknown.html"), 404
    return render_template("invitations/authenticator_ended.html", state=error.state), 410
