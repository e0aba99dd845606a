"""Settings: what the portal refuses to start with, and what it says of itself."""

from __future__ import annotations

import pytest

from webapp.domain.policy import PolicyError
from webapp.settings import Settings, SettingsError, main

GOOD = {
    "SECRET_KEY": "b7Qw1eR9tY2uI4oP6aS8dF0gH3jK5lZx",
    "PUBLIC_BASE_URL": "https://portal.example.gov.sg",
    "DATABASE_URL": "postgresql://portal:dbword@db/portal",
    "REDIS_URL": "redis://:queueword@queue:6379/0",
    "MAIL_SERVER": "smtp.example.gov.sg",
    "MDM_WEBHOOK_SECRET": "mK4xV9bN2cZ7lQ1wE6rT3yU8iO5pA0sD",
}


def test_what_is_needed_is_enough():
    settings = Settings.from_environment(GOOD)
    assert (settings.app_env, settings.is_development, settings.is_https) == ("production", False, True)
    assert settings.public_host == "portal.example.gov.sg"
    assert settings.policy.invitation_days == 30


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY must have at least 32"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY must have at least 32"),
        ({"SECRET_KEY": "a" * 60}, "SECRET_KEY must have at least 32"),
        ({"PUBLIC_BASE_URL": ""}, "PUBLIC_BASE_URL is missing"),
        ({"PUBLIC_BASE_URL": "http://portal.example.gov.sg"}, "PUBLIC_BASE_URL must be https"),
        ({"PUBLIC_BASE_URL": "https://portal.example.gov.sg/a/path"}, "without a path"),
        ({"PUBLIC_BASE_URL": "portal.example.gov.sg"}, "must be an origin"),
        ({"DATABASE_URL": ""}, "DATABASE_URL is missing"),
        ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL must begin with"),
        ({"REDIS_URL": ""}, "REDIS_URL is missing"),
        ({"REDIS_URL": "queue:6379"}, "REDIS_URL must begin with"),
        ({"MAIL_SERVER": ""}, "MAIL_SERVER is missing"),
        ({"MAIL_PORT": "smtp"}, "MAIL_PORT must be a whole number"),
        ({"MAIL_USE_TLS": "perhaps"}, "MAIL_USE_TLS must be true or false"),
        ({"MDM_WEBHOOK_SECRET": ""}, "MDM_WEBHOOK_SECRET must have at least 32"),
        ({"MDM_WEBHOOK_SECRET": "a" * 60}, "MDM_WEBHOOK_SECRET must have at least 32"),
        ({"APP_ENV": "staging"}, "APP_ENV must be"),
        ({"CLOCK_FILE": "/tmp/clock"}, "for development only"),
        ({"DEV_MAILBOX": "/tmp/mails"}, "for development only"),
        ({"INVITATION_DAYS": "thirty"}, "INVITATION_DAYS must be a whole number"),
        ({"INVITATION_DAYS": "0"}, "INVITATION_DAYS must be at least 1"),
        ({"REMINDERS_FROM_DAY": "40"}, "REMINDERS_FROM_DAY must be less than INVITATION_DAYS"),
        ({"APP_ENV": "development", "SECRET_KEY": ""}, "SECRET_KEY is missing"),
    ],
)
def test_an_unsafe_setting_is_refused_by_name(changes, says):
    with pytest.raises(SettingsError, match=says):
        Settings.from_environment(GOOD | changes)


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({})
    for name in ("SECRET_KEY", "PUBLIC_BASE_URL", "DATABASE_URL", "REDIS_URL", "MAIL_SERVER"):
        assert name in str(refused.value)


@pytest.mark.parametrize(("text", "value"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("no", False)])
def test_yes_and_no(text, value):
    assert Settings.from_environment(GOOD | {"MAIL_USE_TLS": text}).mail_use_tls is value


def test_older_secrets_follow_the_present_one():
    settings = Settings.from_environment(GOOD | {"SECRET_KEY_FALLBACKS": "old one, , older one"})
    assert settings.secret_keys == (GOOD["SECRET_KEY"], "old one", "older one")


def test_what_is_logged_holds_no_secret():
    settings = Settings.from_environment(
        GOOD | {"MAIL_PASSWORD": "pass", "METRICS_TOKEN": "token", "SECRET_KEY_FALLBACKS": "x"}
    )
    shown = str(settings.masked())
    for secret in (
        GOOD["SECRET_KEY"],
        GOOD["MDM_WEBHOOK_SECRET"],
        "dbword",
        "queueword",
        "mailword",
        "metricsword",
        "oldword",
    ):
        assert secret not in shown
    assert "portal.example.gov.sg" in shown
    assert "(set)" in shown


def test_a_policy_that_contradicts_itself_is_refused():
    from webapp.domain.policy import Policy

    with pytest.raises(PolicyError):
        Policy(inactive_remind_days=90)


def test_what_is_wrong_is_said_before_anything_starts(monkeypatch, capsys):
    for name in GOOD:
        monkeypatch.delenv(name, raising=False)
    assert main() == 1
    said = capsys.readouterr().err
    assert "The portal cannot start" in said
    assert "Traceback" not in said
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    assert main() == 0
