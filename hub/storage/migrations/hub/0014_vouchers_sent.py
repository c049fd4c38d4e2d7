"""By which message a voucher reached its member."""

import sqlalchemy as sa
from alembic import op

from hub.storage.tables import Id

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("outbox", sa.Column("voucher", Id, comment="that it brings to its member"))
    sent = sa.text("voucher is not null")
    op.create_index(
        "outbox_voucher",
        "outbox",
        ["connection", "remote_id"],
        sqlite_where=sent,
        postgresql_where=sent,
    )
