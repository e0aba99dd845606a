"""The first question of logging in (rule 7.1)."""

from __future__ import annotations

from wtforms import StringField

from webapp.forms import PortalForm


class AddressForm(PortalForm):
    email = StringField("Email address")
