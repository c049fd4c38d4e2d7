"""What one process at a time does."""

import sqlalchemy as sa
from alembic import op

from hub.storage.tables import Instant

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), primary_key=True, comment="of what one process at a time does"),
        sa.Column(
            "holder", sa.Text(), nullable=False, comment="which process: host, number and a random part"
        ),
        sa.Column("lease_until", Instant(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False, comment="how often it changed hands"),
    )
