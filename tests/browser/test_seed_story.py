"""SEED in a real browser: expired, asked for again, a device onboarded, and given up."""

from __future__ import annotations

import re
from datetime import timedelta

from playwright.sync_api import expect

from tests.browser.conftest import log_in, onboard, sign_up

INTUNE_IDS = {True: "8E2B3C44-5D6F-4A7B-8C9D-0E1F2A3B4C5D", False: "1a2b3c44-5d6f-4a7b-8c9d-0e1f2a3b4c5e"}


def test_from_an_expired_seed_mail_to_an_onboarded_device_and_back(world, admin, look):
    tell(world, admin, look, scripts=True)


def tell(world, admin, look, *, scripts):
    """The story, with scripts or without; every page of it is shown to ``look``."""
    email = f"seed_{'with' if scripts else 'without'}_scripts@tech.gov.sg"
    newcomer = world.person().new_page()
    sign_up(world, newcomer, email)
    admin.decide(email)
    admin.page.get_by_role("button", name=f"Approve SEED for {email}").click()
    expect(admin.page.locator("main")).to_contain_text(f"SEED for {email}: approved.")
    officer = world.person(java_script_enabled=scripts).new_page()
    totp, _ = onboard(world, officer, world.link(email, "activate it before"), seed=True)
    old_link = world.link(email, "SEED is approved")

    # The email expires, and the officer is told; the link says so too.
    world.stack.advance(timedelta(days=30, seconds=5))
    world.stack.flask("sweep")
    assert "Nothing that" in world.mail(email, "SEED onboarding email has expired").text
    log_in(world, officer, email, totp)
    officer.goto(old_link)
    expect(officer.get_by_role("heading", level=1)).to_have_text("This SEED link has expired")
    officer.get_by_role("link", name="Go to your profile").click()
    card = officer.locator("#seed-card")
    expect(card).to_contain_text("expired on")
    look(officer, "seed-expired")

    # Profile > Request for SEED.
    card.get_by_role("button", name="Request for SEED").click()
    expect(card if scripts else officer.locator("main")).to_contain_text("We have received your request for SEED")
    expect(card).to_contain_text("An admin for Government Technology Agency")
    if scripts:
        expect(officer.locator("#announce")).to_contain_text("We have received your request for SEED")
        expect(officer.locator("#seed")).to_be_focused()
    look(officer, "seed-requested")
    admin.decide(email, "SEED")
    expect(admin.page.locator("main")).to_contain_text(f"SEED for {email}: approved.")

    # A new mail, its link, and the device.
    officer.goto(world.link(email, "SEED is approved", count=2))
    expect(officer).to_have_url(re.compile(r"/profile#seed$"))
    expect(card).to_contain_text("Onboard your internet device by")
    look(officer, "seed-invited")
    card.get_by_role("link", name="Onboard device to SEED").click()
    expect(officer.get_by_role("heading", level=1)).to_have_text("Your devices")
    look(officer, "devices-form")
    help_ = officer.locator("details", has_text="On macOS")
    if scripts:
        help_.locator("summary").click()
    officer.get_by_role("button", name="Onboard device to SEED").click()
    expect(officer.locator(".error-summary")).to_contain_text("Enter the device’s Intune Device ID")
    if scripts:
        expect(help_).to_have_attribute("open", "")
    look(officer, "devices-form-errors")
    officer.get_by_role("radio", name="macOS").check()
    officer.get_by_label("Device name").fill("MacBook at home")
    officer.get_by_label("Serial number").fill("C02XG2JHH3JK")
    officer.get_by_label("Intune Device ID").fill(f"{{{INTUNE_IDS[scripts]}}} ")
    officer.get_by_role("button", name="Onboard device to SEED").click()
    row = officer.locator("tr", has_text="MacBook at home")
    expect(row).to_contain_text("Step 1 of 2")
    if scripts:
        expect(officer.locator("#devices-notice")).to_be_focused()
        expect(officer.locator("#announce")).to_contain_text("MacBook at home is registered")
    expect(row).to_contain_text(INTUNE_IDS[scripts].lower())
    look(officer, "devices-step-1")

    # The simulator reports; with scripts the row follows by itself, and stops asking once it has arrived.
    for said in ("Step 2 of 2", "Onboarded"):
        world.stack.mdm()
        if not scripts:
            row.get_by_role("link", name="Refresh").click()
        expect(row).to_contain_text(said)
        if scripts:  # What the notice said is over, and the row is read out in its place.
            expect(officer.locator("#devices-notice")).to_have_text("")
            expect(officer.locator("#announce")).to_contain_text("MacBook at home: ")
        look(officer, f"devices-{said.lower().replace(' ', '-')}")
    assert row.get_attribute("hx-trigger") is None
    world.mail(email, "SEED", count=4)

    # "I don't need SEED" asks to remove the device first.
    officer.goto("/profile")
    expect(card).to_contain_text("SEED protects your device")
    look(officer, "seed-onboarded")
    card.get_by_role("link", name="I don’t need SEED").click()
    question = officer.locator("#seed-card")
    expect(question).to_contain_text("Remove the device first")
    look(officer, "seed-device-first")
    question.get_by_role("link", name="Go to your devices").click()
    row.get_by_role("link", name="Remove").click()
    look(officer, "devices-remove")
    officer.get_by_role("button", name="Remove device").click()
    expect(officer.locator("main")).to_contain_text("MacBook at home is removed")
    look(officer, "devices-removed")
    officer.goto("/profile")
    card.get_by_role("link", name="I don’t need SEED").click()
    expect(question).to_contain_text("stops working")
    look(officer, "seed-give-up")
    question.get_by_role("button", name="I don’t need SEED").click()
    expect(officer.locator("main")).to_contain_text("You gave SEED up")
    expect(card).to_contain_text("that you do not need SEED")
    look(officer, "seed-withdrawn")
    world.mail(email, "You gave SEED up")
