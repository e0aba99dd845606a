"""The tables. What must be unique or closed is so in the database."""

from webapp.models.account import Account, Request
from webapp.models.agency import Agency, UnknownAgency
from webapp.models.agreement import AgreementAcceptance
from webapp.models.audit import Actor, AuditEvent
from webapp.models.credential import Authenticator, LogInAttempt, RecoveryCode, WrongCode
from webapp.models.device import Device
from webapp.models.holiday import Holiday
from webapp.models.invitation import Invitation
from webapp.models.mail import Mail
from webapp.models.robot_check import UsedSolution
from webapp.models.session import BrowserSession, SessionKind

__all__ = [
    "Account",
    "Actor",
    "Agency",
    "AgreementAcceptance",
    "AuditEvent",
    "Authenticator",
    "BrowserSession",
    "Device",
    "Holiday",
    "Invitation",
    "LogInAttempt",
    "Mail",
    "RecoveryCode",
    "Request",
    "SessionKind",
    "UnknownAgency",
    "UsedSolution",
    "WrongCode",
]
