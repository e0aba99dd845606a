"""Email addresses: which are well formed, whose they are, and what their domain allows (rules 1.1 to 1.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

MAX_LENGTH = 113
MAX_LOCAL_LENGTH = 64
MAX_DOMAIN_LENGTH = MAX_LENGTH - len("x@")
EXAMPLE_DOMAIN = "agency.gov.sg"
EXAMPLE = f"name@{EXAMPLE_DOMAIN}"
_GOVERNMENT = ".gov.sg"

# ASCII alone: a dotless i or a Kelvin sign would otherwise fold into somebody else's address.
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_VENDOR = re.compile(r".+_FROM\.[A-Za-z0-9].*", re.IGNORECASE)
# Copied along from documents and chats, and invisible to the person who pasted them.
_INVISIBLE = dict.fromkeys(map(ord, "\u00a0\u200b\u200c\u200d\u2060\ufeff"))

_WEBMAIL = frozenset(
    [
        "gmail.com",
        "googlemail.com",
        "hotmail.com",
        "outlook.com",
        "live.com",
        "msn.com",
        "yahoo.com",
        "yahoo.com.sg",
        "icloud.com",
        "me.com",
        "proton.me",
        "protonmail.com",
        "gmx.com",
        "mail.com",
        "singnet.com.sg",
    ]
)


class AddressError(ValueError):
    """Text that is not an email address; the message tells the person how to mend it."""


@dataclass(frozen=True, slots=True)
class Address:
    """A well-formed address: ``typed`` for display, ``folded`` for comparison (rule 1.2)."""

    typed: str
    folded: str
    domain: str

    @property
    def is_vendor(self) -> bool:
        """Whether it is of the form ``name_FROM.VENDOR@agency.gov.sg`` (rule 1.3)."""
        return _VENDOR.fullmatch(self.folded.partition("@")[0]) is not None

    @property
    def is_government(self) -> bool:
        return self.domain.endswith(_GOVERNMENT)


def parse(text: str, whose: str = "your organisational") -> Address:
    """The address in ``text``, spaces around it and invisible characters left out; ``whose``, where it is missing.

    Raises `AddressError` with the way to mend it (rules 1.1 and 1.2).
    """
    typed = text.translate(_INVISIBLE).strip()
    if not typed:
        raise AddressError(f"Enter {whose} email address, like {EXAMPLE}")
    if not typed.isascii():
        raise AddressError("Use only the letters A to Z, digits and common signs in the email address")
    if len(typed) > MAX_LENGTH:
        raise AddressError(f"The email address must have {MAX_LENGTH} characters or fewer")
    local, at, domain = typed.rpartition("@")
    if not at or not local:
        raise AddressError(f"Enter an email address in the format {EXAMPLE}")
    if len(local) > MAX_LOCAL_LENGTH:
        raise AddressError(f"The part before the @ must have {MAX_LOCAL_LENGTH} characters or fewer")
    if not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        raise AddressError(f"Enter an email address in the format {EXAMPLE}")
    return Address(typed=typed, folded=typed.lower(), domain=domain.lower())


def parse_domain(text: str) -> str:
    """The mail domain of an agency in ``text``, in lower case. Raises `AddressError` with the way to mend it.

    Only those that end with ``.gov.sg`` can do anything (rules 1.1 and 1.5).
    """
    domain = text.translate(_INVISIBLE).strip().removeprefix("@")
    if not domain:
        raise AddressError(f"Enter the agency’s mail domain, like {EXAMPLE_DOMAIN}")
    if "@" in domain:
        raise AddressError(f"Enter only what follows the @, like {EXAMPLE_DOMAIN}")
    if len(domain) > MAX_DOMAIN_LENGTH or not _DOMAIN.fullmatch(domain):
        raise AddressError(f"Enter a mail domain in the format {EXAMPLE_DOMAIN}")
    if not domain.lower().endswith(_GOVERNMENT):
        raise AddressError(f"The mail domain must end with {_GOVERNMENT}: no other addresses can sign up")
    return domain.lower()


def is_unfinished(text: str) -> bool:
    """Whether ``text`` looks like a ``.gov.sg`` address that is still being typed, too early to judge."""
    return text.lower().endswith(tuple(_GOVERNMENT[:length] for length in range(1, len(_GOVERNMENT))))


class AgencyMode(StrEnum):
    """What an agency's domain allows (rule 1.6)."""

    OPEN = "open"
    INVITATION_ONLY = "invitation_only"
    REFUSED = "refused"


class AgencyRules(Protocol):
    """What the rules read of an agency."""

    @property
    def name(self) -> str: ...
    @property
    def mode(self) -> AgencyMode: ...
    @property
    def reason(self) -> str: ...
    @property
    def seed_eligible(self) -> bool: ...
    @property
    def vendors_allowed(self) -> bool: ...


class Standing(StrEnum):
    """What the form and the domain of an address say of its right to sign up."""

    ELIGIBLE = "eligible"
    VENDOR = "vendor"
    INVITATION_ONLY = "invitation_only"
    REFUSED = "refused"
    UNKNOWN_AGENCY = "unknown_agency"
    WEBMAIL = "webmail"
    CORPORATE = "corporate"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The standing, why in words, and whether the SEED question applies (rule 1.7)."""

    standing: Standing
    message: str
    seed_offered: bool = False

    @property
    def may_sign_up(self) -> bool:
        return self.standing is Standing.ELIGIBLE


def judge(address: Address, agency: AgencyRules | None) -> Verdict:
    """Whether ``address`` may sign up, ``agency`` being the one that its domain belongs to, if any is known.

    Rules 1.1 and 1.3 to 1.6. It looks at form and domain alone, so that it never tells who has an account (rule 1.8).
    """
    if not address.is_government:
        if address.domain in _WEBMAIL:
            return Verdict(
                Standing.WEBMAIL,
                "Personal email addresses cannot sign up. Use your organisational address, "
                "or ask a public officer to invite you.",
            )
        return Verdict(
            Standing.CORPORATE,
            f"Only addresses like {EXAMPLE} can sign up. Ask the public officer you work with to invite you.",
        )
    if agency is None:
        return Verdict(
            Standing.UNKNOWN_AGENCY,
            f"We do not know the agency {address.domain} yet. Check the spelling; "
            "if it is right, ask your agency's IT team to have it added.",
        )
    if agency.mode is AgencyMode.REFUSED:
        return Verdict(Standing.REFUSED, agency.reason or f"{agency.name} addresses cannot sign up.")
    if agency.mode is AgencyMode.INVITATION_ONLY:
        return Verdict(
            Standing.INVITATION_ONLY,
            f"{agency.name} takes part by invitation only. Ask a public officer with a TechPass account to invite you.",
        )
    if address.is_vendor and not agency.vendors_allowed:
        return Verdict(
            Standing.VENDOR,
            "Vendors and contractors do not sign up themselves. Ask the public officer you work with to invite you.",
        )
    return Verdict(Standing.ELIGIBLE, f"{agency.name}: you can sign up.", seed_offered=agency.seed_eligible)
