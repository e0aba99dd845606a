"""The steps of onboarding, in their order, and which one is next (rules 3.9 and 7.3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from webapp.domain.lifecycle import InvitationKind


class Document(StrEnum):
    """The agreements; each has a folder of this name with its versions."""

    TERMS_OF_USE = "terms-of-use"
    PRIVACY_POLICY = "privacy-policy"
    MDM_AUP = "mdm-aup"


class Step(StrEnum):
    PERMISSIONS = "permissions"
    AUTHENTICATOR = "authenticator"
    RECOVERY_CODES = "recovery_codes"
    TERMS_OF_USE = "terms_of_use"
    PRIVACY_POLICY = "privacy_policy"
    MDM_AUP = "mdm_aup"


AGREEMENT_STEPS = {
    Step.TERMS_OF_USE: Document.TERMS_OF_USE,
    Step.PRIVACY_POLICY: Document.PRIVACY_POLICY,
    Step.MDM_AUP: Document.MDM_AUP,
}


@dataclass(frozen=True, slots=True)
class Progress:
    """What a person has done so far, by the link of ``kind`` that they accepted."""

    kind: InvitationKind
    wants_seed: bool = False
    permissions: bool = False
    authenticator: bool = False
    recovery_codes: bool = False
    accepted: frozenset[Document] = frozenset()
    """The agreements accepted in the version that is in force."""


def steps(progress: Progress) -> tuple[Step, ...]:
    """The steps that this person goes through: the MDM AUP only where SEED was asked for (rule 3.9).

    A new authenticator needs new recovery codes and nothing else (rule 7.3).
    """
    if progress.kind is InvitationKind.AUTHENTICATOR:
        return (Step.AUTHENTICATOR, Step.RECOVERY_CODES)
    return tuple(step for step in Step if step is not Step.MDM_AUP or progress.wants_seed)


def is_done(step: Step, progress: Progress) -> bool:
    match step:
        case Step.PERMISSIONS:
            return progress.permissions
        case Step.AUTHENTICATOR:
            return progress.authenticator
        case Step.RECOVERY_CODES:
            return progress.recovery_codes
        case _:
            return AGREEMENT_STEPS[step] in progress.accepted


def is_complete(progress: Progress) -> bool:
    """Whether nothing is missing, so that the account becomes active."""
    return all(is_done(step, progress) for step in steps(progress))


def next_step(progress: Progress) -> Step:
    """The first step that is missing.

    Where none is, the last one, whose answer finishes: SEED may have been taken back while its policy was being read.
    """
    mine = steps(progress)
    return next((step for step in mine if not is_done(step, progress)), mine[-1])
