"""Keys that came back with another request: both contents are kept, for a person to compare."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.ledger.chain import Asked, request_hash
from hub.sdk.errors import KeyReused
from hub.storage import Database, insert_new
from hub.storage.tables import event, key_conflict, leg, posting
from hub.values import Posted


@dataclass(frozen=True, slots=True)
class KeyConflict:
    """A request that was refused because its key had been used for another.

    Attributes:
        posting: that has the key.
        first: what was posted: kind, member, times, actor, reason, legs, and its event.
        second: what was asked later, as the operation's own words have it.
    """

    key: str
    at: datetime
    posting: str
    first: dict[str, Any]
    second: dict[str, Any]


def compare(
    connection: sa.Connection, posted: Posted, asked: Asked, member: str, now: datetime
) -> dict[str, Any]:
    """Return the row of `key_conflict` that shows both requests."""
    row = connection.execute(
        sa.select(posting.c.actor, posting.c.reason, event.c.data)
        .outerjoin(event, event.c.id == posting.c.event)
        .where(posting.c.id == posted.id)
    ).one_or_none()
    legs = (
        sa.select(leg.c.wallet, leg.c.bucket, leg.c.delta).where(leg.c.posting == posted.id).order_by(leg.c.n)
    )
    first: dict[str, Any] = {
        "kind": posted.kind,
        "member": posted.member,
        "points": posted.points,
        "occurred_at": posted.occurred_at.isoformat(),
        "posted_at": posted.posted_at.isoformat(),
    }
    if row is not None:  # else this very transaction posted it
        moved = [f"{bucket} {delta:+} {wallet}" for wallet, bucket, delta in connection.execute(legs)]
        first |= {"actor": row.actor, "reason": row.reason, "legs": moved, "data": row.data}
    return {
        "key": asked.key,
        "request_hash": request_hash([asked.hash.hex(), member]),
        "posting": posted.id,
        "at": now,
        "first": first,
        "second": {"member": member, **asked.content},
    }


def write(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    """Keep conflicts; one that was seen before stays as it is."""
    if rows:
        connection.execute(insert_new(connection, key_conflict).on_conflict_do_nothing(), rows)


def keep_conflict(database: Database, error: KeyReused) -> None:
    """Keep the conflict of a transaction that was given up because of it."""
    if error.conflict is not None:
        with database.write() as connection:
            write(connection, [dict(error.conflict)])


def conflicts(
    connection: sa.Connection, limit: int = 50, before: datetime | None = None
) -> list[KeyConflict]:
    """Return conflicts, newest first; those before a time where one is given."""
    columns = [key_conflict.c[name] for name in KeyConflict.__dataclass_fields__]
    query = sa.select(*columns).order_by(key_conflict.c.at.desc(), key_conflict.c.key).limit(limit)
    if before is not None:
        query = query.where(key_conflict.c.at < before)
    return [KeyConflict(*row) for row in connection.execute(query)]
