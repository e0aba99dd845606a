"""The front page."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from webapp.access import Audience, allow

blueprint = Blueprint("home", __name__)


@blueprint.get("/")
@allow(Audience.PUBLIC)
def index() -> str:
    """What this is, and which way leads on for which device and whom (rule 1.12)."""
    return render_template("home/page.html", device=request.args.get("device", ""), whom=request.args.get("whom", ""))
