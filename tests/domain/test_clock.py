"""The one clock, and how a story of 30 days is told in a minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from webapp import clock


@pytest.fixture
def offset_file(tmp_path):
    path = tmp_path / "clock"
    clock.use_offset_file(str(path))
    yield path
    clock.use_offset_file(None)


def ahead():
    return clock.now() - datetime.now(UTC)


def test_it_tells_the_present_in_utc():
    assert abs(ahead()) < timedelta(minutes=1)
    assert clock.now().tzinfo is UTC


@pytest.mark.parametrize(("text", "days"), [("", 0), ("0", 0), (str(86400 * 30), 30), ("-86400.0", -1)])
def test_it_adds_what_the_file_says(offset_file, text, days):
    offset_file.write_text(text)
    assert abs(ahead() - timedelta(days=days)) < timedelta(minutes=1)


def test_without_the_file_it_is_the_present(offset_file):
    assert abs(ahead()) < timedelta(minutes=1)
