"""Bring a database to this version's schema."""

from __future__ import annotations

import sqlalchemy as sa

from hub.storage.database import Database
from hub.storage.tables import HUB, INBOX

APPEND_ONLY = ("posting", "leg", "lot_move", "award")


def upgrade(database: Database) -> None:
    """Create or migrate every table; running it again changes nothing."""
    INBOX.create_all(database.inbox)
    HUB.create_all(database.hub)
    with database.write() as connection:
        for table in APPEND_ONLY:
            for statement in append_only(connection.dialect.name, table):
                connection.execute(sa.text(statement))


def append_only(dialect: str, table: str) -> list[str]:
    """Return the statements that make a table refuse updates and deletes."""
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            for verb in ("UPDATE", "DELETE")
        ]
    return [
        "CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$",
        f"CREATE OR REPLACE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION append_only()",
    ]
