"""Settings, read once from the environment and checked: a portal that would be unsafe refuses to start and says why."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from webapp.domain.policy import Policy, PolicyError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECRET = ("secret", "password", "token")


class SettingsError(ValueError):
    """Settings with which the portal must not start; the message names each and what it should be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says, by upper-case name; the README's table tells what each is for."""

    app_env: str = "production"
    secret_key: str = ""
    secret_key_fallbacks: tuple[str, ...] = ()
    public_base_url: str = ""
    database_url: str = ""
    redis_url: str = ""
    mail_server: str = ""
    mail_port: int = 25
    mail_username: str = ""
    mail_password: str = ""
    mail_use_tls: bool = False
    mail_default_sender: str = "TechPass <no-reply@techpass.example>"
    mail_timeout_seconds: int = 20
    trusted_proxies: int = 0
    official_masthead: bool = False
    service_request_url: str = "https://go.gov.sg/techpass-sr"
    metrics_token: str = ""
    mdm_webhook_secret: str = ""
    clock_file: str = ""
    dev_mailbox: str = ""
    policy: Policy = field(default_factory=Policy)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Raises `SettingsError` that lists everything wrong at once."""
        problems: list[str] = []
        given: dict[str, object] = {}
        for item in fields(cls):
            text = environ.get(item.name.upper(), "").strip()
            if item.name == "policy" or not text:
                continue
            try:
                given[item.name] = _read(item.type, text)
            except ValueError as error:
                problems.append(f"{item.name.upper()} {error}")
        try:
            given["policy"] = Policy.from_environment(environ)
        except PolicyError as error:
            problems.append(str(error))
        settings = cls(**given)  # type: ignore[arg-type]
        problems += settings._problems()
        if problems:
            raise SettingsError("The portal cannot start:\n" + "\n".join(f"  - {problem}" for problem in problems))
        return settings

    @property
    def is_development(self) -> bool:
        return self.app_env in ("development", "test")

    @property
    def is_https(self) -> bool:
        return self.public_base_url.startswith("https://")

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The current secret first, then those it replaced."""
        return (self.secret_key, *self.secret_key_fallbacks)

    def masked(self) -> dict[str, object]:
        """The effective settings for the log, secrets left out."""
        shown: dict[str, object] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if any(word in item.name for word in _SECRET):
                value = "(set)" if value else "(not set)"
            elif item.name.endswith("_url") and isinstance(value, str):
                value = re.sub(r"//([^@/]*)@", "//(masked)@", value)
            shown[item.name] = value
        return shown

    def _problems(self) -> list[str]:
        needed = ("database_url", "redis_url", "mail_server")
        problems = [f"{name.upper()} is missing" for name in needed if not getattr(self, name)]
        if self.redis_url and not re.match(r"(redis|rediss|unix)://", self.redis_url):
            problems.append("REDIS_URL must begin with redis://, rediss:// or unix://")
        if self.app_env not in ("production", "development", "test"):
            problems.append("APP_ENV must be production, development or test")
        if self.database_url and not re.match(r"(sqlite|postgresql)(\+\w+)?://", self.database_url):
            problems.append("DATABASE_URL must begin with sqlite:/// or postgresql://")
        if not self.public_base_url:
            problems.append("PUBLIC_BASE_URL is missing")
        elif not re.fullmatch(r"https?://[^/?#\s]+", self.public_base_url):
            problems.append("PUBLIC_BASE_URL must be an origin like https://portal.example.gov.sg, without a path")
        if self.is_development:
            return problems if self.secret_key else [*problems, "SECRET_KEY is missing"]
        if len(self.secret_key) < 32 or len(set(self.secret_key)) < 10:
            problems.append("SECRET_KEY must have at least 32 random characters")
        if len(self.mdm_webhook_secret) < 32 or len(set(self.mdm_webhook_secret)) < 10:
            problems.append("MDM_WEBHOOK_SECRET must have at least 32 random characters")
        if self.public_base_url and not self.is_https:
            problems.append("PUBLIC_BASE_URL must be https outside development")
        if self.clock_file or self.dev_mailbox:
            problems.append("CLOCK_FILE and DEV_MAILBOX are for development only")
        return problems

    @property
    def public_host(self) -> str:
        return urlsplit(self.public_base_url).netloc


def main() -> int:
    """``python -m webapp.settings``: say what is wrong with the environment's settings, before anything starts."""
    try:
        Settings.from_environment()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _read(kind: object, text: str) -> object:
    """``text`` as the field's type (annotations are strings here)."""
    if kind == "int":
        try:
            return int(text)
        except ValueError:
            raise ValueError("must be a whole number") from None
    if kind == "bool":
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise ValueError("must be true or false")
    if kind == "tuple[str, ...]":
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text.rstrip("/") if text.startswith("http") else text


if __name__ == "__main__":
    sys.exit(main())
