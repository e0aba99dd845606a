"""The same story with scripts off: every page works, the robot check excepted, which says what to do."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import log_in, nothing, onboard, sign_up
from tests.browser.test_seed_story import tell as tell_seeds_story


def test_the_story_without_scripts(world, admin):
    email = f"plain_{world.stack.pid('web')}@hdb.gov.sg"
    scripted = world.person().new_page()
    sign_up(world, scripted, email, seed=True)

    admin.open_queue(email)
    boss = world.person(java_script_enabled=False, storage_state=admin.page.context.storage_state()).new_page()
    boss.goto(admin.page.url)
    boss.get_by_role("button", name=f"Approve TechPass for {email}").click()
    expect(boss.locator("main")).to_contain_text(f"TechPass for {email}: approved.")
    boss.get_by_role("link", name=f"Reject SEED for {email}").click()
    expect(boss.get_by_role("heading", level=1)).to_contain_text("Reject this request?")
    boss.get_by_role("button", name="Reject SEED").click()
    expect(boss.locator(".error-summary")).to_contain_text("Enter a reason")
    boss.get_by_label("Or in your own words").fill("Your agency manages this device itself.")
    boss.get_by_role("button", name="Reject SEED").click()
    expect(boss.locator("main")).to_contain_text(f"SEED for {email}: rejected.")
    assert "manages this device itself" in world.mail(email, "request for SEED").text

    officer = world.person(java_script_enabled=False).new_page()
    totp, _ = onboard(world, officer, world.link(email, "activate it before"), seed=False)
    officer.get_by_role("link", name="Go to your profile").click()
    officer.get_by_role("button", name="Log out").click()
    expect(officer.locator("main")).to_contain_text("You are logged out")
    log_in_later(world, officer, email, totp)


def test_seeds_story_without_scripts(world, admin):
    tell_seeds_story(world, admin, nothing, scripts=False)  # Axe, which looks at pages, is a script of its own.


def log_in_later(world, page, email, totp):
    from datetime import timedelta

    world.stack.advance(timedelta(minutes=1))
    log_in(world, page, email, totp)


def test_the_sign_up_form_says_what_to_do(world):
    page = world.person(java_script_enabled=False).new_page()
    page.goto("/sign-up")
    expect(page.locator(".robot-check-blocked")).to_be_visible()
    expect(page.locator(".robot-check-blocked")).to_contain_text("check needs scripts")
    expect(page.locator("main").get_by_role("link", name=re.compile("raise a service request")).first).to_be_visible()
    page.get_by_label("Email address").fill("peter@tech.gov.sg")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator(".error-summary")).to_contain_text("I’m not a robot")
    expect(page.get_by_label("Email address")).to_have_value("peter@tech.gov.sg")
