"""Security: the authenticator, the recovery codes and the browsers that are signed in (rule 6.3)."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from flask import Blueprint, abort, current_app, flash, render_template, request, url_for

from webapp import access, clock, form_errors, known_browser
from webapp.access import Audience, allow, by
from webapp.domain.browsers import describe
from webapp.extensions import csrf
from webapp.forms.codes import AuthenticatorForm, RecoveryCodeForm
from webapp.forms.security import EndSessionsForm
from webapp.htmx import go_to, wants_fragment
from webapp.services import confirming, sessions
from webapp.services import security as service
from webapp.services.errors import ConfirmFirst, NotFound, TooManyTries, WrongCode
from webapp.views.log_in import TOO_MANY, TOO_MANY_TODAY, WRONG, tell_codes_left
from webapp.views.onboarding import WRONG_SAVED_CODE, as_drawn, codes_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.typing import ResponseReturnValue

    from webapp.domain.policy import Policy
    from webapp.models import BrowserSession

    View = Callable[[], ResponseReturnValue]

blueprint = Blueprint("security", __name__, url_prefix="/profile/security")

_CHANGES = ("security.authenticator", "security.recovery_codes")
"""The pages that ask who one is to be confirmed, and the only ones that confirming leads on to (L8)."""

_WRONG_NEW_CODE = (
    "This code is not right. Enter the one that the app shows now for the new entry, not for the old one. If it keeps "
    "failing, set the phone’s clock to automatic"
)


@blueprint.get("")
@allow(Audience.OFFICER)
def index() -> ResponseReturnValue:
    found = service.overview(access.signed_in, clock.now(), _policy())
    return render_template("security/page.html", overview=found, **_listed(found.browsers))


@blueprint.route("/confirm", methods=["GET", "POST"])
@allow(Audience.OFFICER)
@csrf.exempt  # Each form here checks its own token, and says beside the button when it is stale.
def confirm() -> ResponseReturnValue:
    """``next`` is the change to go on to; ``by=recovery-code`` asks for such a one in place of the app's."""
    pages = {url_for(endpoint): endpoint for endpoint in _CHANGES}
    following = pages.get(request.args.get("next", ""))
    with_recovery_code = request.args.get("by") == "recovery-code"
    form = RecoveryCodeForm() if with_recovery_code else AuthenticatorForm()
    leads_to = url_for(following or "security.index")
    if form.validate_on_submit():
        try:
            _confirm(form.code.data or "", with_recovery_code=with_recovery_code)
        except WrongCode:
            form.code.errors = [WRONG["recovery" if with_recovery_code else "authenticator"]]
        except TooManyTries as error:
            form.code.errors = [TOO_MANY_TODAY if error.today else TOO_MANY + "Wait 5 minutes, then enter a new code"]
        else:
            return go_to(leads_to)
    this: dict[str, Any] = {
        "next": following and url_for(following),
        "by": "recovery-code" if with_recovery_code else None,
    }
    if form.errors:
        form_errors.carry(form)
        return go_to(url_for("security.confirm", **this))
    if confirming.is_confirmed(access.signed_in, clock.now(), _policy()):
        return go_to(leads_to)
    form_errors.bring(form)
    account = access.signed_in.account
    return render_template("security/confirm.html", form=form, account=account, this=this, following=following)


def _confirmed_for(page: str) -> Callable[[View], View]:
    """Lead whoever has not confirmed lately to do so, and then to ``page``."""

    def guard(view: View) -> View:
        @wraps(view)
        def led() -> ResponseReturnValue:
            try:
                if not confirming.is_confirmed(access.signed_in, clock.now(), _policy()):
                    raise ConfirmFirst
                return view()
            except ConfirmFirst:
                return go_to(url_for("security.confirm", next=url_for(page)))

        return led

    return guard


@blueprint.route("/authenticator", methods=["GET", "POST"])
@allow(Audience.OFFICER)
@csrf.exempt
@_confirmed_for("security.authenticator")
def authenticator() -> ResponseReturnValue:
    """A new authenticator: what it means, and once it is begun, the key and the field for its first code."""
    form = AuthenticatorForm()
    account = access.signed_in.account
    if form.validate_on_submit():
        now = clock.now()
        try:
            service.replace_authenticator(access.signed_in.id, form.code.data or "", by(), now, _policy())
        except WrongCode:
            form.code.errors = [_WRONG_NEW_CODE]
        except NotFound:
            # Pressed twice, or cancelled in another window: the page says what is in force, and since when.
            flash("No new authenticator is being set up in this browser. The one below is in force.", "info")
            return go_to(url_for("security.index"))
        else:
            known_browser.remember(account.email_folded, now)
            flash(
                "Your new authenticator is in force. All other browsers are signed out. You stay logged in here.",
                "success",
            )
            return go_to(url_for("security.index"))
    if form.errors:
        form_errors.carry(form)
        return go_to(url_for("security.authenticator"))
    form_errors.bring(form)
    try:
        drawn = as_drawn(service.new_key(access.signed_in))
    except NotFound:
        return render_template("security/begin_authenticator.html", account=account)
    return render_template("security/authenticator.html", form=form, account=account, **drawn)


@blueprint.post("/authenticator/start")
@allow(Audience.OFFICER)
@_confirmed_for("security.authenticator")
def start_authenticator() -> ResponseReturnValue:
    service.begin_authenticator(access.signed_in.id, by(), clock.now(), _policy())
    return go_to(url_for("security.authenticator"))


@blueprint.post("/authenticator/cancel")
@allow(Audience.OFFICER)
def cancel_authenticator() -> ResponseReturnValue:
    if service.cancel_authenticator(access.signed_in.account_id, by(), clock.now()):
        flash("Nothing was changed: your authenticator stays the one it was.", "info")
    else:
        # Of an old page: the new one may be in force long since. The page says since when.
        flash("There was nothing to cancel. The authenticator below is in force.", "info")
    return go_to(url_for("security.index"))


@blueprint.route("/recovery-codes", methods=["GET", "POST"])
@allow(Audience.OFFICER)
@csrf.exempt
@_confirmed_for("security.recovery_codes")
def recovery_codes() -> ResponseReturnValue:
    """New recovery codes: what they mean, and once they are made, the codes until one is typed back."""
    form = RecoveryCodeForm()
    if form.validate_on_submit():
        try:
            service.save_recovery_codes(access.signed_in.id, form.code.data or "", by(), clock.now(), _policy())
        except WrongCode:
            form.code.errors = [WRONG_SAVED_CODE]
        except NotFound:
            # Pressed twice, or made anew in another browser.
            flash("No new recovery codes of this browser wait to be saved.", "info")
            return go_to(url_for("security.index"))
        else:
            flash("Your new recovery codes are saved. The old ones work no longer.", "success")
            return go_to(url_for("security.index"))
    if form.errors:
        form_errors.carry(form)
        return go_to(url_for("security.recovery_codes"))
    form_errors.bring(form)
    try:
        codes = service.codes_to_save(access.signed_in)
    except NotFound:
        return render_template("security/begin_recovery_codes.html")
    return render_template("security/recovery_codes.html", form=form, codes=codes)


@blueprint.post("/recovery-codes/new")
@allow(Audience.OFFICER)
@_confirmed_for("security.recovery_codes")
def new_recovery_codes() -> ResponseReturnValue:
    service.new_recovery_codes(access.signed_in.id, by(), clock.now(), _policy())
    return go_to(url_for("security.recovery_codes"))


@blueprint.get("/recovery-codes.txt")
@allow(Audience.OFFICER)
@_confirmed_for("security.recovery_codes")
def recovery_codes_file() -> ResponseReturnValue:
    try:
        service.codes_to_save(access.signed_in)
        return codes_file(access.signed_in.account)
    except NotFound:
        return go_to(url_for("security.recovery_codes"))


@blueprint.post("/sessions/<id:session_id>/end")
@allow(Audience.OFFICER)
def end_session(session_id: int) -> ResponseReturnValue:
    try:
        sessions.end_one(session_id, access.signed_in.account_id, by(), clock.now(), _policy())
    except NotFound:
        # Pressed in two tabs, or ended by itself. Somebody else's, and what never was, get the very same answer (Z2).
        return _list("That browser was signed out already.", "info")
    if session_id == access.signed_in.id:
        return _logged_out("You are logged out.")
    return _list("The browser is signed out.")


@blueprint.post("/sessions/end")
@allow(Audience.OFFICER)
def end_sessions() -> ResponseReturnValue:
    """``scope``: "others", or "all", this browser included."""
    form = EndSessionsForm()
    if not form.validate_on_submit():
        abort(400)
    here, now = access.signed_in, clock.now()
    address = here.account.email_folded
    keep = here.id if form.scope.data == "others" else None
    count = sessions.end_many(here.account_id, by(), now, _policy(), keep=keep)
    if keep is None:
        return _logged_out("You are signed out everywhere.")
    known_browser.remember(address, now)
    return _list("You are signed out everywhere else." if count else "No other browser was signed in.")


def _confirm(code: str, *, with_recovery_code: bool) -> None:
    session_id, now = access.signed_in.id, clock.now()
    if with_recovery_code:
        tell_codes_left(confirming.confirm_with_recovery_code(session_id, code, by(), now, _policy()))
    else:
        confirming.confirm_with_authenticator(session_id, code, by(), now, _policy())


def _policy() -> Policy:
    policy: Policy = current_app.config["POLICY"]
    return policy


def _listed(browsers: list[BrowserSession]) -> dict[str, Any]:
    """What ``security/_sessions.html`` shows: each session and its browser in words, the present one first."""
    present = access.signed_in.id
    ordered = sorted(browsers, key=lambda each: each.id != present)
    return {"browsers": [(each, describe(each.user_agent)) for each in ordered], "present": present}


def _list(message: str, category: str = "success") -> ResponseReturnValue:
    """The browsers as they are now: the fragment with its message, or the page with a notice."""
    if not wants_fragment():
        flash(message, category)
        return go_to(url_for("security.index"))
    found = sessions.signed_in_browsers(access.signed_in.account_id, clock.now(), _policy())
    return render_template("security/_sessions.html", message=message, **_listed(found))


def _logged_out(message: str) -> ResponseReturnValue:
    access.forget()
    flash(message, "success")
    return go_to(url_for("home.index"))
