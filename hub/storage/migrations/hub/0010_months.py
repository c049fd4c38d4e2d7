"""Attempts are cut by the month of their delivery, on PostgreSQL."""

from datetime import UTC, datetime
from uuid import UUID

from alembic import op

from hub.storage.migrations.cutting import cut

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    begins = (
        int(datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()) * 1000
    )
    cut(connection, "attempt", "outbox", f"'{UUID(int=begins << 80)}'")
