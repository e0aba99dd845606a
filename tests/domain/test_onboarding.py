"""The steps of onboarding and their order, as tables (rules 3.9 and 7.3)."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from webapp.domain.agreements import title_and_blocks
from webapp.domain.browsers import describe
from webapp.domain.lifecycle import InvitationKind
from webapp.domain.onboarding import Document, Progress, Step, is_complete, is_done, next_step, steps
from webapp.domain.paths import own_path

TECHPASS, AUTHENTICATOR = InvitationKind.TECHPASS, InvitationKind.AUTHENTICATOR
TERMS, PRIVACY, MDM = Document.TERMS_OF_USE, Document.PRIVACY_POLICY, Document.MDM_AUP


def at(done: int, seed: bool = False) -> Progress:
    """Progress of somebody with the first ``done`` steps behind them."""
    return Progress(
        TECHPASS,
        wants_seed=seed,
        permissions=done > 0,
        authenticator=done > 1,
        recovery_codes=done > 2,
        accepted=frozenset([TERMS, PRIVACY, MDM][: max(0, done - 3)]),
    )


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (at(0), Step.PERMISSIONS),
        (at(1), Step.AUTHENTICATOR),
        (at(2), Step.RECOVERY_CODES),
        (at(3), Step.TERMS_OF_USE),
        (at(4), Step.PRIVACY_POLICY),
        (at(5), Step.PRIVACY_POLICY),
        (at(5, seed=True), Step.MDM_AUP),
        (at(6, seed=True), Step.MDM_AUP),
        # A gap is gone back to, whatever came after it.
        (replace(at(6, seed=True), authenticator=False), Step.AUTHENTICATOR),
        (replace(at(5), accepted=frozenset({PRIVACY})), Step.TERMS_OF_USE),
        (Progress(AUTHENTICATOR), Step.AUTHENTICATOR),
        (Progress(AUTHENTICATOR, authenticator=True), Step.RECOVERY_CODES),
        (Progress(AUTHENTICATOR, authenticator=True, recovery_codes=True), Step.RECOVERY_CODES),
    ],
)
def test_the_next_step_is_the_first_that_is_missing(progress, expected):
    assert next_step(progress) is expected


@pytest.mark.parametrize(
    ("progress", "complete"),
    [
        (at(4), False),
        (at(5), True),
        (at(5, seed=True), False),
        (at(6, seed=True), True),
        (replace(at(6, seed=True), permissions=False), False),
        (Progress(AUTHENTICATOR, wants_seed=True, authenticator=True), False),
        (Progress(AUTHENTICATOR, wants_seed=True, authenticator=True, recovery_codes=True), True),
    ],
)
def test_it_is_complete_when_nothing_is_missing(progress, complete):
    assert is_complete(progress) is complete


def test_no_mix_of_what_is_done_skips_a_step():
    documents = [
        frozenset(d for d, taken in zip(Document, mix, strict=True) if taken) for mix in product([0, 1], repeat=3)
    ]
    for kind, seed, a, b, c, accepted in product(
        (TECHPASS, AUTHENTICATOR), (True, False), (True, False), (True, False), (True, False), documents
    ):
        progress = Progress(kind, seed, a, b, c, accepted)
        step = next_step(progress)
        mine = steps(progress)
        assert all(is_done(earlier, progress) for earlier in mine[: mine.index(step)])
        assert is_complete(progress) == all(is_done(each, progress) for each in mine)


def test_the_policy_of_device_management_is_for_those_who_asked_for_seed():
    assert Step.MDM_AUP not in steps(at(0))
    assert steps(at(0, seed=True))[-1] is Step.MDM_AUP


def test_a_document_is_read_into_headings_paragraphs_and_lists():
    title, blocks = title_and_blocks("Terms\n\nFirst line\nand second.\n\n# 1. Use\n\n- one\n  goes on\n- two\n")
    assert title == "Terms"
    assert [(block.kind, block.lines) for block in blocks] == [
        ("paragraph", ("First line", "and second.")),
        ("heading", ("1. Use",)),
        ("list", ("one goes on", "two")),
    ]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/profile", True),
        ("/admin/requests?after=2026-01-01T00:00_3", True),
        ("/profile#seed", True),
        ("/seed/abc?x=https://elsewhere.example", True),
        (None, False),
        ("", False),
        ("profile", False),
        ("//elsewhere.example", False),
        ("///elsewhere.example", False),
        ("/\\elsewhere.example", False),
        ("\\\\elsewhere.example", False),
        ("/\t/elsewhere.example", False),
        ("/\n/elsewhere.example", False),
        ("\t//elsewhere.example", False),
        (" //elsewhere.example", False),
        ("https://elsewhere.example", False),
        ("https:/elsewhere.example", False),
        ("javascript:alert(1)", False),
        ("JaVaScRiPt:alert(1)", False),
        ("data:text/html,x", False),
        ("/a\r\nSet-Cookie: x=1", False),
        ("/a\x00", False),
        ("/é", False),
        ("/" + "a" * 600, False),
    ],
)
def test_only_a_path_of_this_site_is_gone_on_to(text, kept):
    assert own_path(text) == (text if kept else None)


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14_1) AppleWebKit/605.1 Version/17 Safari/605.1", "Safari on a Mac"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("<script>alert(1)</script>", "an unknown browser on an unknown system"),
        ("", "an unknown browser on an unknown system"),
    ],
)
def test_a_browser_is_named_in_words_of_ours(user_agent, words):
    assert describe(user_agent) == words
