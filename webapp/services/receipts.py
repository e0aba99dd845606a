"""The private answer to "Where is my request?": what was done, who acts next and by when (rule 1.10)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from webapp.domain.lifecycle import AccountStatus, InvitationKind, RequestKind, RequestState
from webapp.domain.tokens import TOKEN_LENGTH, token_hash
from webapp.extensions import db
from webapp.formatting import sg_datetime, sg_day
from webapp.models import Account, Question, Request
from webapp.services import inviters
from webapp.services.errors import NotFound
from webapp.services.invitations import live_invitation, state_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

_ON_HOLD = "The invitation has expired, and your TechPass is on hold. Until that ends, asking again does not help."

_REVIEWS = ("An admin reviews your request", "An admin reviews your SEED request")
_QUESTION = "An admin asked you for more information"


@dataclass(frozen=True, slots=True)
class Entry:
    """A step of the timeline; ``state`` is done, current or todo."""

    title: str
    state: str
    at: datetime | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """What an admin wants to know before deciding on the request of a kind (rule 8.2)."""

    number: int
    kind: RequestKind
    question: str


@dataclass(frozen=True, slots=True)
class Receipt:
    email: str
    status: AccountStatus
    entries: tuple[Entry, ...]
    may_resend: bool
    """Whether the invitation can be asked for again."""
    may_sign_up_again: bool
    may_be_invited_again: bool
    questions: tuple[OpenQuestion, ...] = ()
    """Those that wait for an answer."""


def find(token: str) -> Account:
    """The account whose receipt link holds ``token``. Raises `NotFound`, also once personal data is deleted."""
    if len(token) != TOKEN_LENGTH:
        raise NotFound
    found = db.session.scalar(
        select(Account)
        .where(Account.receipt_hash == token_hash(token), Account.status != AccountStatus.DELETED)
        .options(joinedload(Account.agency, innerjoin=True))
    )
    if found is None:
        raise NotFound
    return found


def receipt(token: str, now: datetime) -> Receipt:
    """Raises `NotFound`."""
    account = find(token)
    requests, asked = _asked_for(account.id)
    invitation = live_invitation(account.id, InvitationKind.TECHPASS)
    waits = invitation is not None and state_at(invitation, now) == "live" and account.status is AccountStatus.PENDING
    entries = _begun(account, requests.get(RequestKind.TECHPASS))
    entries += _talk(asked, requests.get(RequestKind.TECHPASS))
    entries += _techpass(
        account, requests.get(RequestKind.TECHPASS), invitation.expires_at if invitation and waits else None
    )
    # Somebody whose time is up is terminated, whether or not the sweep has come (promise 5).
    overdue = account.status is AccountStatus.PENDING and not waits and not account.under_investigation
    status = AccountStatus.TERMINATED if overdue else account.status
    ended = status in (AccountStatus.REJECTED, AccountStatus.TERMINATED)
    seed = requests.get(RequestKind.SEED)
    if seed is not None and not (ended and seed.state is RequestState.OPEN):
        entries += _talk(asked, seed) + _seed(seed, account)
    # What waits for an answer comes before what waits for a decision.
    if any(entry.title == _QUESTION for entry in entries):
        entries = [
            replace(entry, state="todo") if entry.state == "current" and entry.title in _REVIEWS else entry
            for entry in entries
        ]
    again = ended and account.may_sign_up
    questions = [OpenQuestion(each.id, kind, each.question) for kind, each in _open(asked, requests.values())]
    return Receipt(account.email, status, tuple(entries), waits, again, ended and not again, tuple(questions))


def _asked_for(account_id: int) -> tuple[dict[RequestKind, Request], list[Question]]:
    """The last request of each kind, and all that was asked about any, oldest first."""
    rows = db.session.execute(
        select(Request, Question)
        .outerjoin(Question, Question.request_id == Request.id)
        .where(Request.account_id == account_id)
        .order_by(Request.requested_at, Request.id, Question.id)
    ).all()
    return {request.kind: request for request, _ in rows}, [asked for _, asked in rows if asked is not None]


def _open(asked: Sequence[Question], requests: Iterable[Request]) -> list[tuple[RequestKind, Question]]:
    kinds = {request.id: request.kind for request in requests if request.state is RequestState.OPEN}
    return [(kinds[each.request_id], each) for each in asked if each.request_id in kinds and not each.answered_at]


def _begun(account: Account, request: Request | None) -> list[Entry]:
    """Who asked for it: the holder, or somebody else; then a vendor registered (rules 5.1 and 5.5)."""
    asked_for = inviters.of([account.id]).get(account.id, [])
    if not asked_for:
        return [Entry("You asked for TechPass", "done", account.created_at)]
    last = asked_for[0]
    by = f"By {last.email}, {last.agency}"
    begun = [Entry("TechPass was asked for on your behalf", "done", account.created_at, by)]
    if account.is_vendor and request is not None:
        begun.append(Entry("You registered", "done", request.requested_at))
    return begun


def _again(account: Account) -> str:
    return "sign up again" if account.may_sign_up else "be invited again"


def _talk(asked: Sequence[Question], request: Request | None) -> list[Entry]:
    entries = []
    for each in asked:
        if request is None or each.request_id != request.id:
            continue
        if each.answered_at is not None:
            entries.append(Entry("You answered a question of an admin", "done", each.answered_at, each.question))
        elif request.state is RequestState.OPEN:
            words = "You act next: answer the question below. Your request waits until then."
            entries.append(Entry(_QUESTION, "current", each.asked_at, words))
    return entries


def _techpass(account: Account, request: Request | None, activate_by: datetime | None) -> list[Entry]:
    if request is None:
        return []
    if request.state is RequestState.OPEN:
        return [
            Entry(
                _REVIEWS[0],
                "current",
                detail=f"The admins for {account.agency.name} act next. You will get an email when they have decided.",
            ),
            Entry(
                "You activate your TechPass",
                "todo",
                detail="From the onboarding email that follows the approval.",
            ),
        ]
    if request.state is RequestState.REJECTED:
        return [
            Entry(
                "Your request was not approved",
                "current",
                request.decided_at,
                f"Reason: {request.reason} You may {_again(account)} once this is settled.",
            )
        ]
    entries = [
        Entry(
            "Your request was approved",
            "done",
            request.decided_at,
            "We sent you the TechPass onboarding email.",
        )
    ]
    if account.status is AccountStatus.TERMINATED and account.activated_at is None:
        entries.append(
            Entry(
                "Not activated in time",
                "current",
                account.status_at,
                f"The account was terminated. You can {_again(account)}.",
            )
        )
    elif account.activated_at is not None:
        entries.append(Entry("You activated your TechPass", "done", account.activated_at))
    elif activate_by is not None:
        entries.append(
            Entry(
                "You activate your TechPass",
                "current",
                detail=f"You act next: open the onboarding email and accept by {sg_datetime(activate_by)}.",
            )
        )
    else:
        entries.append(
            Entry(
                "Not activated in time",
                "current",
                detail=_ON_HOLD
                if account.under_investigation
                else f"The invitation has expired. You can {_again(account)}.",
            )
        )
    return entries


def _seed(request: Request, account: Account) -> list[Entry]:
    if request.state is RequestState.OPEN:
        waits = account.status is AccountStatus.REQUESTED
        by_when = (
            f"The admins act next. We promise the SEED email by {sg_day(request.due_on)}." if request.due_on else ""
        )
        return [Entry(_REVIEWS[1], "todo" if waits else "current", detail=by_when)]
    if request.state is RequestState.WITHDRAWN:
        return [Entry("You said that you do not need SEED", "done", request.decided_at)]
    if request.state is RequestState.REJECTED:
        return [Entry("SEED was not approved", "current", request.decided_at, f"Reason: {request.reason}")]
    return [
        Entry(
            "SEED was approved",
            "done",
            request.decided_at,
            "We sent you the SEED onboarding email. Activate your TechPass first, then onboard your device.",
        )
    ]
