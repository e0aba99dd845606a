"""Links and codes: derived, never stored, and good for one purpose alone (T4)."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from webapp.domain.lifecycle import InvitationKind
from webapp.domain.tokens import (
    LOG_IN_CODE,
    RECEIPT,
    TOKEN_LENGTH,
    address_hash,
    derive_code,
    derive_key,
    derive_recovery_codes,
    derive_token,
    fold_recovery_code,
    invitation_purpose,
    new_nonce,
    readings_of_recovery_code,
    recover_token,
    recovery_code_hash,
    token_hash,
)

SECRET, OTHER = "a secret", "another secret"
PURPOSES = [RECEIPT, LOG_IN_CODE, *(invitation_purpose(kind) for kind in InvitationKind)]


def test_a_token_is_one_of_its_secret_purpose_and_nonce_alone():
    made = {
        derive_token(secret, purpose, nonce) for secret in (SECRET, OTHER) for purpose in PURPOSES for nonce in "ab"
    }
    assert len(made) == 2 * len(PURPOSES) * 2
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in made)
    assert {len(token) for token in made} == {TOKEN_LENGTH}
    assert len({token_hash(token) for token in made}) == len(made)
    assert derive_token(SECRET, RECEIPT, "a") == derive_token(SECRET, RECEIPT, "a")


def test_keys_differ_by_purpose_and_secret():
    derived = [derive_key(secret, purpose) for secret in (SECRET, OTHER) for purpose in PURPOSES]
    assert all(one != other for one, other in combinations(derived, 2))
    assert {len(key) for key in derived} == {32}


def test_nonces_do_not_repeat():
    assert len({new_nonce() for _ in range(1000)}) == 1000
    assert re.fullmatch(r"[0-9a-f]{32}", new_nonce())


@pytest.mark.parametrize(
    ("secrets", "found"),
    [
        ([SECRET], True),
        ([OTHER, SECRET], True),
        ([SECRET, OTHER], True),
        ([OTHER], False),
        ([], False),
    ],
)
def test_a_token_is_found_again_under_the_secret_it_was_made_with(secrets, found):
    token = derive_token(SECRET, RECEIPT, "nonce")
    assert recover_token(secrets, RECEIPT, "nonce", token_hash(token)) == (token if found else None)
    assert recover_token(secrets, LOG_IN_CODE, "nonce", token_hash(token)) is None
    assert recover_token(secrets, RECEIPT, "", token_hash(token)) is None


def test_a_code_has_six_digits_whatever_its_number():
    codes = [derive_code(SECRET, LOG_IN_CODE, str(number)) for number in range(2000)]
    assert all(re.fullmatch(r"[0-9]{6}", code) for code in codes)
    assert any(code.startswith("0") for code in codes)
    assert len(set(codes)) > 1900
    assert derive_code(OTHER, LOG_IN_CODE, "1") != derive_code(SECRET, LOG_IN_CODE, "1")


def test_recovery_codes_are_many_letters_in_three_groups():
    codes = derive_recovery_codes(SECRET, "nonce", 10)
    assert len(set(codes)) == 10
    assert all(re.fullmatch(r"([a-z2-9]{4}-){2}[a-z2-9]{4}", code) for code in codes)
    assert derive_recovery_codes(SECRET, "nonce", 3) == codes[:3]
    assert not set(codes) & set(derive_recovery_codes(SECRET, "other", 10))
    assert not set(codes) & set(derive_recovery_codes(OTHER, "nonce", 10))


def test_recovery_codes_hold_nothing_that_is_hard_to_tell_from_something_else_in_them():
    used = set("".join(derive_recovery_codes(SECRET, "nonce", 1000)))
    assert used == set("-abcdefghijkmnpqrstuvwxyz23456789"), "neither l nor o, 0 nor 1"


@pytest.mark.parametrize(
    ("typed", "read_as"),
    [
        ("abcd-efgh-2345", ("abcdefgh2345",)),
        ("ABCD-EFG1-2345", ("abcdefgi2345",)),
        ("abcd-efgl-2345", ("abcdefgl2345", "abcdefgi2345")),
        ("LLLL-0000-2345", ("lllloooo2345", "iiiioooo2345")),
    ],
)
def test_an_l_may_be_an_i_or_the_l_of_an_older_code(typed, read_as):
    assert readings_of_recovery_code(typed) == read_as


@pytest.mark.parametrize(
    ("typed", "folded"),
    [
        ("abcd-efgh-2345", "abcdefgh2345"),
        (" ABCD EFGH 2345 ", "abcdefgh2345"),
        ("abcdefgh2345", "abcdefgh2345"),
        ("abcd\u2011efgh\u20132345", "abcdefgh2345"),
        ("a0c1", "aoci"),
        ("", ""),
        ("- -", ""),
        ("\x00\r\n", ""),
        ("😀", ""),
    ],
)
def test_a_recovery_code_is_read_as_people_type_it(typed, folded):
    assert fold_recovery_code(typed) == folded
    assert recovery_code_hash(SECRET, typed) == recovery_code_hash(SECRET, folded)


def test_hashes_of_recovery_codes_and_addresses_are_keyed():
    assert recovery_code_hash(SECRET, "abcd") != recovery_code_hash(OTHER, "abcd")
    assert address_hash(SECRET, "a@tech.gov.sg") != address_hash(OTHER, "a@tech.gov.sg")
    assert address_hash(SECRET, "a@tech.gov.sg") != address_hash(SECRET, "b@tech.gov.sg")
