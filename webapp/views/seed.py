"""The SEED onboarding link: it needs an active TechPass, and says what is missing (rule 4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template, url_for

from webapp import access, clock
from webapp.access import Audience, allow
from webapp.domain.lifecycle import AccountStatus, InvitationKind
from webapp.extensions import limiter
from webapp.htmx import go_to
from webapp.services import invitations as service
from webapp.services.errors import LinkEnded, NotFound
from webapp.views.invitations import send_again

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("seed", __name__)


@blueprint.get("/seed/<token>")
@allow(Audience.PUBLIC)
def seed_link(token: str) -> ResponseReturnValue:
    try:
        found = service.open_link(token, clock.now(), InvitationKind.SEED)
    except (NotFound, LinkEnded) as error:
        return _ended(error)
    account = found.account
    if account.status is AccountStatus.PENDING:
        return render_template("seed/techpass_first.html", account=account, invitation=found, token=token)
    if access.signed_in and access.signed_in.account_id != account.id:
        return render_template("seed/other_account.html"), 403
    return go_to(url_for("profile.profile", _anchor="seed"))


@blueprint.post("/seed/<token>/resend")
@allow(Audience.PUBLIC)
@limiter.limit("30 per hour")
def resend(token: str) -> ResponseReturnValue:
    """The TechPass invitation again, for who has only the SEED email at hand (rules 3.8 and 4.4)."""
    try:
        found = service.open_link(token, clock.now(), InvitationKind.SEED)
    except (NotFound, LinkEnded) as error:
        return _ended(error)
    send_again(found.account_id)
    return go_to(url_for("seed.seed_link", token=token))


def _ended(error: NotFound | LinkEnded) -> ResponseReturnValue:
    if isinstance(error, NotFound):
        return render_template("invitations/unknown.html"), 404
    return render_template("seed/ended.html", state=error.state), 410
