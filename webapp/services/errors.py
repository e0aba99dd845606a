"""What a use-case may refuse, by name. Views turn each into words and a status."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime


class ServiceError(Exception):
    """A use-case that was not carried out; nothing was written."""


class NotFound(ServiceError):
    """There is no such thing, or not for this person: the two are never told apart."""


class SessionOver(ServiceError):
    """The session has ended since its browser asked for this, by itself or with the account's right."""


class RobotCheckFailed(ServiceError):
    """The robot check is missing, wrong, too old or was used before."""


class SignUpRefused(ServiceError):
    """The address may not sign up; ``message`` says why and what to do (rules 1.1 to 1.6)."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class SeedAnswerMissing(ServiceError):
    """The SEED question applies to the address and was not answered (rule 1.7)."""


class MayNotInvite(ServiceError):
    """Only public officers with an active account ask for others (rule 5.1)."""


class TooManyDrafts(ServiceError):
    """So many batches wait to be sent by one officer that another one is not kept (rule 5.2)."""


class OwnInvitee(ServiceError):
    """Whoever asked for somebody does not decide on their request (section 5)."""


class AlreadyDecided(ServiceError):
    """Another admin decided first (rule 2.4)."""


class OwnRequest(ServiceError):
    """Nobody decides on their own request (rule 2.2)."""


class TooLate(ServiceError):
    """A decision that cannot be taken back any more (rule 8.2): ``why`` is one of the values of `Late`."""

    def __init__(self, why: Late) -> None:
        super().__init__(why)
        self.why = why


class Late(StrEnum):
    """What keeps a decision from being taken back."""

    TIME = "time"
    """The time for it is over, or the mail has left."""
    OTHER_ADMIN = "other_admin"
    """Somebody else decided."""
    SEED_FIRST = "seed_first"
    """SEED was approved on top of it."""
    MOVED_ON = "moved_on"
    """The person has acted since, or it was taken back already."""
    SIGNED_UP_AGAIN = "signed_up_again"


class TextMissing(ServiceError):
    """A note, a question or an answer needs words (rule 8.2)."""


class AlreadyAsked(ServiceError):
    """A question about this request waits for its answer already (rule 8.2)."""


class QuestionClosed(ServiceError):
    """The question was answered, or is of no use since the request was decided (rule 8.2)."""


class ReasonMissing(ServiceError):
    """What is decided about somebody needs a reason (rule 2.3)."""


class OwnAccount(ServiceError):
    """Nobody changes their own account on the dashboard (rule 8.9)."""


class NotPossible(ServiceError):
    """What an admin asked for does not fit how the account stands by now (rule 8.3)."""


class LastAdmin(ServiceError):
    """The last active admin keeps the role and the account (rule 8.3)."""


class DayRefused(ServiceError):
    """An invitation is extended to a day from ``first`` to ``last``, both included (rule 8.3)."""

    def __init__(self, first: date, last: date) -> None:
        super().__init__(first, last)
        self.first, self.last = first, last


class LinkEnded(ServiceError):
    """A link that was expired, replaced or used; ``state`` says which (rule 3.7)."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


class TooSoon(ServiceError):
    """Asked again before the pause between two is over (rules 3.8 and 7.1)."""


class WrongCode(ServiceError):
    """The code is not the one expected now."""


class TooManyTries(ServiceError):
    """Too many wrong codes; it ends by itself (rule 7.1): within a day where they were too many for ``today``."""

    def __init__(self, *, today: bool = False) -> None:
        super().__init__()
        self.today = today


class TechPassFirst(ServiceError):
    """SEED can be approved only for somebody whose TechPass is approved (rule 4.4)."""


class NotEligible(ServiceError):
    """The agency does not take part in SEED (rule 1.6)."""


class DeviceFirst(ServiceError):
    """SEED is given up only once its device is removed (rule 4.5)."""


class NoSeed(ServiceError):
    """A device is onboarded only by somebody who holds SEED (rule 4.5)."""


class DeviceTaken(ServiceError):
    """The Intune Device ID is registered already; whose it is, is not told (rule 4.6)."""


class TooManyDevices(ServiceError):
    """As many devices as one person may have (rule 4.6)."""


class NotTheNextStep(ServiceError):
    """A step of onboarding was answered that is not the next one (T7)."""


class AgreementChanged(ServiceError):
    """A newer version of an agreement has come into force since the page was shown."""


class AttemptOver(ServiceError):
    """An attempt to log in has ended, run out or not come this far: it begins anew with the address."""


class AccountDisabled(ServiceError):
    """The person is who they say, but the account is disabled (rule 3.10), or ``is_locked`` for an admin (rule 6.4)."""

    def __init__(self, *, is_locked: bool = False) -> None:
        super().__init__()
        self.is_locked = is_locked


class DomainTaken(ServiceError):
    """The mail domain belongs to another agency already (rule 1.6)."""


class AgencyInUse(ServiceError):
    """The agency has accounts, which stay its own: it keeps its domain and is not deleted (rule 1.6)."""


class AgencyRefused(ServiceError):
    """Settings that an agency cannot have (rule 1.6): ``problems`` says by field what is wrong."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.problems = problems


class ChangedMeanwhile(ServiceError):
    """Somebody else has changed the thing since the page was shown: nothing is overwritten unseen (rule 8.4)."""


class ImportRefused(ServiceError):
    """A file or list with something wrong in it, of which nothing was taken (rule 8.4): ``problems`` says each."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class DayTaken(ServiceError):
    """The day is off already by the admins' own list (rule 4.2)."""


class NameRefused(ServiceError):
    """A day off needs a name: one line that is not too long."""


class ConfirmFirst(ServiceError):
    """Changing how to sign in needs a code given a short while ago (rule 6.3)."""


class AgreementMissing(ServiceError):
    """An agreement in force is to be accepted first (rule 4.4)."""


class ReportRefused(ServiceError):
    """A report that is not the MDM system's, or is too old (rule 4.7): ``problem`` says which."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class ReportRepeated(ServiceError):
    """A report that was taken already: it counts once (rule 4.7)."""


class ReportInvalid(ServiceError):
    """A report that is not as it should be; ``problems`` names each thing (rule 4.7)."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class AlreadyAllowed(ServiceError):
    """Another admin has let the held part of the sweep run: ``by`` is their address, ``at`` when (rule 8.7)."""

    def __init__(self, by: str, at: datetime) -> None:
        super().__init__(by, at)
        self.by, self.at = by, at


class MoreFallDue(ServiceError):
    """A held part of the sweep would end more accounts by now than the admin has looked at: ``due`` (rule 8.7)."""

    def __init__(self, due: int) -> None:
        super().__init__(due)
        self.due = due


class TooMany(ServiceError):
    """A selection with more people than can be acted on at once (rule 8.7)."""


class QueueDown(ServiceError):
    """The queue server does not answer, so that no job can be run again or forgotten (rule 8.6)."""
