"""HTTP in, HTML out: build the form, call one service, render."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

_NAMES = (
    "home",
    "sign_up",
    "receipts",
    "invitations",
    "registration",
    "invite",
    "invite_batch",
    "onboarding",
    "authenticator_setup",
    "seed",
    "log_in",
    "profile",
    "edit_profile",
    "activity",
    "not_me",
    "security",
    "devices",
    "mdm",
    "admin_start",
    "admin_mail",
    "admin_jobs",
    "admin_requests",
    "admin_accounts",
    "admin_agencies",
    "admin_holidays",
    "admin_forecast",
    "admin_audit",
    "health",
    "dev_inbox",
)


def init_app(app: Flask) -> None:
    for name in _NAMES:
        app.register_blueprint(import_module(f"webapp.views.{name}").blueprint)
