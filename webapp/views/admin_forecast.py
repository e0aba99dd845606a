"""The forecast, its lists and the rehearsal for admins and auditors; what admins change of it (rules 8.7 and 8.9)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, current_app, flash, render_template, request, url_for

from webapp import clock, paging
from webapp.access import Audience, allow, by
from webapp.domain.brake import HISTORY_DAYS
from webapp.emails.render import preview
from webapp.extensions import csrf
from webapp.formatting import sg_day, sg_time
from webapp.forms.admin_forecast import AllowForm, SelectionForm
from webapp.htmx import go_to, wants_fragment
from webapp.models import Mail
from webapp.models.base import MAX_ID
from webapp.security import FRAME_POLICY
from webapp.services import brake, extending, rehearsal, selection
from webapp.services import forecast as service
from webapp.services.errors import (
    AlreadyAllowed,
    DayRefused,
    MoreFallDue,
    NotFound,
    NotPossible,
    OwnAccount,
    ServiceError,
    TooMany,
)
from webapp.services.forecast import Kind
from webapp.services.rehearsal import What
from webapp.services.selection import Action

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flask.typing import ResponseReturnValue

    from webapp.emails.render import Rendered
    from webapp.models import HeldSweep
    from webapp.services.selection import Outcome

blueprint = Blueprint("admin_forecast", __name__, url_prefix="/admin/forecast")

ON_HOLD = "on_hold"
FIRST_SHOWN = 5
"""Of whom a held part would end, and of whom a selection could not be carried out on."""

KIND_NAMES = {
    Kind.REMIND: "Reminded",
    Kind.EXPIRE: "TechPass terminated",
    Kind.EXPIRE_SEED: "SEED expires",
    Kind.REMOVE_DEVICE: "Device removed",
    Kind.CHECK_INACTIVITY: "Inactivity looked at",
    Kind.DELETE: "Data deleted",
}
WHAT_NAMES = {
    What.TERMINATED: "Terminated, after the notice has gone",
    What.EXPIRED: "TechPass expires, notice of termination",
    What.SEED_EXPIRED: "SEED expires",
    What.DEVICES_REMOVED: "Device removed",
    What.REMINDED: "Reminded of an invitation",
    What.INACTIVITY_REMINDED: "Reminded to log in",
    What.DISABLED: "Disabled for not logging in",
    What.TERMINATED_FOR_INACTIVITY: "Terminated for not logging in",
    What.DELETED: "Data deleted",
}
PARTS = {
    "expiry": (Kind.EXPIRE, "Expiry of TechPass", "terminate {} accounts"),
    "inactivity": (Kind.CHECK_INACTIVITY, "Inactivity", "disable or terminate up to {} accounts"),
    "deletion": (Kind.DELETE, "Deletion of data", "delete the data of {} people"),
}
"""The parts of the sweep that the brake may hold: the list to look at, their name, and what they would do."""
_ENDS = {
    "expiry": [What.EXPIRED],
    "inactivity": [What.DISABLED, What.TERMINATED_FOR_INACTIVITY],
    "deletion": [What.DELETED],
}
_DONE = {Action.HOLD: "put on hold", Action.EXTEND: "extended", Action.RELEASE: "released"}


# The table of the next days.


@blueprint.get("")
@allow(Audience.STAFF)
def index() -> str:
    """The next 30 days as a table; with a kind, who it happens to."""
    kind, day = _asked()
    if kind is not None:
        return _list(kind, day)
    return _table()


def _table(part: str = "", form: AllowForm | None = None) -> str:
    """The table, and what is held, with what was typed to let ``part`` of it run."""
    now, held = clock.now(), brake.held()
    return render_template(
        "admin_forecast/page.html",
        ahead=service.ahead(now),
        kinds=KIND_NAMES,
        held=held,
        parts=PARTS,
        first=_first(held),
        allowed={row.part for row in held if brake.is_allowed(row, now)},
        form=form,
        forms={part: form},
        on_hold=service.count_on_hold(),
        most=service.MOST_COUNTED,
        history=HISTORY_DAYS,
    )


def _first(held: Sequence[HeldSweep]) -> dict[str, list[str]]:
    """The addresses of the first few whom each held part would end."""
    now, policy = clock.now(), current_app.config["POLICY"]

    def ended(part: str) -> Iterator[str]:
        for what in _ENDS.get(part, ()):
            yield from (line.account.email for line in rehearsal.rehearse(now, policy, what))

    return {row.part: list(islice(ended(row.part), FIRST_SHOWN)) for row in held}


@blueprint.get("/held/<part>")
@blueprint.get("/selection")
@allow(Audience.STAFF)
def back(**_part: str) -> ResponseReturnValue:
    """From the address of what a form was posted to, where it stands on an error's page, back to the form."""
    return go_to(url_for("admin_forecast.index", **_here()))


@blueprint.post("/held/<part>")
@allow(Audience.ADMIN)
@csrf.exempt  # The form checks its own token, and tells what is wrong beside it.
def allow_part(part: str) -> ResponseReturnValue:
    """Let a held part of the sweep end as many as were looked at."""
    if part not in PARTS:
        abort(404)
    form = AllowForm()
    if not form.validate():
        return _table(part, form), 422
    what = PARTS[part][2]
    try:
        count = brake.allow(part, int(form.seen.data or 0), form.reason.data or "", by(), clock.now())
    except NotFound:
        flash(
            "Nothing was changed: this part of the sweep is not held any more. It was let run, or no more than usual "
            "are due by now; the audit log says which.",
            "info",
        )
    except AlreadyAllowed as error:
        flash(f"Nothing was changed: {error.by} let it run at {sg_time(error.at)} already.", "info")
    except MoreFallDue as error:
        would = what.format(f"{error.due:,}")
        form.form_errors.append(f"By now it would {would}. Look again before you let it run")
        return _table(part, form), 422
    else:
        will = what.format(f"{count:,}")
        flash(f"The next sweep will {will}, within a minute. Should more be due by then, it is held again.", "success")
    return go_to(url_for("admin_forecast.index"))


# The lists behind the numbers, and what is done with a selection.


def _asked() -> tuple[Kind | str | None, date]:
    """The kind of list, None for no list, and its day."""
    given, days = request.args.get("kind", ""), service.days_from(clock.now())
    kind = Kind(given) if given in list(Kind) else ON_HOLD if given == ON_HOLD else None
    day = _day(request.args.get("day", ""))
    return kind, day if day in days else days[0]


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _list(kind: Kind | str, day: date, form: SelectionForm | None = None, **told: Any) -> str:
    now, policy = clock.now(), current_app.config["POLICY"]
    if isinstance(kind, Kind):
        after = _after()
        shown, more = paging.cut(service.on_day(day, kind, now, policy, after), service.PAGE)
        mark: dict[str, Any] | None = {"after": f"{shown[-1].key_at.isoformat()}_{shown[-1].number}"} if more else None
        paged = after is not None
    else:
        before = paging.key()
        shown, more = paging.cut(service.on_hold(before), service.PAGE)
        mark, paged = {"before": shown[-1].number} if more else None, before is not None
    title = f"{KIND_NAMES[kind]} on {sg_day(day)}" if isinstance(kind, Kind) else "On hold"
    context = {
        "kind": kind,
        "day": day,
        "title": title,
        "rows": shown,
        "following": _address(kind, day, **mark) if mark else None,
        "first": _address(kind, day) if paged else None,
        "here": _here(),
        "form": form or SelectionForm(formdata=None),
        "ticked": (form.chosen.data or []) if form else [],
        "can_extend": kind in (Kind.REMIND, Kind.EXPIRE, Kind.EXPIRE_SEED),
        "last_day": extending.days(now, now, policy)[1],
        "first_day": extending.days(now, now, policy)[0],
        **told,
    }
    if wants_fragment():
        return render_template("admin_forecast/_list.html", **context)
    days = service.days_from(now)
    return render_template("admin_forecast/day.html", kinds=KIND_NAMES, days=days, **context)


def _address(kind: Kind | str, day: date, **mark: Any) -> str:
    """The address of a list, which has no day for who is on hold."""
    on = day.isoformat() if isinstance(kind, Kind) else None
    return url_for("admin_forecast.index", kind=kind, day=on, **mark)


def _here() -> dict[str, Any]:
    """What the address says of the list that it is about."""
    return {name: request.args[name] for name in ("kind", "day", "after", "before") if name in request.args}


def _after() -> service.Key | None:
    at, _, number = request.args.get("after", "").rpartition("_")
    if not (number.isascii() and number.isdigit() and len(number) < 20 and 0 < int(number) <= MAX_ID):
        return None
    try:
        instant = datetime.fromisoformat(at)
        return (instant.astimezone(UTC), int(number)) if instant.tzinfo is not None else None
    except (ValueError, OverflowError):  # Not a date; one that UTC has no year for.
        return None


@blueprint.post("/selection")
@allow(Audience.ADMIN)
@csrf.exempt  # The form checks its own token, and keeps what was ticked and typed.
def act() -> ResponseReturnValue:
    """Hold, extend or release what was ticked in a list; the address names the list."""
    kind, day = _asked()
    if kind is None:
        abort(404)
    form = SelectionForm()
    action, until = form.what(), form.day()
    if action is None and form.action.data:
        abort(400)
    chosen = form.selection()
    form.validate()
    if not chosen:
        form.form_errors.append("Tick the people that it is for")
    if action is Action.EXTEND and until is None:
        form.form_errors.append("Choose the day until which to extend")
    if action is None:
        # By Enter in a field nothing is chosen, and nothing done that cannot be taken back.
        form.form_errors.append("Press the button of what is to be done")
    if action is None or form.errors:
        return _list(kind, day, form), 422
    policy = current_app.config["POLICY"]
    try:
        outcome = selection.carry_out(action, chosen, until, form.reason.data or "", by(), clock.now(), policy)
    except TooMany:
        form.form_errors.append(f"Tick at most {selection.MOST} people at a time")
        return _list(kind, day, form), 422
    message, left = _told(action, outcome)
    if wants_fragment():
        return _list(kind, day, message=message, left=left)
    flash(" ".join([message, *left]), "info" if left else "success")
    return go_to(url_for("admin_forecast.index", **_here()))


def _told(action: Action, outcome: Outcome) -> tuple[str, list[str]]:
    """What was done, and of some on whom it was not, why."""
    done = "Nobody was" if not outcome.done else "1 was" if outcome.done == 1 else f"{outcome.done} were"
    left = [f"{address}: {_why(error)}." for address, error in outcome.left[:FIRST_SHOWN]]
    if len(outcome.left) > FIRST_SHOWN:
        left.append(f"And {len(outcome.left) - FIRST_SHOWN} more.")
    return f"{done} {_DONE[action]}.", left


def _why(error: ServiceError) -> str:
    match error:
        case OwnAccount():
            return "your own account is another admin’s affair"
        case DayRefused(first=first, last=last):
            if first > last:
                return "it works as long as it can already"
            return f"it can be extended to a day from {sg_day(first)} to {sg_day(last)}"
        case NotPossible():
            return "it is so already, or the account is not like that any more"
        case NotFound():
            return "there is no such account any more"
    return "something is wrong with it"


# The rehearsal.


@blueprint.get("/rehearsal")
@allow(Audience.STAFF)
def rehearse() -> str:
    """What the next sweep would do, or one at the end of a day to come; with a kind, to whom."""
    at, instant = _at()
    policy = current_app.config["POLICY"]
    counts = rehearsal.counts(instant, policy)
    given = request.args.get("what", "")
    what = What(given) if given in list(What) else next((what for what in What if counts[what]), None)
    after = _after()
    lines, more = paging.cut(rehearsal.page(instant, policy, what, after), rehearsal.PAGE) if what else ([], False)
    mark = f"{lines[-1].at.isoformat()}_{lines[-1].number}" if more else None
    context = {
        "at": at,
        "counts": counts,
        "names": WHAT_NAMES,
        "what": what,
        "lines": lines,
        "following": _rehearsal_address(at, what, after=mark) if mark else None,
        "first": _rehearsal_address(at, what) if after else None,
        "address": lambda each: _rehearsal_address(at, each),
        "letter_address": lambda line: _letter_address(at, line.what, line.number),
        "most": rehearsal.MOST_COUNTED,
    }
    if wants_fragment():
        return render_template("admin_forecast/_rehearsal.html", **context)
    days = service.days_from(clock.now())
    return render_template("admin_forecast/rehearsal.html", days=days, **context)


def _at() -> tuple[date | None, datetime]:
    """The day of the rehearsal, None for the very next sweep, and its instant."""
    now = clock.now()
    day = _day(request.args.get("at", ""))
    if day is None or day not in service.days_from(now):
        return None, now
    return day, service.end_of(day)


def _rehearsal_address(at: date | None, what: What | None, **more: Any) -> str:
    return url_for("admin_forecast.rehearse", at=at.isoformat() if at else None, what=what, **more)


# A mail of the rehearsal.


def _letter_address(at: date | None, what: What, number: int, endpoint: str = "letter") -> str:
    return url_for(f"admin_forecast.{endpoint}", what=what, number=number, at=at.isoformat() if at else None)


@blueprint.get("/rehearsal/<what>/<id:number>")
@allow(Audience.STAFF)
def letter(what: str, number: int) -> ResponseReturnValue:
    """The mail that the sweep would write to one person, as it would read: without its links."""
    found = _rehearsed(what, number)
    if found is None:
        flash("That has happened by now, or will not happen any more.", "info")
        return go_to(url_for("admin_forecast.rehearse"))
    at, line, read = found
    return render_template(
        "admin_forecast/letter.html",
        at=at,
        line=line,
        read=read,
        name=WHAT_NAMES[line.what],
        back=_rehearsal_address(at, line.what),
        html_address=_letter_address(at, line.what, number, "letter_html"),
    )


@blueprint.get("/rehearsal/<what>/<id:number>/html")
@allow(Audience.STAFF)
def letter_html(what: str, number: int) -> ResponseReturnValue:
    """Its HTML part, for a frame of the page before."""
    found = _rehearsed(what, number)
    if found is None:
        abort(404)
    headers = {"Content-Security-Policy": FRAME_POLICY, "X-Frame-Options": "SAMEORIGIN"}
    return Response(found[2].html, mimetype="text/html", headers=headers)


def _rehearsed(what: str, number: int) -> tuple[date | None, rehearsal.Planned, Rendered] | None:
    if what not in list(What):
        abort(404)
    at, instant = _at()
    policy = current_app.config["POLICY"]
    line = next(rehearsal.rehearse(instant, policy, What(what), number=number), None)
    if line is None or line.letter is None:
        return None
    return at, line, preview(Mail(**line.letter), instant)
