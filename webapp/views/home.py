"""The front page."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from webapp.access import Audience, allow
from webapp.shared_page import render_shared

blueprint = Blueprint("home", __name__)


@blueprint.get("/")
@allow(Audience.PUBLIC)
def index() -> str:
    """What this is, and which way leads on for which device and whom (rule 1.12)."""
    device, whom = request.args.get("device", ""), request.args.get("whom", "")
    if not device and not whom:
        return render_shared("home/page.html", lambda: {"device": "", "whom": ""})
    return render_template("home/page.html", device=device, whom=whom)
