"""The geometry of the plots by day and of the funnel: where the marks and the labels go. No colours, no markup.

Lengths are in the units of the drawing's own view box, with 0, 0 at its top left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

_STEPS = (1, 2, 5)
_MOST_INTERVALS = 4
_LABEL_DAYS = 18
"""How many days the label of one day takes in a drawing of 90."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The size of a drawing, and the room beside and below the marks for the labels of the axes."""

    width: int
    height: int
    left: int
    right: int = 6
    top: int = 10
    bottom: int = 26

    @property
    def inner_width(self) -> int:
        return self.width - self.left - self.right

    @property
    def floor(self) -> int:
        """Where zero is."""
        return self.height - self.bottom


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    label: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Plot:
    """Numbers by day. ``marks`` is a path of bars, or of a line; ``area`` that of what is below the line."""

    frame: Frame
    marks: str
    area: str
    heights: tuple[Tick, ...]
    days: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a funnel: its number, its share of the first step and of the one before, in per cent, or None."""

    number: int
    length: float
    of_first: int | None
    of_previous: int | None


def bars(days: Sequence[date], numbers: Sequence[float | None], frame: Frame) -> Plot:
    """A bar a day; none where there is no number, or zero."""
    top = _ticks(numbers)
    pitch = frame.inner_width / len(days)
    thick = round(pitch * 0.72, 2)
    parts = []
    for index, number in enumerate(numbers):
        if number:
            x = frame.left + pitch * index + (pitch - thick) / 2
            y = _height(number, top[-1], frame)
            parts.append(f"M{x:.1f} {frame.floor}V{y:.1f}h{thick}V{frame.floor}z")
    return Plot(frame, "".join(parts), "", _heights(top, frame), _days(days, frame))


def line(days: Sequence[date], numbers: Sequence[float | None], frame: Frame) -> Plot:
    """A line from day to day, broken where there is no number, and the area below it."""
    top = _ticks(numbers)
    pitch = frame.inner_width / len(days)
    runs: list[list[tuple[float, float]]] = [[]]
    for index, number in enumerate(numbers):
        if number is None:
            runs.append([])
        else:
            runs[-1].append((frame.left + pitch * (index + 0.5), _height(number, top[-1], frame)))
    marks, area = [], []
    for run in filter(None, runs):
        points = [f"{x:.1f} {y:.1f}" for x, y in run]
        # A point alone is a line to itself: with round ends it is a dot.
        marks.append("M" + "L".join(points if len(points) > 1 else points * 2))
        area.append(f"M{run[0][0]:.1f} {frame.floor}L{'L'.join(points)}L{run[-1][0]:.1f} {frame.floor}z")
    return Plot(frame, "".join(marks), "".join(area), _heights(top, frame), _days(days, frame))


def funnel(numbers: Sequence[int], length: int) -> tuple[Step, ...]:
    """Steps from one number to the next; the longest bar is ``length`` long."""
    most = max(numbers, default=0)
    return tuple(
        Step(
            number,
            round(length * number / most, 1) if most else 0.0,
            _per_cent(number, numbers[0]),
            _per_cent(number, before) if before is not None else None,
        )
        for before, number in pairwise((None, *numbers))
        if number is not None
    )


def _per_cent(part: int, whole: int) -> int | None:
    return round(100 * part / whole) if whole else None


def _ticks(numbers: Sequence[float | None]) -> list[int]:
    """Round whole numbers from 0 to at least the highest, at most five of them."""
    most = max((number for number in numbers if number is not None), default=0)
    size = 1
    while True:
        for step in (size * each for each in _STEPS):
            if step * _MOST_INTERVALS >= most:
                return [step * count for count in range(max(1, math.ceil(most / step)) + 1)]
        size *= 10


def _height(number: float, most: int, frame: Frame) -> float:
    return frame.floor - (frame.floor - frame.top) * number / most


def _heights(ticks: Sequence[int], frame: Frame) -> tuple[Tick, ...]:
    return tuple(Tick(round(_height(number, ticks[-1], frame), 1), f"{number:,}") for number in ticks)


def _days(days: Sequence[date], frame: Frame) -> tuple[Tick, ...]:
    """The first of each month, and the last day unless a month begins close to it."""
    pitch = frame.inner_width / len(days)
    last = len(days) - 1
    firsts = [index for index, day in enumerate(days) if day.day == 1 and index <= last - _LABEL_DAYS // 2]
    ticks = [Tick(round(frame.left + pitch * (index + 0.5), 1), _short(days[index])) for index in firsts]
    if not firsts or last - firsts[-1] >= _LABEL_DAYS:
        ticks.append(Tick(round(frame.left + pitch * (last + 0.5), 1), _short(days[last]), "end"))
    return tuple(ticks)


def _short(day: date) -> str:
    return f"{day.day} {day:%b}"
