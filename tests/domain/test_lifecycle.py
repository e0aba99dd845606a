"""The states of accounts, and which may follow which (section 3 of the rules)."""

from __future__ import annotations

from itertools import product

import pytest

from webapp.domain.lifecycle import (
    ACCOUNT_TRANSITIONS,
    LIVE,
    AccountStatus,
    ForbiddenTransition,
    check_account_transition,
)

S = AccountStatus
ALLOWED = {
    (S.REQUESTED, S.REJECTED),
    (S.REQUESTED, S.PENDING),
    (S.PENDING, S.ACTIVE),
    (S.PENDING, S.TERMINATED),
    (S.ACTIVE, S.DISABLED),
    (S.DISABLED, S.ACTIVE),
    (S.DISABLED, S.TERMINATED),
    (S.TERMINATED, S.DELETED),
    (S.REJECTED, S.DELETED),
}


@pytest.mark.parametrize(("old", "new"), list(product(S, S)))
def test_an_account_goes_the_ways_of_the_rules_and_no_other(old, new):
    if (old, new) in ALLOWED:
        check_account_transition(old, new)
    else:
        with pytest.raises(ForbiddenTransition, match=f"from {old} to {new}"):
            check_account_transition(old, new)


def test_every_status_has_its_row_and_what_has_ended_never_lives_again():
    assert set(ACCOUNT_TRANSITIONS) == set(S)
    for ended in set(S) - set(LIVE):
        assert not ACCOUNT_TRANSITIONS[ended] & set(LIVE)
