"""The forms of onboarding (rule 3.9)."""

from __future__ import annotations

from wtforms import HiddenField

from webapp.forms import PortalForm


class ContinueForm(PortalForm):
    """A page that is agreed to by its button alone."""


class AgreementForm(PortalForm):
    version = HiddenField("Version")
