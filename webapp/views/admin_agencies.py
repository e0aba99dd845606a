"""Agencies: listed, added, changed with what follows from it, imported and exported (rules 1.6 and 8.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, flash, render_template, request, url_for

from webapp import clock, paging, sheets
from webapp.access import Audience, allow, by
from webapp.domain.addresses import AgencyMode
from webapp.extensions import csrf
from webapp.forms.admin_agencies import FIELDS, MODE_NAMES, AgencyForm, DismissForm, ImportForm, RemoveForm
from webapp.htmx import go_to, wants_fragment
from webapp.security import takes_large_form
from webapp.services import agencies as service
from webapp.services import agency_changes, agency_effects, agency_import
from webapp.services.errors import (
    AgencyInUse,
    ChangedMeanwhile,
    DomainTaken,
    ImportRefused,
    NotFound,
    OwnRequest,
)

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue
    from werkzeug.datastructures import FileStorage

    from webapp.models import Agency
    from webapp.services.agencies import AgencySettings

blueprint = Blueprint("admin_agencies", __name__, url_prefix="/admin")

FIELD_NAMES = {
    "domain": "Mail domain",
    "name": "Name",
    "mode": "Who can sign up",
    "reason": "Reason shown",
    "seed_eligible": "SEED",
    "approves_automatically": "Approval",
    "vendors_allowed": "Vendors signing up",
}
_SAID = {
    "seed_eligible": ("Offered", "Not offered"),
    "approves_automatically": ("Automatic", "By hand"),
    "vendors_allowed": ("Allowed", "Not allowed"),
}
_SOON = f"Sign-up pages go by it within {service.KEPT_SECONDS} seconds."
_IN_USE = "This agency has accounts by now: its mail domain is fixed, and it is not deleted."
_TAKEN = "There is an agency with this mail domain already"
_OWN = (
    "Nothing was changed: your own request waits at one of these agencies, and would be approved by it. "
    "Another admin must do this."
)
_LONGEST_ADDRESS = 3000
_BOTH = "You gave a file and lines. Choose the file again and empty the lines, or send the lines alone"
_AGAIN = "Choose the file again: browsers do not keep it"


def said(field: str, value: Any) -> str:
    """A value of an agency's settings in words."""
    if field == "mode":
        return MODE_NAMES[AgencyMode(value)]
    if field in _SAID:
        return _SAID[field][0 if value else 1]
    return value or "None"


@blueprint.app_context_processor
def _words() -> dict[str, Any]:
    return {"agency_said": said, "agency_fields": FIELD_NAMES, "agency_modes": MODE_NAMES}


# The list.


@blueprint.get("/agencies")
@allow(Audience.STAFF)
def index() -> str:
    """By domain, a page at a time by key; above it the domains that people tried and we do not know."""
    search, after = (request.args.get(name, "").strip()[:113] for name in ("q", "after"))
    chosen = request.args.get("mode")
    mode = AgencyMode(chosen) if chosen in list(AgencyMode) else None
    shown, more = paging.cut(service.listed(search, mode, after), service.PAGE)
    listed = {
        "listed": shown,
        "first": paging.here(after=None) if after else None,
        "following": paging.here(after=shown[-1].agency.domain) if more else None,
        "filtered": bool(search or mode),
        "most_waiting": service.MOST_WAITING,
    }
    if wants_fragment():
        return render_template("admin_agencies/_list.html", **listed)
    return render_template("admin_agencies/page.html", search=search, mode=mode, **listed, **_unknown())


def _unknown() -> dict[str, Any]:
    shown, more = paging.cut(service.unknown(), service.MOST_UNKNOWN)
    return {"unknown": shown, "more_unknown": more}


@blueprint.post("/agencies/unknown/dismiss")
@allow(Audience.ADMIN)
def dismiss() -> ResponseReturnValue:
    domain = DismissForm().domain.data or ""
    done = agency_changes.dismiss(domain, by(), clock.now())
    if done:
        message = f"{domain} is dismissed. Tries from now on are counted anew."
    else:
        message = "It was dismissed already." if domain else "Nothing was dismissed: no mail domain was named."
    if wants_fragment():
        return render_template("admin_agencies/_unknown.html", message=message, **_unknown())
    flash(message, "success" if done else "info")
    return go_to(url_for("admin_agencies.index"))


@blueprint.get("/agencies.csv")
@allow(Audience.STAFF)
def export() -> Response:
    return Response(
        "".join(sheets.csv_lines(agency_import.file_rows())),
        mimetype="text/csv",
        headers={"Content-Disposition": 'attachment; filename="agencies.csv"'},
    )


# One agency.


@blueprint.get("/agencies/new")
@allow(Audience.ADMIN)
def new() -> Response:
    form = AgencyForm(formdata=None, domain=request.args.get("domain", "")[:113], seed_eligible=True)
    return _new_page(_typed() or form)


@blueprint.post("/agencies/new")
@allow(Audience.ADMIN)
@csrf.exempt  # The form checks its own token, and keeps what was typed.
def add() -> ResponseReturnValue:
    form = AgencyForm()
    if "back" in request.form or not form.validate():
        return _new_page(form), 422 if form.errors else 200
    settings = form.settings()
    if "confirmed" not in request.form:
        follows = agency_effects.what_follows(None, settings)
        return _new_page(form, settings=settings, follows=follows, tries=service.tries(settings.domain))
    try:
        agency_changes.add(settings, by(), clock.now())
    except DomainTaken:
        form.domain.errors = [_TAKEN]
        return _new_page(form), 422
    flash(f"{settings.name} is added. {_SOON}", "success")
    return go_to(url_for("admin_agencies.index"))


def _new_page(form: AgencyForm, **more: Any) -> Response:
    return _page("new", form, agency=None, in_use=False, **more)


@blueprint.get("/agencies/<id:agency_id>")
@allow(Audience.STAFF)
def agency(agency_id: int) -> Response:
    found = _found(agency_id)
    settings = service.settings_of(found)
    form = AgencyForm(formdata=None, data={**settings.values(), "version": settings.version})
    return _agency_page(found, _typed() or form)


@blueprint.post("/agencies/<id:agency_id>")
@allow(Audience.ADMIN)
@csrf.exempt  # The form checks its own token, and keeps what was typed.
def change(agency_id: int) -> ResponseReturnValue:
    """Says what the change means, and does it once that is ``confirmed``."""
    found = _found(agency_id)
    form = AgencyForm()
    if "back" in request.form or not form.validate():
        return _agency_page(found, form), 422 if form.errors else 200
    settings = form.settings()
    in_force = service.settings_of(found)
    try:
        if "confirmed" in request.form:
            done = agency_changes.change(agency_id, settings, form.version.data or "", by(), clock.now())
            return _changed(settings, done=done)
        if settings != in_force and in_force.version != form.version.data:
            raise ChangedMeanwhile
        if settings.domain != in_force.domain and service.has_accounts(agency_id):
            raise AgencyInUse
    except DomainTaken:
        form.domain.errors = [_TAKEN]
    except AgencyInUse:
        form.domain.errors = [_IN_USE]
        form.domain.data = in_force.domain
    except OwnRequest:
        return _agency_page(found, form, refused=_OWN), 422
    except ChangedMeanwhile:
        in_force = service.settings_of(_found(agency_id))
        form.version.data = in_force.version
        return _agency_page(found, form, meanwhile=in_force.changes_to(settings)), 422
    except NotFound:
        abort(404)
    else:
        follows = agency_effects.what_follows(in_force, settings, agency_id)
        return _agency_page(found, form, settings=settings, follows=follows, changes=in_force.changes_to(settings))
    return _agency_page(found, form), 422


def _changed(settings: AgencySettings, *, done: bool) -> ResponseReturnValue:
    if done:
        flash(f"{settings.name} is changed. {_SOON}", "success")
    else:
        flash("Nothing was changed: these settings are in force already.", "info")
    return go_to(url_for("admin_agencies.index"))


def _agency_page(found: Agency, form: AgencyForm, **more: Any) -> Response:
    return _page("agency", form, agency=found, in_use=service.has_accounts(found.id), **more)


def _page(name: str, form: AgencyForm, **more: Any) -> Response:
    """The form, or what follows from it (with ``follows``): alone as htmx's answer to a form, else in its page."""
    part = "_confirm" if "follows" in more else "_form"
    alone = wants_fragment() and request.method == "POST"  # An auditor's page holds no form.
    template = f"admin_agencies/{part if alone else name}.html"
    form_as_typed = _address(form) if alone and part == "_confirm" else ""
    page = render_template(
        template,
        form=form,
        form_as_typed=form_as_typed,
        part=f"admin_agencies/{part}.html",
        fields=FIELDS,
        **more,
    )
    return Response(page, headers={"HX-Replace-Url": form_as_typed} if form_as_typed else {})


# The form as it was typed has an address, to which Back leads from what follows.


def _typed() -> AgencyForm | None:
    """The form as the address says that it was typed, if it does."""
    return AgencyForm(formdata=request.args) if "version" in request.args else None


def _address(form: AgencyForm) -> str:
    """The form's address with what was typed; "" where that would be longer than servers take."""
    typed = {name: "y" if form[name].data is True else form[name].data for name in FIELDS if form[name].data}
    found = f"{request.path}?{urlencode(typed | {'version': form.version.data or ''})}"
    return found if len(found) < _LONGEST_ADDRESS else ""


@blueprint.get("/agencies/<id:agency_id>/delete")
@allow(Audience.ADMIN)
def ask_removal(agency_id: int) -> ResponseReturnValue:
    found = _found(agency_id)
    if service.has_accounts(agency_id):
        return _not_removed(agency_id)
    return render_template("admin_agencies/delete.html", agency=found, form=RemoveForm(formdata=None))


@blueprint.post("/agencies/<id:agency_id>/delete")
@allow(Audience.ADMIN)
def remove(agency_id: int) -> ResponseReturnValue:
    try:
        domain = agency_changes.remove(agency_id, by(), clock.now())
    except NotFound:
        abort(404)
    except AgencyInUse:
        return _not_removed(agency_id)
    flash(f"{domain} is deleted. Who tries to sign up there is told that we do not know the agency.", "success")
    return go_to(url_for("admin_agencies.index"))


def _not_removed(agency_id: int) -> ResponseReturnValue:
    flash("Nothing was deleted: this agency has accounts. Refuse sign-ups instead.", "info")
    return go_to(url_for("admin_agencies.agency", agency_id=agency_id))


def _found(agency_id: int) -> Agency:
    try:
        return service.get(agency_id)
    except NotFound:
        abort(404)


# A file of agencies.


@blueprint.get("/agencies/import")
@allow(Audience.ADMIN)
def import_form() -> str:
    return _import_page(ImportForm(formdata=None))


@blueprint.post("/agencies/import")
@allow(Audience.ADMIN)
@csrf.exempt  # The form checks its own token, and keeps what was pasted.
@takes_large_form()
def import_lines() -> ResponseReturnValue:
    """Says what each line would do, and does it all once that is ``confirmed``."""
    form, file = ImportForm(), request.files.get("file")
    if file is not None and not file.filename:
        file = None
    from_file = bool(file or form.from_file.data)
    given = form.file if from_file else form.text
    if "back" not in request.form and form.validate():
        try:
            text = _lines(form, file)
            if "confirmed" in request.form:
                count = agency_import.apply(text, form.version.data or "", by(), clock.now())
                flash(f"{count} {'agency' if count == 1 else 'agencies'} imported. {_SOON}", "success")
                return go_to(url_for("admin_agencies.index"))
            return _import_page(form, from_file, preview=agency_import.preview(text), text=text)
        except ImportRefused as error:
            given.errors = list(error.problems)
        except ChangedMeanwhile:
            return _import_page(form, from_file, preview=agency_import.preview(text), text=text, meanwhile=True), 422
        except OwnRequest:
            given.errors = [_OWN]
    if from_file and form.errors and not form.file.errors:
        form.file.errors = [_AGAIN]
    if form.from_file.data:
        form.text.data = ""  # Nobody typed these.
    return _import_page(form, from_file), 422 if form.errors else 200


def _lines(form: ImportForm, file: FileStorage | None) -> str:
    """What was pasted or, if a file was chosen, what it holds. Raises `ImportRefused`."""
    if file is None:
        return form.text.data or ""
    if (form.text.data or "").strip():
        raise ImportRefused(_BOTH)
    return agency_import.decode(file.read())


def _import_page(form: ImportForm, from_file: bool = False, **more: Any) -> str:
    part = "_preview" if "preview" in more else "_import"
    template = f"admin_agencies/{part if wants_fragment() else 'import'}.html"
    return render_template(
        template,
        form=form,
        from_file=from_file,
        again=_AGAIN,
        part=f"admin_agencies/{part}.html",
        columns=agency_import.COLUMNS,
        most_rows=agency_import.MOST_ROWS,
        most_kilobytes=agency_import.MOST_KILOBYTES,
        **more,
    )
