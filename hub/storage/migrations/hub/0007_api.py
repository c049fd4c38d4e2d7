"""Access tokens of the API, and the idempotency keys of its callers."""

import sqlalchemy as sa
from alembic import op

from hub.storage.tables import Id, Instant

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "api_token",
        sa.Column("id", Id, primary_key=True),
        sa.Column(
            "name", sa.Text(), nullable=False, unique=True, comment="the actor of what is done with it"
        ),
        sa.Column("prefix", sa.Text(), nullable=False, unique=True, comment="by which it is looked up"),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="sha-256 of the whole token"),
        sa.Column("scopes", sa.Text(), nullable=False, comment="with spaces between"),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), comment="null: never"),
        sa.Column("revoked_at", Instant()),
        sa.Column("used_at", Instant(), comment="exact to the hour"),
    )
    op.create_table(
        "api_key",
        sa.Column("token", sa.Text(), primary_key=True, comment="its name"),
        sa.Column("key", sa.Text(), primary_key=True, comment="idempotency key, as the caller made it"),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
    )
