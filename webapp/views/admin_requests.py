"""The admins' queue: decide, ask, note, take back; as a row swapped in place or, without scripts, as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, abort, current_app, flash, render_template, request, url_for

from webapp import clock
from webapp.access import Audience, allow, by, signed_in
from webapp.domain.lifecycle import RequestKind, RequestState
from webapp.extensions import csrf
from webapp.forms.requests import AskForm, NoteForm, RejectForm
from webapp.htmx import go_to, wants_fragment
from webapp.models.base import MAX_ID
from webapp.services import notes, questions, queue_list
from webapp.services import requests as service
from webapp.services import undo as undoing
from webapp.services.acting import refuse_own
from webapp.services.errors import AlreadyAsked, AlreadyDecided, NotFound, ServiceError
from webapp.views import queue_pages as pages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask.typing import ResponseReturnValue

    from webapp.forms import PortalForm
    from webapp.models import Request
    from webapp.services.queue_list import Row

blueprint = Blueprint("admin_requests", __name__, url_prefix="/admin")


@blueprint.get("/requests")
@allow(Audience.STAFF)
def index() -> str:
    """What waits, oldest first, a page at a time by key."""
    return pages.show_list()


@blueprint.get("/requests/<id:request_id>")
@allow(Audience.STAFF)
def row(request_id: int) -> ResponseReturnValue:
    """One row as it stands, for taking back an unfinished rejection or question."""
    found = _find(request_id)
    return pages.show_row(found, focus=True) if wants_fragment() else pages.back()


@blueprint.post("/requests/<id:request_id>/approve")
@allow(Audience.ADMIN)
def approve(request_id: int) -> ResponseReturnValue:
    try:
        decided = service.approve(request_id, by(), clock.now(), current_app.config["POLICY"])
    except NotFound:
        abort(404)
    except ServiceError as error:
        return _not_done(request_id, error)
    return _done(decided)


@blueprint.get("/requests/<id:request_id>/reject")
@allow(Audience.ADMIN)
def ask_reason(request_id: int) -> ResponseReturnValue:
    """Where the reason is given; the way to reject without scripts, and the row's own form with them."""
    found = _find(request_id)
    return _empty_form("reject", found, RejectForm(formdata=None).offer(found.request.kind))


@blueprint.post("/requests/<id:request_id>/reject")
@allow(Audience.ADMIN)
@csrf.exempt  # The form checks its own token, and keeps what was typed.
def reject(request_id: int) -> ResponseReturnValue:
    found = _find(request_id)
    form = RejectForm().offer(found.request.kind)
    if not form.validate():
        return _form("reject", found, form), 422
    try:
        decided = service.reject(request_id, form.words, by(), clock.now(), current_app.config["POLICY"])
    except ServiceError as error:
        return _not_done(request_id, error)
    return _done(decided)


@blueprint.get("/requests/<id:request_id>/ask")
@allow(Audience.ADMIN)
def ask_question(request_id: int) -> ResponseReturnValue:
    """Where the question is typed."""
    return _empty_form("ask", _find(request_id), AskForm(formdata=None))


@blueprint.post("/requests/<id:request_id>/ask")
@allow(Audience.ADMIN)
@csrf.exempt
def ask(request_id: int) -> ResponseReturnValue:
    """Ask the applicant for more information."""
    found = _find(request_id)
    form = AskForm()
    if not form.validate():
        return _form("ask", found, form), 422
    try:
        questions.ask(request_id, form.question.data or "", by(), clock.now())
    except ServiceError as error:
        return _not_done(request_id, error)
    return pages.answer(request_id, f"Question sent to {found.request.account.email}.", "success", focus=True)


@blueprint.post("/requests/<id:request_id>/note")
@allow(Audience.ADMIN)
@csrf.exempt
def note(request_id: int) -> ResponseReturnValue:
    """Note something about the applicant, for other admins."""
    found = _find(request_id)
    form = NoteForm()
    if not form.validate():
        return _form("note", found, form), 422
    try:
        notes.add(found.request.account_id, form.note.data or "", by(), clock.now())
    except ServiceError as error:
        return pages.answer_note(request_id, f"Nothing was kept: {pages.why_not(found.request, error)}", "info")
    return pages.answer_note(request_id, f"Note about {found.request.account.email} kept.", "success")


@blueprint.post("/requests/approve")
@allow(Audience.ADMIN)
def approve_selected() -> ResponseReturnValue:
    chosen = _chosen(request.form.getlist("request"))
    if not chosen:
        return _nothing_chosen()
    outcome = service.approve_each(chosen, by(), clock.now(), current_app.config["POLICY"])
    pages.remember_undo(outcome.done)
    return _tell(outcome, "approved")


@blueprint.get("/requests/reject")
@allow(Audience.ADMIN)
def ask_reason_for_selected() -> ResponseReturnValue:
    """The selection once more, and where the reason is given."""
    return _ask_reason_for(_chosen(request.args.getlist("request")))


@blueprint.post("/requests/reject")
@allow(Audience.ADMIN)
@csrf.exempt
def reject_selected() -> ResponseReturnValue:
    chosen = _chosen(request.form.getlist("request"))
    if not chosen:
        return _nothing_chosen()
    if "reason" not in request.form:
        # The selection alone: its page asks for the reason.
        if wants_fragment():
            return _ask_reason_for(chosen)
        return go_to(url_for("admin_requests.ask_reason_for_selected", request=chosen, **pages.kept()))
    form = RejectForm().offer(*RequestKind)
    if not form.validate():
        return _selection_form(queue_list.chosen(chosen), form), 422
    outcome = service.reject_each(chosen, form.words, by(), clock.now(), current_app.config["POLICY"])
    pages.remember_undo(outcome.done)
    return _tell(outcome, "rejected")


@blueprint.post("/requests/undo")
@allow(Audience.ADMIN)
def undo() -> ResponseReturnValue:
    """Take decisions back, one or those of a selection."""
    given = _chosen(request.form.getlist("request"))
    who, now, policy = by(), clock.now(), current_app.config["POLICY"]
    outcome = service.each(undoing.newest_first(given) or given, lambda number: undoing.undo(number, who, now, policy))
    pages.forget_undo(given)
    if len(given) != 1 or request.form.get("list"):
        return _tell(outcome, "taken back")
    for found in outcome.done:
        return pages.answer(found.id, f"Taken back: {pages.name(found)} waits again.", "success", focus=True)
    for found, error in outcome.not_done:
        return _not_done(found.id, error, "taken back")
    abort(404)


@blueprint.post("/requests/keys")
@allow(Audience.ADMIN)
def keys() -> ResponseReturnValue:
    """Turn the keys of one letter off or on, for the admin who asks."""
    off = request.form.get("keys") == "off"
    queue_list.switch_keys(signed_in.account_id, off)
    flash("Keyboard shortcuts are off." if off else "Keyboard shortcuts are on.", "success")
    return pages.back()


def _find(request_id: int) -> Row:
    try:
        return queue_list.row(request_id)
    except NotFound:
        abort(404)


def _empty_form(kind: str, found: Row, form: PortalForm) -> ResponseReturnValue:
    """`_form`, unless nothing that is typed there could be sent."""
    number = found.request.id
    try:
        refuse_own(found.request.account_id, by())
        if found.request.state is not RequestState.OPEN:
            raise AlreadyDecided
        if kind == "ask" and found.waits_for_answer:
            raise AlreadyAsked
    except ServiceError as error:
        return _not_done(number, error)
    return _form(kind, found, form)


def _form(kind: str, found: Row, form: PortalForm) -> str:
    """The form of a row: in it, or on a page of its own."""
    form.of_row(found.request.id)
    if wants_fragment():
        shown = pages.show_talk if kind == "note" else pages.show_row
        return shown(found, form=form, form_kind=kind)
    return render_template(f"admin_requests/{kind}.html", row=found, form=form, kept=pages.kept())


def _ask_reason_for(chosen: Sequence[int]) -> ResponseReturnValue:
    found = queue_list.chosen(chosen)
    if not found:
        return _nothing_chosen()
    return _selection_form(found, RejectForm(formdata=None).offer(*(each.kind for each in found)))


def _selection_form(found: Sequence[Request], form: RejectForm) -> str:
    form.of_row("selection")
    template = "admin_requests/_reject_selection.html" if wants_fragment() else "admin_requests/reject_selection.html"
    return render_template(template, requests=found, form=form, kept=pages.kept())


def _chosen(numbers: Sequence[str]) -> list[int]:
    """The requests that a selection names; what is no number is passed over, and so is what is too much."""
    found = [int(text) for text in numbers if text.isascii() and text.isdigit() and len(text) < 20]
    return [number for number in dict.fromkeys(found) if 0 < number <= MAX_ID][: queue_list.LONGEST_SELECTION]


def _nothing_chosen() -> ResponseReturnValue:
    return pages.tell_selection("Nothing was done: select at least one request that waits.", ())


def _done(decided: Request) -> ResponseReturnValue:
    pages.remember_undo([decided])
    message = f"{pages.name(decided)}: {decided.state}."
    if decided.account.under_investigation:
        message += " The account is on hold."
    return pages.answer(decided.id, message, "success", decided=True)


def _not_done(request_id: int, error: ServiceError, what: str = "done") -> ResponseReturnValue:
    why = pages.why_not(queue_list.find(request_id), error)
    return pages.answer(request_id, f"Nothing was {what}: {why}", "info", focus=True)


def _tell(outcome: service.Outcome, what: str) -> ResponseReturnValue:
    problems = [f"{pages.name(found)}: {pages.why_not(found, error)}" for found, error in outcome.not_done]
    done = len(outcome.done)
    if not done:
        return pages.tell_selection(f"Nothing was {what}.", problems)
    left = f", {len(problems)} not" if problems else ""
    return pages.tell_selection(f"{done} {'request' if done == 1 else 'requests'} {what}{left}.", problems)
