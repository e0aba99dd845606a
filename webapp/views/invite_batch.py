"""Asking for many: a list or a file, its rows to be mended, its sending watched, its result (rule 5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, current_app, flash, render_template, request, url_for

from webapp import access, clock, paging, sheets, tables
from webapp.access import Audience, allow, by, signed_in
from webapp.domain.business_days import singapore_date
from webapp.domain.inviting import COLUMNS
from webapp.extensions import csrf, limiter
from webapp.forms import squeeze
from webapp.forms.invite_batch import RowForm, UploadForm
from webapp.htmx import go_to, wants_fragment
from webapp.models import BatchRow, BatchState, RowOutcome, RowVerdict
from webapp.security import takes_large_form
from webapp.services import batch as service
from webapp.services.batch_rows import begins_list, template_rows
from webapp.services.errors import ChangedMeanwhile, MayNotInvite, NotFound, TooManyDrafts
from webapp.tables import TableRefused
from webapp.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flask.typing import ResponseReturnValue

    from webapp.models import Batch

blueprint = Blueprint("invite_batch", __name__, url_prefix="/invite/batch")

TYPES = {"csv": "text/csv", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
TO_MEND = "to_mend"
_WIDTHS = (34, 8, 18, 18, 28, 18, 40, 60)
_BOTH = "You gave a file and a list. Choose the file again and empty the list, or send the list alone"
_NO_DRAFT = "Nothing was changed: this batch is not a draft any more."


@blueprint.get("")
@allow(Audience.INVITER)
def index() -> str:
    return _upload_page(UploadForm(formdata=None))


@blueprint.post("")
@allow(Audience.INVITER)
@csrf.exempt  # The form checks its own token, and keeps what was pasted.
@takes_large_form(tables.MOST_BYTES + 64 * 1024, pasted="text")
@limiter.limit("60 per hour", key_func=access.person)
def upload() -> ResponseReturnValue:
    """Keep what was given as a draft, each row judged."""
    form, policy = UploadForm(), current_app.config["POLICY"]
    file = request.files.get("file")
    if file is not None and not file.filename:
        file = None
    if form.validate():
        given = form.text if file is None else form.file
        try:
            if file is None:
                name, table = "Pasted list", tables.read_text(form.text.data or "", policy.batch_rows)
            elif (form.text.data or "").strip():
                raise TableRefused(_BOTH)
            else:
                name, table = file.filename or "", tables.read(file.read(), policy.batch_rows, begins_list)
            number = service.begin(one_line(name) or "File", table, form.otherwise(), by(), clock.now(), policy)
        except TableRefused as error:
            given.errors = [error.message]
        except TooManyDrafts:
            given.errors = [
                f"You have {service.MOST_DRAFTS} batches that are not sent. Send one, or reset it, and try again"
            ]
        except MayNotInvite:
            abort(404)
        else:
            return go_to(url_for("invite_batch.batch", batch_id=number))
    if file is not None and not form.file.errors:
        form.file.errors = ["Choose the file again: browsers do not keep it"]
    return _upload_page(form), 422


@blueprint.get("/template.csv", defaults={"form": "csv"})
@blueprint.get("/template.xlsx", defaults={"form": "xlsx"})
@allow(Audience.INVITER)
def template(form: str) -> ResponseReturnValue:
    """The file that is offered to be filled in."""
    return _file(template_rows(), form, "invite-people")


@blueprint.get("/<id:batch_id>")
@allow(Audience.INVITER)
def batch(batch_id: int) -> ResponseReturnValue:
    """The rows of a draft; how far one is that is being sent, which asks for itself; the result."""
    found = _find(batch_id)
    summary = service.summary(batch_id)
    mark = f"{found.state}.{summary.done}"
    if wants_fragment() and "shown" in request.args:
        if request.args["shown"] == mark:
            return "", 204
        if found.state is not BatchState.SENDING:
            return go_to(url_for("invite_batch.batch", batch_id=batch_id))
        return render_template("invite_batch/_progress.html", batch=found, summary=summary, mark=mark)
    show = _show(found, summary)
    shown = {"batch": found, "summary": summary, "mark": mark, "show": show}
    if wants_fragment() and "part" in request.args:
        return render_template("invite_batch/_summary.html", **shown)
    shown |= _rows(found, show)
    return render_template("invite_batch/_rows.html" if wants_fragment() else "invite_batch/batch.html", **shown)


def _rows(found: Batch, show: str) -> dict[str, object]:
    after = paging.key("after")
    if found.state is BatchState.DONE:
        rows = service.page(found.id, outcome=RowOutcome(show) if show else None, after=after)
    else:
        verdicts = service.TO_MEND if show == TO_MEND else [RowVerdict(show)] if show else ()
        rows = service.page(found.id, verdicts, after=after)
    shown, more = paging.cut(rows, service.PAGE)
    return {
        "rows": shown,
        "first": paging.here(after=None) if "after" in request.args else None,
        "following": paging.here(after=shown[-1].number) if more else None,
    }


def _show(found: Batch, summary: service.Summary) -> str:
    """Which rows are asked for, or else what there is to look at: a verdict, an outcome, `TO_MEND`, or all ("")."""
    if found.state is BatchState.DONE:
        known: list[str] = [*RowOutcome]
        first = RowOutcome.FAILED if summary.outcomes.get(RowOutcome.FAILED) else ""
    else:
        known = [TO_MEND, *RowVerdict]
        first = TO_MEND if summary.to_mend else ""
    asked = request.args.get("show", first)
    return str(asked) if asked in known else ""


@blueprint.get("/<id:batch_id>/rows/<id:row>")
@allow(Audience.INVITER)
def row(batch_id: int, row: int) -> ResponseReturnValue:
    """One row as it stands, for taking back an unfinished change."""
    found = _find(batch_id)
    try:
        kept = _row_of_draft(found, row)
    except NotFound:
        return _not_changed(batch_id, row)
    if not wants_fragment():
        return go_to(url_for("invite_batch.batch", batch_id=batch_id))
    return render_template("invite_batch/_row.html", batch=found, row=kept, focus=True)


@blueprint.get("/<id:batch_id>/rows/<id:row>/edit")
@allow(Audience.INVITER)
def edit(batch_id: int, row: int) -> ResponseReturnValue:
    """The fields of a row: in its place, or on a page of their own."""
    found = _find(batch_id)
    try:
        kept = _row_of_draft(found, row)
    except NotFound:
        return _not_changed(batch_id, row)
    return _edit_page(found, kept, RowForm(formdata=None, data=_as_shown(kept)))


@blueprint.post("/<id:batch_id>/rows/<id:row>")
@allow(Audience.INVITER)
@csrf.exempt
def change(batch_id: int, row: int) -> ResponseReturnValue:
    """Mend a row; or take the address that was probably meant, and nothing else, which ``use`` names."""
    found, meant = _find(batch_id), (squeeze(request.form.get("use")) or "")[:113]
    try:
        kept = _row_of_draft(found, row)
        form = RowForm(data=_as_shown(kept))  # What is not posted stays as it is.
        if not form.validate():
            return _edit_page(found, kept, form), 422
        cells = {"email": meant} if meant else form.changed()
        others = service.change(batch_id, row, cells, by(), clock.now(), suggested=bool(meant))
    except ChangedMeanwhile:
        flash(f"Nothing was changed: {meant} is not suggested for row {row} any more.", "info")
        return go_to(url_for("invite_batch.batch", batch_id=batch_id, show=request.args.get("show")))
    except NotFound:
        return _not_changed(batch_id, row)
    except MayNotInvite:
        abort(404)
    if wants_fragment():
        return _fragment("invite_batch/_changed.html", batch=found, row=kept, others=others)
    flash(f"Row {row} is changed.", "success")
    return go_to(url_for("invite_batch.batch", batch_id=batch_id, show=request.args.get("show")))


@blueprint.post("/<id:batch_id>/suggestions")
@allow(Audience.INVITER)
def use_suggestions(batch_id: int) -> ResponseReturnValue:
    """Take each address that was probably meant."""
    _find(batch_id)
    try:
        count = service.use_suggestions(batch_id, by(), clock.now())
    except (MayNotInvite, NotFound):
        return _no_draft(batch_id)
    flash(f"{count:,} {'row is' if count == 1 else 'rows are'} changed.", "success")
    return go_to(url_for("invite_batch.batch", batch_id=batch_id))


@blueprint.post("/<id:batch_id>/rows/<id:row>/remove")
@allow(Audience.INVITER)
def remove(batch_id: int, row: int) -> ResponseReturnValue:
    """Take a row out."""
    found = _find(batch_id)
    try:
        others = service.remove(batch_id, row, by(), clock.now())
    except NotFound:
        return _not_changed(batch_id, row)
    except MayNotInvite:
        abort(404)
    if wants_fragment():
        return _fragment("invite_batch/_removed.html", batch=found, number=row, others=others)
    flash(f"Row {row} is removed.", "success")
    return go_to(url_for("invite_batch.batch", batch_id=batch_id, show=request.args.get("show")))


@blueprint.get("/<id:batch_id>/reset")
@allow(Audience.INVITER)
def ask_reset(batch_id: int) -> str:
    return render_template("invite_batch/reset.html", batch=_find(batch_id), summary=service.summary(batch_id))


@blueprint.post("/<id:batch_id>/reset")
@allow(Audience.INVITER)
def reset(batch_id: int) -> ResponseReturnValue:
    """Give a draft up, with all its rows."""
    _find(batch_id)
    try:
        service.reset(batch_id, by())
    except (MayNotInvite, NotFound):
        return _no_draft(batch_id)
    flash("The batch is reset: none of its rows is kept, and nobody was mailed.", "success")
    return go_to(url_for("invite_batch.index"))


@blueprint.post("/<id:batch_id>/send")
@allow(Audience.INVITER)
def send(batch_id: int) -> ResponseReturnValue:
    """Have it sent; pressed twice, it is sent once."""
    _find(batch_id)
    try:
        service.send(batch_id, by(), clock.now())
    except (MayNotInvite, NotFound):
        abort(404)
    return go_to(url_for("invite_batch.batch", batch_id=batch_id))


@blueprint.get("/<id:batch_id>/<outcome>.csv", defaults={"form": "csv"})
@blueprint.get("/<id:batch_id>/<outcome>.xlsx", defaults={"form": "xlsx"})
@allow(Audience.INVITER)
def result(batch_id: int, outcome: str, form: str) -> ResponseReturnValue:
    """The rows that failed, or were skipped, as a file like the template, with why."""
    try:
        found = service.get(batch_id, signed_in.account_id)
    except NotFound:
        abort(404)  # Not a page in place of a file.
    if outcome not in (RowOutcome.FAILED, RowOutcome.SKIPPED) or found.state is not BatchState.DONE:
        abort(404)
    rows = service.page(batch_id, outcome=RowOutcome(outcome), limit=current_app.config["POLICY"].batch_rows)
    return _file(_result_rows(rows), form, f"invitations-{outcome}")


def _result_rows(rows: Sequence[BatchRow]) -> Iterator[Sequence[str | int | None]]:
    yield (*COLUMNS, "why")
    for each in rows:
        yield (*(getattr(each, name) for name in COLUMNS), each.words)


def _file(rows: Iterator[Sequence[str | int | None]], form: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}-{singapore_date(clock.now())}.{form}"'}
    if form == "csv":
        return Response("".join(sheets.csv_lines(rows)), mimetype=TYPES[form], headers=headers)
    file = sheets.xlsx(rows, "People", _WIDTHS, sheets.MOST_ROWS, "")
    return Response(sheets.pieces(file), mimetype=TYPES[form], headers=headers)


def _upload_page(form: UploadForm) -> str:
    template = "invite_batch/_upload.html" if wants_fragment() else "invite_batch/index.html"
    return render_template(
        template,
        form=form,
        columns=COLUMNS,
        most_megabytes=tables.MOST_BYTES // 1024 // 1024,
        batches=service.own(signed_in.account_id),
    )


def _find(batch_id: int) -> Batch:
    """One's own batch; else on to the list of them, with the same words whoever's it was or is."""
    try:
        return service.get(batch_id, signed_in.account_id)
    except NotFound:
        nothing = "Nothing was changed or sent: this" if request.method == "POST" else "This"
        flash(f"{nothing} batch is no longer here.", "info")
        abort(go_to(url_for("invite_batch.index")))


def _row_of_draft(found: Batch, number: int) -> BatchRow:
    """A row that can be mended. Raises `NotFound`, of which `_not_changed` says the reason."""
    if found.state is not BatchState.DRAFT:
        raise NotFound
    return service.row(found.id, number)


def _as_shown(kept: BatchRow) -> dict[str, str]:
    cells = {name: getattr(kept, name) for name in COLUMNS}
    return cells | {f"{name}_shown": value for name, value in cells.items()}


def _edit_page(found: Batch, kept: BatchRow, form: RowForm) -> str:
    template = "invite_batch/_edit.html" if wants_fragment() else "invite_batch/edit.html"
    return render_template(template, batch=found, row=kept, form=form.of_row(kept.number))


def _fragment(template: str, **shown: object) -> Response:
    """A row in its place; the summary above asks anew, since it counts otherwise now."""
    return Response(render_template(template, **shown), headers={"HX-Trigger": "batch-changed"})


def _not_changed(batch_id: int, row: int) -> ResponseReturnValue:
    """The list as it is now, with why a row of it could not be changed."""
    if _find(batch_id).state is not BatchState.DRAFT:
        return _no_draft(batch_id)
    flash(f"Nothing was changed: row {row} was removed meanwhile.", "info")
    return go_to(url_for("invite_batch.batch", batch_id=batch_id, show=request.args.get("show")))


def _no_draft(batch_id: int) -> ResponseReturnValue:
    flash(_NO_DRAFT, "info")
    return go_to(url_for("invite_batch.batch", batch_id=batch_id))
