"""Agreements: which version is in force, and who accepted it (rule 3.9)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from webapp.domain.agreements import Block, title_and_blocks
from webapp.domain.business_days import singapore_date
from webapp.domain.onboarding import Document
from webapp.extensions import db
from webapp.models import AgreementAcceptance
from webapp.models.base import insert_new

if TYPE_CHECKING:
    from datetime import datetime

_FOLDER = Path(__file__).parent.parent / "agreements"


@dataclass(frozen=True, slots=True)
class Agreement:
    """One version of a document; ``version`` is its date, like "2026-11-02"."""

    document: Document
    version: str
    title: str
    blocks: tuple[Block, ...]


@cache
def versions(document: Document) -> tuple[Agreement, ...]:
    """All versions, oldest first; the files of ``webapp/agreements/<document>/`` are named by their dates."""
    return tuple(
        Agreement(document, file.stem, *title_and_blocks(file.read_text(encoding="utf-8")))
        for file in sorted((_FOLDER / document).glob("*.txt"))
    )


def in_force(document: Document, now: datetime) -> Agreement:
    """The newest version whose date has come in Singapore; the first one if none has."""
    today = singapore_date(now).isoformat()
    oldest, *_ = everything = versions(document)
    return max((each for each in everything if each.version <= today), key=lambda each: each.version, default=oldest)


def accepted(account_id: int, now: datetime) -> frozenset[Document]:
    """The documents of which an account has accepted the version in force."""
    rows = db.session.execute(
        select(AgreementAcceptance.document, AgreementAcceptance.version).where(
            AgreementAcceptance.account_id == account_id
        )
    ).all()
    held = {(document, version) for document, version in rows}
    return frozenset(document for document in Document if (document, in_force(document, now).version) in held)


def accept(account_id: int, agreement: Agreement, peer: str, now: datetime) -> None:
    """Record the acceptance with version, time and address; the database keeps one of each. No commit."""
    row = {
        "account_id": account_id,
        "document": agreement.document,
        "version": agreement.version,
        "accepted_at": now,
        "peer": peer[:45],
    }
    db.session.execute(insert_new(AgreementAcceptance), [row])
