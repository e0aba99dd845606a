"""What the pages of the queue share: the filters of the address, a row, the list, and words for what was not done."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flask import current_app, flash, render_template, request, session, url_for

from webapp import clock
from webapp.access import signed_in
from webapp.domain.lifecycle import AccountType, RequestKind, RequestState
from webapp.forms import squeeze
from webapp.htmx import go_to, wants_fragment
from webapp.models.base import MAX_ID
from webapp.paging import cut, key
from webapp.services import queue_list, undo
from webapp.services.errors import (
    AlreadyAsked,
    AlreadyDecided,
    Late,
    OwnAccount,
    OwnInvitee,
    OwnRequest,
    TechPassFirst,
    TextMissing,
    TooLate,
)
from webapp.services.queue_list import Filters, Row, Seed, Talk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from enum import StrEnum
    from typing import TypeVar

    from flask.typing import ResponseReturnValue

    from webapp.models import Request
    from webapp.services.errors import ServiceError

    Choice = TypeVar("Choice", bound=StrEnum)

KIND_NAMES = {RequestKind.TECHPASS: "TechPass", RequestKind.SEED: "SEED"}
AGES = (1, 3, 7)
_KEPT = ("agency", "kind", "person", "age", "seed", "question", "q", "after")
_TOLD = 5
"""What was not done, for so many of a selection."""


def filters() -> Filters:
    """What the address narrows the queue to. What it garbles narrows nothing."""
    age = request.args.get("age", "")
    return Filters(
        agency_id=key("agency"),
        kind=_one_of(RequestKind, "kind"),
        days=int(age) if age in map(str, AGES) else None,
        seed=_one_of(Seed, "seed"),
        talk=_one_of(Talk, "question"),
        person=_one_of(AccountType, "person"),
        address=(squeeze(request.args.get("q")) or "")[:113],
    )


def _one_of(choices: type[Choice], name: str) -> Choice | None:
    given = request.args.get(name, "")
    return choices(given) if given in list(choices) else None


def kept() -> dict[str, Any]:
    """The filters and the page, as arguments of an address that leads back to where somebody is."""
    return {name: request.args[name] for name in _KEPT if request.args.get(name)}


def back() -> ResponseReturnValue:
    return go_to(url_for("admin_requests.index", **kept()))


def show_list(message: str = "", problems: Sequence[str] = ()) -> str:
    """The queue as the address narrows it; with the answer to what was done with a selection."""
    narrowed_to = filters()
    found, more = cut(queue_list.waiting(narrowed_to, clock.now(), _after()), queue_list.PAGE)
    last = found[-1].request if more else None
    following = f"{last.requested_at.isoformat()}_{last.id}" if last else None
    return render_template(
        "admin_requests/_list.html" if wants_fragment() else "admin_requests/page.html",
        rows=found,
        following=following,
        filters=narrowed_to,
        is_narrowed=narrowed_to != Filters(),
        kept=kept(),
        message=message,
        problems=problems,
        undo=_offer(),
        wants_fragment=wants_fragment(),
        agencies=() if wants_fragment() else queue_list.agencies(),
    )


def _after() -> tuple[datetime, int] | None:
    at, _, number = request.args.get("after", "").rpartition("_")
    try:
        instant, last = datetime.fromisoformat(at), int(number)
        known = instant.tzinfo is not None and 0 < last <= MAX_ID
        return (instant.astimezone(UTC), last) if known else None
    except (ValueError, OverflowError):  # Not a date; one that UTC has no year for.
        return None


# What can be taken back, where no row says so itself: without scripts, for a selection, and once the row is gone.

_OFFER = "undo"


def remember_undo(decided: Sequence[Request]) -> None:
    """Offer on the list to take ``decided`` back, for as long as it can be."""
    left = [seconds for each in decided if (seconds := seconds_left(each))]
    if left:
        until = clock.now().timestamp() + min(left)
        session[_OFFER] = {"ids": [each.id for each in decided], "until": until}


def forget_undo(ids: Sequence[int]) -> None:
    """Offer none of these any more: they have been taken back, or cannot be."""
    given = session.get(_OFFER)
    if given is not None and set(given["ids"]) & set(ids):
        del session[_OFFER]


def _offer() -> dict[str, Any] | None:
    given = session.get(_OFFER)
    if given is None:
        return None
    seconds = given["until"] - clock.now().timestamp()
    if seconds <= 0:
        del session[_OFFER]
        return None
    return {"ids": given["ids"], "seconds": seconds}


def seconds_left(decided: Request) -> float:
    return undo.seconds_left(decided, signed_in.account_id, clock.now(), current_app.config["POLICY"])


# One row, as the answer to what was done with it.


def answer(number: int, message: str, kind: str = "info", **more: Any) -> ResponseReturnValue:
    """The row as it stands now, with those of the same person; without scripts, back to the list with ``message``."""
    if not wants_fragment():
        flash(message, kind)
        return back()
    row = queue_list.row(number)
    others = queue_list.beside(row.request) if row.request.kind is RequestKind.TECHPASS else ()
    return show_row(row, message=message, others=others, **more)


def show_row(row: Row, **more: Any) -> str:
    others = more.pop("others", ())
    return render_template(
        "admin_requests/_decided.html",
        row=row,
        others=[(other, seconds_left(other.request)) for other in others],
        kept=kept(),
        seconds=seconds_left(row.request),
        **more,
    )


def answer_note(number: int, message: str, kind: str) -> ResponseReturnValue:
    """`answer` for a note: of the row, only the cell with what is said about it."""
    if not wants_fragment():
        flash(message, kind)
        return back()
    row = queue_list.row(number)
    others = "".join(show_talk(other, swaps_alone=True) for other in queue_list.beside(row.request))
    return show_talk(row, told=message, notes_open=True) + others


def show_talk(row: Row, **more: Any) -> str:
    return render_template("admin_requests/_talk.html", row=row, kept=kept(), **more)


def name(found: Request) -> str:
    return f"{KIND_NAMES[found.kind]} for {found.account.email}"


def why_not(found: Request, error: ServiceError) -> str:
    """Why nothing was done about a request, as the rest of a sentence."""
    match error:
        case AlreadyDecided():
            return f"{_who_decided(found)} {found.state} this request already."
        case OwnRequest() | OwnAccount():
            return "another admin must decide on your own request."
        case OwnInvitee():
            return "another admin must decide on whom you asked for."
        case TechPassFirst():
            return "SEED needs a TechPass that is approved and not disabled."
        case AlreadyAsked():
            return "a question to the applicant waits for its answer already."
        case TextMissing():
            return "there were no words in it."
        case TooLate(why=Late.MOVED_ON) if found.state is RequestState.OPEN:
            return "it waits again already."
        case TooLate(why=why):
            return _LATE[why]
        case _:
            return "enter a reason, the applicant is told it by email."


_LATE = {
    Late.TIME: "the time to take it back is over, and the email is on its way.",
    Late.OTHER_ADMIN: "only the admin who decided can take it back.",
    Late.SEED_FIRST: "SEED was approved after it. Take that back first.",
    Late.MOVED_ON: "it stands differently by now. Load the page again to see how.",
    Late.SIGNED_UP_AGAIN: "the applicant has signed up again meanwhile. Decide on the new request.",
}


def _who_decided(found: Request) -> str:
    decider = queue_list.decider(found)
    if found.state is RequestState.WITHDRAWN:
        return f"{found.account.email} has"
    if decider and decider.id == signed_in.account_id:
        return "you have"
    return f"{decider.email} has" if decider else "the agency's automatic approval has"


def tell_selection(done: str, problems: Sequence[str]) -> ResponseReturnValue:
    """The list anew, with what was done with a selection and what was not."""
    told = [*problems[:_TOLD]]
    if len(problems) > _TOLD:
        told.append(f"And {len(problems) - _TOLD} more.")
    if wants_fragment():
        return show_list(done, told)
    flash(done, "info" if problems else "success")
    for problem in told:
        flash(problem, "warning")
    return back()
