"""Asking for others in a real browser: a colleague, a vendor, a file of 500 whose worker dies in the middle."""

from __future__ import annotations

import re
import signal

import pytest
from playwright.sync_api import expect

from tests import servers
from tests.browser.conftest import hold_back, onboard

ROWS = 500
FAULTY = 40


@pytest.fixture(scope="session")
def inviter(world):
    """An officer who is signed in; not the one who decides."""
    said = world.stack.flask("admin", "create", "inviter@tech.gov.sg")
    page = world.person().new_page()
    onboard(world, page, said.split()[-1], seed=False)
    return page


def test_a_colleague_is_asked_for_and_seen_to_become_active(world, admin, inviter, look):
    email = "colleague_chan@tech.gov.sg"
    inviter.goto("/profile")
    inviter.get_by_role("navigation", name="Main").get_by_role("link", name="Invite").click()
    look(inviter, "invite")
    inviter.get_by_label("Their work email address").fill("colleague_chan@tech.gvo.sg")
    inviter.get_by_role("button", name=f"Use {email}").click()
    expect(inviter.get_by_label("Their work email address")).to_have_value(email)
    expect(inviter.locator("#invite-told")).to_be_focused()
    inviter.get_by_role("button", name="Ask for them").click()
    expect(inviter.locator(".error-summary")).to_be_focused()
    look(inviter, "invite-error")
    inviter.get_by_label("No", exact=True).check()
    inviter.get_by_label("Why do they need TechPass?").fill("New in the team")
    inviter.get_by_role("button", name="Ask for them").click()
    expect(inviter.locator("main")).to_contain_text(f"We have mailed {email}")
    look(inviter, "invited")
    assert "inviter@tech.gov.sg asked for TechPass for you" in world.mail(email, "on your behalf").text

    admin.decide(email)
    expect(admin.page.locator("tr", has_text=email).first).to_contain_text("Approved")
    onboard(world, world.person().new_page(), world.link(email, "activate it before"), seed=False)
    assert world.mail("inviter@tech.gov.sg", "has activated", about=email)
    inviter.goto("/invite/sent")
    expect(inviter.get_by_role("row").filter(has_text=email)).to_contain_text("Active")


def test_what_is_typed_stays_and_an_error_goes_with_what_it_was_told_of(inviter):
    inviter.goto("/invite")
    email, reason = inviter.get_by_label("Their work email address"), inviter.get_by_label("Why do they need TechPass?")
    expect(inviter.get_by_role("button", name="Continue", exact=True)).to_be_visible()
    expect(reason).to_be_hidden()
    email.fill("late@gmail.com")
    expect(inviter.locator("#invite-told")).to_contain_text("cannot be invited")
    inviter.get_by_role("button", name="Continue", exact=True).click()
    expect(inviter.locator(".error-summary")).to_be_focused()
    email.fill("late@vendor.example.com")
    expect(inviter.locator("#invite-told")).to_contain_text("A vendor’s address")
    expect(inviter.locator(".error-summary, .field-error, [aria-invalid]")).to_have_count(0)
    expect(inviter).to_have_title(re.compile("^Ask for somebody"))
    inviter.get_by_label("Organisation").fill("Vendor Pte")
    inviter.get_by_label("No", exact=True).check()
    inviter.get_by_role("button", name="Ask for them").click()
    expect(inviter.locator(".error-summary li")).to_have_count(4)

    # The check of an address is on its way while its next fields are filled in.
    def answer(route):
        if not reason.input_value():
            reason.fill("Typed while it was checked")
        route.continue_()

    inviter.route("**/invite/check", answer)
    email.fill("late@tech.gov.sg")
    expect(inviter.locator("#invite-told")).to_contain_text("a public officer")
    expect(inviter.get_by_label("Organisation")).to_be_hidden()
    expect(inviter.locator(".error-summary li")).to_have_text(["Say why they need TechPass"])
    expect(reason).to_have_value("Typed while it was checked")
    expect(reason).to_be_focused()
    inviter.unroute("**/invite/check")
    email.fill("late@vendor.example.com")
    expect(inviter.get_by_label("Organisation")).to_have_value("Vendor Pte")
    expect(inviter.get_by_label("No", exact=True)).to_be_checked()


def test_without_scripts_what_is_typed_stays_too(world, inviter):
    page = world.person(java_script_enabled=False, storage_state=inviter.context.storage_state()).new_page()
    page.goto("/invite")
    email, organisation = page.get_by_label("Their work email address"), page.get_by_label("Organisation")
    expect(organisation).to_be_hidden()
    email.fill("plain@vendor.example.com")
    page.get_by_role("button", name="Continue", exact=True).click()
    expect(page.locator(".error-summary")).to_have_count(0)
    organisation.fill("Vendor Pte")
    email.fill("plain@tech.gov.sg")
    page.get_by_role("button", name="Ask for them", exact=True).click()
    expect(page.locator(".error-summary li")).to_have_count(2)
    expect(organisation).to_be_hidden()
    email.fill("plain@vendor.example.com")
    page.get_by_role("button", name="Ask for them", exact=True).click()
    expect(page.locator(".error-summary")).to_have_count(0)
    expect(organisation).to_have_value("Vendor Pte")


def test_a_list_outlives_the_session_that_ended_while_it_was_pasted(world, inviter):
    page = world.person(storage_state=inviter.context.storage_state()).new_page()
    page.goto("/invite/batch")
    page.get_by_label("Or paste the list").fill("pasted@tech.gov.sg")
    cookies = page.context.cookies()
    page.context.clear_cookies()
    page.get_by_role("button", name="See the rows").click()
    notice = page.locator("#network-notice")
    expect(notice).to_contain_text("You are not logged in any more, so nothing was sent")
    with page.expect_popup() as opened:
        notice.get_by_role("link", name="Log in in a new tab").click()
    expect(opened.value.get_by_role("heading", level=1)).to_contain_text("Log in")
    expect(page.get_by_label("Or paste the list")).to_have_value("pasted@tech.gov.sg")
    page.context.add_cookies(cookies)
    notice.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Pasted list")
    page.context.clear_cookies()
    page.get_by_role("button", name="Remove row 1").click()  # Nothing was typed: straight to the page to log in.
    expect(page.get_by_role("heading", level=1)).to_contain_text("Log in")


def test_what_is_typed_in_an_open_row_outlives_a_change_of_another(inviter):
    inviter.goto("/invite/batch")
    inviter.get_by_label("Or paste the list").fill("twice@tech.gov.sg\ntwice@tech.gov.sg")
    inviter.get_by_role("button", name="See the rows").click()
    inviter.get_by_role("link", name="Change row 2", exact=True).click()
    expect(inviter.get_by_label("Email address")).to_be_focused()
    inviter.get_by_label("Reason").fill("Half a sentence")
    inviter.get_by_role("button", name="Remove row 1", exact=True).click()
    expect(inviter.locator(".batch-removed")).to_be_focused()
    expect(inviter.get_by_label("Reason")).to_have_value("Half a sentence")
    inviter.get_by_role("button", name="Keep the change").click()
    expect(inviter.locator("#row-2")).to_contain_text("Half a sentence")
    expect(inviter.locator("#row-2")).not_to_contain_text("Twice")


def test_what_is_changed_while_the_counts_are_on_their_way_is_counted_too(inviter):
    inviter.goto("/invite/batch")
    inviter.get_by_label("Or paste the list").fill("a@tech.gov.sg\nb@tech.gov.sg\nc@tech.gov.sg")
    inviter.get_by_role("button", name="See the rows").click()
    go_on = hold_back(inviter, "**part=summary**")
    for number in (1, 2):
        inviter.get_by_role("button", name=f"Remove row {number}", exact=True).click()
        expect(inviter.locator("tr")).to_have_count(4)
        expect(inviter.get_by_role("button", name=f"Remove row {number}", exact=True)).to_have_count(0)
    go_on()
    expect(inviter.locator("#batch-summary")).to_contain_text("0 of 1 row is ready")


def test_a_file_that_is_too_large_is_told_with_the_limit_and_no_error_of_the_one_before(inviter):
    inviter.goto("/invite/batch")
    for content in (b"%PDF", b"a" * 5_000_000):
        inviter.get_by_label("A file").set_input_files({"name": "a.csv", "mimeType": "text/csv", "buffer": content})
        expect(inviter.locator(".error-summary, .field-error")).to_have_count(0)
        inviter.get_by_role("button", name="See the rows").click()
        expect(inviter.locator(".error-summary, #network-notice:visible")).to_have_count(1)
    expect(inviter.locator("#network-words")).to_have_text("That is larger than 4 MB, and nothing was changed.")


def test_long_words_make_no_table_wider_than_the_screen(inviter, look):
    inviter.goto("/invite/batch")
    lines = ["email,seed,organisation,reason", f"{'a' * 60}@tech.gvo.sg,{'b' * 90},{'c' * 120},{'d' * 300}"]
    inviter.get_by_label("Or paste the list").fill("\n".join(lines))
    inviter.get_by_role("button", name="See the rows").click()
    expect(inviter.locator("#row-2")).to_be_visible()
    look(inviter, "batch-long-words")


def test_a_vendor_registers_and_becomes_active(world, admin, inviter, look):
    email = "mei@vendor.example.com"
    inviter.goto("/invite")
    inviter.get_by_label("Their work email address").fill(email)
    inviter.get_by_label("First name").fill("Mei")
    inviter.get_by_label("Last name").fill("Tan")
    inviter.get_by_label("Organisation").fill("Vendor Pte")
    inviter.get_by_label("Sponsoring agency").select_option("tech.gov.sg")
    inviter.get_by_label("No", exact=True).check()
    inviter.get_by_label("Why do they need TechPass?").fill("Maintains our website")
    look(inviter, "invite-vendor")
    inviter.get_by_role("button", name="Ask for them").click()
    expect(inviter.locator("main")).to_contain_text("they have 5 days to register")

    link = re.search(r"http\S+/registration/\S+", world.mail(email, "register before").text)
    assert link
    vendor = world.person().new_page()
    vendor.goto(link.group())
    look(vendor, "registration")
    vendor.get_by_label("Mobile number").fill("12")
    vendor.get_by_role("button", name="Register").click()
    expect(vendor.locator(".error-summary")).to_be_focused()
    vendor.get_by_label("Mobile number").fill("9123 4567")
    vendor.get_by_label("Organisation").fill("Vendor Pte Ltd")
    vendor.get_by_role("button", name="Register").click()
    expect(vendor.get_by_text("You are registered")).to_be_visible()
    look(vendor, "registered")
    vendor.goto(link.group())
    expect(vendor.get_by_role("heading", level=1)).to_contain_text("registered already")

    admin.decide(email)
    expect(admin.page.locator("tr", has_text=email).first).to_contain_text("Approved")
    onboard(world, vendor, world.link(email, "activate it before"), seed=False)
    vendor.goto("/profile")
    expect(vendor.locator("main")).to_contain_text("Vendor Pte Ltd")
    assert world.mail("inviter@tech.gov.sg", "has activated", about=email)


def test_a_file_of_many_is_mended_sent_once_though_the_worker_dies_and_not_again(world, inviter, look, tmp_path):
    def address(number: int) -> str:
        return f"batch_{number:03}@moe.gov.sg"

    def asked() -> dict[str, int]:
        """How many mails each has got; the one that a killed worker was sending may come again as the same."""
        sent = [message for message in world.smtp.messages if "on your behalf" in message.subject]
        ids: dict[str, set[str]] = {address(number): set() for number in range(ROWS)}
        for message in sent:
            for to in message.recipients:
                ids.get(to, set()).add(message.message["Message-ID"])
        assert len(sent) <= len({message.message["Message-ID"] for message in sent}) + 1
        return {to: len(found) for to, found in ids.items()}

    lines = ["email;seed;reason"]
    for number in range(ROWS):
        wrong = address(number).replace("gov.sg", "gvo.sg")
        lines.append(f"{wrong if number < FAULTY else address(number)};no;A new school")
    file = tmp_path / "school.csv"
    file.write_text("\n".join(lines), encoding="utf-16")

    inviter.goto("/invite/batch")
    look(inviter, "batch-upload")
    inviter.get_by_label("A file").set_input_files(file)
    inviter.get_by_role("button", name="See the rows").click()
    main = inviter.locator("main")
    expect(main).to_contain_text(f"{ROWS - FAULTY} of {ROWS} rows are ready")
    look(inviter, "batch-draft")
    # A fault is mended by hand, the others by the address that was meant: one by one, or all at once.
    inviter.get_by_role("link", name="Change row 2", exact=True).click()
    look(inviter, "batch-edit")
    inviter.get_by_label("Email address").fill(address(0))
    inviter.get_by_role("button", name="Keep the change").click()
    expect(inviter.locator("#row-2")).to_contain_text("Ready")
    expect(inviter.locator("#row-2")).to_be_focused()
    for number in (1, 2):
        inviter.get_by_role("button", name=f"Use {address(number)}").click()
        expect(inviter.locator(f"#row-{number + 2}")).to_contain_text("Ready")
        expect(inviter.locator(f"#row-{number + 2}")).to_be_focused()
    inviter.get_by_role("button", name=f"Use all {FAULTY - 3} suggested addresses").click()
    expect(main).to_contain_text(f"{ROWS} of {ROWS} rows are ready")
    inviter.get_by_role("button", name=f"Send {ROWS} invitations").click()
    expect(inviter.locator("progress").or_(inviter.get_by_text("0 failed"))).to_be_visible()
    world.stack.kill("worker", signal.SIGKILL)
    inviter.reload()
    expect(main).to_contain_text(f"{ROWS} sent, 0 skipped, 0 failed", timeout=90_000)
    look(inviter, "batch-result")
    servers.wait_until(lambda: min(asked().values()) > 0, "all to be mailed", seconds=90)
    assert set(asked().values()) == {1}

    inviter.goto("/invite/batch")
    inviter.get_by_label("A file").set_input_files(file)
    inviter.get_by_role("button", name="See the rows").click()
    expect(main).to_contain_text(f"0 of {ROWS} rows are ready")
    inviter.get_by_role("link", name=re.compile("Already invited")).click()
    expect(main).to_contain_text("Asked for on")
    expect(inviter.get_by_role("button", name=re.compile("^Send"))).to_have_count(0)
    assert set(asked().values()) == {1}
