"""An admin's morning: the queue by keyboard, a race, a person found, a held sweep, the record."""

from __future__ import annotations

import csv
import re
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import servers
from tests.browser import night
from tests.browser.conftest import World, hold_back, log_in, onboard


@pytest.fixture
def morning(browser: Browser, postgresql_cluster):
    """A portal with time to undo, whose sweep asks before it ends more than three accounts, after a busy night."""
    env = {"UNDO_SECONDS": "15", "SWEEP_LIMIT": "3"}
    with (
        servers.smtp() as smtp,
        servers.stack(
            database_url=postgresql_cluster.create_database(), mail=(smtp.host, smtp.port), env=env
        ) as running,
    ):
        smtp.answer_recipient = lambda address: "550 no such mailbox" if address == night.BOUNCED else None
        running.run("tests.browser.night")
        yield World(running, smtp, browser)


def becomes_admin(world: World, email: str):
    said = world.stack.flask("admin", "create", email)
    page = world.person(accept_downloads=True).new_page()
    totp, _ = onboard(world, page, said.split()[-1], seed=False)
    return page, totp


def row(page: Page, email: str):
    return page.get_by_role("row").filter(has_text=email)


def keeps_what_is_half_done(page: Page, email: str) -> None:
    """A note, a reason and a selection that are begun in one row stay while something else of the row is answered."""
    here = row(page, email)
    note, reason = here.get_by_label("Note for admins"), here.get_by_label("Or in your own words")
    here.get_by_text("Add a note").click()
    note.fill("Half a no")
    here.get_by_role("checkbox").check()
    here.get_by_role("link", name="Reject").click()
    reason.fill("Half a reason")
    expect(note).to_have_value("Half a no")
    here.get_by_role("button", name="Keep the note").click()
    expect(here).to_contain_text(f"Note about {email} kept.")
    expect(reason).to_have_value("Half a reason")
    expect(here.get_by_role("checkbox")).to_be_checked()
    note.fill("Another")
    here.get_by_role("link", name="Keep waiting").click()
    expect(reason).to_have_count(0)
    expect(note).to_have_value("Another")
    note.fill("")
    here.get_by_role("checkbox").uncheck()


def waits_for_late_answers(page: Page, email: str, other: str) -> None:
    """While an answer is on its way its row takes no other key; whoever writes elsewhere by then goes on writing."""
    here, there = row(page, email), row(page, other)
    go_on = hold_back(page, "**/reject")
    here.get_by_role("link", name="Reject").focus()
    with page.expect_request("**/reject"):
        page.keyboard.press("r")
    page.keyboard.press("a")
    go_on()
    expect(here.get_by_role("button", name="Reject TechPass")).to_be_visible()
    here.get_by_role("link", name="Keep waiting").click()
    expect(here.get_by_role("button", name=f"Approve TechPass for {email}")).to_be_visible()

    go_on = hold_back(page, "**/approve")
    there.get_by_role("link", name="Ask").click()
    question = there.get_by_role("textbox").last
    question.fill("Half a quest")
    here.get_by_role("checkbox").check()
    with page.expect_request("**/approve"):
        page.get_by_role("button", name="Approve selected").click()
    note = there.get_by_label("Note for admins")
    there.get_by_text("Add a note").click()
    note.press_sequentially("Ask for her s")
    go_on()
    expect(page.locator("#queue")).to_contain_text("1 request approved.")
    page.keyboard.type("upervisor")
    expect(note).to_have_value("Ask for her supervisor")
    expect(question).to_have_value("Half a quest")
    page.locator("#queue").get_by_role("button", name="Undo").first.click()
    expect(page.locator("#queue")).to_contain_text("1 request taken back.")
    expect(note).to_have_value("Ask for her supervisor")
    note.fill("")
    there.get_by_role("link", name="Do not ask").click()
    expect(question).to_be_hidden()


def test_an_admins_morning(morning, look, tmp_path):
    world = morning
    page, totp = becomes_admin(world, "boss@tech.gov.sg")

    # The next day: logs in, and sees what waits.
    world.stack.advance(timedelta(minutes=31))
    page.goto("/admin")
    log_in(world, page, "boss@tech.gov.sg", totp)
    world.stack.flask("sweep")
    colleague, _ = becomes_admin(world, "colleague@tech.gov.sg")
    page.goto("/admin")
    main = page.locator("main")
    expect(main).to_contain_text("31")
    expect(main).to_contain_text("Unusually many accounts would end")
    look(page, "admin-start")

    # Clears the queue by keyboard: the first is rejected with a reason, the second taken back and approved again.
    page.get_by_role("navigation", name="Admin").get_by_role("link", name="Requests").click()
    expect(page.get_by_role("row")).to_have_count(1 + night.WAITING + 1)
    look(page, "admin-requests")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    look(page, "admin-keys")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_hidden()
    first, second = night.waiting(0), night.waiting(1)
    keeps_what_is_half_done(page, second)
    waits_for_late_answers(page, second, night.waiting(3))
    page.get_by_role("searchbox").fill(second)
    expect(page.get_by_role("row")).to_have_count(2)
    page.go_back()
    expect(page.get_by_role("row")).to_have_count(1 + night.WAITING + 1)
    expect(page.get_by_role("searchbox")).to_have_value("")
    page.keyboard.press("j")
    expect(row(page, first)).to_be_focused()
    page.keyboard.press("r")
    expect(page.get_by_role("button", name="Reject TechPass")).to_be_visible()
    look(page, "admin-reject")
    page.get_by_label("Or in your own words").fill("This is a shared mailbox.")
    page.keyboard.press("Enter")
    expect(row(page, first)).to_contain_text("Rejected")

    def focused_row(email: str) -> None:
        expect(row(page, email)).to_be_focused()

    focused_row(second)
    page.keyboard.press("a")
    expect(row(page, second)).to_contain_text("Approved")
    focused_row(night.waiting(2))
    page.keyboard.press("a")
    expect(row(page, night.waiting(2))).to_contain_text("Approved")
    focused_row(night.waiting(3))
    for email in (night.waiting(2), second):
        page.keyboard.press("u")
        expect(row(page, email).get_by_role("button", name=f"Approve TechPass for {email}")).to_be_visible()
        expect(row(page, email)).to_be_focused()
        assert not world.smtp.to(email)
    for number in range(1, night.WAITING - 1):
        email = night.waiting(number)
        page.keyboard.press("a")
        expect(row(page, email)).to_contain_text("Approved")
        focused_row(night.waiting(number + 1))

    # Two admins race on one row: the second is told what the first did.
    last = night.waiting(night.WAITING - 1)
    colleague.goto("/admin/requests?q=" + last)
    page.keyboard.press("a")
    expect(row(page, last)).to_contain_text("Approved")
    colleague.get_by_role("button", name=f"Approve TechPass for {last}").click()
    expect(row(colleague, last)).to_contain_text("boss@tech.gov.sg has approved this request already")
    assert "shared mailbox" in world.mail(first, "not approved").text
    world.mail(last, "activate it before")
    assert len([one for one in world.smtp.to(second) if "activate it before" in one.subject]) == 1

    # Finds a person, and gives them more time.
    page.goto("/admin/accounts")
    page.get_by_label(re.compile("name", re.IGNORECASE)).first.fill("wei_ling")
    link = page.get_by_role("link", name=night.PENDING)
    expect(link).to_be_visible()
    expect(page).to_have_url(re.compile("q=wei_ling"))
    look(page, "admin-people")
    link.click()
    look(page, "admin-account")
    page.get_by_role("link", name="Extend the invitation").click()
    day = (world.now() + timedelta(days=40)).date()
    page.locator("input[type=date]").fill(day.isoformat())
    page.get_by_label("Reason").fill("On leave until next month")
    look(page, "admin-extend")
    page.get_by_role("button", name="Extend the invitation").click()
    expect(main).to_contain_text("extended")
    assert f"{day:%B}" in world.mail(night.PENDING, "").text

    # Looks at what is held, and lets it run.
    page.goto("/admin/forecast")
    expect(main).to_contain_text(f"terminate {night.OVERDUE} accounts")
    look(page, "admin-forecast-held")
    page.get_by_label("Why it may run").fill("A project that ended")
    page.get_by_role("button", name=f"Let it terminate {night.OVERDUE} accounts").click()
    for number in range(night.OVERDUE):
        world.mail(f"late_{number}@nea.gov.sg", "terminated")

    # Sends the email again that the mail server had refused.
    page.goto("/admin")
    expect(main).to_contain_text("1 email has failed")
    page.get_by_role("link", name="See and send again").click()
    expect(row(page, night.BOUNCED)).to_contain_text("550 no such mailbox")
    look(page, "admin-mail")
    world.smtp.answer_recipient = lambda _address: None
    row(page, night.BOUNCED).get_by_role("button", name="Send again").click()
    expect(row(page, night.BOUNCED)).to_contain_text("queued again")
    expect(row(page, night.BOUNCED)).to_be_focused()
    world.mail(night.BOUNCED, "received")

    # Takes the record along, and has it verified.
    page.goto("/admin/audit")
    look(page, "admin-audit")
    with page.expect_download() as begun:
        page.get_by_role("link", name="CSV").click()
    begun.value.save_as(tmp_path / "audit.csv")
    with Path(tmp_path / "audit.csv").open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.reader(file))
    text = "\n".join(",".join(line) for line in lines)
    for action in (
        "techpass.approval_undone",
        "techpass.rejected",
        "mail.retried",
        "invitation.extended",
        "sweep.allowed",
    ):
        assert action in text, action

    def sealed() -> bool:
        said = re.match(r"(\d+) events are sealed and unbroken", world.stack.flask("audit", "verify"))
        return said is not None and int(said.group(1)) >= len(lines) - 1

    servers.wait_until(sealed, "the record to be sealed", seconds=70)


def test_back_leads_from_what_a_change_means_to_the_form_as_typed(admin):
    page = admin.page
    page.goto("/admin/agencies")
    page.get_by_role("row").filter(has_text="moe.gov.sg").get_by_role("link").first.click()
    name, vendors = page.get_by_label("Name", exact=True), page.get_by_label("Let vendors sign up themselves")
    for typed in ("Learning", "Learning & more"):
        name.fill(typed)
        vendors.check()
        with page.expect_response(lambda answer: "vendors_allowed=y" in answer.url):
            page.get_by_role("button", name="See what this changes").click()
        expect(page.get_by_role("heading", name="What this changes")).to_be_focused()
        expect(page.locator("#agency-form .htmx-request")).to_have_count(0)
        page.go_back()
        expect(name).to_have_value(typed)
        expect(vendors).to_be_checked()
    page.go_back()
    expect(page.get_by_role("heading", name="Agencies", exact=True)).to_be_visible()
