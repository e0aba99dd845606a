"""Processes that cannot outlive the program that started them, and how to find those that did."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MARK = "TECHPASS_STARTED_BY"
"""Environment variable that every process of a development portal carries, descendants included. Unlike the
number in a pid file it cannot come to mean another process."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# Loaded before any fork: between fork and exec nothing may be imported.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def tied_to_parent(death_signal: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """A ``preexec_fn``: the child gets ``death_signal`` when this process ends in any way (Linux only)."""
    parent = os.getpid()

    def tie() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:  # It ended before the line above.
                os._exit(1)

    return tie


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies, to be able to reap them (Linux only)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def marked(prefix: str) -> list[int]:
    """Ids of the other processes whose mark begins with ``prefix``. Empty without ``/proc``."""
    wanted = f"{MARK}={prefix}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            entries = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # It ended meanwhile, or is another user's.
            continue
        if int(folder.name) != os.getpid() and any(entry.startswith(wanted) for entry in entries):
            found.append(int(folder.name))
    return found


def signal_each(pids: Iterable[int], number: signal.Signals) -> None:
    """Send ``number`` to each process; those that have ended meanwhile are passed over."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def end_marked(prefix: str, seconds: float) -> int:
    """End the processes marked ``prefix``: SIGTERM, and SIGKILL after ``seconds``. Gives how many there were.

    They count as ended when they have become zombies; reaping those is their parent's part.
    """
    found = marked(prefix)
    count = len(found)
    if seconds > 0:
        signal_each(found, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while found:
        if time.monotonic() >= deadline:
            signal_each(found, signal.SIGKILL)
        time.sleep(0.02)
        found = marked(prefix)
    return count


def reap() -> list[tuple[int, int]]:
    """Collect the children that have ended: ids and exit codes (negative: the signal that ended it)."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, os.waitstatus_to_exitcode(status)))
