""" "This wasn't me", from a mail: opening the link changes nothing, the button locks the account (rule 6.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, current_app, render_template, url_for

from webapp import clock
from webapp.access import Audience, allow, by
from webapp.extensions import limiter
from webapp.htmx import go_to
from webapp.services import not_me as service
from webapp.services.errors import LinkEnded, NotFound

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("not_me", __name__)


@blueprint.get("/not-me/<id:mail_id>/<token>")
@allow(Audience.PUBLIC)
def not_me(mail_id: int, token: str) -> ResponseReturnValue:
    try:
        alarm = service.look(mail_id, token, clock.now(), current_app.config["POLICY"])
    except NotFound:
        return render_template("not_me/unknown.html"), 404
    except LinkEnded as error:
        if error.state == service.LOCKED:
            return render_template("not_me/locked.html")
        return render_template("not_me/ended.html", state=error.state), 410
    return render_template("not_me/page.html", alarm=alarm, mail_id=mail_id, token=token)


@blueprint.post("/not-me/<id:mail_id>/<token>")
@allow(Audience.PUBLIC)
@limiter.limit("30 per hour")
def lock(mail_id: int, token: str) -> ResponseReturnValue:
    try:
        service.lock(mail_id, token, by(), clock.now(), current_app.config["POLICY"])
    except NotFound:
        return render_template("not_me/unknown.html"), 404
    except LinkEnded:
        pass  # The page says how: locked already, by another press perhaps.
    return go_to(url_for("not_me.not_me", mail_id=mail_id, token=token))
