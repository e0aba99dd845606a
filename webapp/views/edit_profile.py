"""Edit profile: first and last name, mobile number, department (rule 6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, flash, render_template, url_for

from webapp import access, clock, mobiles
from webapp.access import Audience, allow, by
from webapp.extensions import csrf, limiter
from webapp.forms.edit_profile import EditProfileForm
from webapp.htmx import go_to, wants_fragment
from webapp.services import edit_profile as service

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from webapp.models import Account

blueprint = Blueprint("edit_profile", __name__)


@blueprint.route("/profile/edit", methods=["GET", "POST"])
@allow(Audience.OFFICER)
@csrf.exempt  # The form checks its own token, and keeps what was typed.
@limiter.limit("60 per hour", key_func=access.person)
def edit() -> ResponseReturnValue:
    account = access.signed_in.account
    form = EditProfileForm(data=_as_shown(account))
    if form.validate_on_submit():
        changed = service.change(account.id, form.values(), by(), clock.now(), form.shown())
        if changed:
            flash("Your profile was changed. We have sent an email that says so.", "success")
        else:
            flash("Nothing was changed: your profile says all of this already.", "info")
        return go_to(url_for("profile.profile"))
    template = "edit_profile/_form.html" if wants_fragment() else "edit_profile/page.html"
    return render_template(template, form=form, account=account), 422 if form.errors else 200


def _as_shown(account: Account) -> dict[str, str]:
    kept = {name: getattr(account, name) or "" for name in service.EDITABLE}
    kept |= {"mobile": mobiles.shown(kept["mobile"]) if kept["mobile"] else ""}
    return kept | {f"{name}_shown": value for name, value in kept.items()}
