"""The form of signing out of browsers (rule 6.3)."""

from __future__ import annotations

from wtforms import HiddenField
from wtforms.validators import AnyOf

from webapp.forms import PortalForm


class EndSessionsForm(PortalForm):
    """Which button was pressed."""

    scope = HiddenField("Where", validators=[AnyOf(["others", "all"])])
