"""What an officer types of somebody to be asked for, in a form or a file, and what is wrong with it (rule 5.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webapp.domain.addresses import Address, AddressError, Standing, parse
from webapp.domain.inviting import ANSWERS, Invitable, judge_invited, likely_address, likely_domain, may_sponsor
from webapp.domain.lifecycle import AccountType, SeedStatus
from webapp.services import agencies
from webapp.services.inviting import Person

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = {"first_name": 60, "last_name": 60, "organisation": 120, "reason": 300}
_NAMES = {
    "first_name": ("Enter the vendor’s first name", "The first name"),
    "last_name": ("Enter the vendor’s last name", "The last name"),
    "organisation": ("Enter the organisation that the vendor works for", "The organisation"),
    "reason": ("Say why they need TechPass", "The reason"),
}


@dataclass(slots=True)
class Read:
    """Fields as they were understood: a person to be asked for, or what is wrong, by field, with the way to mend it."""

    address: Address | None = None
    invitable: Invitable | None = None
    seed_offered: bool = False
    problems: dict[str, str] = field(default_factory=dict)
    suggestion: str = ""
    """The address that was probably meant."""
    person: Person | None = None

    @property
    def is_refused(self) -> bool:
        """Whether nothing that is typed would help: this person cannot be asked for."""
        return self.invitable is not None and self.invitable.standing in (Standing.WEBMAIL, Standing.REFUSED)


def read(fields: Mapping[str, str]) -> Read:
    """Understand ``fields``, by the names of `webapp.domain.inviting.COLUMNS`, each one line."""
    found = Read()
    try:
        address = parse(fields.get("email", ""), "their work")
    except AddressError as error:
        meant = likely_address(fields.get("email", ""))
        if meant is not None:
            domain = likely_domain(meant.domain, agencies.known())
            found.suggestion = f"{meant.typed.rpartition('@')[0]}@{domain}" if domain else meant.typed
        found.problems["email"] = f"{error}. Did you mean {found.suggestion}?" if found.suggestion else str(error)
        return found
    found.address = address
    agency = agencies.find(address.domain)
    found.invitable = invitable = judge_invited(address, agency)
    likely = likely_domain(address.domain, agencies.known())
    if likely is not None:
        found.suggestion = f"{address.typed.rpartition('@')[0]}@{likely}"
        found.problems["email"] = f"We do not know {address.domain}. Did you mean {found.suggestion}?"
        return found
    if invitable.account_type is None:
        found.problems["email"] = invitable.message
        return found
    is_vendor = invitable.account_type is AccountType.VENDOR
    for name in ("first_name", "last_name", "organisation") if is_vendor else ():
        _check(found, fields, name)
    _check(found, fields, "reason")
    if invitable.needs_sponsor:
        domain = fields.get("agency", "").lower().removeprefix("@")
        agency = agencies.find(domain)
        if agency is None or not may_sponsor(agency):
            known = f"We know no agency {domain} that can sponsor a vendor" if domain else ""
            found.problems["agency"] = known or "Say which agency sponsors the vendor"
            agency = None
    found.seed_offered = agency is not None and agency.seed_eligible
    wanted = ANSWERS.get(fields.get("seed", "").lower())
    # Without a sponsor nobody can say whether SEED applies: asked for with all else that is missing, it may not count.
    if (agency is None or agency.seed_eligible) and wanted is None:
        found.problems["seed"] = "Say yes or no: do they need SEED for an internet device?"
    if found.problems or agency is None:
        return found
    seed = SeedStatus.REQUESTED if wanted else SeedStatus.NOT_REQUIRED
    found.person = Person(
        address=address,
        account_type=invitable.account_type,
        agency=agency,
        seed=seed if found.seed_offered else SeedStatus.INELIGIBLE,
        reason=fields["reason"],
        first_name=fields.get("first_name", "") if is_vendor else "",
        last_name=fields.get("last_name", "") if is_vendor else "",
        organisation=fields.get("organisation", "") if is_vendor else "",
    )
    return found


def _check(found: Read, fields: Mapping[str, str], name: str) -> None:
    missing, subject = _NAMES[name]
    value = fields.get(name, "")
    if not value:
        found.problems[name] = missing
    elif len(value) > LONGEST[name]:
        found.problems[name] = f"{subject} must have {LONGEST[name]} characters or fewer"
