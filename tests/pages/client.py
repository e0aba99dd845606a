"""The test client: whatever page a test fetches is held to what every page promises."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any
from xml.etree import ElementTree

import html5lib
from flask import g
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

REQUIRED_HEADERS = {
    "Content-Security-Policy",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "Referrer-Policy",
    "Permissions-Policy",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy",
    "Cache-Control",
}


class PortalClient(FlaskClient):
    """Checks each answer, and carries the CSRF token of the page fetched last into `submit`."""

    last: TestResponse | None = None

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        for name in list(g):  # The test's own context goes on through all its requests; what one left is gone.
            g.pop(name)
        response = super().open(*args, **kwargs)
        check_answer(response)
        if response.mimetype == "text/html":
            self.last = response
        return response

    def htmx(self, method: str, address: str, **kwargs: Any) -> TestResponse:
        """As htmx asks: the answer is a fragment."""
        return self.open(address, method=method, headers={"HX-Request": "true", **kwargs.pop("headers", {})}, **kwargs)

    def csrf_token(self) -> str:
        """The token in the page fetched last."""
        assert self.last is not None, "fetch a page first"
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', self.last.text)
        assert found, "the page holds no form"
        return found.group(1)

    def submit(self, address: str, *, htmx: bool = False, **fields: Any) -> TestResponse:
        """Send a form of the page fetched last; a field that is None is left out, the token too."""
        given = {"csrf_token": self.csrf_token(), **fields}
        data = {name: value for name, value in given.items() if value is not None}
        return self.htmx("POST", address, data=data) if htmx else self.post(address, data=data)


def check_answer(response: TestResponse) -> None:
    missing = REQUIRED_HEADERS - set(response.headers.keys())
    assert not missing, f"headers missing: {missing}"
    assert response.status_code != 500, response.text
    if response.mimetype != "text/html" or not response.data:
        return
    if "sandbox" in response.headers["Content-Security-Policy"]:
        return  # The HTML of a mail, with the inline styles that mail programs need, for a frame that runs nothing.
    text = response.text
    whole = "<html" in text
    parser = html5lib.HTMLParser(strict=False)
    begin = text[:200]
    container = "tbody" if "<tr" in begin else "tr" if "<td" in begin else "div"
    parsed = parser.parse(text) if whole else parser.parseFragment(text, container=container)
    problems = [error for error in parser.errors if error[1] not in _TOLERATED]
    assert not problems, f"invalid HTML: {problems[:3]}"
    ids = Counter(element.get("id") for element in _elements(parsed) if element.get("id"))
    assert not [name for name, times in ids.items() if times > 1], f"ids used twice: {ids}"
    assert not re.search(r"<[a-z][^>]*\s(style|on[a-z]+)=", text), "inline style or script"
    if whole:
        title = re.search(r"<title>(.*?)</title>", text, re.DOTALL)
        assert title, "a page without a title"
        assert title.group(1).strip(), "a page with an empty title"
        assert len(re.findall(r"<h1[\s>]", text)) == 1, "a page has one main heading"


_TOLERATED = {"unexpected-end-tag-implies-table-voodoo"}


def _elements(parsed: Any) -> list[ElementTree.Element]:
    return [element for element in parsed.iter() if isinstance(element.tag, str)]
