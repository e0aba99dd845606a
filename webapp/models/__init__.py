"""The tables. What must be unique or closed is so in the database."""

from webapp.models.account import Account, Note, Question, Request
from webapp.models.agency import Agency, UnknownAgency
from webapp.models.agreement import AgreementAcceptance
from webapp.models.audit import Actor, AuditEvent, AuditSeal
from webapp.models.credential import Authenticator, LogInAttempt, RecoveryCode, WrongCode
from webapp.models.device import Device
from webapp.models.held_sweep import HeldSweep
from webapp.models.holiday import Holiday
from webapp.models.invitation import Invitation
from webapp.models.invitee import Batch, BatchRow, BatchState, Invitee, RowOutcome, RowVerdict
from webapp.models.mail import Mail
from webapp.models.robot_check import UsedSolution
from webapp.models.session import BrowserSession, SessionKind
from webapp.models.statistics import DailyCount

__all__ = [
    "Account",
    "Actor",
    "Agency",
    "AgreementAcceptance",
    "AuditEvent",
    "AuditSeal",
    "Authenticator",
    "Batch",
    "BatchRow",
    "BatchState",
    "BrowserSession",
    "DailyCount",
    "Device",
    "HeldSweep",
    "Holiday",
    "Invitation",
    "Invitee",
    "LogInAttempt",
    "Mail",
    "Note",
    "Question",
    "RecoveryCode",
    "Request",
    "RowOutcome",
    "RowVerdict",
    "SessionKind",
    "UnknownAgency",
    "UsedSolution",
    "WrongCode",
]
