"""Onboarding: one page a step; a page that is not the next one leads there (rule 3.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import segno
from flask import Blueprint, Response, current_app, flash, render_template, request, url_for
from markupsafe import Markup

from webapp import access, clock, form_errors, known_browser
from webapp.access import Audience, allow, by
from webapp.domain.onboarding import AGREEMENT_STEPS, Step
from webapp.extensions import csrf
from webapp.forms.codes import AuthenticatorForm, RecoveryCodeForm
from webapp.forms.onboarding import AgreementForm, ContinueForm
from webapp.htmx import go_to
from webapp.services import agreements, authenticators, seed_card
from webapp.services import onboarding as service
from webapp.services.errors import AgreementChanged, LinkEnded, NotTheNextStep, WrongCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.typing import ResponseReturnValue

    from webapp.forms import PortalForm
    from webapp.models import Account
    from webapp.services.authenticators import Key
    from webapp.services.onboarding import Onboarding

blueprint = Blueprint("onboarding", __name__, url_prefix="/onboarding")

NAMES = {
    Step.PERMISSIONS: "Review permissions",
    Step.AUTHENTICATOR: "Set up an authenticator",
    Step.RECOVERY_CODES: "Save your recovery codes",
    Step.TERMS_OF_USE: "Terms of Use",
    Step.PRIVACY_POLICY: "Privacy Policy",
    Step.MDM_AUP: "MDM Acceptable Use Policy",
}

WRONG_NEW_CODE = (
    "This code is not right. Enter the one that the app shows now. If it keeps failing, set the phone’s clock to "
    "automatic"
)
WRONG_SAVED_CODE = "This is not one of the codes above. Type one of them as it stands there"


@blueprint.route("/permissions", methods=["GET", "POST"])
@allow(Audience.ONBOARDING)
@csrf.exempt  # Each form here checks its own token, and says beside the button when it is stale.
def permissions() -> ResponseReturnValue:
    form = ContinueForm()
    if form.validate_on_submit():
        return _answer(lambda: service.accept_permissions(access.onboarding, by(), clock.now()))
    return _page(Step.PERMISSIONS, form)


@blueprint.route("/authenticator", methods=["GET", "POST"])
@allow(Audience.ONBOARDING)
@csrf.exempt
def authenticator() -> ResponseReturnValue:
    form = AuthenticatorForm()
    if form.validate_on_submit():
        code, policy = form.code.data or "", current_app.config["POLICY"]
        try:
            return _answer(lambda: service.confirm_authenticator(access.onboarding, code, by(), clock.now(), policy))
        except WrongCode:
            form.code.errors = [WRONG_NEW_CODE]
    return _page(Step.AUTHENTICATOR, form, lambda at: as_drawn(authenticators.key_to_set_up(at.account)))


@blueprint.route("/recovery-codes", methods=["GET", "POST"])
@allow(Audience.ONBOARDING)
@csrf.exempt
def recovery_codes() -> ResponseReturnValue:
    form = RecoveryCodeForm()
    if form.validate_on_submit():
        code, policy = form.code.data or "", current_app.config["POLICY"]
        try:
            return _answer(
                lambda: service.confirm_recovery_codes(
                    access.onboarding, code, by(), clock.now(), policy, request.user_agent.string
                )
            )
        except WrongCode:
            form.code.errors = [WRONG_SAVED_CODE]
    return _page(Step.RECOVERY_CODES, form, lambda at: {"codes": authenticators.codes_to_save(at.account)})


@blueprint.get("/recovery-codes.txt")
@allow(Audience.ONBOARDING)
def recovery_codes_file() -> ResponseReturnValue:
    try:
        found = service.where(access.onboarding, clock.now())
    except LinkEnded:
        return _ended()
    if found.step is not Step.RECOVERY_CODES:
        return _to(found.step)
    return codes_file(found.account)


@blueprint.route("/terms-of-use", methods=["GET", "POST"])
@allow(Audience.ONBOARDING)
@csrf.exempt
def terms_of_use() -> ResponseReturnValue:
    return _agreement(Step.TERMS_OF_USE)


@blueprint.route("/privacy-policy", methods=["GET", "POST"])
@allow(Audience.ONBOARDING)
@csrf.exempt
def privacy_policy() -> ResponseReturnValue:
    return _agreement(Step.PRIVACY_POLICY)


@blueprint.route("/mdm-aup", methods=["GET", "POST"])
@allow(Audience.ONBOARDING)
@csrf.exempt
def mdm_aup() -> ResponseReturnValue:
    return _agreement(Step.MDM_AUP)


@blueprint.get("/done")
@allow(Audience.OFFICER)
def done() -> ResponseReturnValue:
    account = access.signed_in.account
    return render_template("onboarding/done.html", account=account, seed=seed_card.card(account, clock.now()))


def _agreement(step: Step) -> ResponseReturnValue:
    form = AgreementForm()
    if form.validate_on_submit():
        version, policy = form.version.data or "", current_app.config["POLICY"]
        try:
            return _answer(
                lambda: service.accept_agreement(
                    access.onboarding, step, version, by(), clock.now(), policy, request.user_agent.string
                )
            )
        except AgreementChanged:
            flash("Nothing was accepted: there is a newer version of this document. Please read it.", "info")
            return _to(step)
    return _page(
        step, form, lambda _: {"agreement": agreements.in_force(AGREEMENT_STEPS[step], clock.now())}, "agreement"
    )


def _to(step: Step) -> ResponseReturnValue:
    return go_to(url_for(f"onboarding.{step}"))


def _ended() -> ResponseReturnValue:
    """The link holds no longer: its own page says why, and what works now."""
    return go_to(service.link_of(access.onboarding) or url_for("home.index"))


def _answer(give: Callable[[], str | None]) -> ResponseReturnValue:
    """Give an answer and go on to the next step; to the last page where it was the last answer."""
    now = clock.now()
    address = access.onboarding.account.email_folded
    try:
        token = give()
        if token is None:
            return _to(service.where(access.onboarding, now).step)
    except LinkEnded:
        return _ended()
    except NotTheNextStep:
        return _to(service.where(access.onboarding, now).step)
    access.begin(token)
    known_browser.remember(address, now)
    if request.endpoint == "onboarding.recovery_codes":  # The last step where only the authenticator is new.
        flash("Your new authenticator is set up, and you are logged in.", "success")
        return go_to(url_for("profile.profile"))
    return go_to(url_for("onboarding.done"))


def _page(
    step: Step,
    form: PortalForm,
    more: Callable[[Onboarding], dict[str, Any]] = lambda _: {},
    template: str | None = None,
) -> ResponseReturnValue:
    """The page of ``step``, with what was wrong with its form; or on to the step that is the next one (T7)."""
    try:
        found = service.where(access.onboarding, clock.now())
    except LinkEnded:
        return _ended()
    if found.step is not step:
        return _to(found.step)
    if form.errors:
        form_errors.carry(form)
        return _to(step)
    form_errors.bring(form)
    return render_template(
        f"onboarding/{template or step}.html",
        form=form,
        account=found.account,
        title=NAMES[step],
        step_names=[NAMES[each] for each in found.steps],
        step_number=found.steps.index(step) + 1,
        **more(found),
    )


def as_drawn(key: Key) -> dict[str, Any]:
    """What ``onboarding/_scan.html`` shows of a key."""
    drawing = segno.make_qr(key.address, error="m").svg_inline(
        border=4, omitsize=True, svgclass=None, lineclass=None, dark="#000"
    )
    return {"key": key, "qr_code": Markup(drawing)}  # noqa: S704 - drawn by ourselves, holds no text


def codes_file(account: Account) -> Response:
    """The recovery codes as a file to keep. Raises `NotFound` once they are saved."""
    codes = authenticators.codes_to_save(account)
    text = render_template("onboarding/recovery_codes.txt", account=account, codes=codes)
    # Line ends that every editor on Windows shows as such.
    return Response(
        text.replace("\n", "\r\n"),
        mimetype="text/plain",
        headers={"Content-Disposition": 'attachment; filename="techpass-recovery-codes.txt"'},
    )
