"""The mail catcher keeps each mail whole, with the recipients of its envelope."""

from __future__ import annotations

import smtplib
from email import message_from_bytes
from pathlib import Path

from tests.servers import stack


def test_a_mail_becomes_a_file_with_its_recipients(stand_in: Path) -> None:
    with stack(cwd=stand_in, parts="web") as portal:
        with smtplib.SMTP("127.0.0.1", int(portal.settings["MAIL_PORT"]), timeout=10) as client:
            for number in (1, 2):
                client.sendmail("from@x.sg", ["a@x.sg", "b@x.sg"], f"Subject: {number}\r\n\r\n.\r\nBody\r\n")
        mails = [message_from_bytes(path.read_bytes()) for path in sorted(portal.mailbox.glob("*.eml"))]
        assert [mail["Subject"] for mail in mails] == ["1", "2"]
        assert {mail["X-Envelope-To"] for mail in mails} == {"a@x.sg, b@x.sg"}
        assert mails[0].get_payload() == ".\r\nBody\r\n"
        assert not [path for path in portal.mailbox.iterdir() if path.suffix != ".eml"]
