"""Headers, cookies and addresses as production has them (H1, H2, T5 and S6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask_migrate import upgrade

from tests.conftest import settings_for
from tests.factories import Factory
from tests.onboarding import Visit, Walk
from tests.pages.client import REQUIRED_HEADERS, PortalClient
from webapp import clock, create_app, logs
from webapp.access import SESSION_TOKEN
from webapp.domain.lifecycle import InvitationKind
from webapp.domain.policy import Policy
from webapp.extensions import db, limiter
from webapp.links import invitation_link, receipt_link
from webapp.models import BrowserSession
from webapp.services import agencies

SECRET = "9f2c47d1b8e6053a-only-for-tests-6a1d0e"
ORIGIN = "https://portal.example.gov.sg"


@pytest.fixture(scope="module")
def live(redis_url, tmp_path_factory) -> Iterator[Flask]:
    """The portal with the settings of production."""
    app = start(redis_url, tmp_path_factory)
    with app.app_context():
        agencies.forget()
        yield app
        db.session.remove()
        db.engine.dispose()
    agencies.forget()


def start(redis_url, tmp_path_factory, **changes: Any) -> Flask:
    logs._started = True  # The logs of the process that runs the tests stay as they are.
    path = tmp_path_factory.mktemp("live") / "portal.db"
    given = {"app_env": "production", "public_base_url": ORIGIN, "secret_key": SECRET} | changes
    app = create_app(settings_for(f"sqlite:///{path}", redis_url, **given))
    app.test_client_class = PortalClient
    with app.app_context():
        upgrade()
    return app


@pytest.fixture
def visitor(live, now, monkeypatch) -> PortalClient:
    monkeypatch.setattr(clock, "now", lambda: now)
    limiter.reset()
    live.extensions["redis"].flushall()
    return Https(live, live.response_class, use_cookies=True)


class Https(PortalClient):
    """Asks by https for the configured host, as a proxy in front has browsers do."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        return super().open(*args, **{"base_url": ORIGIN} | kwargs)


@pytest.fixture
def make_live(live, now) -> Factory:
    return Factory(now, Policy())


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/healthz", 200),
        ("GET", "/captcha/challenge", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/invitations/unknown", 404),
        ("GET", "/profile", 303),
        ("POST", "/", 405),
        ("POST", "/log-out", 303),
        ("OPTIONS", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/%00", 400),
        ("GET", "/static/app.css", 200),
        ("HEAD", "/static/app.css", 200),
        ("POST", "/static/app.css", 405),
        ("GET", "/static/nowhere.css", 404),
        ("GET", "/dev/inbox", 404),
    ],
)
def test_every_answer_carries_the_full_set_of_headers(visitor, method, address, status):
    answer = visitor.open(address, method=method)
    assert answer.status_code == status
    assert set(answer.headers.keys()) >= REQUIRED_HEADERS
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    for name in REQUIRED_HEADERS:
        assert len(answer.headers.getlist(name)) == 1, name
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_content_security_policy_allows_nothing_inline_and_no_other_host(visitor):
    policy = visitor.get("/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert not re.search(r"unsafe|\*|https?:", policy)
    for directive in ("object-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"):
        assert directive in policy


def test_a_file_marked_by_its_content_may_be_kept_and_a_page_may_not(visitor):
    page = visitor.get("/")
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Vary"].split(", ").count("HX-Request") == 1
    address = re.search(r'href="(/static/app.css\?v=[0-9a-f]+)"', page.text)
    assert address
    kept = visitor.get(address.group(1))
    assert "max-age=31536000" in kept.headers["Cache-Control"]
    again = visitor.get(address.group(1), headers={"If-Modified-Since": kept.headers["Last-Modified"]})
    assert again.status_code == 304


def test_an_unexpected_error_carries_them_too_and_tells_nothing(visitor, monkeypatch):
    from webapp.views import home

    def fail(*_: Any) -> str:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(home, "render_shared", fail)
    answer = super(PortalClient, visitor).open("/", base_url=ORIGIN)
    assert answer.status_code == 500
    assert set(answer.headers.keys()) >= REQUIRED_HEADERS
    assert "secret of the house" not in answer.text
    assert "RuntimeError" not in answer.text


def test_cookies_are_bound_to_this_host_to_https_and_kept_from_scripts(live, visitor, make_live, now):
    account = make_live.account("pending", "cookie@tech.gov.sg")
    _, token = make_live.invitation(account)
    visit = Visit(visitor, now)
    visit.to("/onboarding/done", visit.accept(f"/invitations/{token}"))
    cookies = list(visitor._cookies.values())
    assert {cookie.key for cookie in cookies} == {"__Host-techpass", "__Host-techpass-known"}
    for cookie in cookies:
        assert (cookie.secure, cookie.http_only, cookie.same_site) == (True, True, "Lax")
        assert (cookie.path, cookie.origin_only) == ("/", True)


def test_the_cookie_says_no_domain(visitor):
    header = visitor.get("/sign-up").headers["Set-Cookie"]
    assert header.startswith("__Host-techpass=")
    assert "Domain" not in header
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(header.split("; "))


def test_a_cookie_signed_with_an_older_secret_still_counts_and_a_forged_one_does_not(
    live, visitor, make_live, redis_url, now, monkeypatch
):
    monkeypatch.setattr(clock, "now", lambda: now)
    walk = Walk.begin(make_live)
    with visitor.session_transaction(base_url=ORIGIN) as cookie:
        cookie[SESSION_TOKEN] = walk.sid
    value = visitor._cookies[("portal.example.gov.sg", "/", "__Host-techpass")].value
    for fallbacks, status in (((SECRET,), 200), ((), 303)):
        url = live.config["SQLALCHEMY_DATABASE_URI"]
        rotated = create_app(
            settings_for(
                url,
                redis_url,
                app_env="production",
                public_base_url=ORIGIN,
                secret_key="another-0123456789-secret-of-the-tests",
                secret_key_fallbacks=fallbacks,
            )
        )
        client = Https(rotated, rotated.response_class, use_cookies=True)
        client.set_cookie("__Host-techpass", value, domain="portal.example.gov.sg", secure=True)
        assert client.get("/onboarding/permissions").status_code == status
        with rotated.app_context():
            db.engine.dispose()


@pytest.mark.parametrize("host", ["elsewhere.example", "portal.example.gov.sg.else.example", "", "[", "a b", "\xff"])
@pytest.mark.parametrize("address", ["/", "/sign-up", "/static/app.css", "/nowhere", "/profile"])
def test_another_host_is_refused_with_a_plain_answer(visitor, host, address):
    answer = visitor.get(address, headers={"Host": host})
    if not address.startswith("/static/"):
        assert answer.status_code == 400
    assert "else" not in answer.text
    assert "else" not in answer.headers.get("Location", "")


def test_the_operators_own_machine_asks_by_the_loopback_address(visitor):
    for host in ("localhost:8000", "127.0.0.1:8000"):
        assert visitor.get("/healthz", headers={"Host": host}).status_code == 200


def test_links_in_mails_are_of_the_configured_origin_whatever_the_request_says(live, visitor):
    with live.test_request_context(base_url="https://elsewhere.example", headers={"X-Forwarded-Host": "evil.example"}):
        assert receipt_link("x").startswith(f"{ORIGIN}/requests/")
        assert invitation_link(InvitationKind.TECHPASS, "x").startswith(f"{ORIGIN}/invitations/")
    answer = visitor.get("/profile", headers={"X-Forwarded-Host": "elsewhere.example"})
    assert answer.headers["Location"].startswith("/log-in")


@pytest.mark.parametrize(
    ("proxies", "forwarded", "peer"),
    [
        (0, None, "198.51.100.1"),
        (0, "203.0.113.5", "198.51.100.1"),
        (1, None, "198.51.100.1"),
        (1, "203.0.113.5", "203.0.113.5"),
        (1, "192.0.2.66, 203.0.113.5", "203.0.113.5"),
        (2, "192.0.2.66, 203.0.113.5, 203.0.113.6", "203.0.113.5"),
        (1, "", "198.51.100.1"),
    ],
)
def test_a_peer_is_told_by_the_exact_count_of_proxies(
    redis_url, tmp_path_factory, now, monkeypatch, proxies, forwarded, peer
):
    monkeypatch.setattr(clock, "now", lambda: now)
    app = start(redis_url, tmp_path_factory, trusted_proxies=proxies)
    with app.app_context():
        make = Factory(now, Policy())
        _, token = make.invitation()
        visitor = Https(app, app.response_class, use_cookies=True)
        visitor.get(f"/invitations/{token}")
        headers = {"Referer": ORIGIN, **({} if forwarded is None else {"X-Forwarded-For": forwarded})}
        form = {"csrf_token": visitor.csrf_token()}
        answer = visitor.post(
            f"/invitations/{token}/accept",
            data=form,
            headers=headers,
            environ_overrides={"REMOTE_ADDR": "198.51.100.1"},
        )
        assert answer.status_code == 303
        assert db.session.query(BrowserSession).one().peer == peer
        db.session.remove()
        db.engine.dispose()


@pytest.mark.parametrize("proxies", [0, 1])
def test_rotating_what_a_stranger_may_write_escapes_no_limit(redis_url, tmp_path_factory, now, proxies):
    app = start(redis_url, tmp_path_factory, trusted_proxies=proxies)
    with app.app_context():
        limiter.reset()
        app.extensions["redis"].flushall()
        visitor = Https(app, app.response_class, use_cookies=True)
        visitor.get("/log-in")
        form = {"csrf_token": visitor.csrf_token()}
        address = "/invitations/" + "x" * 43 + "/resend"
        statuses = [
            visitor.post(
                address,
                data=form,
                # What the nearest proxy adds is the last; all before it is the stranger's.
                headers={"X-Forwarded-For": f"192.0.2.{number}" + (", 203.0.113.5" if proxies else "")},
            ).status_code
            for number in range(31)
        ]
        assert statuses == [404] * 30 + [429]
        db.session.remove()
        db.engine.dispose()
