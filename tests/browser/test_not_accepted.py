"""Who does not activate: reminded daily from day 23, mailed and terminated at day 30, free to sign up again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import Browser, expect

from tests import servers
from tests.browser.conftest import World, onboard, sign_up

DAY = timedelta(days=1)


@pytest.fixture
def fresh_world(browser: Browser):
    """A portal of this test's own: its clock runs ahead."""
    with servers.smtp() as smtp, servers.stack(mail=(smtp.host, smtp.port)) as running:
        yield World(running, smtp, browser)


def test_reminders_then_the_notice_then_termination_then_sign_up_again(fresh_world, look):
    world = fresh_world
    email = "late@tech.gov.sg"
    officer, boss = world.person().new_page(), world.person().new_page()
    sign_up(world, officer, email, seed=False)
    said = world.stack.flask("admin", "create", "boss@tech.gov.sg")
    onboard(world, boss, said.split()[-1], seed=False)
    boss.goto("/admin/requests")
    boss.get_by_role("button", name=f"Approve TechPass for {email}").click()
    expect(boss.locator("main")).to_contain_text("approved.")
    link = world.link(email, "activate it before")
    receipt = world.link(email, "received")

    reminders = 0
    for day in (1, 12, 22, *range(23, 30)):
        world.stack.set_clock(day * DAY + timedelta(minutes=5))
        world.stack.flask("sweep")
        world.stack.flask("sweep")
        if day >= 23:
            reminders += 1
            mail = world.mail(email, "reminder", reminders)
            assert link in mail.text
    assert reminders == 7
    assert len([one for one in world.smtp.to(email) if "reminder" in one.subject.lower()]) == 7

    world.stack.set_clock(30 * DAY + timedelta(minutes=5))
    officer.goto(link)
    expect(officer.get_by_role("heading", level=1)).to_contain_text("expired")
    look(officer, "invitation-expired")
    world.stack.flask("sweep")
    notice = world.mail(email, "terminated")
    assert "sign up again" in notice.text

    def ended() -> bool:
        world.stack.flask("sweep")
        officer.goto(receipt)
        return "Terminated" in (officer.locator("main").text_content() or "")

    servers.wait_until(ended, "the termination that follows the notice", seconds=40)
    look(officer, "receipt-terminated")
    officer.get_by_role("link", name="Sign up again").click()
    sign_up(world, officer, email, seed=False)
    assert world.link(email, "received", 2) != receipt
