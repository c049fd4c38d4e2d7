"""What people ask about deliveries, and the replay of those that need it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
import zstandard

from hub.sdk.http import Exchange
from hub.storage import Database, partitions
from hub.storage.partitions import after, first_uuid
from hub.storage.tables import attempt, outbox

REPLAYABLE = ("dead", "done")
CHUNK = 1000


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries; empty means all. `since` is the time they were written."""

    connection: str = ""
    state: str = ""
    member: str = ""
    since: datetime | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """Return the conditions of a query."""
        wanted: list[sa.ColumnElement[bool]] = []
        if self.connection:
            wanted.append(outbox.c.connection == self.connection)
        if self.state:
            # Spelt out, so that the index of the few dead rows is used.
            wanted.append(outbox.c.state == sa.literal(self.state, literal_execute=True))
        if self.member:
            wanted.append(outbox.c.member == self.member)
        if self.since:
            wanted.append(outbox.c.created_at >= self.since)
        return wanted


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as it stands. `attempts` are the tries since it was written or last replayed."""

    id: str
    connection: str
    action: str
    target: str | None
    params: Any
    member: str | None
    event: str | None
    posting: str | None
    created_at: datetime
    state: str
    attempts: int
    next_at: datetime | None
    done_at: datetime | None
    remote_id: str
    reason: str


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try. `exchanges` are its HTTP calls, without secrets."""

    n: int
    at: datetime
    elapsed_ms: int
    outcome: str
    reason: str
    exchanges: list[Exchange]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery with every attempt that is still kept."""

    delivery: Row
    attempts: list[Attempt]


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries of a connection are in a state, and since when the oldest of them waits."""

    connection: str
    state: str
    count: int
    oldest: datetime


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay did or, dry, would do.

    Attributes:
        ids: rows that are sent again.
        outdated: rows left alone, because a newer one for the same target was sent, waits, or is sent again now.
        more: there are more than the cap.
    """

    ids: list[str]
    outdated: list[str]
    more: bool


_ROW = [outbox.c[name] for name in Row.__struct_fields__]


def list_deliveries(
    connection: sa.Connection, filters: Filters, *, limit: int = 50, after: str | None = None
) -> list[Row]:
    """Return deliveries, newest first; `after` is the last id of the page before."""
    query = sa.select(*_ROW).where(*filters.conditions()).order_by(outbox.c.id.desc()).limit(limit)
    if after:
        query = query.where(outbox.c.id < after)
    return [Row(**row._asdict()) for row in connection.execute(query)]


def show(connection: sa.Connection, delivery_id: str) -> Shown | None:
    """Return one delivery with its attempts in order; None when there is none of that id."""
    row = connection.execute(sa.select(*_ROW).where(outbox.c.id == delivery_id)).one_or_none()
    if row is None:
        return None
    columns = [attempt.c[name] for name in Attempt.__struct_fields__]
    query = sa.select(*columns).where(attempt.c.outbox == delivery_id).order_by(attempt.c.n)
    return Shown(
        delivery=Row(**row._asdict()),
        attempts=[
            Attempt(**{**tried._asdict(), "exchanges": unpack(tried.exchanges)})
            for tried in connection.execute(query)
        ],
    )


def unpack(exchanges: bytes) -> list[Exchange]:
    """Return the calls of an attempt as they were kept."""
    return msgspec.json.decode(zstandard.ZstdDecompressor().decompress(exchanges), type=list[Exchange])


def counts(connection: sa.Connection) -> list[Count]:
    """Return how many deliveries there are by connection and state. Reads the whole table: for people."""
    query = (
        sa.select(
            outbox.c.connection,
            outbox.c.state,
            sa.func.count().label("count"),
            sa.func.min(outbox.c.created_at).label("oldest"),
        )
        .group_by(outbox.c.connection, outbox.c.state)
        .order_by(outbox.c.connection, outbox.c.state)
    )
    return [Count(**row._asdict()) for row in connection.execute(query)]


def replay(
    connection: sa.Connection, filters: Filters, now: datetime, *, cap: int = 1000, dry_run: bool = False
) -> Replayed:
    """Send dead or done rows again, oldest first, each with the idempotency key it had.

    A row is left alone when a newer one for the same target exists that is not dead: it would put an old value in
    the place of a newer one.

    Args:
        connection: a write transaction.
        filters: their `state` is "dead" or "done".
        now: aware UTC.
        cap: the most rows.
        dry_run: only say what would happen.

    Raises:
        ValueError: the state is another one.
    """
    if filters.state not in REPLAYABLE:
        raise ValueError(
            f"only {' and '.join(REPLAYABLE)} deliveries can be sent again, not {filters.state!r}"
        )
    columns = (outbox.c.id, outbox.c.connection, outbox.c.action, outbox.c.target)
    query = sa.select(*columns).where(*filters.conditions()).order_by(outbox.c.id).limit(cap + 1)
    found = connection.execute(query.with_for_update()).all()
    rows, more = found[:cap], len(found) > cap
    newest = _newest(connection, rows)
    outdated = [row.id for row in rows if newest.get((row.connection, row.action, row.target), "") > row.id]
    ids = [row.id for row in rows if row.id not in set(outdated)]
    if ids and not dry_run:
        again = {
            "state": "ready",
            "attempts": 0,
            "next_at": now,
            "done_at": None,
            "reason": "sent again by hand",
        }
        connection.execute(sa.update(outbox).where(outbox.c.id.in_(ids)).values(again))
    return Replayed(ids=ids, outdated=outdated, more=more)


def _newest(
    connection: sa.Connection, rows: Sequence[sa.Row[*tuple[Any, ...]]]
) -> dict[tuple[str, str, str], str]:
    """Return, by connection, action and target, the newest row that was sent, will be, or is to be sent again."""
    targets = {row.target for row in rows if row.target is not None}
    if not targets:
        return {}
    query = sa.select(outbox.c.connection, outbox.c.action, outbox.c.target, outbox.c.id).where(
        # Rows older than the oldest replayed one cannot be newer: the primary key bounds the search.
        outbox.c.id >= rows[0].id,
        outbox.c.connection.in_({row.connection for row in rows}),
        outbox.c.target.in_(targets),
        outbox.c.state.in_(["ready", "sending", "done"]),
    )
    newest = {(row.connection, row.action, row.target): row.id for row in rows if row.target is not None}
    for row in connection.execute(query):
        key = (row.connection, row.action, row.target)
        newest[key] = max(row.id, newest.get(key, ""))
    return newest


def prune(database: Database, before: datetime) -> int:
    """Delete attempts older than `before`, a chunk at a time; return how many. The deliveries stay.

    Where attempts are cut by the month, of their deliveries, whole months go, once their last attempt is past.
    """
    key = (attempt.c.outbox, attempt.c.n)
    old = attempt.c.at < before
    total = _drop_months(database, before)
    with database.read() as connection:
        if there := partitions.months(connection, attempt):
            old = sa.and_(old, attempt.c.outbox < first_uuid(there[0]))
    chunk = sa.select(*key).where(old).limit(CHUNK)
    while True:
        with database.write() as connection:
            deleted = connection.execute(sa.delete(attempt).where(sa.tuple_(*key).in_(chunk))).rowcount
        total += deleted
        if deleted < CHUNK:
            return total


def _drop_months(database: Database, before: datetime) -> int:
    dropped = 0
    with database.read() as connection:
        months = partitions.over(connection, attempt, before)
    for month in months:
        of_month = sa.and_(attempt.c.outbox >= first_uuid(month), attempt.c.outbox < first_uuid(after(month)))
        with database.write() as connection:
            newest, count = connection.execute(
                sa.select(sa.func.max(attempt.c.at), sa.func.count()).where(of_month)
            ).one()
            if newest is None or newest < before:
                partitions.drop(connection, attempt, month)
                dropped += count
    return dropped
