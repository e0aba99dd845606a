"""The script `./run`, as far as it goes without setting anything up."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.stack import ROOT


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "run", *arguments], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


def test_help_names_every_command(tmp_path: Path) -> None:
    said = run("--help", cwd=tmp_path).stdout
    for command in ("demo", "test", "bench", "web", "worker", "cron", "flask"):
        assert f"\n  {command} " in said


def test_an_unknown_command_is_refused_with_the_help() -> None:
    done = run("serve")
    assert done.returncode == 2
    assert "Usage: ./run" in done.stderr


@pytest.mark.parametrize("script", ["run", ".ci/run"])
def test_the_scripts_can_be_parsed_and_executed(script: str) -> None:
    path = ROOT / script
    shell = "bash" if script == ".ci/run" else shutil.which("dash") or "sh"
    assert path.stat().st_mode & 0o111
    assert subprocess.run([shell, "-n", path], check=False).returncode == 0
