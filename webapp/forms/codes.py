"""Forms that take a code: from the mail, from the authenticator app, or one that was saved (rules 3.9 and 7.1)."""

from __future__ import annotations

from wtforms import StringField
from wtforms.validators import InputRequired, Length, Regexp

from webapp.forms import PortalForm


def digits_only(text: str | None) -> str | None:
    """A filter for codes of digits: people and phones put spaces and dashes in."""
    return "".join(c for c in text if not c.isspace() and c not in "-–\u2011\u200b") if text else text


class CodeForm(PortalForm):
    """A form whose one field is typed anew each time."""

    stale = "This page was open for too long, so nothing was sent. Enter the code again."


class MailedCodeForm(CodeForm):
    code = StringField(
        "Code from the email",
        filters=[digits_only],
        validators=[
            InputRequired("Enter the 6-digit code from the email"),
            Regexp(r"\A[0-9]{6}\Z", message="The code has 6 digits, like 123 456"),
        ],
    )


class AuthenticatorForm(CodeForm):
    code = StringField(
        "Code from the app",
        filters=[digits_only],
        validators=[
            InputRequired("Enter the 6-digit code that the authenticator app shows"),
            Regexp(r"\A[0-9]{6}\Z", message="The code has 6 digits, like 123 456"),
        ],
    )


class RecoveryCodeForm(CodeForm):
    code = StringField(
        "Recovery code",
        validators=[
            InputRequired("Enter one of your recovery codes"),
            Length(max=40, message="A recovery code has 12 letters and digits, like abcd-efgh-2345"),
        ],
    )
