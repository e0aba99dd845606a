"""Days off: Singapore's public holidays and the admins' own, by which SEED is promised (rules 4.2 and 8.4)."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from flask import Blueprint, abort, current_app, flash, render_template, request, url_for

from webapp import clock
from webapp.access import Audience, allow, by
from webapp.domain.business_days import singapore_date
from webapp.extensions import csrf
from webapp.formatting import sg_day
from webapp.forms.admin_holidays import DayForm, LinesForm, RemoveDayForm
from webapp.htmx import go_to, wants_fragment
from webapp.services import holidays as service
from webapp.services.errors import DayTaken, ImportRefused, NameRefused, NotFound

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("admin_holidays", __name__, url_prefix="/admin/holidays")

_STAYS = "Promises given already keep their date."


@blueprint.get("")
@allow(Audience.STAFF)
def index() -> str:
    """A year and the next one: this one unless another is asked for."""
    this_year = singapore_date(clock.now()).year
    asked = request.args.get("year", "")
    year = int(asked) if asked.isascii() and asked.isdigit() and len(asked) == 4 else this_year
    return _page(year if year in service.YEARS else this_year)


@blueprint.post("")
@allow(Audience.ADMIN)
@csrf.exempt  # The form checks its own token, and keeps what was typed.
def add() -> ResponseReturnValue:
    form = DayForm()
    day = form.date()
    if not form.validate() or day is None:
        return _page(form=form), 422
    try:
        service.add(day, form.name.data or "", by(), clock.now())
    except DayTaken:
        form.day.errors = [f"{sg_day(day)} is on your list already"]
        return _page(form=form), 422
    except NameRefused:
        form.name.errors = ["Enter the name in one line of plain text"]
        return _page(form=form), 422
    public = service.public(day)
    if public:
        return _done(f"{sg_day(day)} is on your list now. It is a public holiday already: {public}.", day.year)
    return _done(f"{sg_day(day)} is a day off now. {_STAYS}", day.year)


@blueprint.get("/lines")
@allow(Audience.ADMIN)
def ask_lines() -> str:
    return _lines_page(LinesForm(formdata=None))


@blueprint.post("/lines")
@allow(Audience.ADMIN)
@csrf.exempt  # The form checks its own token, and keeps what was pasted.
def add_lines() -> ResponseReturnValue:
    form = LinesForm()
    if not form.validate():
        return _lines_page(form), 422
    try:
        added, public, there = service.add_lines(form.lines.data or "", by(), clock.now())
    except ImportRefused as error:
        form.lines.errors = list(error.problems)
        return _lines_page(form), 422
    days = "1 day off is added" if added == 1 else f"{added or 'No'} days off are added"
    if public:
        days += f", of which {public} {'is a public holiday' if public == 1 else 'are public holidays'} already"
    already = f"; {there} {'was' if there == 1 else 'were'} on the list already" if there else ""
    return _done(f"{days}{already}. {_STAYS}", kind="success" if added else "info")


@blueprint.get("/remove")
@allow(Audience.ADMIN)
def ask_removal() -> str:
    day = _day(request.args.get("day", ""))
    try:
        name = service.own(day)
    except NotFound:
        abort(404)
    return render_template("admin_holidays/remove.html", day=day, name=name, form=RemoveDayForm(formdata=None))


@blueprint.post("/remove")
@allow(Audience.ADMIN)
def remove() -> ResponseReturnValue:
    day = _day(RemoveDayForm().day.data or "")
    try:
        service.remove(day, by(), clock.now())
    except NotFound:
        return _done("Nothing was changed: this day is not on your own list.", day.year, kind="info")
    return _done(f"{sg_day(day)} is no day off any more. {_STAYS}", day.year)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        abort(404)


def _page(year: int | None = None, form: DayForm | None = None) -> str:
    """The form alone for htmx that sent it, else the page."""
    this_year = singapore_date(clock.now()).year
    first = year or this_year
    form = form or DayForm(formdata=None)
    if wants_fragment() and form.errors:
        return render_template("admin_holidays/_form.html", form=form)
    years = [each for each in (first, first + 1) if each in service.YEARS]
    return render_template(
        "admin_holidays/page.html",
        form=form,
        days={each: service.listed(each) for each in years},
        earlier=first - 2 if first - 2 in service.YEARS else None,
        later=first + 2 if first + 3 in service.YEARS else None,
        this_year=this_year,
        promised=current_app.config["POLICY"].seed_promise_business_days,
    )


def _lines_page(form: LinesForm) -> str:
    template = f"admin_holidays/{'_lines' if wants_fragment() else 'lines'}.html"
    return render_template(template, form=form, most_lines=service.MOST_LINES)


def _done(message: str, year: int | None = None, *, kind: str = "success") -> ResponseReturnValue:
    flash(message, kind)
    this_year = singapore_date(clock.now()).year
    shown: dict[str, Any] = {} if year in (None, this_year, this_year + 1) else {"year": year}
    return go_to(url_for("admin_holidays.index", **shown))
