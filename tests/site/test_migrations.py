"""The tables: up, down and up again, equal to the models, and an audit trail that only grows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import UniqueConstraint, create_engine, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.conftest import settings_for
from tests.factories import Factory
from webapp import create_app
from webapp.domain.lifecycle import InvitationState, RequestState
from webapp.extensions import db
from webapp.models import Account, AuditEvent, BrowserSession, Invitation, Request
from webapp.services import audit


@pytest.fixture(params=["sqlite", "postgresql"])
def blank(request, redis_url, tmp_path) -> Iterator[Flask]:
    """The portal on a database of its own, without tables."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/blank.db"
    else:
        server = request.getfixturevalue("postgresql_url")
        with create_engine(server, isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("DROP DATABASE IF EXISTS blank"))
            connection.execute(text("CREATE DATABASE blank"))
        url = server.rpartition("/")[0] + "/blank"
    app = create_app(settings_for(url, redis_url))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def schema() -> dict[str, object]:
    """What the database says of each table, and its triggers."""
    found = inspect(db.engine)
    tables: dict[str, object] = {
        name: (
            sorted((column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(name)),
            sorted(
                (str(index["name"]), index["unique"], index["column_names"], *map(str, options.values()))
                for index in found.get_indexes(name)
                for options in [index.get("dialect_options", {})]
            ),
            sorted(str(sorted(key.items(), key=str)) for key in found.get_foreign_keys(name)),
            sorted(str(each["name"]) for each in found.get_check_constraints(name)),
        )
        for name in found.get_table_names()
    }
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if db.engine.dialect.name == "sqlite"
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal UNION SELECT proname FROM pg_proc WHERE proname "
        "LIKE 'refuse%'"
    )
    with db.engine.connect() as connection:
        tables["triggers"] = sorted(connection.execute(text(query)).scalars())
    return tables


def test_up_down_and_up_again(blank):
    upgrade()
    first = schema()
    assert first["triggers"]
    assert set(db.metadata.tables) < set(first)
    downgrade(revision="base")
    assert set(schema()) == {"alembic_version", "triggers"}
    assert schema()["triggers"] == []
    upgrade()
    assert schema() == first


def test_what_is_in_the_tables_survives_down_and_up(blank, now):
    """SQLite makes tables anew for some changes: their rows, and those that refer to them, stay (D2)."""
    upgrade()
    make = Factory(now, blank.config["POLICY"])
    request = make.request()
    link, _ = make.invitation(make.account())
    request.state, link.state = RequestState.WITHDRAWN, InvitationState.WITHDRAWN
    db.session.add(
        BrowserSession(
            token_hash="x",
            account_id=link.account_id,
            kind="onboarding",
            invitation_id=link.id,
            created_at=now,
            last_seen_at=now,
            expires_at=now,
            peer="",
            user_agent="",
        )
    )
    db.session.commit()
    db.session.remove()
    downgrade(revision="0001")
    upgrade()
    kept = db.session.scalars(select(BrowserSession)).one()
    # What the older tables did not know, they knew by the nearest name.
    assert db.session.get_one(Invitation, kept.invitation_id).state == "expired"
    assert db.session.scalars(select(Request.state)).one() == "rejected"
    if db.engine.dialect.name == "sqlite":
        assert db.session.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert db.session.execute(text("PRAGMA foreign_key_check")).all() == []


def test_running_it_twice_changes_nothing(blank):
    upgrade()
    first = schema()
    upgrade()
    assert schema() == first


def test_the_migrations_make_what_the_models_say(blank):
    upgrade()
    with db.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "compare_server_default": True,
                "target_metadata": db.metadata,
                # Of a kind that PostgreSQL alone has, so that the models cannot name it; see the plans' tests.
                "include_name": lambda name, kind, _parents: (kind, name) != ("index", "ix_account_search"),
                # Their order is read back as an expression, and never found equal; see the plans' tests.
                "include_object": lambda _, name, *__: name not in ("ix_audit_event_action", "ix_audit_event_actor"),
            },
        )
        assert compare_metadata(context, db.metadata) == []


def test_every_closed_set_and_partial_index_of_the_models_is_in_the_database(blank):
    """What the comparison above does not look at."""
    upgrade()
    found = inspect(db.engine)
    for table in db.metadata.tables.values():
        checks = {str(each["name"]) for each in found.get_check_constraints(table.name)}
        assert {str(each.name) for each in table.constraints if each.__visit_name__ == "check_constraint"} <= checks
        indexes = {each["name"]: each for each in found.get_indexes(table.name)}
        for index in table.indexes:
            assert index.name in indexes
            wanted = index.dialect_options[db.engine.dialect.name]["where"] is not None
            options = indexes[index.name].get("dialect_options", {})
            assert bool(options.get(f"{db.engine.dialect.name}_where") is not None) == wanted, index.name


def test_every_foreign_key_has_an_index():
    for table in db.metadata.tables.values():
        leading = {next(iter(index.columns)).name for index in table.indexes if len(index.columns)}
        leading |= {next(iter(table.primary_key.columns)).name}
        leading |= {next(iter(each.columns)).name for each in table.constraints if isinstance(each, UniqueConstraint)}
        for key in table.foreign_keys:
            assert key.parent.name in leading, f"{table.name}.{key.parent.name}"


@pytest.fixture
def event(app, make, now) -> AuditEvent:
    account = make.account()
    audit.record("account.activated", account.id, audit.By.visitor("203.0.113.7"), now, seed=True)
    db.session.commit()
    return db.session.scalars(select(AuditEvent)).one()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_event SET action = 'account.deleted'",
        "UPDATE audit_event SET at = '2020-01-01 00:00:00'",
        "UPDATE audit_event SET account_id = NULL",
        "UPDATE audit_event SET actor = 'system'",
        "UPDATE audit_event SET actor_id = 1",
        "UPDATE audit_event SET detail = '{}'",
        "UPDATE audit_event SET peer = '198.51.100.1'",
        "UPDATE audit_event SET peer = NULL, action = 'account.deleted'",
        "UPDATE audit_event SET peer = NULL, detail = '{}'",
        "UPDATE audit_event SET id = 99",
        "DELETE FROM audit_event",
    ],
)
def test_the_audit_trail_refuses_change_and_deletion(event, change):
    with pytest.raises(DBAPIError, match="append-only"):
        db.session.execute(text(change))
    db.session.rollback()
    kept = db.session.scalars(select(AuditEvent)).one()
    assert (kept.action, kept.peer, kept.detail) == ("account.activated", "203.0.113.7", {"seed": True})


def test_where_it_came_from_may_be_forgotten(event):
    db.session.execute(update(AuditEvent).values(peer=None, peer_salt=None))
    db.session.commit()
    assert db.session.execute(select(AuditEvent.peer, AuditEvent.peer_salt)).one() == (None, None)


def test_where_it_came_from_is_not_forgotten_by_halves(event):
    with pytest.raises(DBAPIError, match="append-only"):
        db.session.execute(update(AuditEvent).values(peer=None))


@pytest.mark.parametrize("column", ["status", "role", "seed_status"])
def test_the_database_knows_the_closed_sets(app, make, column):
    make.account()
    with pytest.raises(IntegrityError):
        db.session.execute(text(f"UPDATE account SET {column} = 'other'"))
    db.session.rollback()


@pytest.mark.parametrize("status", ["requested", "pending", "active", "disabled"])
def test_the_database_forbids_two_live_accounts_of_one_address(app, make, status):
    make.account("terminated", "a@tech.gov.sg")
    make.account("rejected", "a@tech.gov.sg")
    make.account(status, "A@tech.gov.sg")
    with pytest.raises(IntegrityError):
        make.account("pending", "a@TECH.gov.sg")
    db.session.rollback()
    assert len(db.session.scalars(select(Account.id)).all()) == 3


def test_the_database_forbids_two_open_requests_of_one_kind(app, make, now):
    request = make.request()
    db.session.add(Request(account_id=request.account_id, kind="techpass", requested_at=now))
    with pytest.raises(IntegrityError):
        db.session.commit()
    db.session.rollback()
