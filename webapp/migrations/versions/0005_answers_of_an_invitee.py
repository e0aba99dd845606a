"""A mark of what was said of an invitee, by which a form that is sent twice is known (section 5)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("invitee", sa.Column("answers", sa.String(length=64), nullable=True))


def downgrade() -> None:
    op.drop_column("invitee", "answers")
