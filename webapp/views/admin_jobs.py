"""What works by itself, for admins and auditors: jobs by the clock, queue, workers, what failed (rule 8.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from flask import Blueprint, flash, render_template, request, url_for

from webapp import clock
from webapp.access import Audience, allow, by
from webapp.htmx import go_to, wants_fragment
from webapp.services import job_board as service
from webapp.services.errors import NotFound, QueueDown

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from flask.typing import ResponseReturnValue

    from webapp.services.job_board import Board

blueprint = Blueprint("admin_jobs", __name__, url_prefix="/admin/jobs")

NAMES = {
    "deliver": "Send emails",
    "approve": "Approve automatically",
    "invite": "Send invitations",
    "sweep": "Keep deadlines",
    "seal": "Seal the audit log",
    "count": "Count the numbers",
    "digest": "Daily digest",
}
_GONE = "Nothing was changed: the job is not among the failed any more. It was run again or forgotten meanwhile."
_DOWN = "Nothing was changed: the queue server does not answer. Try again once it does."


@blueprint.get("")
@allow(Audience.STAFF)
def index() -> ResponseReturnValue:
    """The page; for the board that asks for itself, the board, or 204 where it is the same as what is ``shown``."""
    board = service.read(clock.now())
    if not wants_fragment():
        return render_template("admin_jobs/page.html", **_shown(board))
    shown = request.args.get("shown", "")
    if shown == _mark(board):
        return "", 204
    # The verdict is told again only where it has changed.
    return render_template(
        "admin_jobs/_board.html", **_shown(board), is_news=shown.partition(".")[0] != _verdict(board)
    )


@blueprint.post("/<uuid:number>/retry")
@allow(Audience.ADMIN)
def retry(number: UUID) -> ResponseReturnValue:
    """Run a failed job again."""
    return _done(
        lambda: f"“{_plain(service.retry(clock.now(), by(), str(number)))}” runs again as soon as a worker is free."
    )


@blueprint.post("/<uuid:number>/forget")
@allow(Audience.ADMIN)
def forget(number: UUID) -> ResponseReturnValue:
    """Take a job from the failed ones."""
    return _done(lambda: f"The failed “{_plain(service.forget(clock.now(), by(), str(number)))}” is forgotten.")


@blueprint.post("/retry")
@allow(Audience.ADMIN)
def retry_all() -> ResponseReturnValue:
    """Run all again that failed, each job once."""
    return _done(lambda: _runs_again(service.retry_all(clock.now(), by())))


def _runs_again(names: list[str]) -> str:
    listed = ", ".join(f"“{_plain(name)}”" for name in names)
    return f"{listed} {'runs' if len(names) == 1 else 'run'} again as soon as a worker is free."


def _done(act: Callable[[], str]) -> ResponseReturnValue:
    try:
        message, kind = act(), "success"
    except NotFound:
        message, kind = _GONE, "info"
    except QueueDown:
        message, kind = _DOWN, "error"
    if wants_fragment():
        board = service.read(clock.now())
        return render_template("admin_jobs/_board.html", **_shown(board), message=message, kind=kind)
    flash(message, kind)
    return go_to(url_for("admin_jobs.index"))


def _shown(board: Board) -> dict[str, object]:
    return {"board": board, "mark": _mark(board), "names": NAMES}


def _plain(name: str) -> str:
    return NAMES.get(name, name)


def _verdict(board: Board) -> str:
    return f"{crc32(repr((board.problems, board.failed_count, board.stuck_count)).encode()):x}"


def _mark(board: Board) -> str:
    """The verdict, and a sum over all that the board says: it is swapped only where it would differ."""
    return f"{_verdict(board)}.{crc32(repr(board).encode()):x}"
