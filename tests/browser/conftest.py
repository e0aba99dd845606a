"""A real browser on the real processes: web, worker, cron, queue server; mails go to a real SMTP server of the test's.

With SCREENSHOTS=folder each page that a test looks at is kept there as a picture, wide and narrow, light and dark.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyotp
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import APIResponse, Browser, BrowserContext, Page, Route, expect

from tests import servers

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SMALLEST = {"width": 320, "height": 640}
"""1280 pixels at 400% zoom (WCAG 1.4.10)."""


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "the browser tests need Chromium: ./run test sees to it"
    quiet = ["disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"]
    quiet += ["disable-component-update", "disable-sync", *(["no-sandbox"] if os.geteuid() == 0 else [])]
    return {"executable_path": program, "args": [f"--{name}" for name in quiet]}


@dataclass
class World:
    """A running portal, its mail server, and people in browsers of their own."""

    stack: servers.Stack
    smtp: servers.SmtpServer
    browser: Browser

    @property
    def url(self) -> str:
        return self.stack.url

    def now(self) -> datetime:
        """The present as the portal's processes believe it to be."""
        return datetime.now(UTC) + timedelta(seconds=float(self.stack.clock_file.read_text()))

    def person(self, **options: Any) -> BrowserContext:
        context = self.browser.new_context(base_url=self.url, viewport=WIDE, **options)  # type: ignore[arg-type]
        context.set_default_timeout(15_000)
        return context

    def mail(self, recipient: str, subject: str, count: int = 1, about: str = "") -> servers.Received:
        """The newest mail to ``recipient`` whose subject holds ``subject``, once there are ``count`` of them.

        Where other stories mail the same person, ``about`` is what the text of the one looked for holds.
        """

        def found() -> list[servers.Received]:
            sent = [one for one in self.smtp.to(recipient) if subject.lower() in one.subject.lower()]
            return [one for one in sent if not about or about in one.text]

        def enough() -> bool:
            return len(found()) >= count

        try:
            servers.wait_until(enough, f"{count} mail(s) “{subject}” to {recipient}", seconds=40)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; there are {[m.subject for m in self.smtp.to(recipient)]}") from error
        return found()[-1]

    def link(self, recipient: str, subject: str, count: int = 1) -> str:
        """The portal's link in that mail's text."""
        text = self.mail(recipient, subject, count).text
        found = re.findall(rf"{re.escape(self.url)}/(?:invitations|requests|seed|set-up-authenticator)/\S+", text)
        assert found, text
        return found[0]

    def code(self, recipient: str, count: int = 1) -> str:
        """The code in the newest mail that carries one."""
        text = self.mail(recipient, "is your TechPass code", count).text
        found = re.search(r"\b(\d{3}) ?(\d{3})\b", text)
        assert found, text
        return found.group(1) + found.group(2)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, browser: Browser) -> Iterator[World]:
    """The whole portal, on each database in turn."""
    with servers.smtp() as smtp:
        url = request.getfixturevalue("postgresql_cluster").create_database() if request.param == "postgresql" else ""
        with servers.stack(database_url=url, mail=(smtp.host, smtp.port)) as running:
            yield World(running, smtp, browser)


@pytest.fixture
def look(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """``look(page, "name")``: axe finds nothing in light and dark, and nothing is cut off at 320 pixels nor at 1280.

    A page is the same on both databases: the stories that are told on each are looked at on the first.
    """
    folder = os.environ.get("SCREENSHOTS")
    if getattr(request.node, "callspec", None) and request.node.callspec.params.get("world") == "postgresql":
        return nothing

    def at(page: Page, name: str) -> None:
        expect(page).to_have_title(re.compile(r".+ – TechPass Portal"))
        assert page.locator("h1").count() == 1
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found = Axe().run(page)
            assert found.violations_count == 0, f"{name}, {scheme}:\n{found.generate_report()}"
            if folder:
                for size, label in ((WIDE, "wide"), (NARROW, "narrow")):
                    page.set_viewport_size(size)  # type: ignore[arg-type]
                    path = Path(folder) / f"{name}-{label}-{scheme}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    page.screenshot(path=path, full_page=True)
        for size in (SMALLEST, WIDE):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            sizes = page.evaluate("[document.scrollingElement.scrollWidth, window.innerWidth]")
            assert sizes[0] <= sizes[1], f"{name} is {sizes[0]} pixels wide in a window of {sizes[1]}"
        page.emulate_media(color_scheme="light", reduced_motion="reduce")

    return at


Look = Callable[[Page, str], None]


def nothing(_page: Page, _name: str) -> None:
    """In place of ``look`` where a page was looked at before."""


def hold_back(page: Page, address: str) -> Callable[[], None]:
    """The first answer from ``address`` is late: it comes once what this gives is called."""
    held: list[tuple[Route, APIResponse]] = []

    def hold(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append((route, route.fetch()))

    page.route(address, hold)

    def go_on() -> None:
        for _ in range(500):
            if held:
                break
            page.wait_for_timeout(20)  # Playwright hears of the answer only while it waits.
        route, answer = held[0]
        route.fulfill(response=answer)
        page.unroute(address)

    return go_on


def sign_up(world: World, page: Page, email: str, *, seed: bool = True, look: Look = nothing) -> None:
    """Ask for TechPass by the pages, the robot check included."""
    page.goto("/")
    look(page, "home")
    page.get_by_role("link", name="Sign up", exact=True).first.click()
    look(page, "sign-up")
    page.get_by_label("Email address").fill(email)
    expect(page.locator("#address-check")).to_contain_text("you can sign up")
    page.get_by_role("radio", name="Yes" if seed else "No").check()
    page.locator("altcha-widget").get_by_text("I'm not a robot").click()
    expect(page.locator("altcha-widget")).to_contain_text("Verified")
    look(page, "sign-up-filled")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("We have received your request")
    look(page, "sign-up-received")


def onboard(world: World, page: Page, link: str, *, seed: bool, look: Look = nothing) -> tuple[pyotp.TOTP, list[str]]:
    """From the invitation's link to an active account; the authenticator that was set up, and the recovery codes."""
    page.goto(link)
    look(page, "invitation")
    page.get_by_role("button", name="Accept invitation").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Review permissions")
    look(page, "permissions")
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Set up an authenticator")
    look(page, "authenticator")
    key = (page.locator("#authenticator-key").text_content() or "").replace(" ", "")
    totp = pyotp.TOTP(key)
    page.get_by_label("Code from the app").fill(totp.at(world.now()))
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Save your recovery codes")
    look(page, "recovery-codes")
    codes = page.locator("#recovery-codes li").all_inner_texts()
    page.get_by_label("Recovery code", exact=True).fill(codes[2])
    page.get_by_role("button", name="Continue").click()
    for title in ("Terms of Use", "Privacy Policy", *(["MDM Acceptable Use Policy"] if seed else [])):
        expect(page.get_by_role("heading", level=1)).to_contain_text(title)
        look(page, title.lower().replace(" ", "-"))
        page.get_by_role("button", name="Accept").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Your TechPass is active")
    look(page, "done")
    return totp, codes


def log_in(
    world: World, page: Page, email: str, totp: pyotp.TOTP, *, codes_before: int = 0, look: Look = nothing
) -> None:
    """By mailed code and authenticator, to the profile; ``codes_before`` were mailed to this address earlier."""
    page.goto("/log-in")
    look(page, "log-in")
    page.get_by_label("Email address").fill(email)
    page.get_by_role("button", name="Email me a code").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Enter the code from the email")
    look(page, "log-in-code")
    page.get_by_label("Code from the email").fill(world.code(email, codes_before + 1))
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Enter the code from your authenticator app")
    look(page, "log-in-authenticator")
    page.get_by_label("Code from the app").fill(totp.at(world.now()))
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your profile")


@dataclass
class Admin:
    world: World
    email: str
    page: Page
    totp: pyotp.TOTP
    log_ins: int = 0

    def open_queue(self, email: str = "") -> None:
        """The queue, or what ``email`` asked for in it; logs in first where the world's clock has ended the session."""
        address = f"/admin/requests?q={quote(email)}"
        self.page.goto(address)
        if "/log-in" in self.page.url:
            log_in(self.world, self.page, self.email, self.totp, codes_before=self.log_ins)
            self.log_ins += 1
            self.page.goto(address)

    def decide(self, email: str, what: str = "TechPass", decision: str = "Approve") -> None:
        """Look somebody up in the queue, which other stories may have filled, and press a button."""
        self.open_queue(email)
        name = f"{decision} {what} for {email}"
        self.page.get_by_role("button", name=name).or_(self.page.get_by_role("link", name=name)).click()


@pytest.fixture(scope="session")
def admin(world: World) -> Admin:
    """An admin, made by the operator's command, onboarded by the pages, and signed in."""
    email = "boss@tech.gov.sg"
    said = world.stack.flask("admin", "create", email)
    link = re.search(r"http\S+/invitations/\S+", said)
    assert link, said
    page = world.person().new_page()
    totp, _ = onboard(world, page, link.group(), seed=False)
    return Admin(world, email, page, totp)
