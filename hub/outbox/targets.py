"""Of several unsent values for one record only the newest counts.

Done when rows are written, so that a backlog holds one row for each record however long a platform is away, and
again when one is claimed, for rows that two transactions wrote at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.storage.tables import outbox

# Partial indexes are chosen only where the query spells their condition out; a bound value is not seen.
READY: sa.ColumnElement[str] = sa.literal_column("'ready'")
SENDING: sa.ColumnElement[str] = sa.literal_column("'sending'")


def unsent_with_target(row: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition of the index by target."""
    return sa.and_(row.c.target.is_not(None), row.c.state.in_([READY, SENDING]))


WAITING = (
    sa.select(outbox.c.id, outbox.c.target)
    .where(
        outbox.c.connection == sa.bindparam("of"),
        outbox.c.action == sa.bindparam("does"),
        outbox.c.target.in_(sa.bindparam("targets", expanding=True)),
        unsent_with_target(outbox),
        outbox.c.state == READY,
    )
    # A row that somebody else has locked is being claimed or replaced: waiting for it could be mutual.
    .with_for_update(skip_locked=True)
)


def replace_older(
    connection: sa.Connection, rows: Iterable[Any], now: datetime, keep: Collection[str] = ()
) -> None:
    """Close the waiting rows that newer waiting ones make needless.

    Args:
        connection: a write transaction.
        rows: whatever has `connection`, `action` and `target`; tells which targets to look at.
        now: aware UTC.
        keep: ids that stay as they are.
    """
    wanted: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        if row.target:
            wanted[row.connection, row.action].add(row.target)
    older: dict[str, str] = {}
    for (of, does), targets in wanted.items():
        found = connection.execute(WAITING, {"of": of, "does": does, "targets": list(targets)}).all()
        newest: dict[str, str] = {}
        for row in found:
            newest[row.target] = max(row.id, newest.get(row.target, ""))
        older |= {row.id: newest[row.target] for row in found if row.id not in {newest[row.target], *keep}}
    if older:
        reason = sa.case(*((outbox.c.id == old, f"replaced by {new}") for old, new in older.items()))
        connection.execute(
            sa.update(outbox)
            .where(outbox.c.id.in_(list(older)))
            .values(state="replaced", done_at=now, reason=reason)
        )
