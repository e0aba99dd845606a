"""How the house is kept: what a reader of the code may rely on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [*(ROOT / "webapp").rglob("*.py"), *(ROOT / "jobs").rglob("*.py"), ROOT / "wsgi.py"]


def test_one_clock():
    offenders = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.name != "clock.py" and re.search(r"datetime\.(now|utcnow|today)\(|time\.time\(\)", path.read_text())
    ]
    assert [name for name in offenders if not name.startswith("webapp/dev/")] == []


def test_pages_hold_no_inline_style_or_script():
    for path in (ROOT / "templates").rglob("*.html"):
        if "mail" in path.relative_to(ROOT / "templates").parts[:1]:
            continue
        text = path.read_text()
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=\"|<script(?![^>]*\ssrc=)", text), path


def test_every_rule_that_the_code_cites_stands_in_the_docs():
    rules = (ROOT / "docs/rules.md").read_text()
    known = set(re.findall(r"^(\d+\.\d+)\b", rules, re.MULTILINE))
    for path in [*SOURCES, *(ROOT / "tests").rglob("*.py")]:
        for cited in re.findall(r"\brules? (\d+\.\d+)\b", path.read_text()):
            assert cited in known, f"{path.relative_to(ROOT)} cites rule {cited}"


def test_every_decision_that_is_cited_exists():
    numbers = {path.name[:4] for path in (ROOT / "docs/decisions").glob("*.md")}
    for path in SOURCES:
        for cited in re.findall(r"decisions?[/ ](\d{4})", path.read_text()):
            assert cited in numbers, f"{path.relative_to(ROOT)} cites decision {cited}"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-test.txt"])
def test_the_lock_pins_by_hash_and_names_no_registry(name):
    text = (ROOT / name).read_text()
    assert "://" not in text
    pinned = re.findall(r"^[a-z0-9][^\s]*==", text, re.MULTILINE)
    assert len(pinned) > 20
    assert text.count("--hash=sha256:") >= len(pinned)


def test_vendored_files_are_what_they_were():
    import hashlib

    listed = (ROOT / "static/vendor/CHECKSUMS").read_text().split("\n")
    checked = 0
    for line in listed:
        if line.strip():
            digest, _, name = line.partition("  ")
            path = ROOT / "static/vendor" / name.removeprefix("./")
            assert hashlib.sha256(path.read_bytes()).hexdigest() == digest, name
            checked += 1
    assert checked >= 3
