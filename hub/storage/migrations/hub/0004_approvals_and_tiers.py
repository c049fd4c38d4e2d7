"""Approvals and tiers."""

import sqlalchemy as sa
from alembic import op

from hub.storage import tables
from hub.storage.triggers import append_only

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "activity",
        sa.Column("member", tables.Id, nullable=False),
        sa.Column("orders", tables.Big, nullable=False, comment="purchases that stand"),
        sa.Column(
            "spend_minor",
            tables.Big,
            nullable=False,
            comment="what is left of them, in the programme's currency",
        ),
        sa.PrimaryKeyConstraint("member"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "approval",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="what is asked for: tier, adjustment ..."),
        sa.Column("key", sa.Text(), nullable=False, comment="asked for once, however often it is said"),
        sa.Column("member", tables.Id, nullable=False),
        sa.Column("role", sa.Text(), nullable=False, comment="who may decide"),
        sa.Column("state", sa.Text(), nullable=False, comment="requested, applied, rejected, lapsed"),
        sa.Column(
            "summary", sa.Text(), nullable=False, comment="for the person who decides; nothing personal"
        ),
        sa.Column("subject", tables.Json, nullable=False, comment="what the kind needs to apply it"),
        sa.Column("maker", sa.Text(), nullable=False, comment="who asked: programme, staff:ida ..."),
        sa.Column("checker", sa.Text(), nullable=True, comment="who decided"),
        sa.Column("reason", sa.Text(), server_default="", nullable=False, comment="the checker's"),
        sa.Column("requested_at", tables.Instant(), nullable=False),
        sa.Column("due_at", tables.Instant(), nullable=True, comment="until when it is to be decided"),
        sa.Column("overdue_at", tables.Instant(), nullable=True, comment="when that was missed and told"),
        sa.Column("decided_at", tables.Instant(), nullable=True),
        sa.Column("event", tables.Id, nullable=True, comment="that brought it about"),
        sa.CheckConstraint("(state = 'requested') = (checker is null)", name="approval_decided_by_somebody"),
        sa.CheckConstraint("maker <> checker", name="approval_two_people"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index(
        "approval_due",
        "approval",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("state = 'requested' and overdue_at is null"),
        postgresql_where=sa.text("state = 'requested' and overdue_at is null"),
    )
    op.create_index("approval_member", "approval", ["member", "id"], unique=False)
    op.create_index(
        "approval_open",
        "approval",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state = 'requested'"),
        postgresql_where=sa.text("state = 'requested'"),
    )
    op.create_table(
        "member_tier",
        sa.Column("member", tables.Id, nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("since", tables.Instant(), nullable=False),
        sa.Column(
            "check_at",
            tables.Instant(),
            nullable=True,
            comment="when it is next looked whether the level is kept; null: never",
        ),
        sa.Column(
            "grace_until",
            tables.Instant(),
            nullable=True,
            comment="the level is lost then, unless it is reached again",
        ),
        sa.Column("seen_at", tables.Instant(), nullable=False, comment="up to when dates were acted on"),
        sa.Column("due_at", tables.Instant(), nullable=True, comment="the next of its dates"),
        sa.PrimaryKeyConstraint("member"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "member_tier_due",
        "member_tier",
        ["due_at", "member"],
        unique=False,
        sqlite_where=sa.text("due_at is not null"),
        postgresql_where=sa.text("due_at is not null"),
    )
    op.create_table(
        "purchase",
        sa.Column("fact", sa.Text(), nullable=False, comment="canonical fact key"),
        sa.Column("member", tables.Id, nullable=False),
        sa.Column("occurred_at", tables.Instant(), nullable=False, comment="theirs"),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("net_minor", tables.Big, nullable=False),
        sa.Column("gross_minor", tables.Big, nullable=False),
        sa.Column("left_minor", tables.Big, nullable=False, comment="of net, after refunds"),
        sa.Column(
            "stands", sa.Boolean(), nullable=False, comment="false: called off, or all of it went back"
        ),
        sa.Column("categories", tables.Json, nullable=False, comment="category -> net_minor of its lines"),
        sa.Column(
            "member_then",
            tables.Json,
            nullable=True,
            comment="what rules read of the member; refunds are priced with the same",
        ),
        sa.Column("event", tables.Id, nullable=False),
        sa.CheckConstraint("left_minor >= 0 and left_minor <= net_minor"),
        sa.PrimaryKeyConstraint("fact"),
        sqlite_with_rowid=False,
    )
    op.create_index("purchase_member", "purchase", ["member", "occurred_at"], unique=False)
    op.create_table(
        "tier_change",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("member", tables.Id, nullable=False),
        sa.Column(
            "key",
            sa.Text(),
            nullable=False,
            comment="what it was for: a posting, an approval, the date of a check",
        ),
        sa.Column("was", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False, comment="up, down"),
        sa.Column(
            "points", tables.Big, nullable=False, comment="what was measured: points, minor units or orders"
        ),
        sa.Column(
            "effective_at",
            tables.Instant(),
            nullable=False,
            comment="from when it counts, by the source's clock",
        ),
        sa.Column("recorded_at", tables.Instant(), nullable=False),
        sa.Column("posting", tables.Id, nullable=True, comment="that brought it about"),
        sa.Column("event", tables.Id, nullable=True),
        sa.Column("approval", tables.Id, nullable=True, comment="that allowed it"),
        sa.Column("program_version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("member", "key"),
    )
    op.create_index("tier_change_at", "tier_change", ["recorded_at"], unique=False)
    op.create_index(
        "posting_counts",
        "posting",
        ["member", "occurred_at"],
        unique=False,
        sqlite_where=sa.text("kind in ('earn', 'adjust')"),
        postgresql_where=sa.text("kind in ('earn', 'adjust')"),
    )

    for statement in append_only(op.get_bind().dialect.name, "tier_change"):
        op.execute(statement)
