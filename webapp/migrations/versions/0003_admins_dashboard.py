"""The admins' dashboard: lists by key, questions and notes, numbers by day, held sweeps, a sealed record (section 8)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_INSTANT = sa.DateTime(timezone=True)
_MEASURES = (
    "'signed_up', 'approved', 'activated', 'seed_onboarded', 'expired', 'ended', 'oldest_waiting', 'will_remind', "
    "'will_expire', 'will_expire_seed', 'will_remove_device', 'will_check_inactivity', 'will_delete'"
)
_ACCOUNT_INDEXES = {
    "ix_account_agency": ["agency_id", "id"],
    "ix_account_status": ["status", "id"],
    "ix_account_agency_status": ["agency_id", "status", "id"],
}
_WAITING_INDEXES = {
    "ix_account_auditor": ("account", ["id"], "role = 'auditor'"),
    "ix_account_on_hold": ("account", ["id"], "under_investigation"),
    "ix_request_due": ("request", ["due_on"], "state = 'open' AND due_on IS NOT NULL"),
    "ix_mail_failed_kind": ("mail", ["kind", "id"], "state = 'failed'"),
}
"""For the start page, which counts what needs an admin, and for the list of auditors."""
_MAIL_INDEXES: dict[str, tuple[list[str], str | None]] = {
    "ix_mail_queued": (["id"], "state = 'queued'"),
    "ix_mail_cancelled": (["id"], "state = 'cancelled'"),
    "ix_mail_kind": (["kind", "id"], None),
}
_BACKWARDS = {"at": "DESC NULLS LAST", "id": "DESC NULLS LAST"}
_AUDIT_INDEXES: dict[str, tuple[list[str], dict[str, str]]] = {
    "ix_audit_event_at": (["at", "id"], {}),
    "ix_audit_event_action": (["action", "at", "id"], _BACKWARDS),
    "ix_audit_event_actor": (["actor_id", "at", "id"], _BACKWARDS),
}
_SEARCH = "(email_folded || ' ' || lower(coalesce(first_name, '')) || ' ' || lower(coalesce(last_name, '')))"
"""What a search looks into; `webapp.services.people` asks by the very same words, so that the index serves it."""

_FORGETS_PEER = (
    "NEW.peer IS NULL AND NEW.peer_salt IS NULL AND NEW.id = OLD.id AND NEW.at = OLD.at AND NEW.action = OLD.action "
    "AND NEW.actor = OLD.actor AND NEW.account_id {same} OLD.account_id AND NEW.actor_id {same} OLD.actor_id "
    "AND CAST(NEW.detail AS TEXT) = CAST(OLD.detail AS TEXT)"
)
_FORGOT_PEER_BEFORE = (
    "NEW.peer IS NULL AND NEW.id = OLD.id AND NEW.at = OLD.at AND NEW.action = OLD.action AND NEW.actor = OLD.actor "
    "AND NEW.account_id {same} OLD.account_id AND NEW.actor_id {same} OLD.actor_id "
    "AND CAST(NEW.detail AS TEXT) = CAST(OLD.detail AS TEXT)"
)


def upgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    if is_postgresql:
        # Comes with PostgreSQL and is trusted: the owner of a database may add it.
        op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")

    op.drop_index("ix_account_agency_id", "account")
    _allow_roles("'officer', 'auditor', 'admin'")
    op.add_column("account", sa.Column("shortcuts_off", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("invitation", sa.Column("extended_at", _INSTANT, nullable=True))
    for name, columns in _ACCOUNT_INDEXES.items():
        op.create_index(name, "account", columns)
    asking = sa.text("(status = 'requested' OR seed_status = 'requested')")
    op.create_index(
        "ix_account_asking",
        "account",
        ["agency_id", "id", "email_folded"],
        sqlite_where=asking,
        postgresql_where=asking,
    )
    op.create_index("ix_unknown_agency_tries", "unknown_agency", ["tries", "domain"])
    if is_postgresql:
        op.execute(f"CREATE INDEX ix_account_search ON account USING gin ({_SEARCH} gin_trgm_ops)")
    for name, (columns, condition) in _MAIL_INDEXES.items():
        where = sa.text(condition) if condition else None
        op.create_index(name, "mail", columns, sqlite_where=where, postgresql_where=where)
    for name, (table, columns, condition) in _WAITING_INDEXES.items():
        where = sa.text(condition)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)

    op.create_table(
        "question",
        sa.Column("id", _ID, nullable=False),
        sa.Column("request_id", _ID, nullable=False),
        sa.Column("asked_by_id", _ID, nullable=False),
        sa.Column("asked_at", _INSTANT, nullable=False),
        sa.Column("question", sa.String(length=500), nullable=False),
        sa.Column("answered_at", _INSTANT, nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["request.id"], name=op.f("fk_question_request_id")),
        sa.ForeignKeyConstraint(["asked_by_id"], ["account.id"], name=op.f("fk_question_asked_by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_question")),
    )
    op.create_index(op.f("ix_question_request_id"), "question", ["request_id"])
    op.create_index(op.f("ix_question_asked_by_id"), "question", ["asked_by_id"])
    is_open = sa.text("answered_at IS NULL")
    op.create_index(
        "uq_question_open", "question", ["request_id"], unique=True, sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_table(
        "note",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("by_id", _ID, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("note", sa.String(length=500), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_note_account_id")),
        sa.ForeignKeyConstraint(["by_id"], ["account.id"], name=op.f("fk_note_by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_note")),
    )
    op.create_index(op.f("ix_note_account_id"), "note", ["account_id"])
    op.create_index(op.f("ix_note_by_id"), "note", ["by_id"])
    op.create_table(
        "daily_count",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("measure", sa.String(length=21), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("counted_at", _INSTANT, nullable=False),
        sa.CheckConstraint(f"measure IN ({_MEASURES})", name=op.f("ck_daily_count_measure")),
        sa.PrimaryKeyConstraint("day", "measure", name=op.f("pk_daily_count")),
    )
    op.create_table(
        "held_sweep",
        sa.Column("part", sa.String(length=20), nullable=False),
        sa.Column("held_at", _INSTANT, nullable=False),
        sa.Column("would_end", sa.Integer(), nullable=False),
        sa.Column("usual", sa.Integer(), nullable=False),
        sa.Column("allowed", sa.Integer(), nullable=True),
        sa.Column("allowed_at", _INSTANT, nullable=True),
        sa.Column("allowed_by_id", _ID, nullable=True),
        sa.ForeignKeyConstraint(["allowed_by_id"], ["account.id"], name=op.f("fk_held_sweep_allowed_by_id")),
        sa.PrimaryKeyConstraint("part", name=op.f("pk_held_sweep")),
    )
    op.create_index(op.f("ix_held_sweep_allowed_by_id"), "held_sweep", ["allowed_by_id"])

    for name in ("ix_audit_event_at", "ix_audit_event_actor_id"):
        op.drop_index(name, "audit_event")
    for name, (columns, order) in _AUDIT_INDEXES.items():
        op.create_index(name, "audit_event", columns, postgresql_ops=order)
    op.add_column("audit_event", sa.Column("peer_salt", sa.String(length=32), nullable=True))
    _salt_peers()
    _guard_forgetting(_FORGETS_PEER)
    op.create_table(
        "audit_seal",
        sa.Column("position", _ID, autoincrement=False, nullable=False),
        sa.Column("event_id", _ID, nullable=False),
        sa.Column("peer_mark", sa.String(length=64), nullable=True),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("sealed_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["audit_event.id"], name=op.f("fk_audit_seal_event_id")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit_seal")),
        sa.UniqueConstraint("event_id", name=op.f("uq_audit_seal_event_id")),
    )
    op.create_index("ix_audit_seal_sealed_at", "audit_seal", ["sealed_at", "position"])
    if is_postgresql:
        op.execute(
            "CREATE FUNCTION refuse_seal_change() RETURNS trigger LANGUAGE plpgsql AS $$ "
            "BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_seal_guard BEFORE UPDATE OR DELETE ON audit_seal "
            "FOR EACH ROW EXECUTE FUNCTION refuse_seal_change()"
        )
    else:
        for event in ("DELETE", "UPDATE"):
            op.execute(
                f"CREATE TRIGGER audit_seal_no_{event} BEFORE {event} ON audit_seal "
                "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
            )


def downgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    op.drop_table("audit_seal")
    if is_postgresql:
        op.execute("DROP FUNCTION refuse_seal_change")
    _guard_forgetting(_FORGOT_PEER_BEFORE, drop_column=True)
    for name in _AUDIT_INDEXES:
        op.drop_index(name, "audit_event")
    op.create_index("ix_audit_event_at", "audit_event", ["at"])
    op.create_index("ix_audit_event_actor_id", "audit_event", ["actor_id"])
    for table in ("held_sweep", "daily_count", "note", "question"):
        op.drop_table(table)
    for name, (table, *_) in _WAITING_INDEXES.items():
        op.drop_index(name, table)
    for name in _MAIL_INDEXES:
        op.drop_index(name, "mail")
    if is_postgresql:
        op.execute("DROP INDEX ix_account_search")
    op.drop_index("ix_unknown_agency_tries", "unknown_agency")
    for name in (*_ACCOUNT_INDEXES, "ix_account_asking"):
        op.drop_index(name, "account")
    op.drop_column("invitation", "extended_at")
    op.drop_column("account", "shortcuts_off")
    op.execute("UPDATE account SET role = 'officer' WHERE role = 'auditor'")
    _allow_roles("'officer', 'admin'")
    op.create_index("ix_account_agency_id", "account", ["agency_id"])
    if is_postgresql:
        op.execute("DROP EXTENSION IF EXISTS pg_trgm")


def _allow_roles(listed: str) -> None:
    with op.batch_alter_table("account") as batch:
        batch.drop_constraint(op.f("ck_account_role"), type_="check")
        batch.create_check_constraint(op.f("ck_account_role"), sa.text(f"role IN ({listed})"))


def _salt_peers() -> None:
    """Give each peer on record its salt, so that no seal of an event from before gives the peer away later."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE audit_event DISABLE TRIGGER audit_event_guard")
        op.execute(
            "UPDATE audit_event SET peer_salt = replace(gen_random_uuid()::text, '-', '') WHERE peer IS NOT NULL"
        )
        op.execute("ALTER TABLE audit_event ENABLE TRIGGER audit_event_guard")
    else:
        op.execute("DROP TRIGGER audit_event_no_UPDATE")
        op.execute("UPDATE audit_event SET peer_salt = lower(hex(randomblob(16))) WHERE peer IS NOT NULL")


def _guard_forgetting(condition: str, *, drop_column: bool = False) -> None:
    """Let nothing of an event be changed but by ``condition``: its peer may be forgotten (rule 3.5)."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"""
            CREATE OR REPLACE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF TG_OP = 'UPDATE' AND {condition.format(same="IS NOT DISTINCT FROM")} THEN
                    RETURN NEW;
                END IF;
                RAISE EXCEPTION 'the audit trail is append-only';
            END $$
        """)
    else:
        op.execute("DROP TRIGGER IF EXISTS audit_event_no_UPDATE")
    if drop_column:
        op.drop_column("audit_event", "peer_salt")
    if op.get_bind().dialect.name != "postgresql":
        op.execute(
            f"CREATE TRIGGER audit_event_no_UPDATE BEFORE UPDATE ON audit_event WHEN NOT ({condition.format(same='IS')}) "
            "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
        )
