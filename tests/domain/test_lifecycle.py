"""The states of accounts and of SEED, and which may follow which (sections 3 and 4 of the rules)."""

from __future__ import annotations

from itertools import product

import pytest

from webapp.domain.lifecycle import (
    ACCOUNT_TRANSITIONS,
    ACCOUNT_UNDONE,
    LIVE,
    SEED_TRANSITIONS,
    SEED_UNDONE,
    AccountStatus,
    ForbiddenTransition,
    SeedStatus,
    check_account_transition,
    check_account_undone,
    check_seed_transition,
    check_seed_undone,
)

S = AccountStatus
ALLOWED = {
    (S.REQUESTED, S.REJECTED),
    (S.REQUESTED, S.PENDING),
    (S.PENDING, S.ACTIVE),
    (S.REQUESTED, S.TERMINATED),
    (S.PENDING, S.TERMINATED),
    (S.ACTIVE, S.DISABLED),
    (S.ACTIVE, S.TERMINATED),
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


E = SeedStatus
SEED_ALLOWED = {
    (E.NOT_REQUIRED, E.REQUESTED),
    (E.INELIGIBLE, E.REQUESTED),
    (E.REJECTED, E.REQUESTED),
    (E.EXPIRED, E.REQUESTED),
    (E.WITHDRAWN, E.REQUESTED),
    (E.REQUESTED, E.INVITED),
    (E.REQUESTED, E.REJECTED),
    (E.REQUESTED, E.WITHDRAWN),
    (E.INVITED, E.ONBOARDED),
    (E.INVITED, E.EXPIRED),
    (E.INVITED, E.WITHDRAWN),
    (E.INVITED, E.SUSPENDED),
    (E.ONBOARDED, E.INVITED),
    (E.ONBOARDED, E.SUSPENDED),
    (E.SUSPENDED, E.INVITED),
    (E.SUSPENDED, E.ONBOARDED),
}


@pytest.mark.parametrize(("old", "new"), list(product(E, E)))
def test_seed_goes_the_ways_of_the_rules_and_no_other(old, new):
    if (old, new) in SEED_ALLOWED:
        check_seed_transition(old, new)
    else:
        with pytest.raises(ForbiddenTransition, match=f"from {old} to {new}"):
            check_seed_transition(old, new)


def test_every_state_of_seed_has_its_row_and_leads_on():
    assert set(SEED_TRANSITIONS) == set(E)
    assert all(SEED_TRANSITIONS.values())


def test_only_a_decision_is_taken_back_and_only_to_where_it_was_asked_for():
    assert {(old, new) for old, following in ACCOUNT_UNDONE.items() for new in following} == {
        (S.PENDING, S.REQUESTED),
        (S.REJECTED, S.REQUESTED),
    }
    assert {(old, new) for old, following in SEED_UNDONE.items() for new in following} == {
        (E.INVITED, E.REQUESTED),
        (E.REJECTED, E.REQUESTED),
    }
    check_account_undone(S.PENDING, S.REQUESTED)
    check_seed_undone(E.INVITED, E.REQUESTED)
    with pytest.raises(ForbiddenTransition):
        check_account_undone(S.ACTIVE, S.REQUESTED)
    with pytest.raises(ForbiddenTransition):
        check_seed_undone(E.ONBOARDED, E.REQUESTED)
