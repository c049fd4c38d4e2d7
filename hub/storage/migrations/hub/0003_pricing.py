"""What rules remember."""

import sqlalchemy as sa
from alembic import op

from hub.storage import tables

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("owner", tables.Id, nullable=False, comment="the member; PROGRAMME: all members together"),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="a rule's id, campaign/advent, wallet/beans, streak/...",
        ),
        sa.Column(
            "period",
            sa.Text(),
            nullable=False,
            comment="2026-11-25, 2026-W48, 2026-11, 2026, ever, all",
        ),
        sa.Column("points", tables.Big, nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("marks", sa.Text(), server_default="", nullable=False, comment="the days of a streak"),
        sa.CheckConstraint("points >= 0 and times >= 0"),
        sa.PrimaryKeyConstraint("owner", "name", "period"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pinned",
        sa.Column("fact", sa.Text(), nullable=False, comment="canonical fact key of the earning"),
        sa.Column(
            "member", tables.Json, nullable=False, comment="the facts of the member that its rules read"
        ),
        sa.Column(
            "usage",
            tables.Json,
            nullable=False,
            comment="[[name, period, points, times, marks]] before it",
        ),
        sa.PrimaryKeyConstraint("fact"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "referral_code",
        sa.Column("key", sa.Text(), nullable=False, comment="as it is looked up"),
        sa.Column("member", tables.Id, nullable=False),
        sa.Column("code", sa.Text(), nullable=False, comment="as it is shown"),
        sa.Column("created_at", tables.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sqlite_with_rowid=False,
    )
    op.create_index("referral_code_member", "referral_code", ["member"], unique=False)
    op.create_table(
        "referral",
        sa.Column("friend", tables.Id, nullable=False, comment="nobody is brought twice"),
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("referrer", tables.Id, nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="claimed, converted, blocked"),
        sa.Column("reason", sa.Text(), server_default="", nullable=False, comment="why it is blocked"),
        sa.Column("claimed_at", tables.Instant(), nullable=False),
        sa.Column("decided_at", tables.Instant(), nullable=True, comment="when it converted or was blocked"),
        sa.Column("fact", sa.Text(), nullable=True, comment="which fact converted it"),
        sa.CheckConstraint("friend <> referrer"),
        sa.PrimaryKeyConstraint("friend"),
    )
    op.create_index("referral_referrer", "referral", ["referrer"], unique=False)
    op.create_table(
        "birthday",
        sa.Column("member", tables.Id, nullable=False),
        sa.Column("day", sa.Text(), nullable=False, comment="02-29"),
        sa.Column("year", sa.Integer(), nullable=True, comment="null: not told"),
        sa.PrimaryKeyConstraint("member"),
        sqlite_with_rowid=False,
    )
    op.create_index("birthday_day", "birthday", ["day", "member"], unique=False)
    op.create_table(
        "activation",
        sa.Column("n", tables.Big, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False, comment="the version of the programme"),
        sa.Column("loaded_at", tables.Instant(), nullable=False),
        sa.Column(
            "active_from",
            tables.Instant(),
            nullable=True,
            comment="null: it counts for all that is priced since it was loaded",
        ),
        sa.PrimaryKeyConstraint("n"),
    )
