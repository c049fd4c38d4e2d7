"""Holds, merges and opening balances."""

import sqlalchemy as sa
from alembic import op

from hub.storage import tables

revision = "0002"
down_revision = "0001"

HELD = sa.text("state = 'held'")


def upgrade() -> None:
    op.add_column(
        "lot",
        sa.Column(
            "name",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the posting's key and its place there",
        ),
    )
    op.create_table(
        "hold",
        sa.Column(
            "id", tables.Id, nullable=False, comment="made of the posting's key, so that a replay finds it"
        ),
        sa.Column("member", tables.Id, nullable=False, comment="whose they are now: follows merges"),
        sa.Column("wallet", sa.Text(), nullable=False),
        sa.Column("points", tables.Big, nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="held, confirmed, released"),
        sa.Column(
            "deadline",
            tables.Instant(),
            nullable=False,
            comment="the first instant at which it cannot be confirmed",
        ),
        sa.Column("posting", tables.Id, nullable=False, comment="its lot moves say which points"),
        sa.Column("held_at", tables.Instant(), nullable=False),
        sa.Column("channel", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("points > 0 and state in ('held', 'confirmed', 'released')"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_index("hold_open", "hold", ["member"], sqlite_where=HELD, postgresql_where=HELD)
    op.create_index("hold_due", "hold", ["deadline"], sqlite_where=HELD, postgresql_where=HELD)
    op.create_table(
        "spent",
        sa.Column(
            "posting", tables.Id, nullable=False, comment="of kind redeem; its lot moves say which points"
        ),
        sa.Column("wallet", sa.Text(), nullable=False),
        sa.Column("points", tables.Big, nullable=False),
        sa.Column("returned", tables.Big, server_default="0", nullable=False),
        sa.Column(
            "taken_at",
            tables.Instant(),
            nullable=False,
            comment="when they were taken out of what can be spent",
        ),
        sa.Column("channel", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("returned between 0 and points"),
        sa.PrimaryKeyConstraint("posting"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "member_merge",
        sa.Column("key", sa.Text(), nullable=False, comment="idempotency key; never expires"),
        sa.Column("member", tables.Id, nullable=False, comment="whose points moved"),
        sa.Column("survivor", tables.Id, nullable=False),
        sa.Column("at", tables.Instant(), nullable=False),
        sa.Column(
            "gone", sa.Integer(), nullable=False, comment="number of the member's last posting by then"
        ),
        sa.Column(
            "since", sa.Integer(), nullable=False, comment="number of the survivor's last posting by then"
        ),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("undone_by", sa.Text(), nullable=True, comment="the key of the unmerge"),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("undone_by"),
        sqlite_with_rowid=False,
    )
    op.create_index("member_merge_member", "member_merge", ["member"])
    still = sa.text("undone_by is null")
    op.create_index(
        "member_merge_survivor", "member_merge", ["survivor"], sqlite_where=still, postgresql_where=still
    )
    op.create_table(
        "key_conflict",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False, comment="of the refused request"),
        sa.Column("posting", tables.Id, nullable=False, comment="which has the key"),
        sa.Column("at", tables.Instant(), nullable=False),
        sa.Column("first", tables.Json, nullable=False, comment="what was posted"),
        sa.Column(
            "second", tables.Json, nullable=False, comment="what was asked with the same key, and refused"
        ),
        sa.PrimaryKeyConstraint("key", "request_hash"),
    )
    op.create_index("key_conflict_at", "key_conflict", ["at"])
