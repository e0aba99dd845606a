"""The outgoing mails for admins and auditors: a list with filters, one as it reads, and sending again (rule 8.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, flash, render_template, request, url_for

from webapp import clock, paging
from webapp.access import Audience, allow, by
from webapp.domain.lifecycle import MailState
from webapp.emails.names import KINDS
from webapp.emails.render import CannotBeShown, Rendered, preview
from webapp.htmx import go_to, wants_fragment
from webapp.security import FRAME_POLICY
from webapp.services import failed_mails
from webapp.services import outgoing as service
from webapp.services.errors import NotFound

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from webapp.models import Mail
    from webapp.services.failed_mails import Retried

blueprint = Blueprint("admin_mail", __name__, url_prefix="/admin/mail")

_MEANWHILE = {
    MailState.QUEUED: "the email is queued again already.",
    MailState.SENT: "the email was sent meanwhile.",
    MailState.CANCELLED: "the email was taken back meanwhile.",
    MailState.FAILED: "the email has failed again meanwhile. See its last answer.",
}


@blueprint.get("")
@allow(Audience.STAFF)
def index() -> str:
    """Newest first, a page at a time by key."""
    state = request.args.get("state", "")
    wanted = service.Wanted(
        state=MailState(state) if state in list(MailState) else None,
        kind=request.args.get("kind", "") if request.args.get("kind") in KINDS else "",
        recipient=request.args.get("to", "").strip()[:113],
    )
    mails, more = paging.cut(service.listed(wanted, paging.key()), service.PAGE)
    shown = {"wanted": wanted, "mails": mails, "kinds": KINDS, "paged": "before" in request.args}
    shown["following"] = paging.here(before=mails[-1].id) if more else None
    if wants_fragment():
        return render_template("admin_mail/_list.html", **shown)
    return render_template(
        "admin_mail/page.html", **shown, standing=service.standing(clock.now()), most=service.MOST_COUNTED
    )


@blueprint.get("/<id:mail_id>")
@allow(Audience.STAFF)
def mail(mail_id: int) -> str:
    """One mail: what became of it, and how it reads without its links and codes."""
    found = _find(mail_id)
    return render_template("admin_mail/mail.html", mail=found, kinds=KINDS, read=_read(found))


@blueprint.get("/<id:mail_id>/html")
@allow(Audience.STAFF)
def html(mail_id: int) -> ResponseReturnValue:
    """Its HTML part, for a frame of the page before."""
    read = _read(_find(mail_id)) or abort(404)
    headers = {"Content-Security-Policy": FRAME_POLICY, "X-Frame-Options": "SAMEORIGIN"}
    return Response(read.html, mimetype="text/html", headers=headers)


@blueprint.post("/<id:mail_id>/retry")
@allow(Audience.ADMIN)
def retry(mail_id: int) -> ResponseReturnValue:
    """Send one again that failed."""
    try:
        done = failed_mails.retry(clock.now(), by(), mail_id)
        message, kind = _of_one(_find(mail_id), done), "success"
    except NotFound:
        message, kind = f"Nothing was changed: {_MEANWHILE[_find(mail_id).state]}", "info"
    if wants_fragment():
        return render_template("admin_mail/_row.html", mail=_find(mail_id), kinds=KINDS, message=message)
    flash(message, kind)
    return go_to(url_for("admin_mail.mail", mail_id=mail_id))


@blueprint.post("/retry")
@allow(Audience.ADMIN)
def retry_all() -> ResponseReturnValue:
    """Send all again that failed."""
    done = failed_mails.retry(clock.now(), by())
    words = "1 email is queued again." if done.queued == 1 else f"{done.queued:,} emails are queued again."
    said = " ".join(([words] if done.queued else []) + _older(done))
    flash(said or "Nothing was changed: no email has failed.", "success" if said else "info")
    return go_to(url_for("admin_mail.index"))


def _of_one(mail: Mail, done: Retried) -> str:
    """What became of the one that was to be sent again, and of others of its kind to the same person."""
    if mail.state is not MailState.CANCELLED:
        return " ".join(["The email is queued again.", *_older(done)])
    if done.queued:
        return "The email is taken back, and a newer one of its kind to the same person is queued in its place."
    return "The email is taken back: a newer one of its kind to the same person was sent, or is queued already."


def _older(done: Retried) -> list[str]:
    if not done.taken_back:
        return []
    them = "1 older email is" if done.taken_back == 1 else f"{done.taken_back:,} older emails are"
    return [f"{them} taken back: a newer one of the same kind to the same person is enough."]


def _find(mail_id: int) -> Mail:
    try:
        return service.find(mail_id)
    except NotFound:
        abort(404)


def _read(found: Mail) -> Rendered | None:
    try:
        return preview(found, clock.now())
    except CannotBeShown:
        return None
