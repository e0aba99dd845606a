"""The profile: what an officer's account is, and how TechPass and SEED stand (rule 6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template

from webapp import access, clock
from webapp.access import Audience, allow
from webapp.services import profile as service

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("profile", __name__)


@blueprint.get("/profile")
@allow(Audience.OFFICER)
def profile() -> ResponseReturnValue:
    account = access.signed_in.account
    return render_template("profile/page.html", account=account, seed=service.seed_card(account, clock.now()))
