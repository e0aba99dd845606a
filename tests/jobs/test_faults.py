"""Parts of the running portal are taken away: nothing acknowledged is lost, and all happens once they are back."""

from __future__ import annotations

import base64
import http.client
import json
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode, urlsplit

import altcha
import psycopg
import pytest

from tests import servers
from tests.conftest import NOW
from webapp import create_app
from webapp.extensions import db
from webapp.models import Account, Request
from webapp.services import audit, requests
from webapp.settings import Settings


class Visitor:
    """A browser's requests to the real web server, without a browser."""

    def __init__(self, url: str) -> None:
        self.host = urlsplit(url).netloc
        self.cookie = ""

    def ask(self, method: str, path: str, fields: dict[str, str] | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.host, timeout=30)
        headers = {"Cookie": self.cookie} if self.cookie else {}
        if fields is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, urlencode(fields) if fields is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        if given := answer.headers.get("Set-Cookie"):
            self.cookie = given.partition(";")[0]
        connection.close()
        return answer.status, text

    def sign_up(self, email: str) -> int:
        _, page = self.ask("GET", "/sign-up")
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        assert token, page
        _, puzzle = self.ask("GET", "/captcha/challenge")
        challenge = altcha.Challenge.from_dict(json.loads(puzzle))
        solved = altcha.solve_challenge(challenge)
        assert solved
        payload = json.dumps({"challenge": challenge.to_dict(), "solution": solved.to_dict()}).encode()
        fields = {"email": email, "seed": "no", "csrf_token": token.group(1)}
        return self.ask("POST", "/sign-up", fields | {"altcha": base64.b64encode(payload).decode()})[0]


@pytest.fixture(params=["sqlite", "postgresql"])
def portal(request):
    """A running portal whose queue and mail server can be stopped; and its app, for looking into the database."""
    url = request.getfixturevalue("postgresql_cluster").create_database() if request.param == "postgresql" else ""
    with (
        servers.smtp() as smtp,
        servers.valkey_server() as queue,
        servers.stack(database_url=url, redis_url=queue.url, mail=(smtp.host, smtp.port)) as stack,
    ):
        app = create_app(Settings.from_environment(stack.settings | {"APP_ENV": "test"}))
        with app.app_context():
            yield stack, queue, smtp, app
            db.session.remove()
            db.engine.dispose()


def approve(app, email):
    """As an admin does, by the same use-case."""
    waiting = db.session.query(Request.id).join(Account, Account.id == Request.account_id)
    (number,) = waiting.filter(Account.email == email).one()
    db.session.rollback()
    requests.approve(number, audit.SYSTEM, NOW, app.config["POLICY"])


def test_without_queue_and_mail_server_all_is_accepted_and_happens_once_they_are_back(portal):
    stack, queue, smtp, app = portal
    queue.stop()
    smtp.stop()
    assert Visitor(stack.url).sign_up("peter@tech.gov.sg") == 303
    approve(app, "peter@tech.gov.sg")
    assert Visitor(stack.url).sign_up("mary@tech.gov.sg") == 303
    queue.start()
    smtp.start()

    def all_are_there() -> bool:
        return len(smtp.to("peter@tech.gov.sg")) >= 1 and len(smtp.to("mary@tech.gov.sg")) >= 1

    servers.wait_until(all_are_there, "the mails of what was accepted meanwhile", seconds=60)
    subjects = [one.subject for one in smtp.to("peter@tech.gov.sg")]
    assert len(subjects) == len(set(subjects)), "a mail came twice"
    assert any("approved" in subject for subject in subjects)


def test_what_was_acknowledged_survives_the_death_of_web_and_worker(portal):
    stack, _queue, smtp, _app = portal
    addresses = [f"officer{number}@moe.gov.sg" for number in range(12)]

    def sign_up(email: str) -> str | None:
        try:
            return email if Visitor(stack.url).sign_up(email) == 303 else None
        except (OSError, http.client.HTTPException, AssertionError):
            return None  # Cut off in the middle: nothing was acknowledged.

    with ThreadPoolExecutor(3) as pool:
        answers = pool.map(sign_up, addresses)
        stack.kill("web", signal.SIGKILL)
        stack.kill("worker", signal.SIGKILL)
        acknowledged = [email for email in answers if email]
    assert acknowledged, "none was acknowledged, so that this tells nothing"
    kept = set(db.session.scalars(db.select(Account.email)))
    db.session.rollback()
    assert set(acknowledged) <= kept

    def mailed() -> bool:
        return all(len(smtp.to(email)) == 1 for email in acknowledged)

    servers.wait_until(mailed, "a mail to each who was told that the request was received", seconds=60)


def test_the_portal_recovers_by_itself_from_the_death_of_its_database():
    with (
        servers.postgres() as cluster,
        servers.smtp() as smtp,
        servers.stack(database_url=cluster.create_database(), mail=(smtp.host, smtp.port)) as stack,
    ):
        visitor = Visitor(stack.url)
        assert visitor.sign_up("peter@tech.gov.sg") == 303, stack.output
        database = stack.settings["DATABASE_URL"]
        cluster.kill()
        _, page = visitor.ask("GET", "/log-in")
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        assert token
        status, page = visitor.ask("POST", "/log-in", {"email": "peter@tech.gov.sg", "csrf_token": token.group(1)})
        assert status == 500
        assert "Something went wrong at our end" in page
        cluster.start()

        def accepts() -> bool:
            return Visitor(stack.url).sign_up("mary@tech.gov.sg") == 303

        servers.wait_until(accepts, "the portal to take requests again", seconds=60)
        with psycopg.connect(database) as connection:
            rows = connection.execute("SELECT email FROM account WHERE role = 'officer' ORDER BY id").fetchall()
        assert [email for (email,) in rows] == ["peter@tech.gov.sg", "mary@tech.gov.sg"]
        servers.wait_until(lambda: smtp.to("mary@tech.gov.sg"), "the mail to who came after", seconds=60)
