"""The admins' start page: what needs an admin, today's numbers, and plots of the last 90 days (rule 8.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

from flask import Blueprint, render_template, request

from webapp import clock
from webapp.access import Audience, allow
from webapp.domain import plots
from webapp.domain.measures import Measure
from webapp.formatting import ago, sg_short_day
from webapp.htmx import wants_fragment
from webapp.services import admin_start, statistics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from flask.typing import ResponseReturnValue

    from webapp.domain.plots import Plot, Step
    from webapp.services.admin_start import Waiting
    from webapp.services.statistics import Numbers

blueprint = Blueprint("admin_start", __name__, url_prefix="/admin")

_SMALL = plots.Frame(width=340, height=180, left=40)
_WIDE = plots.Frame(width=520, height=240, left=48, bottom=30)
_TODAY = (
    ("Signed up or invited", Measure.SIGNED_UP),
    ("Approved", Measure.APPROVED),
    ("Activated", Measure.ACTIVATED),
    ("Onboarded to SEED", Measure.SEED_ONBOARDED),
    ("Expired", Measure.EXPIRED),
)
_BY_DAY = (
    ("Sign-ups and invitations", Measure.SIGNED_UP),
    ("Activations", Measure.ACTIVATED),
    ("Expiries", Measure.EXPIRED),
)
_FUNNEL = (
    ("Signed up or invited", Measure.SIGNED_UP, ""),
    ("Approved", Measure.APPROVED, "all"),
    ("Activated", Measure.ACTIVATED, "approved"),
    ("Onboarded to SEED", Measure.SEED_ONBOARDED, "activated"),
)


@dataclass(frozen=True, slots=True)
class Series:
    """A figure of the page: one measure by day."""

    name: str
    title: str
    summary: str
    unit: str
    plot: Plot | None
    """None where nothing happened, and a drawing would show nothing."""
    rows: Sequence[tuple[date, str | None]]


@blueprint.get("")
@allow(Audience.STAFF)
def index() -> ResponseReturnValue:
    """The page; for the part that asks for itself, that part, or 204 where it is the same as what is ``shown``."""
    now = clock.now()
    waiting = admin_start.waiting(now)
    mark = _mark(waiting, now)
    if wants_fragment():
        shown = request.args.get("shown", "")
        if shown == mark:
            return "", 204
        return render_template(
            "admin_start/_waiting.html", waiting=waiting, mark=mark, grown=_has_grown(waiting, shown)
        )
    numbers = statistics.numbers(now)
    funnel = _funnel(numbers)
    return render_template(
        "admin_start/page.html",
        waiting=waiting,
        mark=mark,
        numbers=numbers,
        today=[(label, numbers.today(each), numbers.yesterday(each)) for label, each in _TODAY],
        series=_series(numbers),
        funnel=funnel,
        funnel_words=", ".join(f"{label} {step.number:,}" for label, step, _ in funnel),
    )


def _mark(waiting: Waiting, now: datetime) -> str:
    """How many requests wait, and a sum over all that the part says: it is swapped only where it would differ."""
    ages = [ago(each.requested_at, now) for each in waiting.oldest]
    return f"{waiting.requests.number}.{crc32(repr((waiting.facts, ages)).encode()):x}"


def _has_grown(waiting: Waiting, shown: str) -> bool:
    before = shown.partition(".")[0]
    return before.isascii() and before.isdigit() and waiting.requests.number > int(before[:6])


def _series(numbers: Numbers) -> list[Series]:
    if not any(number is not None for each in numbers.by_measure.values() for number in each):
        return []
    return [_happened(title, each, numbers) for title, each in _BY_DAY] + [_queue_age(numbers)]


def _happened(title: str, measure: Measure, numbers: Numbers) -> Series:
    counted = numbers.by_measure[measure]
    total, most = numbers.total(measure), max(number or 0 for number in counted)
    what = title.lower()
    summary = f"No {what} in these days."
    if total:
        peak = sg_short_day(numbers.days[[number or 0 for number in counted].index(most)])
        summary = f"{total:,} in all; the most, {most:,}, on {peak}."
    rows = [(day, None if number is None else f"{number:,}") for day, number in zip(numbers.days, counted, strict=True)]
    plot = plots.bars(numbers.days, counted, _SMALL) if total else None
    return Series(measure.value, title, summary, title, plot, rows[::-1])


def _queue_age(numbers: Numbers) -> Series:
    """How long the oldest request had waited on each day: in days, or in hours where that is never two days."""
    hours = numbers.by_measure[Measure.OLDEST_WAITING]
    most = max(number or 0 for number in hours)
    summary = "No request waited for an hour or more."
    plot = None
    if most:
        in_days = most >= 48
        peak = sg_short_day(numbers.days[[number or 0 for number in hours].index(most)])
        unit = "days" if in_days else "hours"
        summary = f"The wait of the oldest request, in {unit}; the longest, {_wait(most)}, on {peak}."
        heights = [number / 24 if number is not None and in_days else number for number in hours]
        plot = plots.line(numbers.days, heights, _WIDE)
    rows = [(day, None if number is None else _wait(number)) for day, number in zip(numbers.days, hours, strict=True)]
    return Series("queue-age", "Age of the queue", summary, "Longest wait", plot, rows[::-1])


def _wait(hours: int) -> str:
    """Like "3 days 4 hours"."""
    parts = [(hours // 24, "day"), (hours % 24, "hour")]
    said = [f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in parts if count]
    return " ".join(said) or "under an hour"


def _funnel(numbers: Numbers) -> list[tuple[str, Step, str]]:
    counted = [numbers.total(measure) for _, measure, _ in _FUNNEL]
    if not any(counted):
        return []
    steps = plots.funnel(counted, 520)
    return [(label, step, whole) for (label, _, whole), step in zip(_FUNNEL, steps, strict=True)]
