"""Agencies: the mail domains that take part, and what each allows (rule 1.6)."""

from __future__ import annotations

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.domain.addresses import AgencyMode
from webapp.extensions import Model
from webapp.models.base import Id, Instant, enum_column, one_of


class Agency(Model):
    """A mail domain, its mode and its settings."""

    id: Mapped[Id]
    domain: Mapped[str] = mapped_column(String(113), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    mode: Mapped[AgencyMode] = mapped_column(enum_column(AgencyMode))
    reason: Mapped[str] = mapped_column(String(300), default="")
    seed_eligible: Mapped[bool] = mapped_column(default=True)
    approves_automatically: Mapped[bool] = mapped_column(default=False)
    vendors_allowed: Mapped[bool] = mapped_column(default=False)

    __table_args__ = (one_of("mode", AgencyMode),)


class UnknownAgency(Model):
    """A ``.gov.sg`` domain that people tried to sign up with and that we do not know, with how often (rule 1.6)."""

    domain: Mapped[str] = mapped_column(String(113), primary_key=True)
    tries: Mapped[int] = mapped_column(default=1)
    last_at: Mapped[Instant]

    __table_args__ = (Index("ix_unknown_agency_tries", "tries", "domain"),)
