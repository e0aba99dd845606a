"""What a benchmark found: its floor, ours, the ratio, and whether the goal is met."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Result:
    name: str
    floor: str
    ours: str
    ratio: float
    goal: str
    met: bool


def say(text: str) -> None:
    """Something to know beside the figures."""
    sys.stderr.write(f"  {text}\n")


def show(results: Iterable[Result]) -> None:
    for result in results:
        verdict = "met" if result.met else "MISSED"
        sys.stdout.write(
            f"{result.name:<28} floor {result.floor:<22} ours {result.ours:<22} "
            f"ratio {result.ratio:<8.2f} goal {result.goal:<8} {verdict}\n"
        )
        sys.stdout.flush()
