"""What is wrong with a form, told on a page that was asked for by GET.

An answer to the POST itself would stay in the browser's history, where Back asks whether to send the form again. So the
errors are carried over a 303 in the session's cookie, and told once. Codes are never carried: they are typed anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request, session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webapp.forms import PortalForm

_KEY = "form_errors"
_LONGEST = 200
"""Characters of a value that are carried: a cookie has no room for more."""


def carry(form: PortalForm, keep: Sequence[str] = ()) -> None:
    """Have the next page of this address tell the errors of ``form``; the fields in ``keep`` keep what was typed."""
    errors = {field.name: [str(error) for error in field.errors] for field in form if field.errors}
    session[_KEY] = {
        "path": request.path,
        "errors": errors,
        "kept": {name: str(form[name].data or "")[:_LONGEST] for name in keep},
    }


def bring(form: PortalForm) -> None:
    """Give ``form`` the errors that were carried to this page, if any. They are told once."""
    carried = session.pop(_KEY, None)
    if carried is None or carried["path"] != request.path:
        return
    for name, errors in carried["errors"].items():
        if name in form:
            form[name].errors = errors
    for name, value in carried["kept"].items():
        form[name].data = value
