"""What caps allowed and how many sides a referral rewards, so that both can be proved."""

import sqlalchemy as sa
from alembic import op

from hub.storage.tables import Big

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "cap",
        sa.Column("version", sa.Text(), primary_key=True, comment="hash of the programme"),
        sa.Column("name", sa.Text(), primary_key=True, comment="of the counter, as in usage"),
        sa.Column("period", sa.Text(), primary_key=True, comment="day, week, month, year, ever, all"),
        sa.Column("points", Big, comment="the most; null: any number"),
        sa.Column("times", Big, comment="the most; null: any number"),
        sqlite_with_rowid=False,
    )
    op.add_column(
        "referral",
        sa.Column(
            "sides",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="how many of both were rewarded when it converted",
        ),
    )
    op.execute(
        """
        UPDATE referral SET sides = (
            SELECT COUNT(*) FROM posting
            WHERE posting.key IN ('earn:' || referral.fact || '/referral', 'earn:' || referral.fact || '/referrer')
        ) WHERE state = 'converted'
        """
    )
