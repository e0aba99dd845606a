"""The pages of development: mails that went out, and codes without a phone."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from email.message import EmailMessage

import pyotp
import pytest
from flask.testing import FlaskClient

from webapp.dev.mail_catcher import Mailbox

NAME = "20261124T020000.000000Z-{:04}.eml"
OTHER = "20261124T020000.000000Z-notes.txt"


@pytest.fixture
def folder(app, tmp_path, monkeypatch):
    """The mailbox of a portal in development."""
    settings = dataclasses.replace(app.config["SETTINGS"], dev_mailbox=str(tmp_path / "mailbox"))
    monkeypatch.setitem(app.config, "SETTINGS", settings)
    monkeypatch.setitem(app.config, "PUBLIC_BASE_URL", "http://localhost:8000")
    (tmp_path / "mailbox").mkdir()
    return tmp_path / "mailbox"


@pytest.fixture
def production(app, monkeypatch, folder):
    settings = dataclasses.replace(app.config["SETTINGS"], app_env="production")
    monkeypatch.setitem(app.config, "SETTINGS", settings)


def keep(
    folder, number=1, to="peter@tech.gov.sg", subject="Your code", text="Hello", html="<p>Hello</p>", calendar=""
) -> str:
    message = EmailMessage()
    message["To"], message["Subject"] = to, subject
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    if calendar:
        message.add_attachment(calendar, subtype="calendar", filename="seed-deadline.ics")
    name = NAME.format(number)
    (folder / name).write_bytes(f"X-Envelope-To: {to}\r\n".encode() + message.as_bytes())
    return name


def raw(folder, content: bytes, number=1) -> str:
    name = NAME.format(number)
    (folder / name).write_bytes(content)
    return name


def test_an_empty_mailbox_says_so(client, folder):
    assert "No mails yet" in client.get("/dev/inbox").text


def test_a_folder_that_is_not_there_is_an_empty_mailbox(client, folder):
    folder.rmdir()
    assert "No mails yet" in client.get("/dev/inbox").text


def test_where_mails_go_elsewhere_it_says_where(client):
    assert "mails go to 127.0.0.1" in client.get("/dev/inbox").text


def test_mails_are_listed_newest_first_in_singapore_time(client, folder):
    keep(folder, 1, subject="The first")
    keep(folder, 2, to="mary@moe.gov.sg", subject="The second <b>")
    page = client.get("/dev/inbox").text
    assert page.index("The second &lt;b&gt;") < page.index("The first")
    assert "Tuesday, 24 November 2026, 10:00 Singapore time" in page
    assert "mary@moe.gov.sg" in page


def test_the_mail_catchers_own_files_are_read(client, folder):
    path = Mailbox(folder).keep(["a@tech.gov.sg", "b@tech.gov.sg"], b"Subject: Both\r\n\r\nHello")
    page = client.get("/dev/inbox").text
    assert "Both" in page
    assert "a@tech.gov.sg, b@tech.gov.sg" in page
    assert client.get(f"/dev/inbox/{path.name}").status_code == 200


def test_mails_are_found_by_recipient(client, folder):
    keep(folder, 1, to="peter@tech.gov.sg", subject="For Peter")
    keep(folder, 2, to="mary@moe.gov.sg", subject="For Mary")
    page = client.get("/dev/inbox?to=PETER@").text
    assert "For Peter" in page
    assert "For Mary" not in page
    assert "No mails to “&lt;x&gt;” yet" in client.get("/dev/inbox?to=<x>").text


def test_a_new_mail_appears_by_itself_and_is_announced(client, folder):
    seen = keep(folder, 1)
    asked = f"/dev/inbox?seen={seen}"
    assert client.htmx("GET", asked).status_code == 204
    newest = keep(folder, 2, subject="Just now")
    fragment = client.htmx("GET", asked)
    assert "<html" not in fragment.text
    assert "data-announce>New mail: Just now</p>" in fragment.text
    assert f"seen={newest}" in fragment.text


def test_the_first_mail_of_an_empty_mailbox_appears_too(client, folder):
    assert client.htmx("GET", "/dev/inbox?seen=").status_code == 204
    keep(folder)
    assert "New mail: Your code" in client.htmx("GET", "/dev/inbox?seen=").text


def test_a_mail_shows_its_text_with_our_links_alone(client, folder):
    name = keep(
        folder,
        text="Open http://localhost:8000/invitations/abc, not http://localhost:8000.evil.example/x,\n"
        "http://localhost:8000@evil.example/ or https://evil.example/ or javascript:alert(1) <b>",
    )
    page = client.get(f"/dev/inbox/{name}").text
    text = page[page.index("mail-text") : page.index("mail-html")]
    assert '<a href="http://localhost:8000/invitations/abc">http://localhost:8000/invitations/abc</a>,' in text
    assert text.count("<a ") == 1
    assert "&lt;b&gt;" in text
    assert "peter@tech.gov.sg" in page


def test_a_mail_of_text_alone_has_no_frame(client, folder):
    name = keep(folder, html="")
    assert "<iframe" not in client.get(f"/dev/inbox/{name}").text
    assert client.get(f"/dev/inbox/{name}/html").status_code == 404


def test_the_html_part_may_style_itself_and_nothing_else(app, client, folder):
    name = keep(folder, html='<html><head><title>x</title></head><body><p style="color:red">Hello</p></body></html>')
    page = client.get(f"/dev/inbox/{name}")
    assert f'src="/dev/inbox/{name}/html"' in page.text
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page.text
    assert "unsafe-inline" not in page.headers["Content-Security-Policy"]

    # A client of Flask's own: mails hold the inline styles that no page may.
    part = FlaskClient(app, app.response_class).get(f"/dev/inbox/{name}/html")
    policies = part.headers.getlist("Content-Security-Policy")
    assert len(policies) == 1
    for words in ("default-src 'none'", "style-src 'unsafe-inline'", "frame-ancestors 'self'", "sandbox"):
        assert words in policies[0]
    assert "script-src" not in policies[0]
    assert part.headers.getlist("X-Frame-Options") == ["SAMEORIGIN"]
    assert '<base target="_blank">' in part.text
    assert 'style="color:red"' in part.text


def test_a_calendar_file_is_offered_and_the_words_stay_in_sight(client, folder):
    name = keep(folder, text="Hello there", calendar="BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")
    page = client.get(f"/dev/inbox/{name}").text
    assert "Hello there" in page
    assert "<iframe" in page
    assert f'<a href="/dev/inbox/{name}/calendar.ics">seed-deadline.ics</a>' in page
    answer = client.get(f"/dev/inbox/{name}/calendar.ics")
    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.text.split() == ["BEGIN:VCALENDAR", "END:VCALENDAR"]
    other = keep(folder, 2)
    assert "Attached" not in client.get(f"/dev/inbox/{other}").text
    assert client.get(f"/dev/inbox/{other}/calendar.ics").status_code == 404


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\xfe no mail at all",
        b"Subject: =?utf-8?b?////?=\r\nTo: @@@<<>>,,;\r\n\r\n\xff\xfe",
        b"Content-Type: text/plain; charset=no-such-charset\r\nSubject: x\r\n\r\nhello",
        b"Content-Type: multipart/mixed\r\nSubject: x\r\n\r\n--\r\n",
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=\xff\r\n\r\n!",
        b"X-Envelope-To: a@tech.gov.sg\r\nSubject: x\r\nMessage-ID: [\r\nDate: nonsense\r\n\r\n",
    ],
)
def test_a_broken_mail_breaks_no_page(client, folder, content):
    name = raw(folder, content, 2)
    keep(folder, 1, subject="A whole one")
    assert "A whole one" in client.get("/dev/inbox").text
    assert client.get(f"/dev/inbox/{name}").status_code == 200
    assert client.get(f"/dev/inbox/{name}/html").status_code in (200, 404)
    assert client.get(f"/dev/inbox/{name}/calendar.ics").status_code == 404


def test_a_mail_that_cannot_be_read_says_why_and_shows_its_source(client, folder):
    name = raw(folder, b"Content-Type: text/plain; charset=no-such-charset\r\n\r\nhello there")
    page = client.get(f"/dev/inbox/{name}").text
    assert "This mail cannot be read" in page
    assert "hello there" in page


@pytest.mark.parametrize(
    "name",
    [
        "x.eml",
        OTHER,
        "..%2fsecret-key",
        "../secret-key",
        "%2e%2e%2fsecret-key",
        "..",
        "%00",
        NAME.format(9),
        "a" * 5000,
    ],
)
def test_only_a_mail_of_the_mailbox_is_a_page(client, folder, name):
    (folder.parent / "secret-key").write_text("top secret")
    for other in ("x.eml", OTHER):
        (folder / other).write_text("Subject: not from the mail catcher\r\n\r\ntop secret")
    for address in (f"/dev/inbox/{name}", f"/dev/inbox/{name}/html", f"/dev/inbox/{name}/calendar.ics"):
        answer = client.get(address)
        assert answer.status_code in (400, 404, 308), address
        assert "top secret" not in answer.text


def test_the_typed_key_gives_the_code_of_now(client, now, set_now):
    key = pyotp.random_base32()
    client.get("/dev/authenticator")
    page = client.submit("/dev/authenticator", key=" ".join(key[i : i + 4] for i in range(0, 32, 4)).lower())
    code = pyotp.TOTP(key).at(now)
    assert page.status_code == 200
    assert f"{code[:3]} {code[3:]}" in page.text
    assert "30 seconds left" in page.text

    set_now(datetime(2026, 11, 24, 2, 0, 29, tzinfo=UTC))
    fragment = client.submit(
        "/dev/authenticator", key=pyotp.TOTP(key).provisioning_uri(name="a@tech.gov.sg"), htmx=True
    )
    assert "<html" not in fragment.text
    assert f"{code[:3]} {code[3:]}" in fragment.text
    assert "1 second left" in fragment.text


@pytest.mark.parametrize(
    "key",
    [
        "",
        "short",
        "0189 0189 0189 0189",
        "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP1",
        "é" * 20,
        "A" * 501,
        "otpauth://",
        "otpauth://[",
        "otpauth://hotp/x?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&counter=1",
        "otpauth://totp/x?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&period=0",
    ],
)
def test_what_is_no_key_gets_a_plain_error(client, key):
    client.get("/dev/authenticator")
    page = client.submit("/dev/authenticator", key=key)
    assert page.status_code == 422
    assert "There is a problem" in page.text
    assert "dev-code" not in page.text


def test_in_production_none_of_it_exists(client, folder, production):
    name = keep(folder)
    pages = ["", "/html", "/calendar.ics"]
    for address in ("/dev/inbox", *(f"/dev/inbox/{name}{page}" for page in pages), "/dev/authenticator"):
        assert client.get(address).status_code == 404
        assert client.htmx("GET", address).status_code == 404
    client.get("/sign-up")
    assert client.submit("/dev/authenticator", key="JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP").status_code == 404
