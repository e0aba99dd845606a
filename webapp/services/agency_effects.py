"""What follows from a change of an agency, in plain words: said before it takes effect (rule 8.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from webapp.domain.addresses import AgencyMode, judge, parse
from webapp.domain.lifecycle import AccountStatus, RequestKind, RequestState
from webapp.models import Account, Request
from webapp.models.account import ASKING
from webapp.services.requests import IS_SEED_OF_DISABLED, is_asked_for_elsewhere
from webapp.services.sets import NOT_ON_HOLD, count_up_to

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select

    from webapp.services.agencies import AgencySettings

MOST = 1000
"""What follows is counted no further."""
_KEPT = "Who has an account keeps it."
_HAVE_AN_ACCOUNT = (AccountStatus.PENDING, AccountStatus.ACTIVE, AccountStatus.DISABLED)


def what_follows(before: AgencySettings | None, after: AgencySettings, agency_id: int | None = None) -> list[str]:
    """What a change means for whom, in plain sentences. ``before`` and ``agency_id`` are None for a new agency."""
    ids = [agency_id] if agency_id is not None else []
    if before is None:
        said = _on_signing_up(after)
        if after.mode is AgencyMode.OPEN:
            said += _on_options(after)
        return said
    changed = before.changes_to(after)
    turned_on = after.approves_automatically and not before.approves_automatically
    said = []
    if "domain" in changed:
        said.append(f"Addresses at {before.domain} are not known any more; those at {after.domain} are.")
    if "name" in changed:
        said.append(f"Pages and emails call the agency “{after.name}” from now on.")
    if "mode" in changed:
        said += _on_signing_up(after)
        if after.mode is not AgencyMode.OPEN:
            said += _on_staying(ids, after, turned_on=turned_on)
    elif "reason" in changed:
        said += _on_signing_up(after)
    if "approves_automatically" in changed:
        said += _on_approving(ids, after)
    if "seed_eligible" in changed:
        said += _on_seed(ids, after, turned_on=turned_on)
    if "vendors_allowed" in changed:
        said.append(_on_vendors(after))
    return said


def _on_signing_up(after: AgencySettings) -> list[str]:
    if after.mode is AgencyMode.OPEN:
        return [f"Officers with an address at {after.domain} can sign up."]
    words = judge(parse(f"name@{after.domain}"), after).message
    return [f"Nobody can sign up with an address at {after.domain}. Who tries is told: “{words}”"]


def _on_options(after: AgencySettings) -> list[str]:
    """What a new agency that is open allows."""
    return [
        "Their requests are approved as they come, without an admin."
        if after.approves_automatically
        else "Their requests wait for an admin’s decision.",
        "They are asked whether they want SEED." if after.seed_eligible else "They are not offered SEED.",
        _on_vendors(after).removesuffix(f" {_KEPT}"),
    ]


def _on_staying(ids: Sequence[int], after: AgencySettings, *, turned_on: bool) -> list[str]:
    people = count_up_to(_people(ids), MOST + 1)
    # Once approval becomes automatic more is said of them.
    waiting = 0 if turned_on else count_up_to(open_requests(ids), MOST + 1)
    said = ["Nobody has an account there yet."]
    if people:
        said = [f"{counted(people, 'person keeps', 'people keep')} their TechPass account or invitation."]
    if waiting:
        goes_on = "still approved automatically" if after.approves_automatically else "still yours to decide"
        said.append(f"{counted(waiting, 'open request is', 'open requests are')} {goes_on}.")
    return said


def _on_approving(ids: Sequence[int], after: AgencySettings) -> list[str]:
    if not after.approves_automatically:
        return ["Requests that come from now on wait for an admin’s decision. What was approved stays approved."]
    said = ["Requests are approved as they come, without an admin."]
    found = approvals(ids)
    if found.at_once:
        them = counted(found.at_once, "open request is", "open requests are")
        said.insert(0, f"{them} approved at once, within the next minute.")
    if found.on_hold:
        them = counted(found.on_hold, "open request waits", "open requests wait")
        said.append(f"{them} until the hold on the applicant’s account ends.")
    if found.asked_for_elsewhere:
        them = counted(found.asked_for_elsewhere, "vendor’s request waits", "vendors’ requests wait")
        said.append(f"{them} for an admin’s decision, since an officer of another agency asked for them.")
    if found.disabled:
        them = counted(found.disabled, "SEED request waits", "SEED requests wait")
        said.append(f"{them} until the applicant’s TechPass is enabled again.")
    return said


def _on_seed(ids: Sequence[int], after: AgencySettings, *, turned_on: bool) -> list[str]:
    if after.seed_eligible:
        return ["Who signs up is asked about SEED, and who has an active account can ask for it from their profile."]
    said = [
        "Nobody new can ask for SEED, neither at sign-up nor from the profile.",
        "Who holds SEED or is invited to it keeps it.",
    ]
    waiting = 0 if turned_on else count_up_to(open_requests(ids, RequestKind.SEED), MOST + 1)
    if waiting:
        them = counted(waiting, "open SEED request", "open SEED requests")
        stays = "stays" if waiting == 1 else "stay"
        goes_on = "is still approved" if waiting == 1 else "are still approved"
        if after.approves_automatically:
            said.append(f"{them} {goes_on} automatically.")
        else:
            said.append(f"{them} {stays} until you decide.")
    return said


def _on_vendors(after: AgencySettings) -> str:
    vendors = f"Vendors, whose addresses are like name_FROM.VENDOR@{after.domain},"
    if not after.vendors_allowed:
        return f"{vendors} cannot sign up themselves. {_KEPT}"
    return f"{vendors} can sign up themselves{'' if after.mode is AgencyMode.OPEN else ' once the agency is open'}."


def counted(count: int, one: str, many: str) -> str:
    """Like "1 person keeps" and "12 people keep"; no further than `MOST`."""
    if count > MOST:
        return f"More than {MOST:,} {many}"
    return f"{count:,} {one if count == 1 else many}"


def open_requests(ids: Sequence[int], kind: RequestKind | None = None) -> Select[Any]:
    """The open requests at these agencies. Only those who ask are read, however many people there are."""
    query = (
        select(Request.id)
        .join(Account, Account.id == Request.account_id)
        .where(Account.agency_id.in_(ids), ASKING, Request.state == RequestState.OPEN)
    )
    return query if kind is None else query.where(Request.kind == kind)


class Approvals(NamedTuple):
    """How many open requests automatic approval takes, and how many it leaves for what reason."""

    at_once: int
    on_hold: int
    asked_for_elsewhere: int
    disabled: int


def approvals(ids: Sequence[int]) -> Approvals:
    """What `requests.approve_automatically` does with the open requests at these agencies."""
    elsewhere = is_asked_for_elsewhere()
    each = (
        (NOT_ON_HOLD, ~elsewhere, ~IS_SEED_OF_DISABLED),
        (~NOT_ON_HOLD,),
        (NOT_ON_HOLD, elsewhere),
        (NOT_ON_HOLD, ~elsewhere, IS_SEED_OF_DISABLED),
    )
    return Approvals(*(count_up_to(open_requests(ids).where(*which), MOST + 1) for which in each))


def _people(ids: Sequence[int]) -> Select[Any]:
    return select(Account.id).where(Account.agency_id.in_(ids), Account.status.in_(_HAVE_AN_ACCOUNT))
