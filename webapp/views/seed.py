"""SEED: the link in the mail, and the buttons of the profile's card (rules 4.1, 4.4 and 4.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, current_app, flash, render_template, url_for

from webapp import access, clock
from webapp.access import Audience, allow, by
from webapp.domain.business_days import is_overdue, singapore_date
from webapp.domain.lifecycle import AccountStatus, InvitationKind, SeedStatus
from webapp.extensions import limiter
from webapp.formatting import sg_day
from webapp.htmx import go_to, wants_fragment
from webapp.services import invitations, seed_card
from webapp.services import seed as service
from webapp.services.errors import DeviceFirst, LinkEnded, NotEligible, NotFound, TooSoon
from webapp.views.invitations import send_again

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from webapp.services.seed_card import SeedCard

blueprint = Blueprint("seed", __name__)


@blueprint.get("/seed/<token>")
@allow(Audience.PUBLIC)
def seed_link(token: str) -> ResponseReturnValue:
    try:
        found = invitations.open_link(token, clock.now(), InvitationKind.SEED)
    except (NotFound, LinkEnded) as error:
        return _ended(error)
    account = found.account
    if account.status is AccountStatus.PENDING:
        return render_template("seed/techpass_first.html", account=account, invitation=found, token=token)
    if access.signed_in and access.signed_in.account_id != account.id:
        return render_template("seed/other_account.html"), 403
    return go_to(url_for("profile.profile", _anchor="seed"))


@blueprint.post("/seed/<token>/resend")
@allow(Audience.PUBLIC)
@limiter.limit("30 per hour")
def resend(token: str) -> ResponseReturnValue:
    """The TechPass invitation again, for who has only the SEED email at hand (rules 3.8 and 4.4)."""
    try:
        found = invitations.open_link(token, clock.now(), InvitationKind.SEED)
    except (NotFound, LinkEnded) as error:
        return _ended(error)
    send_again(found.account_id)
    return go_to(url_for("seed.seed_link", token=token))


@blueprint.post("/profile/seed-request")
@allow(Audience.OFFICER)
@limiter.limit("60 per hour", key_func=access.person)
def request_seed() -> ResponseReturnValue:
    """**Request for SEED**: whatever it finds, the card then shows how SEED stands."""
    try:
        is_new = service.request(access.signed_in.account_id, by(), clock.now(), current_app.config["POLICY"])
    except NotEligible:
        return _card("Nothing was sent: SEED does not apply to your agency’s addresses.", "info")
    return _card("", "success" if is_new else "info", is_new=is_new)


@blueprint.get("/profile/seed-withdrawal")
@allow(Audience.OFFICER)
def ask_withdrawal() -> ResponseReturnValue:
    """Says what giving SEED up means, and asks; without scripts on a page of its own."""
    seed = seed_card.card(access.signed_in.account, clock.now())
    if not wants_fragment():
        return render_template("seed/withdraw.html", account=access.signed_in.account, seed=seed)
    return render_template("profile/_seed.html", account=access.signed_in.account, seed=seed, asks_withdrawal=True)


@blueprint.post("/profile/seed-withdrawal")
@allow(Audience.OFFICER)
@limiter.limit("60 per hour", key_func=access.person)
def withdraw() -> ResponseReturnValue:
    """**I don't need SEED**."""
    try:
        done = service.withdraw(access.signed_in.account_id, by(), clock.now(), current_app.config["POLICY"])
    except DeviceFirst:
        return _card("Nothing was changed: remove your device first. Then you can give SEED up.", "info")
    if not done:
        return _card("Nothing was changed: you neither asked for SEED nor hold it.", "info")
    return _card("You gave SEED up. You can ask for it again at any time.", "success")


@blueprint.post("/profile/seed-resend")
@allow(Audience.OFFICER)
@limiter.limit("60 per hour", key_func=access.person)
def send_seed_again() -> ResponseReturnValue:
    """The SEED onboarding email again, once a day (rule 3.8)."""
    policy = current_app.config["POLICY"]
    account = access.signed_in.account
    try:
        invitations.resend(account.id, InvitationKind.SEED, by(), clock.now(), policy)
    except TooSoon:
        return _card(
            f"Nothing new was sent: we sent it again within the last {policy.resend_cooldown_hours} hours. "
            "Look in Junk Email and Deleted Items too.",
            "info",
        )
    except LinkEnded:
        return _card("Nothing was sent: no SEED invitation waits for you any more.", "info")
    return _card(f"We have sent the SEED onboarding email again, to {account.email}.", "success")


def _card(message: str, kind: str, *, is_new: bool | None = None) -> ResponseReturnValue:
    """The card as it stands now, with what was done: for htmx itself, else the profile with the message above it."""
    account = access.signed_in.account
    seed = seed_card.card(account, clock.now())
    message = message or _how_it_stands(seed, is_new=bool(is_new))
    if wants_fragment():
        return render_template("profile/_seed.html", account=account, seed=seed, message=message, message_kind=kind)
    flash(message, kind)
    return go_to(url_for("profile.profile", _anchor="seed"))


def _how_it_stands(seed: SeedCard, *, is_new: bool) -> str:
    if seed.status is SeedStatus.REQUESTED:
        is_ahead = seed.due_on is not None and not is_overdue(seed.due_on, singapore_date(clock.now()))
        by_when = f" by {sg_day(seed.due_on)}" if seed.due_on and is_ahead else ""
        asked = "We have received your request for SEED" if is_new else "You have asked for SEED already"
        return f"{asked}. An admin decides{by_when}."
    return "Nothing was sent: SEED is approved for you already."


def _ended(error: NotFound | LinkEnded) -> ResponseReturnValue:
    if isinstance(error, NotFound):
        return render_template("invitations/unknown.html"), 404
    return render_template("seed/ended.html", state=error.state), 410
