"""Asking for others: vendors, who invited whom, and batches (section 5)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_INSTANT = sa.DateTime(timezone=True)
_KINDS = ("techpass", "seed", "authenticator")


def upgrade() -> None:
    op.add_column("account", sa.Column("account_type", sa.String(length=7), server_default="officer", nullable=False))
    op.add_column("account", sa.Column("organisation", sa.String(length=120), nullable=True))
    # Whoever signed up with a vendor's address, where the agency lets them (rule 1.3).
    op.execute("UPDATE account SET account_type = 'vendor' WHERE email_folded LIKE '%\\_from.%@%' ESCAPE '\\'")
    with op.batch_alter_table("account") as batch:
        batch.create_check_constraint(op.f("ck_account_account_type"), sa.text("account_type IN ('officer', 'vendor')"))
    is_vendor = sa.text("account_type = 'vendor'")
    op.create_index("ix_account_vendor", "account", ["id"], sqlite_where=is_vendor, postgresql_where=is_vendor)
    _allow_kinds((*_KINDS, "registration"))

    op.create_table(
        "invitee",
        sa.Column("id", _ID, nullable=False),
        sa.Column("inviter_id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("email", sa.String(length=113), nullable=False),
        sa.Column("email_folded", sa.String(length=113), nullable=False),
        sa.Column("name", sa.String(length=121), nullable=False),
        sa.Column("seed_status", sa.String(length=12), nullable=False),
        sa.Column("is_theirs", sa.Boolean(), nullable=False),
        sa.Column("link", sa.String(length=13), nullable=True),
        sa.Column("lapses_at", _INSTANT, nullable=True),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("asked_at", _INSTANT, nullable=False),
        sa.Column("ended_at", _INSTANT, nullable=True),
        sa.CheckConstraint(
            "seed_status IN ('not_required', 'ineligible', 'requested', 'rejected', 'invited', 'expired', 'onboarded', "
            "'withdrawn', 'suspended')",
            name=op.f("ck_invitee_seed_status"),
        ),
        sa.CheckConstraint(
            "link IN ('techpass', 'seed', 'authenticator', 'registration')", name=op.f("ck_invitee_link")
        ),
        sa.ForeignKeyConstraint(["inviter_id"], ["account.id"], name=op.f("fk_invitee_inviter_id")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_invitee_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitee")),
        sa.UniqueConstraint("inviter_id", "account_id", name=op.f("uq_invitee_inviter_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_invitee_account_id"), "invitee", ["account_id"])
    op.create_index("ix_invitee_inviter", "invitee", ["inviter_id", "asked_at", "id"])
    op.create_index("ix_invitee_email", "invitee", ["email_folded", "inviter_id"])
    lapses = sa.text("lapses_at IS NOT NULL")
    op.create_index("ix_invitee_lapses", "invitee", ["lapses_at"], sqlite_where=lapses, postgresql_where=lapses)
    is_open = sa.text("is_theirs AND ended_at IS NULL")
    op.create_index("ix_invitee_open", "invitee", ["account_id"], sqlite_where=is_open, postgresql_where=is_open)

    op.create_table(
        "batch",
        sa.Column("id", _ID, nullable=False),
        sa.Column("inviter_id", _ID, nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("state", sa.String(length=7), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("sent_at", _INSTANT, nullable=True),
        sa.Column("ended_at", _INSTANT, nullable=True),
        sa.Column("peer", sa.String(length=45), nullable=False),
        sa.CheckConstraint("state IN ('draft', 'sending', 'done')", name=op.f("ck_batch_state")),
        sa.ForeignKeyConstraint(["inviter_id"], ["account.id"], name=op.f("fk_batch_inviter_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
    )
    op.create_index("ix_batch_inviter", "batch", ["inviter_id", "id"])
    is_sending = sa.text("state = 'sending'")
    op.create_index("ix_batch_sending", "batch", ["id"], sqlite_where=is_sending, postgresql_where=is_sending)

    op.create_table(
        "batch_row",
        sa.Column("batch_id", _ID, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        *(
            sa.Column(name, sa.String(length=200), nullable=False)
            for name in ("email", "email_folded", "seed", "first_name", "last_name", "organisation", "agency")
        ),
        sa.Column("reason", sa.String(length=301), nullable=False),
        sa.Column("verdict", sa.String(length=11), nullable=False),
        sa.Column("words", sa.String(length=300), nullable=False),
        sa.Column("suggestion", sa.String(length=113), nullable=False),
        sa.Column("outcome", sa.String(length=7), nullable=True),
        sa.CheckConstraint(
            "verdict IN ('ready', 'again', 'malformed', 'twice', 'invited', 'not_allowed')",
            name=op.f("ck_batch_row_verdict"),
        ),
        sa.CheckConstraint("outcome IN ('sent', 'skipped', 'failed')", name=op.f("ck_batch_row_outcome")),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_batch_row_batch_id")),
        sa.PrimaryKeyConstraint("batch_id", "number", name=op.f("pk_batch_row")),
    )
    op.create_index("ix_batch_row_email", "batch_row", ["email_folded", "batch_id"])
    op.create_index("ix_batch_row_verdict", "batch_row", ["batch_id", "verdict", "number"])
    op.create_index("ix_batch_row_outcome", "batch_row", ["batch_id", "outcome", "number"])


def downgrade() -> None:
    for table in ("batch_row", "batch", "invitee"):
        op.drop_table(table)
    op.execute("DELETE FROM invitation WHERE kind = 'registration'")
    _allow_kinds(_KINDS)
    op.drop_index("ix_account_vendor", "account")
    with op.batch_alter_table("account") as batch:
        batch.drop_constraint(op.f("ck_account_account_type"), type_="check")
    op.drop_column("account", "organisation")
    op.drop_column("account", "account_type")


def _allow_kinds(kinds: tuple[str, ...]) -> None:
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    with op.batch_alter_table("invitation") as batch:
        batch.drop_constraint(op.f("ck_invitation_kind"), type_="check")
        batch.create_check_constraint(op.f("ck_invitation_kind"), sa.text(f"kind IN ({listed})"))
