"""Who may use which route: declared on each view, enforced here and nowhere else (promise 6)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, abort, current_app, flash, g, request, session, url_for
from werkzeug.local import LocalProxy

from webapp import clock
from webapp.domain.paths import own_path
from webapp.htmx import go_to, wants_fragment
from webapp.limiter import peer_address
from webapp.models import BrowserSession, SessionKind
from webapp.services.audit import By
from webapp.services.errors import SessionOver
from webapp.services.sessions import find_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.typing import ResponseReturnValue

    View = TypeVar("View", bound=Callable[..., Any])

SESSION_TOKEN = "sid"  # noqa: S105 - a name, not a secret
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Audience(StrEnum):
    PUBLIC = "public"
    """Everybody, and whoever holds the link in the address."""
    ONBOARDING = "onboarding"
    """A browser that accepted an invitation."""
    OFFICER = "officer"
    """Somebody signed in."""
    INVITER = "inviter"
    """Public officers with an active account, who ask for others; vendors do not (rule 5.1)."""
    STAFF = "staff"
    """Admins, and auditors, who only read (rule 8.9)."""
    ADMIN = "admin"
    DEVELOPMENT = "development"
    """Everybody, and only in development."""
    MACHINE = "machine"
    """The operator's machines; the view checks what it must."""


def allow(audience: Audience) -> Callable[[View], View]:
    """Declare who may use a view. A route without this answers nobody, and fails the build."""

    def mark(view: View) -> View:
        view.audience = audience  # type: ignore[attr-defined]
        return view

    return mark


def audience_of(app: Flask, endpoint: str) -> Audience | None:
    """Who may use an endpoint; None where its view declares nothing."""
    return getattr(app.view_functions[endpoint], "audience", None)


def init_app(app: Flask) -> None:
    allow(Audience.PUBLIC)(app.view_functions["static"])
    app.before_request(_guard)
    app.context_processor(lambda: {"signed_in": signed_in})
    app.register_error_handler(SessionOver, _session_over)


def _load() -> BrowserSession | None:
    if "browser_session" not in g:
        token = session.get(SESSION_TOKEN)
        policy = current_app.config["POLICY"]
        # A page that asks by itself how something stands is no use that its holder makes of the session.
        used = "shown" not in request.args
        g.browser_session = find_session(token, clock.now(), policy, used=used) if isinstance(token, str) else None
    found: BrowserSession | None = g.browser_session
    return found


def _of_kind(kind: SessionKind) -> BrowserSession | None:
    found = _load()
    return found if found is not None and found.kind is kind else None


signed_in: Any = LocalProxy(lambda: _of_kind(SessionKind.SIGNED_IN))
"""The session of the person signed in, falsy for a visitor; its ``account`` and ``account.agency`` are loaded."""

onboarding: Any = LocalProxy(lambda: _of_kind(SessionKind.ONBOARDING))
"""The session of a browser being onboarded, falsy otherwise."""


def begin(token: str) -> None:
    """Give the browser the session of ``token`` and nothing of what it carried before (L5)."""
    session.clear()
    session[SESSION_TOKEN] = token
    g.pop("browser_session", None)


def forget() -> None:
    session.clear()
    g.pop("browser_session", None)


def person() -> str:
    """Whom a limit counts for, on views of somebody signed in."""
    return str(signed_in.account_id)


def by() -> By:
    """Who is acting in this request, for the record."""
    found = _load()
    return By.person(found.account, peer_address()) if found is not None else By.visitor(peer_address())


def _guard() -> ResponseReturnValue | None:
    if request.endpoint is None:
        return None  # No such page, or not by this method: the error page follows.
    audience = audience_of(current_app, request.endpoint)
    if request.method not in _SAFE and audience is not Audience.MACHINE:
        _refuse_other_sites()
    match audience:
        case Audience.PUBLIC | Audience.MACHINE:
            return None
        case Audience.DEVELOPMENT if current_app.config["SETTINGS"].is_development:
            return None
        case Audience.ONBOARDING:
            if signed_in:
                return go_to(url_for("onboarding.done"))
            if not onboarding:
                flash("Your onboarding session has ended. Open the link in your email again to go on.", "info")
                return go_to(url_for("home.index"))
            return None
        case Audience.OFFICER | Audience.INVITER | Audience.STAFF | Audience.ADMIN:
            if not signed_in:
                if request.method not in _SAFE:
                    flash("You are not logged in any more, so nothing was changed. Log in, then do it again.", "info")
                elif wants_fragment():
                    flash("You are not logged in any more. Log in to go on.", "info")
                # app.js goes nowhere with a form in which something is written: it shows the way to log in beside it.
                return go_to(url_for("log_in.log_in", next=_page()))
            account = signed_in.account
            rights = {
                Audience.ADMIN: account.is_admin,
                Audience.STAFF: account.is_staff,
                Audience.INVITER: account.may_invite,
            }
            return None if rights.get(audience, True) else abort(404)
        case _:
            abort(404)


def _session_over(_error: SessionOver) -> ResponseReturnValue:
    """Signed out, locked or disabled between the guard and the change: as if the guard had seen it (H4)."""
    forget()
    flash("You were signed out meanwhile, and nothing was changed. Log in again.", "info")
    return go_to(url_for("log_in.log_in", next=_page()))


def _page() -> str | None:
    """The page that somebody is on, to come back to after logging in; None where no address leads back to it."""
    if wants_fragment():
        try:
            current = urlsplit(request.headers.get("HX-Current-URL", ""))
        except ValueError:
            return None
        return own_path(f"{current.path}?{current.query}" if current.query else current.path)
    return request.full_path.rstrip("?") if request.method == "GET" else None


def _refuse_other_sites() -> None:
    # The token in each form is the guard; this one also holds should a token ever leak (H2).
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        abort(403)
