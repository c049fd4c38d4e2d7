"""On SQLite what a member earned in a period is found by the numbers of their postings: each had to be kept in two orders."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.drop_index("posting_counts", "posting")
