"""Addresses: form, whose they are, and what their domain allows (rules 1.1 to 1.6)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.domain.addresses import AddressError, AgencyMode, Standing, is_unfinished, judge, parse


@dataclass(frozen=True)
class Agency:
    name: str = "Government Technology Agency"
    mode: AgencyMode = AgencyMode.OPEN
    reason: str = ""
    seed_eligible: bool = True
    vendors_allowed: bool = False


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("peter_wilson@tech.gov.sg", "peter_wilson@tech.gov.sg"),
        ("Peter_Wilson@TECH.gov.sg", "peter_wilson@tech.gov.sg"),
        ("  a@tech.gov.sg\t", "a@tech.gov.sg"),
        ("\u200ba@tech.gov.sg\u00a0", "a@tech.gov.sg"),
        ("o'neil.j-r+x@dsta-wog.gov.sg", "o'neil.j-r+x@dsta-wog.gov.sg"),
        ("peter_FROM.VENDOR@tech.gov.sg", "peter_from.vendor@tech.gov.sg"),
        (f"{'a' * 64}@tech.gov.sg", f"{'a' * 64}@tech.gov.sg"),
        (f"{'a' * 53}@{'b' * 52}.gov.sg", f"{'a' * 53}@{'b' * 52}.gov.sg"),
    ],
)
def test_well_formed_addresses_are_kept_as_typed_and_folded(text, folded):
    address = parse(text)
    assert address.folded == folded
    assert address.typed.lower() == folded


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Enter your organisational email address"),
        ("   ", "Enter your organisational email address"),
        ("peter", "in the format"),
        ("@tech.gov.sg", "in the format"),
        ("peter@", "in the format"),
        ("peter@tech", "in the format"),
        ("peter@@tech.gov.sg", "in the format"),
        ("peter..w@tech.gov.sg", "in the format"),
        (".peter@tech.gov.sg", "in the format"),
        ("peter w@tech.gov.sg", "in the format"),
        ("peter@-tech.gov.sg", "in the format"),
        ("peter@tech..gov.sg", "in the format"),
        ("peter@tech.gov.sg\x00", "in the format"),
        ("peter@tech.gov.sg\r\nBcc: x@y.sg", "in the format"),
        ("a@tech.gov.sg,b@tech.gov.sg", "in the format"),
        ("Peter <peter@tech.gov.sg>", "in the format"),
        (f"{'a' * 65}@tech.gov.sg", "64 characters or fewer"),
        (f"{'a' * 54}@{'b' * 53}.gov.sg", "113 characters or fewer"),
        ("p\u0131ter@tech.gov.sg", "letters A to Z"),  # dotless i
        ("\u212aen@tech.gov.sg", "letters A to Z"),  # Kelvin sign
        ("peter😀@tech.gov.sg", "letters A to Z"),
        ("peter@tеch.gov.sg", "letters A to Z"),  # Cyrillic e
    ],
)
def test_anything_else_is_refused_with_the_way_to_mend_it(text, says):
    with pytest.raises(AddressError, match=says):
        parse(text)


@given(st.text(max_size=300))
def test_no_text_whatever_breaks_the_parser_and_what_it_takes_is_plain(text):
    try:
        address = parse(text)
    except AddressError:
        return
    assert address.folded.isascii()
    assert address.folded.count("@") == 1
    assert len(address.typed) <= 113
    assert not set(address.folded) & set('\r\n\x00 <>,;:"()[]\\')


@pytest.mark.parametrize(
    ("text", "agency", "standing", "seed_offered"),
    [
        ("a@tech.gov.sg", Agency(), Standing.ELIGIBLE, True),
        ("a@schools.gov.sg", Agency(seed_eligible=False), Standing.ELIGIBLE, False),
        ("a_FROM.ACME@tech.gov.sg", Agency(), Standing.VENDOR, False),
        ("a_from.acme@tech.gov.sg", Agency(), Standing.VENDOR, False),
        ("a_FROM.ACME@tech.gov.sg", Agency(vendors_allowed=True), Standing.ELIGIBLE, True),
        ("a@dsta.gov.sg", Agency(mode=AgencyMode.INVITATION_ONLY), Standing.INVITATION_ONLY, False),
        ("a@litemail.gov.sg", Agency(mode=AgencyMode.REFUSED, reason="Upgrade first"), Standing.REFUSED, False),
        ("a@nowhere.gov.sg", None, Standing.UNKNOWN_AGENCY, False),
        ("a@gmail.com", None, Standing.WEBMAIL, False),
        ("a@acme.com.sg", None, Standing.CORPORATE, False),
        ("a@gov.sg.evil.com", None, Standing.CORPORATE, False),
    ],
)
def test_form_and_domain_decide_the_standing(text, agency, standing, seed_offered):
    verdict = judge(parse(text), agency)
    assert (verdict.standing, verdict.seed_offered) == (standing, seed_offered)
    assert verdict.may_sign_up is (standing is Standing.ELIGIBLE)
    assert verdict.message


def test_a_refusal_says_the_agencys_own_reason():
    assert judge(parse("a@litemail.gov.sg"), Agency(mode=AgencyMode.REFUSED, reason="Upgrade first")).message == (
        "Upgrade first"
    )


@pytest.mark.parametrize(
    ("text", "unfinished"),
    [
        ("a@tech.", True),
        ("a@tech.g", True),
        ("a@tech.GOV.", True),
        ("a@tech.gov.s", True),
        ("a@tech.gov.sg", False),
        ("a@gmail.com", False),
    ],
)
def test_an_address_is_not_judged_half_way_through_a_word(text, unfinished):
    assert is_unfinished(text) is unfinished
