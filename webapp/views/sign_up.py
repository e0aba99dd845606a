"""Sign up: the form, its check as one types, the robot check's puzzle, and the answer that is the same for all."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from flask import Blueprint, jsonify, render_template, request, url_for

from webapp import clock
from webapp.access import Audience, allow, by
from webapp.domain.addresses import AddressError, Verdict, is_unfinished
from webapp.extensions import csrf, limiter
from webapp.forms.sign_up import SignUpForm
from webapp.htmx import go_to, wants_fragment
from webapp.services import robot_check
from webapp.services import sign_up as service
from webapp.services.errors import RobotCheckFailed, SeedAnswerMissing, SignUpRefused
from webapp.services.keys import address_key
from webapp.shared_page import render_shared

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("sign_up", __name__)


@blueprint.get("/sign-up")
@allow(Audience.PUBLIC)
def sign_up() -> ResponseReturnValue:
    return render_shared(
        "sign_up/page.html", lambda: {"form": SignUpForm(formdata=None), "verdict": None, "solved": False}
    )


@blueprint.post("/sign-up")
@allow(Audience.PUBLIC)
@csrf.exempt  # The form checks its own token, and keeps what was typed.
@limiter.limit("200 per hour")  # An agency's officers may all come from one address; the robot check slows the rest.
def submit() -> ResponseReturnValue:
    form = SignUpForm()
    solved = robot_check.is_solved(form.altcha.data or "")
    if form.validate() and solved:
        try:
            text = form.email.data or ""
            with limiter.counted("5 per hour", "sign_up", address_key(text)):
                service.sign_up(text, form.wants_seed(), form.altcha.data or "", by(), clock.now())
        except RobotCheckFailed:
            solved = False
        except (AddressError, SignUpRefused, SeedAnswerMissing):
            pass  # Told below, as for a form whose robot check is missing too.
        else:
            return go_to(url_for("sign_up.received"))
    if not solved:
        form.altcha.errors = [
            "Tick “I’m not a robot” and wait for the check to finish, then submit again. It needs scripts"
        ]
    verdict = _explain(form)
    return _page(form, verdict, solved), 422


@blueprint.post("/sign-up/check")
@allow(Audience.PUBLIC)
@csrf.exempt  # It changes nothing and tells no more than the form itself does.
def check() -> ResponseReturnValue:
    """What we can say of the address so far, as a fragment: by its form and domain only (rules 1.8 and 1.11)."""
    if not wants_fragment():
        return go_to(url_for("sign_up.sign_up"))
    try:
        text = request.form.get("email", "")
        verdict = None if is_unfinished(text) else service.check(text)
    except AddressError:
        verdict = None  # Nobody likes to be told off half-way through a word; submitting tells.
    return _told(verdict)


@lru_cache(maxsize=256)
def _told(verdict: Verdict | None) -> str:
    """The fragment for a verdict, rendered once: there are few, and everybody who types asks (`./run bench check`)."""
    return render_template("sign_up/_address.html", verdict=verdict)


@blueprint.get("/sign-up/received")
@allow(Audience.PUBLIC)
def received() -> str:
    return render_template("sign_up/received.html")


@blueprint.get("/captcha/challenge")
@allow(Audience.PUBLIC)
def challenge() -> ResponseReturnValue:
    return jsonify(robot_check.challenge(clock.now()))


def _explain(form: SignUpForm) -> Verdict | None:
    """Say beside each field what is wrong with it; the verdict on the address where it is well formed."""
    try:
        verdict = service.check(form.email.data or "")
    except AddressError as error:
        form.email.errors = [str(error)]
        verdict = None
    if verdict is not None and not verdict.may_sign_up:
        form.email.errors = [verdict.message]
    elif (verdict is None or verdict.seed_offered) and form.wants_seed() is None:
        form.seed.errors = ["Select yes if you want to onboard your internet device to SEED"]
    return verdict


def _page(form: SignUpForm, verdict: Verdict | None, solved: bool) -> str:
    template = "sign_up/_form.html" if wants_fragment() else "sign_up/page.html"
    return render_template(template, form=form, verdict=verdict, solved=solved)
