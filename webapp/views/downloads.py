"""Answers that a browser keeps as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response

if TYPE_CHECKING:
    from webapp.calendars import CalendarFile


def calendar(file: CalendarFile) -> Response:
    return Response(
        file.text, mimetype="text/calendar", headers={"Content-Disposition": f'attachment; filename="{file.name}"'}
    )
