"""Where the marks and labels of the plots go (rule 8.1)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from webapp.domain.plots import Frame, bars, funnel, line

FRAME = Frame(width=340, height=180, left=40)
DAYS = [date(2026, 11, 24) - timedelta(days=back) for back in range(89, -1, -1)]


def labels(ticks):
    return [tick.label for tick in ticks]


@pytest.mark.parametrize(
    ("most", "says"),
    [
        (0, ["0", "1"]),
        (1, ["0", "1"]),
        (3, ["0", "1", "2", "3"]),
        (4, ["0", "1", "2", "3", "4"]),
        (5, ["0", "2", "4", "6"]),
        (34, ["0", "10", "20", "30", "40"]),
        (41, ["0", "20", "40", "60"]),
        (3999, ["0", "1,000", "2,000", "3,000", "4,000"]),
        (0.4, ["0", "1"]),
    ],
)
def test_the_height_is_told_by_a_few_round_numbers(most, says):
    assert labels(bars(DAYS, [most] * 90, FRAME).heights) == says


def test_heights_lie_on_the_scale():
    plot = line(DAYS[:3], [0, 2, 4], FRAME)
    assert [tick.at for tick in plot.heights] == [154.0, 118.0, 82.0, 46.0, 10.0]
    assert plot.marks == "M89.0 154.0L187.0 82.0L285.0 10.0"
    assert plot.area == "M89.0 154L89.0 154.0L187.0 82.0L285.0 10.0L285.0 154z"


def test_nothing_and_what_was_not_counted_has_no_bar():
    assert bars(DAYS, [None] * 45 + [0] * 45, FRAME).marks == ""
    assert bars(DAYS, [0] * 88 + [None, 7], FRAME).marks.count("M") == 1


def test_all_bars_stay_inside():
    marks = bars(DAYS, [9] * 90, FRAME).marks.split("M")[1:]
    lefts = [float(mark.split()[0]) for mark in marks]
    assert lefts[0] >= 40
    assert lefts[-1] + 0.72 * 294 / 90 <= 334
    assert len(lefts) == 90


def test_a_line_breaks_where_nothing_was_counted():
    plot = line(DAYS[:5], [1, 2, None, 3, None], FRAME)
    assert plot.marks.count("M") == 2
    assert plot.area.count("z") == 2
    # One point alone is drawn too.
    assert plot.marks.rpartition("M")[2].count("L") == 1
    assert line(DAYS, [None] * 90, FRAME).marks == ""


@pytest.mark.parametrize(
    ("last", "says"),
    [
        (date(2026, 11, 24), ["1 Sep", "1 Oct", "1 Nov", "24 Nov"]),
        (date(2026, 11, 19), ["1 Sep", "1 Oct", "1 Nov", "19 Nov"]),
        (date(2026, 11, 18), ["1 Sep", "1 Oct", "1 Nov"]),
        (date(2026, 12, 3), ["1 Oct", "1 Nov", "3 Dec"]),
    ],
)
def test_months_and_the_last_day_are_named_where_there_is_room(last, says):
    days = [last - timedelta(days=back) for back in range(89, -1, -1)]
    assert labels(bars(days, [1] * 90, FRAME).days) == says


def test_a_funnel_tells_shares_of_the_first_step_and_of_the_one_before():
    steps = funnel([200, 100, 50, 0], 520)
    assert [step.length for step in steps] == [520, 260, 130, 0]
    assert [step.of_previous for step in steps] == [None, 50, 50, 0]
    assert [step.of_first for step in steps] == [100, 50, 25, 0]


def test_a_funnel_without_a_first_step_has_no_shares_of_it():
    steps = funnel([0, 4, 8], 100)
    assert [step.length for step in steps] == [0, 50, 100]
    assert [step.of_previous for step in steps] == [None, None, 200]
    assert [step.of_first for step in steps] == [None, None, None]
    assert [step.length for step in funnel([0, 0], 100)] == [0, 0]
