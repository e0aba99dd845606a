"""The steps of onboarding and their order, as tables (rules 3.9 and 7.3)."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from webapp.domain.lifecycle import InvitationKind
from webapp.domain.onboarding import Document, Progress, Step, is_complete, is_done, next_step, steps

TECHPASS, AUTHENTICATOR = InvitationKind.TECHPASS, InvitationKind.AUTHENTICATOR
TERMS, PRIVACY, MDM = Document.TERMS_OF_USE, Document.PRIVACY_POLICY, Document.MDM_AUP


def at(done: int, seed: bool = False) -> Progress:
    """Progress of somebody with the first ``done`` steps behind them."""
    return Progress(
        TECHPASS,
        wants_seed=seed,
        permissions=done > 0,
        authenticator=done > 1,
        recovery_codes=done > 2,
        accepted=frozenset([TERMS, PRIVACY, MDM][: max(0, done - 3)]),
    )


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (at(0), Step.PERMISSIONS),
        (at(1), Step.AUTHENTICATOR),
        (at(2), Step.RECOVERY_CODES),
        (at(3), Step.TERMS_OF_USE),
        (at(4), Step.PRIVACY_POLICY),
        (at(5), Step.PRIVACY_POLICY),
        (at(5, seed=True), Step.MDM_AUP),
        (at(6, seed=True), Step.MDM_AUP),
        # A gap is gone back to, whatever came after it.
        (replace(at(6, seed=True), authenticator=False), Step.AUTHENTICATOR),
        (replace(at(5), accepted=frozenset({PRIVACY})), Step.TERMS_OF_USE),
        (Progress(AUTHENTICATOR), Step.AUTHENTICATOR),
        (Progress(AUTHENTICATOR, authenticator=True), Step.RECOVERY_CODES),
        (Progress(AUTHENTICATOR, authenticator=True, recovery_codes=True), Step.RECOVERY_CODES),
    ],
)
def test_the_next_step_is_the_first_that_is_missing(progress, expected):
    assert next_step(progress) is expected


@pytest.mark.parametrize(
    ("progress", "complete"),
    [
        (at(4), False),
        (at(5), True),
        (at(5, seed=True), False),
        (at(6, seed=True), True),
        (replace(at(6, seed=True), permissions=False), False),
        (Progress(AUTHENTICATOR, wants_seed=True, authenticator=True), False),
        (Progress(AUTHENTICATOR, wants_seed=True, authenticator=True, recovery_codes=True), True),
    ],
)
def test_it_is_complete_when_nothing_is_missing(progress, complete):
    assert is_complete(progress) is complete


def test_no_mix_of_what_is_done_skips_a_step():
    documents = [
        frozenset(d for d, taken in zip(Document, mix, strict=True) if taken) for mix in product([0, 1], repeat=3)
    ]
    for kind, seed, a, b, c, accepted in product(
        (TECHPASS, AUTHENTICATOR), (True, False), (True, False), (True, False), (True, False), documents
    ):
        progress = Progress(kind, seed, a, b, c, accepted)
        step = next_step(progress)
        mine = steps(progress)
        assert all(is_done(earlier, progress) for earlier in mine[: mine.index(step)])
        assert is_complete(progress) == all(is_done(each, progress) for each in mine)


def test_the_policy_of_device_management_is_for_those_who_asked_for_seed():
    assert Step.MDM_AUP not in steps(at(0))
    assert steps(at(0, seed=True))[-1] is Step.MDM_AUP
