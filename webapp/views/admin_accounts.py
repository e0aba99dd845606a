"""People: searched, one account with its timeline, and what admins do with it (rules 8.3, 8.9 and 8.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from flask import Blueprint, abort, current_app, flash, render_template, request, url_for

from webapp import clock, paging
from webapp.access import Audience, allow, by, signed_in
from webapp.domain.lifecycle import AccountStatus, AccountType, InvitationKind, Role
from webapp.emails.names import KINDS
from webapp.extensions import csrf
from webapp.formatting import sg_day
from webapp.forms.admin_accounts import ActionForm, ExtendForm, NoteForm, ResendForm, RoleForm, offer
from webapp.htmx import go_to, wants_fragment
from webapp.services import account_actions, accounts, authenticators, extending, holding, notes, people, roles
from webapp.services.account_actions import Action
from webapp.services.acting import last_event
from webapp.services.errors import DayRefused, LastAdmin, NotFound, NotPossible, OwnAccount, TextMissing
from webapp.services.queue_list import agencies

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from enum import StrEnum

    from flask.typing import ResponseReturnValue

    from webapp.models import Account, Invitation

    Choice = TypeVar("Choice", bound=StrEnum)

blueprint = Blueprint("admin_accounts", __name__, url_prefix="/admin/accounts")

ON_HOLD = "on_hold"
STATUS_NAMES = {status: status.capitalize() for status in AccountStatus} | {AccountStatus.DELETED: "Data deleted"}
ROLE_NAMES = {Role.OFFICER: "Public officer", Role.AUDITOR: "Auditor", Role.ADMIN: "Admin"}
LINK_NAMES = {
    InvitationKind.TECHPASS: "TechPass invitation",
    InvitationKind.SEED: "SEED invitation",
    InvitationKind.AUTHENTICATOR: "Link to a new authenticator",
    InvitationKind.REGISTRATION: "Invitation to register",
}
ACTION_NAMES = {
    Action.RESEND: "Send the invitation again",
    Action.EXTEND: "Extend the invitation",
    Action.HOLD: "Put on hold",
    Action.RELEASE: "End the hold",
    Action.ENABLE: "Enable",
    Action.DISABLE: "Disable",
    Action.RESET_AUTHENTICATOR: "Reset the authenticator",
    Action.ROLE: "Change the role",
    Action.TERMINATE: "Terminate",
}
_DONE = {
    Action.RESEND: "A new link is on its way to {email}.",
    Action.EXTEND: "The invitation of {email} is extended.",
    Action.HOLD: "{email} is on hold.",
    Action.RELEASE: "{email} is on hold no more.",
    Action.ENABLE: "{email} is enabled.",
    Action.DISABLE: "{email} is disabled.",
    Action.RESET_AUTHENTICATOR: "The authenticator of {email} is reset.",
    Action.ROLE: "The role of {email} is changed.",
    Action.TERMINATE: "{email} is terminated.",
}
ORDINARY = (Action.RESEND, Action.EXTEND, Action.HOLD, Action.RELEASE)
DANGEROUS = (Action.ENABLE, Action.DISABLE, Action.RESET_AUTHENTICATOR, Action.ROLE, Action.TERMINATE)
_ENDS_AS = {
    Action.ENABLE: AccountStatus.ACTIVE,
    Action.DISABLE: AccountStatus.DISABLED,
    Action.TERMINATE: AccountStatus.TERMINATED,
}
_SHOWN_IF_POSSIBLE = (Action.HOLD, Action.RELEASE, Action.ENABLE)
"""Each has its counterpart; of all others it is said why they are not possible."""
_OWN = "Nothing was done: another admin must change your own account."
_LAST = "Nothing was done: this is the last active admin, who keeps the role and the account."
_CHANGED = "The account has changed since this page was shown. Read again what happens, then submit once more"
_NOT_NOW = "Nothing was done: the account does not stand like that any more."
_AT_MOST = "Nothing was done: the invitation works as long as it can already."


@blueprint.app_context_processor
def _words() -> dict[str, Any]:
    return {"role_names": ROLE_NAMES, "link_names": LINK_NAMES, "action_names": ACTION_NAMES}


@blueprint.get("")
@allow(Audience.STAFF)
def index() -> str:
    """Newest first, a page at a time by key; whose whole address was typed comes first."""
    wanted = people.Wanted(
        words=request.args.get("q", "").strip()[:113],
        agency_id=paging.key("agency"),
        status=_chosen("status", AccountStatus),
        role=_chosen("role", Role),
        account_type=_chosen("person", AccountType),
        # Once it was one of the statuses: addresses that were kept go on to work.
        on_hold=ON_HOLD in (request.args.get("hold"), request.args.get("status")),
        asked_for_by=paging.key("asked_for_by"),
    )
    before = paging.key()
    shown, more = people.find(wanted, before)
    listed = {
        "accounts": shown,
        "first": paging.here(before=None) if before else None,
        "following": paging.here(before=shown[-1].id) if more else None,
    }
    if wants_fragment():
        return render_template("admin_accounts/_list.html", **listed)
    choices = {
        "agencies": agencies(),
        "statuses": STATUS_NAMES.items(),
        "roles": ROLE_NAMES.items(),
    }
    inviter = _get(wanted.asked_for_by) if wanted.asked_for_by else None
    return render_template("admin_accounts/page.html", wanted=wanted, inviter=inviter, **choices, **listed)


def _chosen(name: str, values: type[Choice]) -> Choice | None:
    given = request.args.get(name)
    return values(given) if given in list(values) else None


@blueprint.get("/<id:account_id>")
@allow(Audience.STAFF)
def account(account_id: int) -> str:
    """Everything about one person; for the pager of the timeline, that part."""
    if wants_fragment():
        _get(account_id)
        return render_template("admin_accounts/_timeline.html", **_timeline(account_id))
    return _page(account_id, NoteForm(formdata=None))


def _page(account_id: int, form: NoteForm) -> str:
    try:
        person = people.person(account_id, clock.now(), current_app.config["POLICY"])
    except NotFound:
        abort(404)
    live = [link.kind for link in person.links]
    possible = account_actions.possible(person.account, live)
    if Action.EXTEND in possible and not _ranges(person.account, person.links):
        possible.remove(Action.EXTEND)
    return render_template(
        "admin_accounts/account.html",
        person=person,
        account=person.account,
        is_own=account_id == signed_in.account_id,
        ordinary=_offers(ORDINARY, possible, person.account, live),
        dangerous=_offers(DANGEROUS, possible, person.account, live),
        form=form,
        kinds=KINDS,
        most_invited=people.MOST_INVITED,
        **_timeline(account_id),
    )


def _timeline(account_id: int) -> dict[str, Any]:
    before = paging.key()
    entries, more = paging.cut(people.timeline(account_id, before), people.TIMELINE)
    here = url_for("admin_accounts.account", account_id=account_id)
    return {
        "entries": entries,
        "first": here if before else None,
        "following": f"{here}?before={entries[-1].number}" if more else None,
    }


def _offers(
    actions: Sequence[Action], possible: Sequence[Action], account: Account, live: Sequence[InvitationKind]
) -> list[tuple[Action, str]]:
    """Each action with "", or with why it is not possible now."""
    shown = [action for action in actions if action in possible or action not in _SHOWN_IF_POSSIBLE]
    return [(action, "" if action in possible else _why_not(action, account, live)) for action in shown]


def _why_not(action: Action, account: Account, live: Sequence[InvitationKind]) -> str:
    has_ended = account.status in (AccountStatus.REJECTED, AccountStatus.TERMINATED, AccountStatus.DELETED)
    match action:
        case Action.EXTEND if account_actions.extendable(account, live):
            return "It works as long as it can already."
        case Action.RESEND | Action.EXTEND if account.expired_at and account.status is AccountStatus.PENDING:
            return "The notice of termination is written."
        case Action.RESEND | Action.EXTEND:
            return "No invitation waits to be taken up."
        case _ if has_ended:
            return "The account has ended."
        case Action.TERMINATE if InvitationKind.REGISTRATION in live:
            return "They have yet to register. The invitation ends by itself."
        case Action.TERMINATE:
            return "The request waits for a decision: reject it instead."
        case Action.DISABLE if account.status is AccountStatus.DISABLED:
            return "It is disabled already."
        case Action.RESET_AUTHENTICATOR:
            return "It is for who can log in, or is being onboarded."
        case _:
            return "It is for active accounts."


@blueprint.post("/<id:account_id>/notes")
@allow(Audience.ADMIN)
@csrf.exempt  # The form checks its own token, and keeps what was typed.
def add_note(account_id: int) -> ResponseReturnValue:
    account = _get(account_id)
    form = NoteForm()
    if not form.validate():
        if wants_fragment():
            return _notes(account, form)
        return _page(account_id, form), 422
    try:
        notes.add(account_id, form.note.data or "", by(), clock.now())
    except NotFound:
        abort(404)
    except (OwnAccount, TextMissing):
        flash(_OWN, "info")
        return go_to(url_for("admin_accounts.account", account_id=account_id))
    if wants_fragment():
        return _notes(account, NoteForm(formdata=None), "The note is kept.")
    flash("The note is kept.", "success")
    return go_to(url_for("admin_accounts.account", account_id=account_id))


def _notes(account: Account, form: NoteForm, message: str = "") -> str:
    return render_template(
        "admin_accounts/_notes.html",
        account=account,
        notes=notes.of([account.id]).get(account.id, []),
        form=form,
        message=message,
    )


@blueprint.get("/<id:account_id>/<action>")
@allow(Audience.ADMIN)
def ask(account_id: int, action: str) -> ResponseReturnValue:
    """What will happen, and the form that asks for the reason."""
    act = _action(action)
    account, live = _get(account_id), people.live_links(account_id)
    form = _form(act, account, live, shown=True)
    if account_id == signed_in.account_id:
        return _not_done(account, _OWN)
    if form is None:
        return _not_done(account, _why_nothing(act, account))
    form.seen.data, form.stands.data = str(last_event(account_id)), _stands(account)
    return _ask(act, account, form, live)


@blueprint.post("/<id:account_id>/<action>")
@allow(Audience.ADMIN)
@csrf.exempt  # The form checks its own token, and keeps what was typed.
def do(account_id: int, action: str) -> ResponseReturnValue:
    act = _action(action)
    account, live = _get(account_id), people.live_links(account_id)
    form = _form(act, account, live, shown=False)
    if form is None or _is_done(act, account):
        return _not_done(account, _why_nothing(act, account))
    if not form.validate():
        return _ask(act, account, form, live, 422)
    if form.stands.data and form.stands.data != _stands(account):
        form.stands.data = _stands(account)
        form.form_errors.append(_CHANGED)
        return _ask(act, account, form, live, 422)
    try:
        _carry_out(act, account_id, form)
    except DayRefused as error:
        assert isinstance(form, ExtendForm)
        fits = f"Enter a day from {sg_day(error.first)} to {sg_day(error.last)}"
        form.until.errors = [fits if error.first <= error.last else "It works as long as it can already"]
        return _ask(act, account, form, live, 422)
    except OwnAccount:
        return _not_done(account, _OWN)
    except LastAdmin:
        return _not_done(account, _LAST)
    except (NotFound, NotPossible):
        return _not_done(account, _why_nothing(act, account))
    flash(_DONE[act].format(email=account.email) + " The holder is told by email.", "success")
    return go_to(url_for("admin_accounts.account", account_id=account_id))


def _stands(account: Account) -> str:
    """By what the page says what follows from an action."""
    return (
        f"{account.status} {account.seed_status} {account.role} {'on hold' if account.under_investigation else 'free'}"
    )


def _is_done(act: Action, account: Account) -> bool:
    """Whether the account stands already as the form would have it: it was sent twice, or another admin was first."""
    if account.id == signed_in.account_id:
        return False
    match act:
        case Action.HOLD | Action.RELEASE:
            return account.under_investigation is (act is Action.HOLD)
        case Action.ENABLE | Action.DISABLE | Action.TERMINATE:
            return account.status is _ENDS_AS[act]
        case Action.ROLE:
            return account.role == request.form.get("role")
        case _:
            return False


def _why_nothing(act: Action, account: Account) -> str:
    return f"Nothing more was done: {_DONE[act].format(email=account.email)}" if _is_done(act, account) else _NOT_NOW


def _carry_out(act: Action, account_id: int, form: ActionForm) -> None:
    reason, who, now = form.reason.data or "", by(), clock.now()
    policy = current_app.config["POLICY"]
    match act, form:
        case Action.RESEND, ResendForm():
            kind = InvitationKind(form.kind.data)
            account_actions.resend(account_id, kind, reason, who, now, policy, form.last_seen())
        case Action.EXTEND, ExtendForm():
            assert form.until.data is not None
            kind = InvitationKind(form.kind.data)
            extending.extend(account_id, kind, form.until.data, reason, who, now, policy)
        case Action.HOLD, _:
            holding.hold(account_id, reason, who, now)
        case Action.RELEASE, _:
            holding.release(account_id, reason, who, now)
        case Action.ENABLE, _:
            accounts.enable(account_id, reason, who, now, policy)
        case Action.DISABLE, _:
            account_actions.disable(account_id, reason, who, now, policy)
        case Action.RESET_AUTHENTICATOR, _:
            authenticators.reset_authenticator(account_id, reason, who, now, policy, form.last_seen())
        case Action.ROLE, RoleForm():
            roles.change(account_id, Role(form.role.data), reason, who, now)
        case Action.TERMINATE, _:
            account_actions.terminate(account_id, reason, who, now)
        case _:
            raise AssertionError(act)


def _form(act: Action, account: Account, live: Sequence[Invitation], *, shown: bool) -> ActionForm | None:
    """The form of an action as the account stands, empty where it is only ``shown``; None where it is not possible."""
    kinds = [link.kind for link in live]
    if act not in account_actions.possible(account, kinds):
        return None
    given: dict[str, Any] = {"formdata": None} if shown else {}
    match act:
        case Action.RESEND:
            resend = ResendForm(**given)
            offer(resend.kind, [(kind, LINK_NAMES[kind]) for kind in account_actions.resendable(account, kinds)])
            return resend
        case Action.EXTEND:
            extend = ExtendForm(**given)
            offer(extend.kind, [(kind, LINK_NAMES[kind]) for kind in account_actions.extendable(account, kinds)])
            return extend
        case Action.ROLE:
            role = RoleForm(**given)
            offer(role.role, [(each, ROLE_NAMES[each]) for each in roles.choices(account)])
            return role
        case _:
            return ActionForm(**given)


def _ask(
    act: Action, account: Account, form: ActionForm, live: Sequence[Invitation], status: int = 200
) -> ResponseReturnValue:
    ranges = _ranges(account, live) if act is Action.EXTEND else []
    if act is Action.EXTEND and not ranges:
        return _not_done(account, _AT_MOST)
    extendable = account_actions.extendable(account, [link.kind for link in live])
    page = render_template(
        "admin_accounts/action.html",
        action=act,
        account=account,
        form=form,
        links=[link for link in live if act is not Action.EXTEND or link.kind in extendable],
        # With two links that end on different days, the service refuses what does not fit the one chosen.
        first_day=min((first for first, _ in ranges), default=None),
        last_day=max((last for _, last in ranges), default=None),
        is_dangerous=act in (Action.DISABLE, Action.RESET_AUTHENTICATOR, Action.TERMINATE),
    )
    return page, status


def _ranges(account: Account, live: Sequence[Invitation]) -> list[tuple[date, date]]:
    """The first and the last day until which each link can be extended; none of one that works as long as it can."""
    now, policy = clock.now(), current_app.config["POLICY"]
    kinds = account_actions.extendable(account, [link.kind for link in live])
    found = [extending.days(link.expires_at, now, policy) for link in live if link.kind in kinds]
    return [(first, last) for first, last in found if first <= last]


def _not_done(account: Account, message: str) -> ResponseReturnValue:
    flash(message, "info")
    return go_to(url_for("admin_accounts.account", account_id=account.id))


def _action(name: str) -> Action:
    if name not in list(Action):
        abort(404)
    return Action(name)


def _get(account_id: int) -> Account:
    try:
        return people.get(account_id)
    except NotFound:
        abort(404)
