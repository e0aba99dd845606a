"""The whole story in a real browser: sign up, approved, activated, logged in again; with every page looked at."""

from __future__ import annotations

import re
from datetime import timedelta

from playwright.sync_api import Route, expect

from tests.browser.conftest import log_in, onboard, sign_up


def test_an_officer_signs_up_is_approved_activates_and_logs_in_again(world, admin, look):
    email = "peter_wilson@tech.gov.sg"
    officer = world.person().new_page()
    sign_up(world, officer, email, look=look)

    receipt = world.link(email, "received")
    officer.goto(receipt)
    expect(officer.locator("main")).to_contain_text("An admin reviews your request")
    look(officer, "receipt")

    admin.open_queue()
    look(admin.page, "queue")
    admin.decide(email)
    row = admin.page.locator("tr", has_text=email).filter(has_text="TechPass")
    expect(row.first).to_contain_text("Approved")
    expect(admin.page.locator("#announce")).to_contain_text(f"TechPass for {email}: approved.")
    admin.page.get_by_role("button", name=f"Approve SEED for {email}").click()
    expect(admin.page.locator("main")).to_contain_text(f"SEED for {email}: approved.")
    look(admin.page, "queue-decided")

    officer.goto(receipt)
    expect(officer.locator("main")).to_contain_text("You act next")
    look(officer, "receipt-approved")

    seed_link = world.link(email, "SEED is approved")
    officer.goto(seed_link)
    expect(officer.get_by_role("heading", level=1)).to_have_text("Activate your TechPass first")
    look(officer, "seed-techpass-first")

    link = world.link(email, "activate it before")
    totp, _codes = onboard(world, officer, link, seed=True, look=look)
    officer.get_by_role("link", name="Go to your profile").click()
    expect(officer.get_by_role("heading", level=1)).to_have_text("Your profile")
    expect(officer.locator("main")).to_contain_text("Onboard your internet device by")
    look(officer, "profile")
    officer.goto(seed_link)
    expect(officer).to_have_url(re.compile(r"/profile#seed$"))

    officer.get_by_role("button", name="Log out").click()
    expect(officer.locator("main")).to_contain_text("You are logged out")
    officer.go_back()
    expect(officer.get_by_role("heading", level=1)).to_have_text("Log in with TechPass")

    officer.goto(link)
    expect(officer.get_by_role("heading", level=1)).to_contain_text("already")
    look(officer, "invitation-used")

    world.stack.advance(timedelta(days=1))
    log_in(world, officer, email, totp, look=look)
    expect(officer.locator("main")).to_contain_text(email)
    assert "TechPass" in world.mail(email, "received").subject


def test_a_rejected_applicant_is_told_why(world, admin, look):
    email = "no_thanks@moe.gov.sg"
    officer = world.person().new_page()
    sign_up(world, officer, email, seed=False)
    admin.decide(email, decision="Reject")
    reason = admin.page.get_by_label("Reason")
    expect(reason).to_be_focused()
    admin.page.get_by_role("button", name="Reject TechPass").click()
    expect(admin.page.locator(".error-summary")).to_be_focused()
    look(admin.page, "queue-reject-error")
    admin.page.get_by_label("Or in your own words").fill("You have left the agency.")
    admin.page.get_by_role("button", name="Reject TechPass").click()
    expect(admin.page.locator("main")).to_contain_text(f"TechPass for {email}: rejected.")
    mail = world.mail(email, "not approved")
    assert "You have left the agency." in mail.text


def test_the_form_says_what_is_wrong_where_it_is_wrong(world, look):
    page = world.person().new_page()
    page.goto("/sign-up")
    page.get_by_label("Email address").fill("peter@gmail.com")
    expect(page.locator("#address-check")).to_contain_text("Personal email addresses cannot sign up")
    page.get_by_role("button", name="Submit").click()
    summary = page.locator(".error-summary")
    expect(summary).to_be_focused()
    expect(summary.get_by_role("link", name=re.compile("I’m not a robot"))).to_be_visible()
    expect(page.get_by_label("Email address")).to_have_value("peter@gmail.com")
    assert page.title().startswith("Error: ")
    look(page, "sign-up-error")
    page.get_by_label("Email address").fill("peter@schools.gov.sg")
    expect(page.locator("#address-check")).to_contain_text("SEED does not apply")
    expect(page.locator(".field-error")).to_have_count(1)
    expect(summary.get_by_role("listitem")).to_have_text([re.compile("I’m not a robot")])
    expect(page.get_by_role("radio", name="Yes")).to_be_hidden()


def test_an_error_goes_as_what_it_was_told_of_is_answered(world):
    page = world.person().new_page()
    page.goto("/sign-up")
    page.get_by_label("Email address").fill("peter@tech.gov.sg")
    page.get_by_role("button", name="Submit").click()
    summary = page.locator(".error-summary")
    expect(summary.get_by_role("listitem")).to_have_count(2)
    page.get_by_role("radio", name="No").check()
    expect(summary.get_by_role("listitem")).to_have_text([re.compile("I’m not a robot")])
    expect(page.get_by_role("radio", name="No")).to_be_focused()
    expect(page.locator(".field-error")).to_have_count(1)
    page.locator("altcha-widget").get_by_text("I'm not a robot").click()
    expect(page.locator("altcha-widget")).to_contain_text("Verified")
    expect(page.locator(".error-summary, .field-error, .field-in-error, [aria-invalid]")).to_have_count(0)
    expect(page).to_have_title(re.compile("^Sign up"))


def test_that_nothing_was_sent_stays_told_until_it_is_sent(world):
    page = world.person().new_page()
    page.goto("/sign-up")
    notice = page.locator("#network-notice")
    page.get_by_label("Email address").fill("peter@tech.gov.sg")
    expect(page.locator("#address-check")).to_contain_text("you can sign up")
    page.context.set_offline(True)
    expect(notice).to_contain_text("You are offline")
    page.context.set_offline(False)
    expect(notice).to_be_hidden()
    page.context.set_offline(True)
    page.get_by_role("button", name="Submit").click()
    expect(notice).to_contain_text("Nothing was sent")
    page.context.set_offline(False)
    page.context.set_offline(True)
    page.context.set_offline(False)
    with page.expect_response("**/sign-up/check"):
        page.get_by_label("Email address").fill("mei@tech.gov.sg")
    expect(page.locator("#address-check")).to_contain_text("you can sign up")
    expect(notice).to_contain_text("Nothing was sent")
    notice.get_by_role("button", name="Try again").click()
    expect(page.locator(".error-summary")).to_be_focused()
    expect(notice).to_be_hidden()


def test_error_pages_are_pages(world, look):
    page = world.person().new_page()
    for address, name in (("/nothing-here", "404"), ("/invitations/" + "x" * 43, "invitation-unknown")):
        page.goto(address)
        look(page, f"error-{name}")


def test_by_keyboard_alone(world):
    page = world.person().new_page()
    page.goto("/log-in")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name=re.compile("Skip"))).to_be_focused()
    page.get_by_label("Email address").focus()
    page.keyboard.type("keyboard@tech.gov.sg")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Enter the code from the email")
    page.get_by_label("Code from the email").focus()
    page.keyboard.type("12 34")
    page.keyboard.press("Enter")
    expect(page.locator(".error-summary")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Code from the email")).to_be_focused()


def test_whoever_is_limited_is_told_when_to_try_again_and_keeps_what_was_typed(world):
    page = world.person().new_page()
    page.goto("/sign-up")
    page.get_by_label("Email address").fill("peter@tech.gov.sg")
    page.get_by_role("radio", name="No").check()
    page.locator("altcha-widget").get_by_text("I'm not a robot").click()
    expect(page.locator("altcha-widget")).to_contain_text("Verified")

    def limit(route: Route) -> None:
        if route.request.method == "POST":
            route.fulfill(status=429, headers={"Retry-After": "2390"})
        else:
            route.continue_()

    page.route("**/sign-up", limit)
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#network-words")).to_contain_text("nothing was changed. Try again in 40 minutes.")
    expect(page.get_by_label("Email address")).to_have_value("peter@tech.gov.sg")
