"""The policy numbers and what the environment may make of them."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta

import pytest

from webapp.domain.policy import Policy, PolicyError


def test_the_defaults_are_those_of_the_rules():
    policy = Policy.from_environment({})
    assert policy == Policy()
    assert (policy.invitation_days, policy.reminders_from_day, policy.purge_after_days) == (30, 23, 5)
    assert (policy.inactive_remind_days, policy.inactive_disable_days) == (60, 90)
    assert (policy.disabled_remind_days, policy.inactive_terminate_days) == (173, 180)
    assert policy.invitation_life == timedelta(days=30)
    assert policy.login_code_life == timedelta(minutes=10)
    assert policy.resend_cooldown == timedelta(days=1)
    assert policy.seed_invitation_life == timedelta(days=30)


@pytest.mark.parametrize("name", [field.name for field in fields(Policy)])
def test_the_environment_may_override_each(name):
    value = getattr(Policy(), name) + (-1 if name == "reminders_from_day" else 1)
    assert getattr(Policy.from_environment({name.upper(): f" {value} "}), name) == value


def test_an_empty_setting_is_the_default():
    assert Policy.from_environment({"INVITATION_DAYS": " "}) == Policy()


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("INVITATION_DAYS", "a month", "INVITATION_DAYS must be a whole number, not 'a month'"),
        ("INVITATION_DAYS", "30.5", "INVITATION_DAYS must be a whole number"),
        ("RECOVERY_CODES", "0", "RECOVERY_CODES must be at least 1"),
        ("PURGE_AFTER_DAYS", "-1", "PURGE_AFTER_DAYS must be at least 1"),
        ("INVITATION_DAYS", "23", "REMINDERS_FROM_DAY must be less than INVITATION_DAYS"),
        ("INACTIVE_REMIND_DAYS", "90", "INACTIVE_REMIND_DAYS must be less than INACTIVE_DISABLE_DAYS"),
        ("DISABLED_REMIND_DAYS", "90", "INACTIVE_DISABLE_DAYS must be less than DISABLED_REMIND_DAYS"),
        ("INACTIVE_TERMINATE_DAYS", "173", "DISABLED_REMIND_DAYS must be less than INACTIVE_TERMINATE_DAYS"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused_by_name(setting, value, message):
    with pytest.raises(PolicyError, match=message):
        Policy.from_environment({setting: value})
