"""The profile: what an officer's account is, and how TechPass and SEED stand (rule 6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, abort, render_template

from webapp import access, clock
from webapp.access import Audience, allow
from webapp.services import seed_card
from webapp.services.calendar import for_seed
from webapp.services.errors import NotFound
from webapp.views import downloads

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("profile", __name__)


@blueprint.get("/profile")
@allow(Audience.OFFICER)
def profile() -> ResponseReturnValue:
    account = access.signed_in.account
    return render_template("profile/page.html", account=account, seed=seed_card.card(account, clock.now()))


@blueprint.get("/profile/seed-deadline.ics")
@allow(Audience.OFFICER)
def seed_deadline() -> ResponseReturnValue:
    """By when to onboard a device, for the calendar, while an invitation to SEED waits (rule 4.3)."""
    try:
        return downloads.calendar(for_seed(access.signed_in.account, clock.now()))
    except NotFound:
        abort(404)
