"""Forms: shape only - what is there, how long, in what format. Rules are asked of the services."""

from __future__ import annotations

from typing import Any, Self

from flask import request
from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict

from webapp.texts import one_line

STALE = "This page was open for too long, so nothing was sent. Your answers are kept: check them and submit again."


class PortalForm(FlaskForm):
    """A form that says in plain words when its token is stale, and keeps what was typed."""

    stale = STALE

    class Meta(FlaskForm.Meta):
        def wrap_formdata(self, form: FlaskForm, formdata: Any) -> MultiDict[str, str] | None:
            """Text fields alone: a file or JSON where one is expected would be no text (S5)."""
            if formdata is None or isinstance(formdata, MultiDict):
                return formdata
            return request.form if form.is_submitted() else None

    def validate(self, *args: Any, **kwargs: Any) -> bool:
        valid = bool(super().validate(*args, **kwargs))
        if self.meta.csrf and self.csrf_token.errors:
            self.csrf_token.errors = [self.stale]
        return valid

    def of_row(self, number: int | str) -> Self:
        """Give the fields ids of their own for the row ``number``, as several rows of a page may hold the form."""
        for field in self:
            field.id = field.label.field_id = f"{field.name}-{number}"
        return self


def squeeze(text: str | None) -> str | None:
    """A filter for one-line fields: no line breaks or control characters reach a mail or a log (E1, M2)."""
    return None if text is None else one_line(text)
