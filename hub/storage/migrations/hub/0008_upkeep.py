"""What has to be done at platforms from time to time, and what was found missing."""

import sqlalchemy as sa
from alembic import op

from hub.storage.tables import Instant

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "upkeep",
        sa.Column("connection", sa.Text(), primary_key=True),
        sa.Column("task", sa.Text(), primary_key=True, comment="poll, subscribe"),
        sa.Column("cursor", sa.Text(), nullable=False, server_default="", comment="where a poll goes on"),
        sa.Column("next_at", Instant(), nullable=False),
        sa.Column("lease_until", Instant()),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0", comment="in a row"),
        sa.Column("reason", sa.Text(), nullable=False, server_default="", comment="of the last failure"),
        sa.Column("done_at", Instant(), comment="of the last success"),
    )
    op.create_table(
        "pulse",
        sa.Column("connection", sa.Text(), primary_key=True),
        sa.Column("last_at", Instant(), nullable=False, comment="of the newest webhook"),
        sa.Column("gap_s", sa.Integer(), nullable=False, comment="the usual longest gap"),
        sa.Column("gaps", sa.Integer(), nullable=False, comment="so many were seen"),
        sa.Column("silent_at", Instant(), comment="when the alarm was raised"),
    )
    op.create_table(
        "reconciliation",
        sa.Column("connection", sa.Text(), primary_key=True),
        sa.Column("day", sa.Text(), primary_key=True, comment="of the programme's zone, 2026-11-21"),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("listed", sa.Integer(), nullable=False, comment="facts the platform tells of"),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.Column("healed", sa.Integer(), nullable=False),
        sa.Column("unreadable", sa.Integer(), nullable=False),
    )
