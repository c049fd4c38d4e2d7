"""Bring a database to this version's schema, by Alembic.

Two lines of migrations, as there are two groups of tables: `inbox/` and `hub/`. On SQLite each runs on its own
file, on PostgreSQL both on the one database, each with a version table of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from hub.crashpoints import here
from hub.storage.database import Database, take_your_time
from hub.storage.partitions import ensure

HERE = Path(__file__).parent
PARTS = ("inbox", "hub")


def head(part: str) -> str:
    """Return the newest revision of a part: migrations are numbered files."""
    return max(path.stem.partition("_")[0] for path in (HERE / part).glob("[0-9]*.py"))


def current(database: Database, part: str) -> str | None:
    """Return the revision a part of the database is at; None when it is empty."""
    engine = database.inbox if part == "inbox" else database.hub
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(_version_table(part)):
            return None
        found = connection.scalar(sa.text(f"SELECT version_num FROM {_version_table(part)}"))  # noqa: S608 - our own name
        return None if found is None else str(found)


def status(database: Database) -> dict[str, tuple[str | None, str]]:
    """Return where each part is and where this version's schema is: part -> (current, head)."""
    return {part: (current(database, part), head(part)) for part in PARTS}


def upgrade(database: Database, to: Mapping[str, str] | None = None) -> dict[str, tuple[str | None, str]]:
    """Migrate to the newest schema; return what moved, as part -> (from, to). Running it again changes nothing.

    Args:
        database: where.
        to: revisions instead of the newest ones, by part.
    """
    moved = {part: steps for part, steps in status(database).items() if steps[0] != steps[1]}
    for part in moved:
        _run(database, part, (to or {}).get(part, "head"))
    if moved and not to:
        with database.write() as connection:
            ensure(connection, datetime.now(UTC))
    return moved


def _run(database: Database, part: str, to: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("version_locations", str(HERE / part))
    config.set_main_option("path_separator", "os")
    transaction = database.write_inbox() if part == "inbox" else database.write()
    with transaction as connection:
        if not database.is_sqlite:
            take_your_time(connection)
            # Two processes that start together: the second waits, and finds nothing left to do.
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('points-hub migrations'))"))
        config.attributes.update(connection=connection, version_table=_version_table(part))
        command.upgrade(config, to)
        here("mid migration")


def _version_table(part: str) -> str:
    return f"{part}_version"
