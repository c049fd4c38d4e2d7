"""The inbox is cut by the month, on PostgreSQL."""

from alembic import op

from hub.storage.migrations.cutting import cut

revision = "0002"
down_revision = "0001"

FIRST_NUMBER = "2000010000000000"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    cut(connection, "inbox", "id", FIRST_NUMBER, unique=("connection", "delivery_id"))
    cut(connection, "inbox_body", "id", FIRST_NUMBER)
    op.execute("ALTER SEQUENCE inbox_id_seq OWNED BY inbox.id")
