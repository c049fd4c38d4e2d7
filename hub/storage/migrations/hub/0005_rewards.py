"""Rewards, vouchers, redemptions and tasks."""

import sqlalchemy as sa
from alembic import op

from hub.storage import tables
from hub.storage.triggers import append_only

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "redemption",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="idempotency key of the request"),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("member", tables.Id, nullable=False),
        sa.Column("origin", tables.Id, nullable=False, comment="the member it was first of; merges leave it"),
        sa.Column("reward", sa.Text(), nullable=False, comment="what was asked for"),
        sa.Column(
            "item",
            sa.Text(),
            nullable=False,
            comment="what is handed over: the option of a choice, else the reward",
        ),
        sa.Column("wallet", sa.Text(), nullable=False),
        sa.Column("points", tables.Big, nullable=False),
        sa.Column("returned", tables.Big, server_default="0", nullable=False, comment="points given back"),
        sa.Column("channel", sa.Text(), nullable=False, comment="web, app, staff, sms, api, pos ..."),
        sa.Column(
            "order_fact", sa.Text(), server_default="", nullable=False, comment="the order it belongs to"
        ),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "role",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="who has to agree before it is confirmed",
        ),
        sa.Column(
            "stock",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="reserved, delivered, freed; empty: none is kept",
        ),
        sa.Column("hold", tables.Id, nullable=True, comment="of the ledger"),
        sa.Column("deadline", tables.Instant(), nullable=True, comment="of the hold"),
        sa.Column("posting", tables.Id, nullable=True, comment="that spent the points"),
        sa.Column("program_version", sa.Text(), nullable=False, comment="what was promised"),
        sa.Column("event", tables.Id, nullable=True),
        sa.Column("actor", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", tables.Instant(), nullable=False),
        sa.Column("changed_at", tables.Instant(), nullable=False),
        sa.CheckConstraint("points >= 0 and returned >= 0 and returned <= points"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index(
        "redemption_deadline",
        "redemption",
        ["deadline"],
        unique=False,
        sqlite_where=sa.text("state = 'held'"),
        postgresql_where=sa.text("state = 'held'"),
    )
    op.create_index("redemption_member", "redemption", ["member", "reward"], unique=False)
    op.create_index(
        "redemption_origin",
        "redemption",
        ["origin"],
        unique=False,
        sqlite_where=sa.text("origin <> member"),
        postgresql_where=sa.text("origin <> member"),
    )
    op.create_index(
        "redemption_order",
        "redemption",
        ["order_fact"],
        unique=False,
        sqlite_where=sa.text("order_fact <> ''"),
        postgresql_where=sa.text("order_fact <> ''"),
    )
    op.create_table(
        "redemption_step",
        sa.Column("redemption", tables.Id, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False, comment="1, 2, 3 ..."),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True, comment="idempotency key of giving back"),
        sa.Column(
            "points", tables.Big, server_default="0", nullable=False, comment="given back by this step"
        ),
        sa.Column("at", tables.Instant(), nullable=False),
        sa.Column("actor", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("event", tables.Id, nullable=True),
        sa.Column("posting", tables.Id, nullable=True),
        sa.PrimaryKeyConstraint("redemption", "n"),
        sa.UniqueConstraint("key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "stock",
        sa.Column("reward", sa.Text(), nullable=False),
        sa.Column(
            "stock", tables.Big, nullable=False, comment="as program.yaml had it when one was last taken"
        ),
        sa.Column("reserved", tables.Big, nullable=False),
        sa.Column("delivered", tables.Big, nullable=False),
        sa.CheckConstraint("reserved >= 0 and delivered >= 0 and reserved + delivered <= stock"),
        sa.PrimaryKeyConstraint("reward"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "task",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="idempotency key of making it"),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column(
            "checklist",
            tables.Json,
            nullable=False,
            comment="list of {item, by, at}; by is empty until it is done",
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="open, done, cancelled"),
        sa.Column("tracking", sa.Text(), server_default="", nullable=False, comment="number of the parcel"),
        sa.Column("member", tables.Id, nullable=True),
        sa.Column("redemption", tables.Id, nullable=True),
        sa.Column("event", tables.Id, nullable=True),
        sa.Column("actor", sa.Text(), server_default="", nullable=False, comment="who ended it"),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", tables.Instant(), nullable=False),
        sa.Column("ended_at", tables.Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index(
        "task_open",
        "task",
        ["queue", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index(
        "task_member",
        "task",
        ["member"],
        unique=False,
        sqlite_where=sa.text("member is not null"),
        postgresql_where=sa.text("member is not null"),
    )
    op.create_index(
        "task_redemption",
        "task",
        ["redemption"],
        unique=False,
        sqlite_where=sa.text("redemption is not null"),
        postgresql_where=sa.text("redemption is not null"),
    )
    op.create_table(
        "voucher",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("code", sa.Text(), nullable=False, comment="as it is shown"),
        sa.Column("code_key", sa.Text(), nullable=False, comment="as it is compared"),
        sa.Column("member", tables.Id, nullable=False, comment="to whom it was issued"),
        sa.Column("bound", sa.Boolean(), nullable=False, comment="only they may use it"),
        sa.Column("redemption", tables.Id, nullable=False),
        sa.Column("reward", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="voucher, gift_card"),
        sa.Column("value", sa.Text(), nullable=False, comment="10%, 5.00 EUR, free:espresso"),
        sa.Column("single_use", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), server_default="", nullable=False, comment="of a gift card"),
        sa.Column("initial_minor", tables.Big, server_default="0", nullable=False),
        sa.Column("balance_minor", tables.Big, server_default="0", nullable=False),
        sa.Column("issued_at", tables.Instant(), nullable=False),
        sa.Column("expires_at", tables.Instant(), nullable=True, comment="null: never"),
        sa.Column("changed_at", tables.Instant(), nullable=False),
        sa.CheckConstraint("balance_minor >= 0 and balance_minor <= initial_minor"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("code_key"),
    )
    op.create_index(
        "voucher_expires",
        "voucher",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text(
            "expires_at is not null and state in ('issued', 'delivered', 'viewed', 'rolled_back')"
        ),
        postgresql_where=sa.text(
            "expires_at is not null and state in ('issued', 'delivered', 'viewed', 'rolled_back')"
        ),
    )
    op.create_index("voucher_member", "voucher", ["member"], unique=False)
    op.create_index("voucher_redemption", "voucher", ["redemption"], unique=False)
    op.create_table(
        "voucher_step",
        sa.Column("voucher", tables.Id, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False, comment="1, 2, 3 ..."),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column(
            "key", sa.Text(), nullable=True, comment="idempotency key of using it, or taking that back"
        ),
        sa.Column("request_hash", sa.LargeBinary(), nullable=True),
        sa.Column("undoes", sa.Integer(), nullable=True, comment="n of the use it takes back"),
        sa.Column(
            "amount_minor",
            tables.Big,
            server_default="0",
            nullable=False,
            comment="change of a gift card's balance",
        ),
        sa.Column("at", tables.Instant(), nullable=False),
        sa.Column("channel", sa.Text(), server_default="", nullable=False),
        sa.Column("order_fact", sa.Text(), server_default="", nullable=False),
        sa.Column("member", tables.Id, nullable=True, comment="who used it, where that is known"),
        sa.Column("actor", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("event", tables.Id, nullable=True),
        sa.PrimaryKeyConstraint("voucher", "n"),
        sa.UniqueConstraint("key"),
        sqlite_with_rowid=False,
    )
    for table in ("redemption_step", "voucher_step"):
        for statement in append_only(op.get_bind().dialect.name, table):
            op.execute(statement)
