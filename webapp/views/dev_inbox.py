"""Development only: every mail that went out, as its recipient sees it, and a stand-in for the phone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, current_app, render_template, request

from webapp import clock
from webapp.access import Audience, allow
from webapp.dev import mailbox
from webapp.dev.authenticator import NotAKey, current_code
from webapp.forms.dev_inbox import KeyForm
from webapp.htmx import wants_fragment
from webapp.security import FRAME_POLICY

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from webapp.dev.mailbox import Letter

blueprint = Blueprint("dev_inbox", __name__, url_prefix="/dev")

MAIL_POLICY = f"{FRAME_POLICY} allow-popups allow-popups-to-escape-sandbox"
"""For the HTML part alone, whose links open beside the page."""


@blueprint.get("/inbox")
@allow(Audience.DEVELOPMENT)
def inbox() -> ResponseReturnValue:
    to = request.args.get("to", "").strip()
    mails = mailbox.entries(_folder(), to)
    newest = mails[0].name if mails else ""
    seen = request.args.get("seen")
    if not wants_fragment():
        return render_template("dev_inbox/page.html", mails=mails, to=to, newest=newest, is_caught=_is_caught())
    if newest == seen:
        return "", 204  # Nothing new: the list, and whoever is reading it, is left alone.
    fresh = [mail for mail in mails if mail.name > (seen or "")]
    return render_template("dev_inbox/_list.html", mails=mails, to=to, newest=newest, fresh=fresh)


@blueprint.get("/inbox/<name>")
@allow(Audience.DEVELOPMENT)
def message(name: str) -> ResponseReturnValue:
    letter = _letter(name)
    pieces = mailbox.with_links(letter.text or "", current_app.config["PUBLIC_BASE_URL"])
    return render_template("dev_inbox/message.html", letter=letter, mail=letter.entry, pieces=pieces)


@blueprint.get("/inbox/<name>/html")
@allow(Audience.DEVELOPMENT)
def html(name: str) -> ResponseReturnValue:
    part = _letter(name).html
    if part is None:
        abort(404)
    # A page of the portal would not stand in the frame: links open beside it.
    part = re.sub(r"<head[^>]*>", r'\g<0><base target="_blank">', part, count=1, flags=re.IGNORECASE)
    headers = {"Content-Security-Policy": MAIL_POLICY, "X-Frame-Options": "SAMEORIGIN"}
    return Response(part, mimetype="text/html", headers=headers)


@blueprint.get("/inbox/<name>/calendar.ics")
@allow(Audience.DEVELOPMENT)
def calendar(name: str) -> ResponseReturnValue:
    attached = _letter(name).calendar or abort(404)
    return Response(
        attached[1], mimetype="text/calendar", headers={"Content-Disposition": 'attachment; filename="calendar.ics"'}
    )


@blueprint.route("/authenticator", methods=["GET", "POST"])
@allow(Audience.DEVELOPMENT)
def authenticator() -> ResponseReturnValue:
    """POST because an address would be kept in the history, and a key is a secret even here. It changes nothing."""
    form, code = KeyForm(), None
    if form.validate_on_submit():
        try:
            code = current_code(form.key.data or "", clock.now())
        except NotAKey:
            form.key.errors = ["This is not a key. Copy it whole: letters and the digits 2 to 7, or otpauth://…"]
    template = "dev_inbox/_code.html" if code and wants_fragment() else "dev_inbox/authenticator.html"
    return render_template(template, form=form, code=code), 422 if form.errors else 200


def _folder() -> Path:
    return Path(current_app.config["SETTINGS"].dev_mailbox or "/nonexistent")


def _is_caught() -> bool:
    """Whether mails arrive here: not where the environment names a mail server of its own."""
    return bool(current_app.config["SETTINGS"].dev_mailbox)


def _letter(name: str) -> Letter:
    return mailbox.letter(_folder(), name) or abort(404)
