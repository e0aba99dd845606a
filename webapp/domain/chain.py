"""The chain over the record: a seal is the hash of one event and of the seal before it (rule 8.8, decision 0010)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

START = "0" * 64
"""What the first seal takes for the hash before it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a seal covers of an event. From where it came is covered by a mark that outlives it, see `mark`."""

    event_id: int
    at: datetime
    action: str
    account_id: int | None
    actor: str
    actor_id: int | None
    detail: Any


def mark(peer: str | None, salt: str | None) -> str | None:
    """What stands in a seal for a peer: once peer and salt are forgotten, nobody can guess the peer from it (rule 3.5).

    None where there was none.
    """
    return None if peer is None else hashlib.sha256(f"{salt or ''}{peer}".encode()).hexdigest()


def link(previous: str, position: int, facts: Facts, peer_mark: str | None) -> str:
    """The hash of the seal at ``position``, which follows the one whose hash is ``previous``."""
    covered = [
        previous,
        position,
        facts.event_id,
        facts.at.astimezone(UTC).isoformat(timespec="microseconds"),
        facts.action,
        facts.account_id,
        facts.actor,
        facts.actor_id,
        facts.detail,
        peer_mark,
    ]
    return hashlib.sha256(json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
