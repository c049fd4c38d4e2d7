"""What the processes of a hub say of themselves."""

import sqlalchemy as sa
from alembic import op

from hub.storage.tables import Instant, Json

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "process",
        sa.Column("name", sa.Text(), primary_key=True, comment="host, number and a random part"),
        sa.Column("role", sa.Text(), nullable=False, comment="serve, worker, scheduler"),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("seen_at", Instant(), nullable=False, comment="when it last said something"),
        sa.Column("figures", Json, nullable=False, comment="families of metrics, as /metrics shows them"),
    )
