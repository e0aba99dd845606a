"""The page "Where is my request?", for the holder of the link in the mail (rule 1.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, abort, current_app, flash, render_template, url_for

from webapp import clock
from webapp.access import Audience, allow, by
from webapp.domain.lifecycle import InvitationKind
from webapp.extensions import csrf, limiter
from webapp.forms.receipts import AnswerForm
from webapp.htmx import go_to
from webapp.services import calendar, questions
from webapp.services import receipts as service
from webapp.services.errors import LinkEnded, NotFound, QuestionClosed, TextMissing, TooSoon
from webapp.services.invitations import resend as resend_invitation
from webapp.views import downloads

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("receipts", __name__)


@blueprint.get("/requests/<token>")
@allow(Audience.PUBLIC)
def receipt(token: str) -> ResponseReturnValue:
    return _page(token, AnswerForm(formdata=None))


def _page(token: str, form: AnswerForm) -> str:
    """The page; ``form`` stands at the question that it names, an empty one at every other."""
    try:
        found = service.receipt(token, clock.now())
    except NotFound:
        abort(404)
    return render_template("receipts/page.html", receipt=found, token=token, form=form)


@blueprint.post("/requests/<token>/answer")
@allow(Audience.PUBLIC)
@limiter.limit("60 per hour")
@csrf.exempt  # The form checks its own token, and keeps what was typed.
def answer(token: str) -> ResponseReturnValue:
    """What an admin wanted to know (rule 8.2)."""
    form = AnswerForm()
    if not form.validate():
        return _page(token, form), 422
    try:
        questions.answer(token, form.number, form.answer.data or "", by(), clock.now())
    except NotFound:
        abort(404)
    except TextMissing:
        form.answer.errors = ["Enter your answer"]
        return _page(token, form), 422
    except QuestionClosed:
        flash("Your answer was not taken: the question was answered before, or your request is decided by now.", "info")
    else:
        flash("We have your answer. The admins act next.", "success")
    return go_to(url_for("receipts.receipt", token=token))


@blueprint.get("/requests/<token>/deadline.ics")
@allow(Audience.PUBLIC)
def deadline(token: str) -> ResponseReturnValue:
    """By when to activate TechPass, for the calendar, while an invitation waits."""
    try:
        return downloads.calendar(calendar.for_receipt(token, clock.now()))
    except NotFound:
        abort(404)


@blueprint.post("/requests/<token>/resend")
@allow(Audience.PUBLIC)
def resend(token: str) -> ResponseReturnValue:
    """For "I did not get the email": the invitation again, to the address signed up with (rule 3.8)."""
    now = clock.now()
    try:
        account = service.find(token)
        resend_invitation(account.id, InvitationKind.TECHPASS, by(), now, current_app.config["POLICY"])
    except NotFound:
        abort(404)
    except TooSoon:
        flash("We already sent it again in the last day. Look in Junk Email and Deleted Items too.", "info")
    except LinkEnded:
        flash("Nothing was sent: this request no longer waits for you to activate it.", "info")
    else:
        flash("We have sent a new invitation. The link in the earlier email no longer works.", "success")
    return go_to(url_for("receipts.receipt", token=token))
