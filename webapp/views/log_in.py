"""Log in with TechPass: the address, the mailed code, the authenticator or a recovery code; and log out (rule 7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, current_app, flash, render_template, request, session, url_for

from webapp import access, clock, form_errors, known_browser
from webapp.access import SESSION_TOKEN, Audience, allow, by
from webapp.domain.addresses import AddressError, parse
from webapp.domain.paths import own_path
from webapp.extensions import csrf, limiter
from webapp.forms.codes import AuthenticatorForm, MailedCodeForm, RecoveryCodeForm
from webapp.forms.log_in import AddressForm
from webapp.htmx import go_to
from webapp.services import log_in as service
from webapp.services.errors import AccountDisabled, AttemptOver, TooManyTries, WrongCode
from webapp.services.keys import address_key
from webapp.services.log_in import Stage
from webapp.services.sessions import end_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from flask.typing import ResponseReturnValue

    from webapp.forms import PortalForm
    from webapp.services.log_in import LoggedIn

blueprint = Blueprint("log_in", __name__)

_ATTEMPT = "log_in"
"""What the browser carries of an attempt: its number, the address as typed, and where to go on to."""

_PAGES = {
    Stage.CODE: "log_in.code",
    Stage.AUTHENTICATOR: "log_in.authenticator",
    Stage.NEW_AUTHENTICATOR: "log_in.authenticator",
}


@blueprint.route("/log-in", methods=["GET", "POST"])
@allow(Audience.PUBLIC)
@csrf.exempt  # Each form here checks its own token, and keeps what was typed.
@limiter.limit("200 per hour")
def log_in() -> ResponseReturnValue:
    following = own_path(request.args.get("next"))
    if access.signed_in:
        return go_to(following or url_for("profile.profile"))
    form = AddressForm()
    if form.validate_on_submit():
        try:
            text, now = form.email.data or "", clock.now()
            # Strangers who use up what one address may try leave the browsers alone that its holder logged in from.
            known = known_browser.is_known(parse(text).folded, now)
            with limiter.counted("20 per hour", "log_in", f"{address_key(text)} {known}"):
                started = service.start(text, now, current_app.config["POLICY"])
        except AddressError as error:
            form.email.errors = [str(error)]
        else:
            session[_ATTEMPT] = {"id": started.attempt_id, "email": started.email, "next": following}
            if not started.sends_code:
                flash("We sent you a code less than a minute ago. Use that one.", "info")
            return go_to(url_for("log_in.code"))
    if form.errors:
        form_errors.carry(form, keep=["email"])
        return go_to(url_for("log_in.log_in", next=following))
    form_errors.bring(form)
    return render_template("log_in/page.html", form=form, following=following)


@blueprint.route("/log-in/code", methods=["GET", "POST"])
@allow(Audience.PUBLIC)
@csrf.exempt
@limiter.limit("600 per hour")
def code() -> ResponseReturnValue:
    form = MailedCodeForm()

    def give(attempt_id: int, marked_at: datetime | None) -> ResponseReturnValue:
        now, policy, known = clock.now(), current_app.config["POLICY"], marked_at is not None
        service.check_code(attempt_id, form.code.data or "", now, policy, known_browser=known)
        return go_to(url_for("log_in.authenticator"))

    return _step("code", form, give, [Stage.CODE])


@blueprint.route("/log-in/authenticator", methods=["GET", "POST"])
@allow(Audience.PUBLIC)
@csrf.exempt
@limiter.limit("600 per hour")
def authenticator() -> ResponseReturnValue:
    form = AuthenticatorForm()
    give = _second_step(service.finish_with_authenticator, form)
    return _step("authenticator", form, give, [Stage.AUTHENTICATOR, Stage.NEW_AUTHENTICATOR])


@blueprint.route("/log-in/recovery", methods=["GET", "POST"])
@allow(Audience.PUBLIC)
@csrf.exempt
@limiter.limit("600 per hour")
def recovery() -> ResponseReturnValue:
    form = RecoveryCodeForm()
    return _step("recovery", form, _second_step(service.finish_with_recovery_code, form), [Stage.AUTHENTICATOR])


@blueprint.post("/log-out")
@allow(Audience.PUBLIC)
@csrf.exempt  # Checked below. Who is logged out already, in another tab perhaps, is told so all the same.
def log_out() -> ResponseReturnValue:
    if access.signed_in or access.onboarding:
        csrf.protect()
    token = session.get(SESSION_TOKEN)
    if isinstance(token, str):
        end_session(token)
    access.forget()
    flash("You are logged out.", "success")
    return go_to(url_for("home.index"))


def _second_step(
    finish: Callable[..., LoggedIn], form: AuthenticatorForm | RecoveryCodeForm
) -> Callable[[int, datetime | None], ResponseReturnValue]:
    def give(attempt_id: int, marked_at: datetime | None) -> ResponseReturnValue:
        now, policy = clock.now(), current_app.config["POLICY"]
        done = finish(
            attempt_id, form.code.data or "", by(), now, policy, request.user_agent.string, marked_at=marked_at
        )
        carried = _carried()
        access.begin(done.token)
        known_browser.remember(carried["email"].lower(), now)
        if done.recovery_codes_left is not None:
            tell_codes_left(done.recovery_codes_left)
        return go_to(own_path(carried["next"]) or url_for("profile.profile"))

    return give


def tell_codes_left(left: int) -> None:
    """After a recovery code was used."""
    word = "code" if left == 1 else "codes"
    flash(f"You used a recovery code. You have {left} {word} left.", "info" if left > 2 else "warning")


def _carried() -> dict[str, Any]:
    found = session.get(_ATTEMPT)
    return found if isinstance(found, dict) else {"id": 0, "email": "", "next": None}


def _step(
    name: str, form: PortalForm, give: Callable[[int, datetime | None], ResponseReturnValue], stages: list[Stage]
) -> ResponseReturnValue:
    """One page of logging in: take the answer, or show what the attempt waits for; each end leads on."""
    if access.signed_in:
        return go_to(url_for("profile.profile"))
    carried = _carried()
    attempt_id: int = carried["id"]
    try:
        if form.validate_on_submit():
            return give(attempt_id, known_browser.marked_at(carried["email"].lower(), clock.now()))
        waits_for = service.stage(attempt_id, clock.now())
    except AttemptOver:
        if carried["id"]:
            flash("This log-in took too long, or its code was used. Enter your address again.", "info")
        session.pop(_ATTEMPT, None)
        return go_to(url_for("log_in.log_in", next=carried["next"]))
    except AccountDisabled as error:
        session.pop(_ATTEMPT, None)
        return render_template("log_in/disabled.html", email=carried["email"], is_locked=error.is_locked), 403
    except WrongCode:
        _say(form, WRONG[name])
        waits_for = stages[0]
    except TooManyTries as error:
        _say(form, TOO_MANY_TODAY if error.today else TOO_MANY + "Wait 5 minutes, then log in again with a new code")
        waits_for = stages[0]
    if waits_for not in stages:
        return go_to(url_for(_PAGES[waits_for]))
    if form.errors:
        form_errors.carry(form)
        return go_to(url_for(f"log_in.{name}"))
    form_errors.bring(form)
    return render_template(
        f"log_in/{name}.html", form=form, email=carried["email"], following=carried["next"], waits_for=waits_for
    )


WRONG = {
    "code": "This code is not right. Use the one in the latest email",
    "authenticator": (
        "This code is not right, or was used before. Enter the one that the app shows now. If it keeps failing, set "
        "the phone’s clock to automatic"
    ),
    "recovery": "This code is not right, or was used before. Each recovery code works once",
}

TOO_MANY = "Too many wrong codes. Nothing was checked. "
TOO_MANY_TODAY = "Too many wrong codes today. Nothing was checked. Try again at this time tomorrow, with a new code"


def _say(form: PortalForm, message: str) -> None:
    form["code"].errors = [message]
