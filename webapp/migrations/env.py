"""How migrations run: on the app's own engine, in one transaction each."""

from __future__ import annotations

from alembic import context
from flask import current_app

migrate = current_app.extensions["migrate"]

with migrate.db.engine.connect() as connection:
    if connection.dialect.name == "sqlite":
        # SQLite changes a table by making it anew; with foreign keys enforced, dropping the old one would be refused.
        # It heeds this only outside a transaction.
        connection.connection.execute("PRAGMA foreign_keys=OFF")
    context.configure(
        connection=connection,
        target_metadata=migrate.db.metadata,
        transaction_per_migration=True,
        **migrate.configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()
    if connection.dialect.name == "sqlite":
        connection.connection.execute("PRAGMA foreign_keys=ON")
