"""Security in a real browser: another browser is signed out, the authenticator replaced, recovery codes made anew."""

from __future__ import annotations

import re
from datetime import timedelta

import pyotp
from playwright.sync_api import expect

from tests.browser.conftest import log_in, onboard

MINUTES = timedelta(minutes=1)


def wrong(totp, now):
    good = {totp.at(now + timedelta(seconds=seconds)) for seconds in range(-60, 90, 30)}
    return next(code for code in map("{:06d}".format, range(10)) if code not in good)


def heading(page):
    return expect(page.get_by_role("heading", level=1))


def test_an_officer_changes_how_to_log_in(world, look):
    email = f"secure_{world.stack.pid('web')}@tech.gov.sg"
    link = re.search(r"http\S+/invitations/\S+", world.stack.flask("admin", "create", email))
    assert link
    page = world.person().new_page()
    totp, _ = onboard(world, page, link.group(), seed=False)
    world.stack.advance(11 * MINUTES)

    # A second browser, whose holder mistypes both codes; Back never asks to send a form again.
    other = world.person().new_page()
    other.goto("/log-in")
    other.get_by_label("Email address").fill(email)
    other.get_by_role("button", name="Email me a code").click()
    other.get_by_label("Code from the email").fill("12")
    other.get_by_role("button", name="Continue").click()
    expect(other.locator(".error-summary")).to_be_focused()
    look(other, "log-in-code-error")
    other.get_by_label("Code from the email").fill(world.code(email))
    other.get_by_role("button", name="Continue").click()
    other.get_by_label("Code from the app").fill(wrong(totp, world.now()))
    other.get_by_role("button", name="Log in").click()
    expect(other.locator(".error-summary")).to_be_focused()
    expect(other.get_by_label("Code from the app")).to_have_value("")
    other.get_by_label("Code from the app").fill(totp.at(world.now()))
    other.get_by_role("button", name="Log in").click()
    heading(other).to_have_text("Your profile")
    for _ in range(5):
        other.go_back()
        heading(other).to_be_visible()
    other.goto("/profile/security")
    look(other, "security")

    page.goto("/profile/security")
    listed = page.locator("#sessions li")
    expect(listed).to_have_count(2)
    expect(listed.first).to_contain_text("This browser")
    page.locator("#sessions li:nth-child(2)").get_by_role("button", name="Sign out").click()
    expect(listed).to_have_count(1)
    expect(page.locator("#announce")).to_have_text("The browser is signed out.")
    expect(page.locator("#sessions-title")).to_be_focused()
    look(page, "security-signed-out")
    other.get_by_role("button", name="Sign out everywhere", exact=True).click()
    heading(other).to_have_text("Log in with TechPass")

    page.get_by_role("link", name="Replace it").click()
    heading(page).to_have_text("Confirm that it is you")
    look(page, "security-confirm")
    page.get_by_label("Code from the app").fill(wrong(totp, world.now()))
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator(".error-summary")).to_be_focused()
    look(page, "security-confirm-error")
    page.get_by_text("I do not have my phone").click()
    page.get_by_role("link", name="Use a recovery code").click()
    look(page, "security-confirm-by-recovery-code")
    page.get_by_role("link", name="Use the authenticator app instead").click()
    world.stack.advance(MINUTES)
    page.get_by_label("Code from the app").fill(totp.at(world.now()))
    page.get_by_role("button", name="Confirm").click()
    heading(page).to_have_text("Replace your authenticator")
    look(page, "security-begin-authenticator")
    page.get_by_role("button", name="Set up a new authenticator").click()
    heading(page).to_have_text("Set up your new authenticator")
    new = pyotp.TOTP((page.locator("#authenticator-key").text_content() or "").replace(" ", ""))
    look(page, "security-authenticator")
    page.get_by_label("Code from the app").fill(wrong(new, world.now()))
    page.get_by_role("button", name="Put it in force").click()
    expect(page.locator(".error-summary")).to_be_focused()
    look(page, "security-authenticator-error")
    page.goto("/profile/security")
    look(page, "security-replacing")
    page.get_by_role("link", name="Go on setting it up").click()
    page.get_by_label("Code from the app").fill(new.at(world.now()))
    page.get_by_role("button", name="Put it in force").click()
    expect(page.locator("main")).to_contain_text("Your new authenticator is in force")
    look(page, "security-replaced")
    assert "new authenticator" in world.mail(email, "new authenticator").text

    page.get_by_role("link", name="Get new recovery codes").click()
    heading(page).to_have_text("Get new recovery codes")
    look(page, "security-begin-recovery-codes")
    page.get_by_role("button", name="Make new recovery codes").click()
    heading(page).to_have_text("Save your new recovery codes")
    look(page, "security-recovery-codes")
    codes = page.locator("#recovery-codes li").all_inner_texts()
    page.go_back()
    page.goto("/profile/security")
    look(page, "security-not-saved")
    page.get_by_role("link", name="Save them now").click()
    page.get_by_label("Recovery code", exact=True).fill(codes[4])
    page.get_by_role("button", name="I have saved them").click()
    expect(page.locator("main")).to_contain_text("10 of 10 are left")
    assert "recovery codes" in world.mail(email, "new recovery codes").text

    page.get_by_role("button", name="Sign out everywhere", exact=True).click()
    heading(page).not_to_have_text("Security")
    expect(page.locator("main")).to_contain_text("You are signed out everywhere.")
    world.stack.advance(MINUTES)
    log_in(world, page, email, new, codes_before=1)
