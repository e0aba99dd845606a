"""The admins' queue: approve or reject, as a row swapped in place or, without scripts, as a page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flask import Blueprint, abort, current_app, flash, render_template, request, url_for

from webapp import clock
from webapp.access import Audience, allow, by, signed_in
from webapp.domain.lifecycle import RequestKind, RequestState
from webapp.extensions import csrf
from webapp.forms.requests import RejectForm
from webapp.htmx import go_to, wants_fragment
from webapp.models.base import MAX_ID
from webapp.services import requests as service
from webapp.services.errors import AlreadyDecided, NotFound, OwnRequest, ReasonMissing, TechPassFirst

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from webapp.models import Request

KIND_NAMES = {RequestKind.TECHPASS: "TechPass", RequestKind.SEED: "SEED"}

blueprint = Blueprint("admin_requests", __name__, url_prefix="/admin")


@blueprint.get("")
@allow(Audience.ADMIN)
def start() -> ResponseReturnValue:
    return go_to(url_for("admin_requests.index"))


@blueprint.get("/requests")
@allow(Audience.ADMIN)
def index() -> str:
    """What waits, oldest first, a page at a time by key."""
    found = service.waiting(_after())
    shown, more = found[: service.PAGE], len(found) > service.PAGE
    following = f"{shown[-1].requested_at.isoformat()}_{shown[-1].id}" if more else None
    return render_template(
        "admin_requests/page.html", requests=shown, following=following, paged="after" in request.args
    )


@blueprint.get("/requests/<id:request_id>")
@allow(Audience.ADMIN)
def row(request_id: int) -> ResponseReturnValue:
    """One row as it stands, for taking back an unfinished rejection."""
    try:
        found = service.find(request_id)
    except NotFound:
        abort(404)
    if not wants_fragment():
        return go_to(url_for("admin_requests.index"))
    return render_template("admin_requests/_row.html", request_=found)


@blueprint.post("/requests/<id:request_id>/approve")
@allow(Audience.ADMIN)
def approve(request_id: int) -> ResponseReturnValue:
    try:
        decided = service.approve(request_id, by(), clock.now(), current_app.config["POLICY"])
    except NotFound:
        abort(404)
    except (AlreadyDecided, OwnRequest, TechPassFirst) as error:
        return _not_done(request_id, error)
    return _done(decided)


@blueprint.get("/requests/<id:request_id>/reject")
@allow(Audience.ADMIN)
def ask_reason(request_id: int) -> ResponseReturnValue:
    """Where the reason is typed; the way to reject without scripts, and the row's own form with them."""
    try:
        found = service.find(request_id)
    except NotFound:
        abort(404)
    return _reject_form(found, RejectForm(formdata=None))


@blueprint.post("/requests/<id:request_id>/reject")
@allow(Audience.ADMIN)
@csrf.exempt  # The form checks its own token, and keeps what was typed.
def reject(request_id: int) -> ResponseReturnValue:
    form = RejectForm()
    try:
        found = service.find(request_id)
        if not form.validate():
            return _reject_form(found, form), 422
        decided = service.reject(request_id, form.reason.data or "", by(), clock.now(), current_app.config["POLICY"])
    except NotFound:
        abort(404)
    except (AlreadyDecided, OwnRequest, ReasonMissing) as error:
        return _not_done(request_id, error)
    return _done(decided)


def _reject_form(found: Request, form: RejectForm) -> str:
    template = "admin_requests/_reject.html" if wants_fragment() else "admin_requests/reject.html"
    return render_template(template, request_=found, form=form)


def _done(decided: Request) -> ResponseReturnValue:
    message = f"{KIND_NAMES[decided.kind]} for {decided.account.email}: {decided.state}."
    return _answer(decided, message, "success")


def _not_done(request_id: int, error: Exception) -> ResponseReturnValue:
    found = service.find(request_id)
    decider = service.decider(found)
    match error:
        case AlreadyDecided():
            who = f"{decider.email} has" if decider else "the agency's automatic approval has"
            if found.state is RequestState.WITHDRAWN:
                who = f"{found.account.email} has"
            if decider and decider.id == signed_in.account_id:
                who = "you have"
            message = f"Nothing was done: {who} {found.state} this request already."
        case OwnRequest():
            message = "Nothing was done: another admin must decide on your own request."
        case TechPassFirst():
            message = "Nothing was done: SEED needs a TechPass that is approved and not disabled."
        case _:
            message = "Nothing was done: enter a reason, the applicant is told it by email."
    return _answer(found, message, "info")


def _answer(found: Request, message: str, kind: str) -> ResponseReturnValue:
    if wants_fragment():
        others = service.beside(found) if found.kind is RequestKind.TECHPASS else ()
        return render_template("admin_requests/_decided.html", request_=found, message=message, others=others)
    flash(message, kind)
    return go_to(url_for("admin_requests.index"))


def _after() -> tuple[datetime, int] | None:
    at, _, number = request.args.get("after", "").rpartition("_")
    try:
        instant, last = datetime.fromisoformat(at), int(number)
        known = instant.tzinfo is not None and 0 < last <= MAX_ID
        return (instant.astimezone(UTC), last) if known else None
    except (ValueError, OverflowError):  # Not a date; one that UTC has no year for.
        return None
