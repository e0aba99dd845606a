"""Fixtures: the portal on both databases, a real queue server, and a browser that checks every page it gets."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from sqlalchemy import text

from tests import servers
from tests.factories import Factory
from tests.pages.client import PortalClient
from webapp import clock, create_app, queue
from webapp.domain.policy import Policy
from webapp.extensions import db, limiter
from webapp.services import agencies, robot_check
from webapp.settings import Settings

# How long an example takes is the machine's affair: timings decide nothing here.
hypothesis_settings.register_profile("portal", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("portal")

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
"""Tuesday, 24 November 2026, 10:00 in Singapore: the present of every test that names no other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser's stories come first: were one the last to begin, all other processes would wait for its end."""
    items.sort(key=lambda item: "browser" not in item.path.parts)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with servers.valkey() as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_cluster() -> Iterator[servers.Postgres]:
    with servers.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_url(postgresql_cluster: servers.Postgres) -> str:
    return postgresql_cluster.url


def settings_for(database_url: str, redis_url: str, **changes: Any) -> Settings:
    given: dict[str, Any] = {
        "app_env": "test",
        "secret_key": "a secret for tests alone, 0123456789",
        "public_base_url": "http://localhost",
        "database_url": database_url,
        "redis_url": redis_url,
        "mail_server": "127.0.0.1",
        # What is decided is mailed at once; the tests of taking it back set the time for it.
        "policy": Policy(undo_seconds=0),
    }
    return Settings(**given | changes)


@dataclass
class Portal:
    """The portal on one database, migrated once and emptied before each test."""

    app: Flask
    path: Path | None
    agencies: list[dict[str, Any]]

    @classmethod
    def start(cls, settings: Settings, path: Path | None) -> Portal:
        app = create_app(settings)
        app.test_client_class = PortalClient
        with app.app_context():
            upgrade()
            rows = [dict(row) for row in db.session.execute(text("SELECT * FROM agency")).mappings()]
            db.session.remove()
            db.engine.dispose()
        if path is not None:
            shutil.copy(path, path.with_suffix(".empty"))
        return cls(app, path, rows)

    def empty(self) -> None:
        if self.path is not None:
            # A new file each time: a connection that a test left open must not write into the next one's.
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            shutil.copy(self.path.with_suffix(".empty"), self.path)
            return
        # The few rows of a test are deleted in a fortieth of the time that TRUNCATE takes. A replica's session minds
        # neither foreign keys nor the triggers that keep the record.
        agency = db.metadata.tables["agency"]
        deleted = "; ".join(f'DELETE FROM "{name}"' for name in db.metadata.tables)
        with db.engine.begin() as connection:
            connection.execute(text(f"SET LOCAL session_replication_role = replica; {deleted}"))
            connection.execute(text("SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'"))
            connection.execute(agency.insert(), self.agencies)
            connection.execute(text("SELECT setval('agency_id_seq', (SELECT max(id) FROM agency))"))


@pytest.fixture(scope="session")
def portals() -> dict[str, Portal]:
    return {}


@pytest.fixture(params=["sqlite", "postgresql"])
def app(
    request: pytest.FixtureRequest,
    portals: dict[str, Portal],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Flask]:
    """The portal, empty but for the starting list of agencies, in an application context; on each database in turn."""
    kind: str = request.param
    if kind not in portals:
        path = tmp_path_factory.mktemp("portal") / "portal.db" if kind == "sqlite" else None
        url = f"sqlite:///{path}" if path else request.getfixturevalue("postgresql_url")
        portals[kind] = Portal.start(settings_for(url, redis_url), path)
    portal = portals[kind]
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setattr(robot_check, "_COST", 1)
    with portal.app.app_context():
        portal.empty()
        agencies.forget()
        queue.forget_failures()
        portal.app.extensions["redis"].flushall()
        limiter.reset()
        yield portal.app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def policy(app: Flask) -> Policy:
    policy: Policy = app.config["POLICY"]
    return policy


@pytest.fixture
def set_now(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``set_now(instant)`` moves the one clock."""

    def move(instant: datetime) -> None:
        monkeypatch.setattr(clock, "now", lambda: instant)

    return move


@pytest.fixture
def make(app: Flask) -> Factory:
    """Makes people, requests and links in the state that a test begins with."""
    return Factory(NOW, app.config["POLICY"])


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser without scripts. It checks each page that it gets: title, unique ids, valid HTML, headers."""
    return app.test_client()
