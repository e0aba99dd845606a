"""The policy numbers: one place, each with the default that ``docs/rules.md`` gives."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class PolicyError(ValueError):
    """A policy number that cannot be meant; the message names the setting."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Every number that a rule, a page or a mail mentions. The environment may override each, by upper-case name."""

    invitation_days: int = 30  # rule 3.2
    reminders_from_day: int = 23  # rule 3.3
    purge_after_days: int = 5  # rule 3.5
    rejected_purge_days: int = 30  # rule 3.5: a rejected applicant's data, counted from the decision
    inactive_remind_days: int = 60  # rule 3.10
    inactive_disable_days: int = 90
    disabled_remind_days: int = 173
    inactive_terminate_days: int = 180
    enabled_sign_in_days: int = 5
    recent_change_days: int = 5
    resend_cooldown_hours: int = 24  # rules 3.8 and 5.3
    seed_promise_business_days: int = 3  # rule 4.2
    seed_invitation_days: int = 30  # rule 4.3
    seed_first_reminder_days: int = 7  # rule 4.3
    seed_last_reminder_days: int = 1  # rule 4.3
    devices_per_person: int = 1  # rule 4.6
    device_pending_days: int = 14  # rule 4.6
    mdm_tolerance_minutes: int = 5  # rule 4.7
    confirmed_minutes: int = 10  # rule 6.3
    not_me_days: int = 14  # rule 6.4
    registration_days: int = 5  # rule 5.5
    batch_rows: int = 10_000  # rule 5.2
    batch_keep_days: int = 30  # rule 5.2
    setup_link_hours: int = 24  # rule 7.3
    login_code_minutes: int = 10  # rule 7.1
    login_code_cooldown_seconds: int = 60
    login_code_tries: int = 5
    wrong_codes_per_5_minutes: int = 5
    wrong_codes_per_day: int = 50
    recovery_codes: int = 10
    session_idle_minutes: int = 30
    session_hours: int = 12
    onboarding_minutes: int = 60
    undo_seconds: int = 10  # rule 8.2
    extend_days: int = 90  # rule 8.3
    sweep_limit: int = 2000  # rule 8.7
    sweep_floor: int = 50  # rule 8.7
    sweep_median_times: int = 3  # rule 8.7

    def __post_init__(self) -> None:
        for field in fields(self):
            least = 0 if field.name == "undo_seconds" else 1  # Without time to undo, mails leave at once.
            if getattr(self, field.name) < least:
                raise PolicyError(f"{field.name.upper()} must be at least {least}")
        ordered = [
            ("reminders_from_day", "invitation_days"),
            ("seed_first_reminder_days", "seed_invitation_days"),
            ("seed_last_reminder_days", "seed_first_reminder_days"),
            ("inactive_remind_days", "inactive_disable_days"),
            ("inactive_disable_days", "disabled_remind_days"),
            ("disabled_remind_days", "inactive_terminate_days"),
        ]
        for earlier, later in ordered:
            if getattr(self, earlier) >= getattr(self, later):
                raise PolicyError(f"{earlier.upper()} must be less than {later.upper()}")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Policy:
        """The defaults, with what ``environ`` overrides. Raises `PolicyError` naming a setting that is not a number."""
        given: dict[str, int] = {}
        for field in fields(cls):
            name = field.name.upper()
            text = environ.get(name, "").strip()
            if not text:
                continue
            try:
                given[field.name] = int(text)
            except ValueError:
                raise PolicyError(f"{name} must be a whole number, not {text!r}") from None
        return cls(**given)

    @property
    def invitation_life(self) -> timedelta:
        return timedelta(days=self.invitation_days)

    @property
    def seed_invitation_life(self) -> timedelta:
        return timedelta(days=self.seed_invitation_days)

    @property
    def resend_cooldown(self) -> timedelta:
        return timedelta(hours=self.resend_cooldown_hours)

    @property
    def login_code_life(self) -> timedelta:
        return timedelta(minutes=self.login_code_minutes)
