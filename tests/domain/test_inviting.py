"""Which domain was probably meant: slips of ``gov.sg`` and of agencies' names, nothing that may be right (rule 5.2)."""

from __future__ import annotations

import pytest

from webapp.domain.inviting import likely_address, likely_domain

KNOWN = {f"{name}.gov.sg" for name in ("tech", "moe", "mom", "mof", "ura", "acra", "schools", "mindef")}
SLIPS = [
    *("gvo.sg", "gv.sg", "gob.sg", "govt.sg", "go.sg", "govsg", "gov-sg"),
    *("gov.s", "gov.sq", "gov.sgg", "gov.sgp", "gov.com", "gov", "gov.sg.com", "gov.com.sg"),
]
RIGHT = [
    *("tech.gov.sg", "tech.gov.my", "tech.gov.au", "moe.gov.in", "moe.gov.uk", "moe.gov.sh", "mof.gov.com.my"),
    *("tech.govt.nz", "mof.go.jp", "tech.com.sg", "moe.edu.sg", "tech.org.sg", "tech.com", "tech.govtech.com"),
    *("nasa.gov", "vendor.example.com", "sg"),
]
AGENCIES = {
    "tecg": "tech",
    "ttech": "tech",
    "school": "schools",
    "mindeff": "mindef",
    # Another acronym is another agency's, and not a slip.
    **dict.fromkeys(("mot", "msf", "pub", "cra", "meo", "spf", "x"), None),
}


@pytest.mark.parametrize("tail", SLIPS)
def test_a_slip_of_the_ending_is_told_for_agencies_that_are_known(tail):
    assert likely_domain(f"moe.{tail}", KNOWN) == "moe.gov.sg"
    assert likely_domain(f"other.{tail}", KNOWN) is None


@pytest.mark.parametrize("domain", RIGHT)
def test_what_may_be_right_is_left_alone(domain):
    assert likely_domain(domain, KNOWN) is None


@pytest.mark.parametrize(("head", "meant"), AGENCIES.items())
def test_a_slip_of_the_name_is_told_where_it_can_hardly_be_another_agency(head, meant):
    assert likely_domain(f"{head}.gov.sg", KNOWN) == (meant and f"{meant}.gov.sg")


ADDRESSES = {
    "Mei Tan <a@tech.gov.sg>": "a@tech.gov.sg",
    '"Tan, Mei" <MAILTO:A@tech.gov.sg>;': "A@tech.gov.sg",
    "mailto:a@tech.gov.sg": "a@tech.gov.sg",
    "<a@tech.gov.sg": "a@tech.gov.sg",
    "(a@tech.gov.sg)": "a@tech.gov.sg",
    "“a@tech.gov.sg”": "a@tech.gov.sg",
    **dict.fromkeys(("a@tech.gov.sg.", "a@tech.gov.sg,", "a@tech.gov.sg;", "a@ tech.gov.sg"), "a@tech.gov.sg"),
    **dict.fromkeys(("a @tech.gov.sg", "a@tech,gov,sg", "a@tech .gov. sg", "a@tech..gov.sg"), "a@tech.gov.sg"),
    # Two people, or who knows whom.
    **dict.fromkeys(
        (
            "a@tech.gov.sg, b@tech.gov.sg",
            "<a@x.sg> <b@x.sg>",
            "a@x.sg <b@x.sg>",
            "mei tan@tech.gov.sg",
            "a,b@tech.gov.sg",
        )
    ),
    **dict.fromkeys(("", "@", "Mei Tan", "a@tech gov sg", "a@tech", "\u0131@tech.gov.sg.", "<>")),
    "Mei <a@x.sg> Tan": None,
}


@pytest.mark.parametrize(("text", "meant"), ADDRESSES.items())
def test_an_address_that_is_plain_to_see_is_told(text, meant):
    found = likely_address(text)
    assert (found.typed if found else None) == meant
