"""Who may be asked for, and how: an officer's colleague or a vendor, by the address alone (rules 5.1 and 5.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from typing import TYPE_CHECKING

from webapp.domain.addresses import EXAMPLE, AddressError, AgencyMode, Standing, judge, parse
from webapp.domain.lifecycle import AccountType

if TYPE_CHECKING:
    from collections.abc import Collection

    from webapp.domain.addresses import Address, AgencyRules


@dataclass(frozen=True, slots=True)
class Invitable:
    """What an address is to whoever invites: the type of account, or None with why not in words."""

    account_type: AccountType | None
    message: str
    standing: Standing
    needs_sponsor: bool = False
    """Whether the agency that sponsors a vendor must be named: the address does not tell it."""


def judge_invited(address: Address, agency: AgencyRules | None) -> Invitable:
    """Whether somebody with ``address`` may be invited, ``agency`` being that of its domain, if it is known.

    Whoever may sign up may be invited, and so may people of agencies that take part by invitation only, and vendors.
    It looks at form and domain alone, and never tells who has an account (promise 3).
    """
    verdict = judge(address, agency)
    match verdict.standing:
        case Standing.WEBMAIL:
            return Invitable(
                None, "Personal email addresses cannot be invited. Use the person’s work address.", verdict.standing
            )
        case Standing.CORPORATE:
            return Invitable(
                AccountType.VENDOR,
                "A vendor’s address. Say who they are, and which agency sponsors them.",
                verdict.standing,
                needs_sponsor=True,
            )
        case Standing.UNKNOWN_AGENCY | Standing.REFUSED:
            return Invitable(None, verdict.message, verdict.standing)
    assert agency is not None, "every other standing is an agency's"
    account_type = AccountType.VENDOR if address.is_vendor else AccountType.OFFICER
    who = "vendor" if address.is_vendor else "public officer"
    return Invitable(account_type, f"{agency.name}: a {who}.", verdict.standing)


def may_sponsor(agency: AgencyRules) -> bool:
    """Whether an agency can sponsor vendors: every one that takes part."""
    return agency.mode is not AgencyMode.REFUSED


_WRAPPED = re.compile(r"[^<>@]*<([^<>]+)>[^<>\w]*")
_LINK = re.compile("^mailto:", re.IGNORECASE)
_AROUND = " \t\"'‘’“”()[]<>,;:."
_DOTS = re.compile(r" ?[,.][ ,.]*")


def likely_address(text: str) -> Address | None:
    """The address that was probably meant by a line that is none for what is around it, or for its commas and spaces.

    Where there are two, or words before it that may belong to it, nobody can tell.
    """
    wrapped = _WRAPPED.fullmatch(text)
    bare = _LINK.sub("", (wrapped[1] if wrapped else text).strip(_AROUND))
    local, _, domain = bare.partition("@")
    try:
        return parse(f"{local.strip()}@{_DOTS.sub('.', domain.strip())}")
    except AddressError:
        return None


_MEANT = "gov.sg"
_MISTYPED = ("sg", "dg", "wg", "xg", "zg", "sf", "sq")
"""``sg``, and what it becomes by another key close by, but for what is another country's, as ``sh`` is."""


def likely_domain(domain: str, known: Collection[str]) -> str | None:
    """The agency's domain that was probably meant by one that is not known, such as ``tech.gvo.sg``; None if none is.

    Only slips are told: a company, another country's government and an agency that we do not know are left alone.
    """
    if domain in known:
        return None
    head, _, tail = domain.partition(".")
    if tail == _MEANT:
        # Of so few letters as an acronym has, one that is another may well be another agency's.
        heads = [each.removesuffix(f".{_MEANT}") for each in known if len(each) > len(f"abc.{_MEANT}")]
        close = get_close_matches(head, heads, n=1, cutoff=0.75) if len(head) > len("abc") else []
        return f"{close[0]}.{_MEANT}" if close else None
    first, last = tail.partition(".")[0], tail.rpartition(".")[2]
    is_slip = first == "gov" or SequenceMatcher(None, tail, _MEANT).ratio() >= 0.75
    is_abroad = len(last) == 2 and last not in _MISTYPED
    meant = f"{head}.{_MEANT}"
    return meant if is_slip and not is_abroad and meant in known else None


COLUMNS = ("email", "seed", "first_name", "last_name", "organisation", "agency", "reason")
"""The columns of a file, by the names in its first line (rule 5.2)."""
ANSWERS = {"yes": True, "y": True, "true": True, "1": True, "no": False, "n": False, "false": False, "0": False}
"""What is understood in the column ``seed``, in any case."""
EXAMPLES = (
    (EXAMPLE, "yes", "", "", "", "", "Works on our new service"),
    ("mei@company.example.com", "no", "Mei", "Tan", "Vendor Pte Ltd", "tech.gov.sg", "Maintains our website"),
)
"""What the templates show; nobody is ever asked for by these addresses."""
