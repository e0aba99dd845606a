"""Where a page may lead on to: this site alone (L8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.domain.paths import own_path


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
        ("/" + "a" * 499, True),
        ("/" + "a" * 500, False),
        ("/%2f%2felsewhere.example", True),
        ("/profile?next=//elsewhere.example", True),
        ("/a b", False),
        ("/\x7f", False),
        ("/\u2028", False),
        ("/[", True),
        ("/．elsewhere.example", False),
        ("http:///elsewhere.example", False),
        ("?x=1", False),
        ("#x", False),
    ],
)
def test_only_a_path_of_this_site_is_gone_on_to(text, kept):
    assert own_path(text) == (text if kept else None)


@given(st.text(alphabet=st.sampled_from("/\\:.?#@[]%\t\r\n\x00 ahtpsé") | st.characters(), max_size=30))
def test_whatever_is_kept_is_a_path_that_browsers_read_as_ours(text):
    kept = own_path(text)
    if kept is not None:
        assert kept == text
        assert kept[0] == "/"
        assert kept[1:2] not in ("/", "\\")
        assert kept.isprintable()
