"""Sign up: the form, its check as one types, the robot check's puzzle, and the answer that is the same for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, jsonify, render_template, request, url_for

from webapp import clock
from webapp.access import Audience, allow, by
from webapp.domain.addresses import AddressError, Verdict
from webapp.extensions import csrf, limiter
from webapp.forms.sign_up import SignUpForm
from webapp.htmx import go_to, wants_fragment
from webapp.services import robot_check
from webapp.services import sign_up as service
from webapp.services.errors import RobotCheckFailed, SeedAnswerMissing, SignUpRefused

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("sign_up", __name__)


def _address() -> str:
    return (request.form.get("email") or "").strip().lower()[:113]


@blueprint.get("/sign-up")
@allow(Audience.PUBLIC)
def sign_up() -> ResponseReturnValue:
    return _page(SignUpForm(formdata=None), None)


@blueprint.post("/sign-up")
@allow(Audience.PUBLIC)
@csrf.exempt  # The form checks its own token, and keeps what was typed.
@limiter.limit("20 per hour; 100 per day")
@limiter.limit("5 per hour", key_func=_address)
def submit() -> ResponseReturnValue:
    form = SignUpForm()
    if form.validate():
        try:
            service.sign_up(
                form.email.data or "", form.wants_seed(), form.altcha.data or "", by(), clock.now()
            )
        except SeedAnswerMissing:
            form.seed.errors = ["Select yes if you want to onboard your internet device to SEED"]
        except AddressError as error:
            form.email.errors = [str(error)]
        except SignUpRefused as error:
            form.email.errors = [error.message]
        except RobotCheckFailed:
            form.altcha.errors = [
                "Tick “I'm not a robot” and wait for the check to finish, then submit again"
            ]
        else:
            return go_to(url_for("sign_up.received"))
    return _page(form, _verdict(form.email.data or "")), 422


@blueprint.post("/sign-up/check")
@allow(Audience.PUBLIC)
@csrf.exempt  # It changes nothing and tells no more than the form itself does.
def check() -> ResponseReturnValue:
    """What we can say of the address so far, as a fragment: by its form and domain only (rules 1.8 and 1.11)."""
    form = SignUpForm()
    text = form.email.data or ""
    if not wants_fragment():
        return go_to(url_for("sign_up.sign_up"))
    return render_template("sign_up/_address.html", form=form, verdict=_verdict(text), typing=True)


@blueprint.get("/sign-up/received")
@allow(Audience.PUBLIC)
def received() -> str:
    return render_template("sign_up/received.html")


@blueprint.get("/captcha/challenge")
@allow(Audience.PUBLIC)
def challenge() -> ResponseReturnValue:
    return jsonify(robot_check.challenge(clock.now()))


def _verdict(text: str) -> Verdict | None:
    try:
        return service.check(text)
    except AddressError:
        return None


def _page(form: SignUpForm, verdict: Verdict | None) -> str:
    template = "sign_up/_form.html" if wants_fragment() else "sign_up/page.html"
    return render_template(template, form=form, verdict=verdict)
