"""Adjustments of many members at once, proposed, allowed, posted and taken back as one."""

import sqlalchemy as sa
from alembic import op

from hub.storage.tables import Big, Id, Instant

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "backfill",
        sa.Column("id", Id, primary_key=True),
        sa.Column("state", sa.Text(), nullable=False, comment="proposed, approved, posted, undone"),
        sa.Column(
            "digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of what it came from and its lines"
        ),
        sa.Column("program", sa.Text(), nullable=False, comment="the version that was tried"),
        sa.Column("until", Instant(), nullable=False, comment="up to when the past was lived again"),
        sa.Column("maker", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("approval", Id, nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Index("backfill_digest", "digest"),
    )
    op.create_table(
        "backfill_line",
        sa.Column("batch", Id, primary_key=True),
        sa.Column("n", sa.Integer(), primary_key=True, comment="1, 2, 3 ..."),
        sa.Column("member", Id, nullable=False),
        sa.Column("wallet", sa.Text(), nullable=False),
        sa.Column("points", Big, nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="open, short, posted, undone"),
        sa.Column("reason", sa.Text(), nullable=False, server_default="", comment="why it is short"),
        sa.Column("posting", Id),
        sa.Column("undone_by", Id, comment="the posting that took it back"),
        sa.CheckConstraint("points <> 0"),
        sa.UniqueConstraint("batch", "member", "wallet"),
        sa.Index("backfill_line_member", "member"),
        sqlite_with_rowid=False,
    )
