"""The first tables, the starting list of agencies (rule 1.6), and the guard that keeps the audit trail append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


OPEN = {
    "tech": "Government Technology Agency",
    "moe": "Ministry of Education",
    "cpf": "Central Provident Fund Board",
    "hdb": "Housing & Development Board",
    "iras": "Inland Revenue Authority of Singapore",
    "lta": "Land Transport Authority",
    "mom": "Ministry of Manpower",
    "moh": "Ministry of Health",
    "nea": "National Environment Agency",
    "ura": "Urban Redevelopment Authority",
    "ica": "Immigration & Checkpoints Authority",
    "mof": "Ministry of Finance",
}
INVITATION_ONLY = {
    "mindef": "Ministry of Defence",
    "dsta": "Defence Science and Technology Agency",
    "dsta-wog": "Defence Science and Technology Agency (WOG)",
    "defence": "Defence",
    "gebiz": "GeBIZ",
    "sps": "Singapore Prison Service",
}
LITEMAIL = (
    "LiteMail addresses have no inbox that our email could reach. "
    "Upgrade to a standard mailbox first, then sign up with that address."
)


def agencies() -> list[dict[str, object]]:
    def row(acronym: str, name: str, mode: str, reason: str = "", seed_eligible: bool = True) -> dict[str, object]:
        return {
            "domain": f"{acronym}.gov.sg",
            "name": name,
            "mode": mode,
            "reason": reason,
            "seed_eligible": seed_eligible,
            "approves_automatically": False,
            "vendors_allowed": False,
        }

    return [
        *(row(acronym, name, "open") for acronym, name in OPEN.items()),
        row("schools", "Schools", "open", seed_eligible=False),
        *(row(acronym, name, "invitation_only") for acronym, name in INVITATION_ONLY.items()),
        row("litemail", "LiteMail", "refused", LITEMAIL, seed_eligible=False),
    ]


SQLITE_GUARD = """
CREATE TRIGGER audit_event_no_{event} BEFORE {event} ON audit_event {when}
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
"""
# The one change allowed: forgetting from where, when personal data is deleted (rule 3.5).
FORGETS_PEER = (
    "NEW.peer IS NULL AND NEW.id = OLD.id AND NEW.at = OLD.at AND NEW.action = OLD.action AND NEW.actor = OLD.actor "
    "AND NEW.account_id {same} OLD.account_id AND NEW.actor_id {same} OLD.actor_id "
    "AND CAST(NEW.detail AS TEXT) = CAST(OLD.detail AS TEXT)"
)
POSTGRESQL_GUARD = f"""
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND {FORGETS_PEER.format(same="IS NOT DISTINCT FROM")} THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the audit trail is append-only';
END $$
"""


def guard_audit_trail() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(POSTGRESQL_GUARD)
        op.execute(
            "CREATE TRIGGER audit_event_guard BEFORE UPDATE OR DELETE ON audit_event "
            "FOR EACH ROW EXECUTE FUNCTION refuse_audit_change()"
        )
    else:
        op.execute(SQLITE_GUARD.format(event="DELETE", when=""))
        op.execute(SQLITE_GUARD.format(event="UPDATE", when=f"WHEN NOT ({FORGETS_PEER.format(same='IS')})"))


def upgrade() -> None:
    op.create_table(
        "agency",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("domain", sa.String(length=113), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("mode", sa.String(length=15), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("seed_eligible", sa.Boolean(), nullable=False),
        sa.Column("approves_automatically", sa.Boolean(), nullable=False),
        sa.Column("vendors_allowed", sa.Boolean(), nullable=False),
        sa.CheckConstraint("mode IN ('open', 'invitation_only', 'refused')", name=op.f("ck_agency_mode")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agency")),
        sa.UniqueConstraint("domain", name=op.f("uq_agency_domain")),
    )
    op.create_table(
        "unknown_agency",
        sa.Column("domain", sa.String(length=113), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("domain", name=op.f("pk_unknown_agency")),
    )
    op.create_table(
        "used_solution",
        sa.Column("signature", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("signature", name=op.f("pk_used_solution")),
    )
    with op.batch_alter_table("used_solution", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_used_solution_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "account",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("email", sa.String(length=113), nullable=False),
        sa.Column("email_folded", sa.String(length=113), nullable=False),
        sa.Column("agency_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("role", sa.String(length=7), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("idle_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("inactivity_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("purge_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("under_investigation", sa.Boolean(), nullable=False),
        sa.Column("receipt_nonce", sa.String(length=32), nullable=True),
        sa.Column("receipt_hash", sa.String(length=64), nullable=True),
        sa.Column("recovery_nonce", sa.String(length=32), nullable=True),
        sa.Column("permissions_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recovery_saved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seed_status", sa.String(length=12), nullable=False),
        sa.Column("seed_status_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("role IN ('officer', 'admin')", name=op.f("ck_account_role")),
        sa.CheckConstraint(
            "seed_status IN ('not_required', 'ineligible', 'requested', 'rejected', 'invited', 'expired', 'onboarded', 'withdrawn', 'suspended')",
            name=op.f("ck_account_seed_status"),
        ),
        sa.CheckConstraint(
            "status IN ('requested', 'rejected', 'pending', 'active', 'disabled', 'terminated', 'deleted')",
            name=op.f("ck_account_status"),
        ),
        sa.ForeignKeyConstraint(["agency_id"], ["agency.id"], name=op.f("fk_account_agency_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("receipt_hash", name=op.f("uq_account_receipt_hash")),
    )
    with op.batch_alter_table("account", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_account_agency_id"), ["agency_id"], unique=False)
        batch_op.create_index("ix_account_email", ["email_folded"], unique=False)
        batch_op.create_index(
            "ix_account_expired",
            ["id"],
            unique=False,
            sqlite_where=sa.text("status = 'pending' AND expired_at IS NOT NULL"),
            postgresql_where=sa.text("status = 'pending' AND expired_at IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_account_inactivity",
            ["inactivity_due_at"],
            unique=False,
            sqlite_where=sa.text("inactivity_due_at IS NOT NULL"),
            postgresql_where=sa.text("inactivity_due_at IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_account_admin",
            ["id"],
            unique=False,
            sqlite_where=sa.text("role = 'admin'"),
            postgresql_where=sa.text("role = 'admin'"),
        )
        batch_op.create_index(
            "ix_account_purge",
            ["purge_at", "id"],
            unique=False,
            sqlite_where=sa.text("purge_at IS NOT NULL"),
            postgresql_where=sa.text("purge_at IS NOT NULL"),
        )
        batch_op.create_index(
            "uq_account_live_email",
            ["email_folded"],
            unique=True,
            sqlite_where=sa.text("status IN ('requested', 'pending', 'active', 'disabled')"),
            postgresql_where=sa.text("status IN ('requested', 'pending', 'active', 'disabled')"),
        )

    op.create_table(
        "agreement_acceptance",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("document", sa.String(length=40), nullable=False),
        sa.Column("version", sa.String(length=10), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("peer", sa.String(length=45), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_agreement_acceptance_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreement_acceptance")),
    )
    with op.batch_alter_table("agreement_acceptance", schema=None) as batch_op:
        batch_op.create_index("uq_agreement_acceptance", ["account_id", "document", "version"], unique=True)

    op.create_table(
        "audit_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("actor", sa.String(length=7), nullable=False),
        sa.Column("actor_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("peer", sa.String(length=45), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.CheckConstraint("actor IN ('visitor', 'officer', 'admin', 'system')", name=op.f("ck_audit_event_actor")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_audit_event_account_id")),
        sa.ForeignKeyConstraint(["actor_id"], ["account.id"], name=op.f("fk_audit_event_actor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_event_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_event_actor_id"), ["actor_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_event_at"), ["at"], unique=False)

    op.create_table(
        "authenticator",
        sa.Column(
            "account_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("encrypted_key", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_step", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_authenticator_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_authenticator")),
    )
    op.create_table(
        "invitation",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=13), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("nonce", sa.String(length=32), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("remind_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resent_by_officer_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('techpass', 'seed', 'authenticator')", name=op.f("ck_invitation_kind")),
        sa.CheckConstraint("state IN ('live', 'used', 'replaced', 'expired')", name=op.f("ck_invitation_state")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_invitation_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitation")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_invitation_token_hash")),
    )
    with op.batch_alter_table("invitation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_invitation_account_id"), ["account_id"], unique=False)
        batch_op.create_index(
            "ix_invitation_expiry",
            ["expires_at"],
            unique=False,
            sqlite_where=sa.text("state = 'live'"),
            postgresql_where=sa.text("state = 'live'"),
        )
        batch_op.create_index(
            "ix_invitation_reminder",
            ["remind_at"],
            unique=False,
            sqlite_where=sa.text("state = 'live' AND remind_at IS NOT NULL"),
            postgresql_where=sa.text("state = 'live' AND remind_at IS NOT NULL"),
        )
        batch_op.create_index(
            "uq_invitation_live",
            ["account_id", "kind"],
            unique=True,
            sqlite_where=sa.text("state = 'live'"),
            postgresql_where=sa.text("state = 'live'"),
        )

    op.create_table(
        "log_in_attempt",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("address_hash", sa.String(length=64), nullable=False),
        sa.Column("nonce", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("code_sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("code_accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_log_in_attempt_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_in_attempt")),
    )
    with op.batch_alter_table("log_in_attempt", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_log_in_attempt_account_id"), ["account_id"], unique=False)
        batch_op.create_index("ix_log_in_attempt_address", ["address_hash", "code_sent_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_log_in_attempt_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "mail",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("recipient", sa.String(length=113), nullable=False),
        sa.Column("context", sa.JSON(), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=9), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.String(length=120), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_answer", sa.String(length=300), nullable=False),
        sa.CheckConstraint("state IN ('queued', 'sent', 'failed', 'cancelled')", name=op.f("ck_mail_state")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_mail_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail")),
        sa.UniqueConstraint("key", name=op.f("uq_mail_key")),
    )
    with op.batch_alter_table("mail", schema=None) as batch_op:
        batch_op.create_index("ix_mail_account", ["account_id", "kind"], unique=False)
        batch_op.create_index(
            "ix_mail_failed",
            ["id"],
            unique=False,
            sqlite_where=sa.text("state = 'failed'"),
            postgresql_where=sa.text("state = 'failed'"),
        )
        batch_op.create_index(
            "ix_mail_queue",
            ["urgent", "due_at", "id"],
            unique=False,
            sqlite_where=sa.text("state = 'queued'"),
            postgresql_where=sa.text("state = 'queued'"),
        )

    op.create_table(
        "recovery_code",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_recovery_code_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_code")),
    )
    with op.batch_alter_table("recovery_code", schema=None) as batch_op:
        batch_op.create_index("uq_recovery_code", ["account_id", "code_hash"], unique=True)

    op.create_table(
        "request",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.CheckConstraint("kind IN ('techpass', 'seed')", name=op.f("ck_request_kind")),
        sa.CheckConstraint("state IN ('open', 'approved', 'rejected')", name=op.f("ck_request_state")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_request_account_id")),
        sa.ForeignKeyConstraint(["decided_by_id"], ["account.id"], name=op.f("fk_request_decided_by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request")),
    )
    with op.batch_alter_table("request", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_request_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_request_decided_by_id"), ["decided_by_id"], unique=False)
        batch_op.create_index(
            "ix_request_queue",
            ["requested_at", "id"],
            unique=False,
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        )
        batch_op.create_index(
            "uq_request_open",
            ["account_id", "kind"],
            unique=True,
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        )

    op.create_table(
        "wrong_code",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("address_hash", sa.String(length=64), nullable=False),
        sa.Column("known_browser", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wrong_code")),
    )
    with op.batch_alter_table("wrong_code", schema=None) as batch_op:
        batch_op.create_index("ix_wrong_code_address", ["address_hash", "known_browser", "at"], unique=False)
        batch_op.create_index(batch_op.f("ix_wrong_code_at"), ["at"], unique=False)

    op.create_table(
        "session",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("invitation_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("peer", sa.String(length=45), nullable=False),
        sa.Column("user_agent", sa.String(length=200), nullable=False),
        sa.CheckConstraint("kind IN ('signed_in', 'onboarding')", name=op.f("ck_session_kind")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_session_account_id")),
        sa.ForeignKeyConstraint(["invitation_id"], ["invitation.id"], name=op.f("fk_session_invitation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_session_token_hash")),
    )
    with op.batch_alter_table("session", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_session_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_session_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_session_invitation_id"), ["invitation_id"], unique=False)
        batch_op.create_index(
            "uq_session_onboarding",
            ["account_id"],
            unique=True,
            sqlite_where=sa.text("kind = 'onboarding'"),
            postgresql_where=sa.text("kind = 'onboarding'"),
        )

    guard_audit_trail()
    agency = sa.table(
        "agency",
        *(sa.column(name) for name in ("domain", "name", "mode", "reason")),
        *(sa.column(name, sa.Boolean) for name in ("seed_eligible", "approves_automatically", "vendors_allowed")),
    )
    op.bulk_insert(agency, agencies())


def downgrade() -> None:
    for table in (
        "session",
        "wrong_code",
        "request",
        "recovery_code",
        "mail",
        "log_in_attempt",
        "invitation",
        "authenticator",
        "audit_event",
        "agreement_acceptance",
        "account",
        "used_solution",
        "unknown_agency",
        "agency",
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_audit_change()")
