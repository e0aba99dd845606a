"""Who accepted which agreement, in which version, when and from where (rule 3.9)."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.models.base import Id, Instant


class AgreementAcceptance(Model):
    id: Mapped[Id]
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    document: Mapped[str] = mapped_column(String(40))
    version: Mapped[str] = mapped_column(String(10))
    accepted_at: Mapped[Instant]
    peer: Mapped[str] = mapped_column(String(45))

    __table_args__ = (Index("uq_agreement_acceptance", "account_id", "document", "version", unique=True),)
