"""SEED's own life, devices, holidays, and what officers change about themselves (rules 4.1 to 4.7 and section 6)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_STATES = {
    "invitation": ("live", "used", "replaced", "expired"),
    "request": ("open", "approved", "rejected"),
}


def upgrade() -> None:
    op.create_table(
        "holiday",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_holiday")),
    )
    op.create_table(
        "device",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("operating_system", sa.String(length=7), nullable=False),
        sa.Column("serial_number", sa.String(length=40), nullable=False),
        sa.Column("intune_device_id", sa.String(length=36), nullable=False),
        sa.Column("status", sa.String(length=18), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("remove_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("operating_system IN ('macos', 'windows')", name=op.f("ck_device_operating_system")),
        sa.CheckConstraint(
            "status IN ('triggered', 'software_installed', 'onboarded', 'failed', 'removed')",
            name=op.f("ck_device_status"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_device_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device")),
    )
    op.create_index(op.f("ix_device_account_id"), "device", ["account_id"])
    for name, column, unique, condition in (
        ("uq_device_live", "intune_device_id", True, "status != 'removed'"),
        ("ix_device_removal", "remove_at", False, "remove_at IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(name, "device", [column], unique=unique, sqlite_where=where, postgresql_where=where)

    for name, length in (("first_name", 60), ("last_name", 60), ("mobile", 20), ("department", 120)):
        op.add_column("account", sa.Column(name, sa.String(length=length), nullable=True))
    op.add_column("authenticator", sa.Column("next_encrypted_key", sa.String(length=255), nullable=True))
    op.add_column("authenticator", sa.Column("next_session_hash", sa.String(length=64), nullable=True))
    op.add_column("account", sa.Column("recovery_session_hash", sa.String(length=64), nullable=True))
    op.add_column("account", sa.Column("browsers_known_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("session", sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("request", sa.Column("due_on", sa.Date(), nullable=True))
    for table, states in _STATES.items():
        _allow_states(table, (*states, "withdrawn"), 9)


def downgrade() -> None:
    for table, states in _STATES.items():
        # The nearest that the older tables know.
        op.execute(f"UPDATE {table} SET state = '{states[-1]}' WHERE state = 'withdrawn'")
        _allow_states(table, states, 8)
    for table, columns in (
        ("request", ["due_on"]),
        ("session", ["confirmed_at"]),
        ("authenticator", ["next_session_hash", "next_encrypted_key"]),
        (
            "account",
            ["browsers_known_since", "recovery_session_hash", "department", "mobile", "last_name", "first_name"],
        ),
    ):
        for column in columns:
            op.drop_column(table, column)
    op.drop_table("device")
    op.drop_table("holiday")


def _allow_states(table: str, states: tuple[str, ...], length: int) -> None:
    """Change the closed set of a table's states; SQLite makes the table anew for it."""
    listed = ", ".join(f"'{state}'" for state in states)
    with op.batch_alter_table(table) as batch:
        batch.drop_constraint(op.f(f"ck_{table}_state"), type_="check")
        batch.alter_column("state", existing_nullable=False, type_=sa.String(length=length))
        batch.create_check_constraint(op.f(f"ck_{table}_state"), sa.text(f"state IN ({listed})"))
