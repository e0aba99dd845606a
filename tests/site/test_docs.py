"""The README is true: every setting with its default, every command, every link."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from webapp.domain.policy import Policy
from webapp.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ROWS = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| ([^|]*?) ?\| .+ \|$", README, re.MULTILINE))
"""Each setting of the README's tables with its default as printed."""
PROCESSES = {"PORT", "BIND", "WEB_WORKERS", "DATA_DIR", "PYTHON", "CHROMIUM"}
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def printed(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value in ("", ()) else str(value)


@pytest.mark.parametrize("kind", [Settings, Policy])
def test_every_setting_stands_in_the_readme_with_its_true_default(kind):
    defaults = kind()
    for field in fields(kind):
        if field.name == "policy":
            continue
        name = field.name.upper()
        assert name in ROWS, f"{name} is missing"
        assert ROWS[name] == printed(getattr(defaults, field.name)), name


def test_the_readme_knows_no_setting_that_there_is_not():
    there_are = {field.name.upper() for kind in (Settings, Policy) for field in fields(kind)} | PROCESSES
    assert set(ROWS) == there_are - {"POLICY"}


def test_what_the_readme_calls_needed_is_needed():
    needed = set(re.findall(r"^\| `([A-Z_]+)` \| \| \*\*Needed", README, re.MULTILINE))
    problems = "\n".join(Settings(app_env="development")._problems())
    assert {name for name in needed if f"{name} is missing" in problems} == needed
    assert problems.count("is missing") == len(needed)


def test_every_rule_number_with_a_policy_default_says_that_default():
    """`domain/policy.py` names the rule beside each number; the README names the same one."""
    source = (ROOT / "webapp/domain/policy.py").read_text()
    for name, rule in re.findall(r"^    ([a-z0-9_]+): int = \d+  # rule (\d+\.\d+)", source, re.MULTILINE):
        row = next(line for line in README.split("\n") if line.startswith(f"| `{name.upper()}`"))
        assert f"(rule {rule})" in row, name


def test_every_command_of_the_operator_exists(app):
    listed = set(re.findall(r"\./run flask ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", README))
    assert {("admin", "create"), ("sweep", "")} <= listed
    for first, second in listed - {("db", "upgrade")}:
        found = app.cli.commands.get(first)
        assert found is not None, first
        assert not second or second in getattr(found, "commands", {}), second


def test_every_command_of_run_exists():
    script = (ROOT / "run").read_text()
    for command in set(re.findall(r"\./run ([a-z]+)", README)):
        assert re.search(rf"^    {command}\)$", script, re.MULTILINE), command


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document):
    text = document.read_text()
    headings = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_docs_name_no_path_of_a_machine():
    for document in DOCUMENTS:
        assert not re.search(r"(?<![\w.])/(home|root|work|tmp|Users)/", document.read_text()), document


def test_every_dependency_has_its_reason():
    reasons = (ROOT / "docs/decisions/0001-dependencies.md").read_text().lower()
    declared = (ROOT / "pyproject.toml").read_text().partition("dependencies = [")[2].partition("\n]")[0]
    for name in re.findall(r'^    "([a-z0-9-]+)', declared, re.MULTILINE):
        assert name in reasons, name


def test_every_table_is_in_the_architecture(app):
    from webapp.extensions import db

    described = set(re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE))
    assert described == set(db.metadata.tables)
