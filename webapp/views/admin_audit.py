"""The audit log for admins and auditors: a list with filters, and the same as a file (rules 8.8 and 8.9)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flask import Blueprint, Response, render_template, request, stream_with_context

from webapp import clock, paging, sheets
from webapp.access import Audience, allow, by
from webapp.domain.business_days import singapore_date
from webapp.htmx import wants_fragment
from webapp.models.base import MAX_ID
from webapp.services import audit_chain
from webapp.services import audit_log as service

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

TYPES = {"csv": "text/csv", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
NAMES = {"action": "action", "by": "by", "whom": "whom", "since": "from", "until": "to", "where": "where"}
"""The filters, each with its name in the address."""
MOST_IN_XLSX = 100_000
"""Events in one XLSX file: it is made whole before it is sent. A CSV file has no such bound."""

blueprint = Blueprint("admin_audit", __name__, url_prefix="/admin")


@blueprint.get("/audit")
@allow(Audience.STAFF)
def index() -> str:
    """Newest first, a page at a time by key."""
    asked = _asked()
    filters = service.read(asked)
    entries, more = paging.cut(service.listed(filters, _before(), paging.PAGE + 1))
    shown = {
        "asked": asked,
        "problems": filters.problems,
        "entries": entries,
        "given": {name: value for name, value in request.args.items() if name in NAMES.values() and value},
        "following": _address_of(entries[-1].mark) if more else None,
        "paged": "before" in request.args,
    }
    if wants_fragment():
        return render_template("admin_audit/_list.html", **shown)
    return render_template(
        "admin_audit/page.html",
        **shown,
        groups=service.groups(),
        head=audit_chain.head(),
        is_late=audit_chain.is_late(clock.now()),
    )


@blueprint.get("/audit.csv", defaults={"form": "csv"})
@blueprint.get("/audit.xlsx", defaults={"form": "xlsx"})
@allow(Audience.STAFF)
def export(form: str) -> ResponseReturnValue:
    """What the filters leave, as a file; that it was given out goes on record first."""
    now = clock.now()
    headers = {"Content-Disposition": f'attachment; filename="audit-log-{singapore_date(now)}.{form}"'}
    if request.method == "HEAD":
        return Response(mimetype=TYPES[form], headers=headers)
    filters = service.read(_asked())
    service.note_export(filters, form, by(), now)
    if form == "csv":
        return Response(
            stream_with_context(sheets.csv_lines(service.table(filters))), mimetype=TYPES[form], headers=headers
        )
    cut = f"Cut after {MOST_IN_XLSX:,} events. Choose dates, or take the CSV file, which holds them all."
    file = sheets.xlsx(service.table(filters), "Audit log", service.WIDTHS, MOST_IN_XLSX + 1, cut)
    return Response(sheets.pieces(file), mimetype=TYPES[form], headers=headers)


def _asked() -> service.Asked:
    return service.Asked(**{field: request.args.get(name, "") for field, name in NAMES.items()})


def _address_of(mark: service.Mark) -> str:
    return paging.here(before=f"{mark.at.isoformat()}_{mark.number}")


def _before() -> service.Mark | None:
    at, _, number = request.args.get("before", "").rpartition("_")
    if not (number.isascii() and number.isdigit() and len(number) < 20 and 0 < int(number) <= MAX_ID):
        return None
    try:
        instant = datetime.fromisoformat(at)
        return service.Mark(instant.astimezone(UTC), int(number)) if instant.tzinfo is not None else None
    except (ValueError, OverflowError):  # Not a date; one that UTC has no year for.
        return None
