"""Accepted webhooks, read back: for the pipeline with their bodies, for people without."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from hub.crashpoints import here
from hub.inbox.row import Delivery, StoredRow, compress, decompress
from hub.sdk import Headers, Webhook
from hub.sdk.signatures import body_digest
from hub.storage import Database
from hub.storage.tables import inbox, inbox_body, refused, refused_sample
from hub.tracing import TRACEPARENT, Trace

_WITH_BODY = sa.select(
    inbox.c.id,
    inbox.c.connection,
    inbox.c.delivery_id,
    inbox.c.received_at,
    inbox.c.method,
    inbox.c.url,
    inbox.c.headers,
    inbox.c.verdict,
    inbox_body.c.data,
).select_from(inbox.outerjoin(inbox_body, inbox.c.id == inbox_body.c.id))


@dataclass(frozen=True, slots=True)
class Listed:
    """An accepted webhook as lists show it; its body is not read."""

    id: int
    connection: str
    delivery_id: str
    received_at: datetime
    size: int
    verdict: str


@dataclass(frozen=True, slots=True)
class Facts:
    """An accepted webhook without its body: these stay when the body is past its retention."""

    id: int
    connection: str
    delivery_id: str
    received_at: datetime
    method: str
    url: str
    headers: dict[str, str]
    size: int
    body_hash: bytes
    verdict: str

    @property
    def trace(self) -> Trace:
        return Trace.of(self.connection, self.delivery_id, self.headers.get(TRACEPARENT, ""))


@dataclass(frozen=True, slots=True)
class Kept:
    """An accepted webhook whose body is still there."""

    id: int
    connection: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Sample:
    """One refused webhook, of many. No body and no header value is kept.

    Attributes:
        wrong_turn: what would have matched, as a sentence; empty when nothing did.
    """

    id: int
    connection: str
    at: datetime
    reason: str
    size: int
    header_names: str
    wrong_turn: str


def read_after(connection: sa.Connection, position: int, limit: int) -> list[StoredRow]:
    """Return rows with an id above `position`, in order: all there will ever be below the last, on SQLite."""
    found = connection.execute(_WITH_BODY.where(inbox.c.id > position).order_by(inbox.c.id).limit(limit))
    return [_stored(row) for row in found]


def claim_pending(connection: sa.Connection, limit: int) -> list[StoredRow]:
    """Return unfinished rows that nobody else has, oldest first, locked until the transaction ends.

    PostgreSQL only: SQLite has one reader, with a cursor.
    """
    found = connection.execute(
        _WITH_BODY.where(inbox.c.pending)
        .order_by(inbox.c.id)
        .limit(limit)
        .with_for_update(of=inbox, skip_locked=True)
    )
    return [_stored(row) for row in found]


def finish(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Mark claimed rows as worked on."""
    if ids:
        connection.execute(inbox.update().where(inbox.c.id.in_(ids)).values(pending=False))


def get(connection: sa.Connection, ids: Iterable[int]) -> list[StoredRow]:
    """Return the rows with these ids, in order of id; those that do not exist are left out."""
    found = connection.execute(_WITH_BODY.where(inbox.c.id.in_(list(ids))).order_by(inbox.c.id))
    return [_stored(row) for row in found]


def find(connection: sa.Connection, deliveries: Iterable[tuple[str, str]]) -> list[int]:
    """Return the ids of the rows of these deliveries, pairs of (connection name, delivery id)."""
    pairs = sa.tuple_(inbox.c.connection, inbox.c.delivery_id).in_(sorted(set(deliveries)))
    return list(connection.execute(sa.select(inbox.c.id).where(pairs)).scalars())


def traces(connection: sa.Connection, ids: Collection[int]) -> dict[int, Trace]:
    """Return the traces of the webhooks with these ids; those that do not exist are left out."""
    columns = (inbox.c.id, inbox.c.connection, inbox.c.delivery_id, inbox.c.headers)
    return {
        id_: Trace.of(name, delivery_id, msgspec.json.decode(headers).get(TRACEPARENT, ""))
        for id_, name, delivery_id, headers in connection.execute(
            sa.select(*columns).where(inbox.c.id.in_(ids))
        )
    }


def ids_of(connection: sa.Connection, deliveries: Sequence[Delivery]) -> list[int]:
    """Return the ids of the rows with these (connection name, delivery id)."""
    key = sa.tuple_(inbox.c.connection, inbox.c.delivery_id)
    ids: list[int] = []
    for start in range(0, len(deliveries), 500):
        some = [tuple(delivery) for delivery in deliveries[start : start + 500]]
        ids += connection.scalars(sa.select(inbox.c.id).where(key.in_(some)))
    return ids


def list_rows(
    connection: sa.Connection,
    *,
    of: str | None = None,
    since: datetime | None = None,
    after: int | None = None,
    ids: Collection[int] | None = None,
    limit: int = 50,
    newest_first: bool = False,
) -> list[Listed]:
    """Return a page of accepted webhooks in order of arrival, or the other way round.

    Args:
        connection: of the database.
        of: the name of a connection in hub.yaml; None is all.
        since: the earliest arrival.
        after: the last id of the page before; None is the first page.
        ids: only these; None is all.
        limit: rows of a page.
    """
    order = (inbox.c.received_at, inbox.c.id)
    query = sa.select(
        inbox.c.id,
        inbox.c.connection,
        inbox.c.delivery_id,
        inbox.c.received_at,
        inbox.c.size,
        inbox.c.verdict,
    ).order_by(*(column.desc() for column in order) if newest_first else order)
    if of is not None:
        query = query.where(inbox.c.connection == of)
    if since is not None:
        query = query.where(inbox.c.received_at >= since)
    if after is not None:
        seen = inbox.alias()
        last = sa.select(seen.c.received_at, seen.c.id).where(seen.c.id == after).scalar_subquery()
        place = sa.tuple_(*order)
        query = query.where(place < last if newest_first else place > last)
    if ids is not None:
        query = query.where(inbox.c.id.in_(ids))
    return [Listed(*row) for row in connection.execute(query.limit(limit))]


def facts_of(connection: sa.Connection, id_: int) -> Facts | None:
    """Return what is kept of one accepted webhook besides its body; None when there is none of that id."""
    columns = [inbox.c[field] for field in Facts.__dataclass_fields__]
    query = sa.select(*columns, inbox_body.c.data).outerjoin(inbox_body, inbox_body.c.id == inbox.c.id)
    row = connection.execute(query.where(inbox.c.id == id_)).one_or_none()
    if row is None:
        return None
    kept = row._asdict()
    frame = kept.pop("data")
    digest = row.body_hash if frame is None else body_digest(decompress(frame))
    return Facts(**{**kept, "headers": msgspec.json.decode(row.headers), "body_hash": digest})


def last_id(connection: sa.Connection) -> int:
    """Return the id of the newest accepted webhook; 0 when there is none."""
    return connection.scalar(sa.select(sa.func.max(inbox.c.id))) or 0


def refused_counts(connection: sa.Connection, *, since_day: str = "") -> dict[tuple[str, str], int]:
    """Return how many webhooks were refused by (connection, reason), from a UTC day such as 2026-11-21 on."""
    query = (
        sa.select(refused.c.connection, refused.c.reason, sa.func.sum(refused.c.count))
        .where(refused.c.day >= since_day)
        .group_by(refused.c.connection, refused.c.reason)
    )
    return {(name, reason): int(count) for name, reason, count in connection.execute(query)}


def refused_samples(connection: sa.Connection, *, of: str | None = None, limit: int = 20) -> list[Sample]:
    """Return the newest samples of refused webhooks, newest first."""
    query = sa.select(
        refused_sample.c.id,
        refused_sample.c.connection,
        refused_sample.c.at,
        refused_sample.c.reason,
        refused_sample.c.size,
        refused_sample.c.header_names,
        refused_sample.c.wrong_turn,
    ).order_by(refused_sample.c.id.desc())
    if of is not None:
        query = query.where(refused_sample.c.connection == of)
    return [Sample(*row) for row in connection.execute(query.limit(limit))]


def bodies_after(connection: sa.Connection, last: int, limit: int, *, up_to: int | None = None) -> list[Kept]:
    """Return a page of the bodies that are kept, in order of id, of webhooks that have been worked on.

    Args:
        connection: of the database.
        last: the last id of the page before; 0 at first.
        limit: bodies of a page.
        up_to: the last id that has been worked on, on SQLite; on PostgreSQL the rows know.
    """
    query = (
        sa.select(inbox.c.id, inbox.c.connection, inbox_body.c.data)
        .join(inbox_body, inbox_body.c.id == inbox.c.id)
        .where(inbox.c.id > last)
        .order_by(inbox.c.id)
        .limit(limit)
    )
    query = query.where(~inbox.c.pending) if up_to is None else query.where(inbox.c.id <= up_to)
    return [Kept(id_, name, decompress(frame)) for id_, name, frame in connection.execute(query)]


def erase(connection: sa.Connection, ids: Sequence[int]) -> int:
    """Delete the bodies of these webhooks, and the headers that were kept; return how many bodies went."""
    kept = sa.select(inbox_body.c.id, inbox_body.c.data).where(inbox_body.c.id.in_(ids))
    bodies = [(id_, frame) for id_, frame in connection.execute(kept)]
    forget(connection, bodies)
    connection.execute(inbox.update().where(inbox.c.id.in_(ids)).values(headers="{}"))
    return len(bodies)


def rewrite(connection: sa.Connection, ids: Sequence[int], change: Callable[[bytes, str], bytes]) -> int:
    """Replace bodies by what `change` makes of (body, connection name); return how many changed."""
    query = sa.select(inbox.c.id, inbox.c.connection, inbox_body.c.data)
    rows = connection.execute(
        query.join(inbox_body, inbox_body.c.id == inbox.c.id).where(inbox.c.id.in_(ids))
    )
    changed = 0
    for id_, name, frame in rows.all():
        before = decompress(frame)
        after = change(before, name)
        if after != before:
            (packed,) = compress([after])
            connection.execute(inbox_body.update().where(inbox_body.c.id == id_).values(data=packed))
            changed += 1
    return changed


def prune(database: Database, older_than: datetime, *, up_to: int | None = None, chunk: int = 500) -> int:
    """Delete the bodies of webhooks received before a time; the facts stay, with the body's hash. Return how many went.

    Args:
        database: where.
        older_than: bodies received before it go.
        up_to: the last id that has been worked on, on SQLite where the hub's cursor knows; on PostgreSQL
            rows that are still pending keep their bodies anyway.
        chunk: bodies of one transaction: accepting waits for no longer than that.
    """
    with database.read_inbox() as connection:
        # Arrival and id agree but for requests of the same instant, and the index ends the search at once.
        last = connection.scalar(
            sa.select(inbox.c.id)
            .where(inbox.c.received_at < older_than)
            .order_by(inbox.c.received_at.desc(), inbox.c.id.desc())
            .limit(1)
        )
    last = min(last or 0, up_to if up_to is not None else last or 0)
    old = (
        sa.select(inbox_body.c.id, inbox_body.c.data)
        .join(inbox, inbox.c.id == inbox_body.c.id)
        .where(inbox_body.c.id <= last, inbox.c.received_at < older_than)
        .order_by(inbox_body.c.id)
        .limit(chunk)
    )
    if not database.is_sqlite:
        old = old.where(~inbox.c.pending)
    pruned = 0
    while True:
        with database.write_inbox() as connection:
            bodies = [(id_, frame) for id_, frame in connection.execute(old)]
            forget(connection, bodies)
        pruned += len(bodies)
        if bodies:
            here("mid prune")
        if len(bodies) < chunk:
            return pruned


def forget(connection: sa.Connection, bodies: Sequence[tuple[int, bytes]]) -> None:
    """Delete bodies, given as rows of (id, frame); what is left of each is its hash."""
    if bodies:
        hashes = [{"b_id": id_, "b_hash": body_digest(decompress(frame))} for id_, frame in bodies]
        by_id = inbox.update().where(inbox.c.id == sa.bindparam("b_id"))
        connection.execute(by_id.values(body_hash=sa.bindparam("b_hash")), hashes)
        connection.execute(inbox_body.delete().where(inbox_body.c.id.in_([id_ for id_, _ in bodies])))


def _stored(row: Sequence[Any]) -> StoredRow:
    id_, name, delivery_id, received_at, method, url, headers, verdict, frame = row
    webhook = None
    kept = msgspec.json.decode(headers)
    if frame is not None:
        webhook = Webhook(method, url, Headers(kept), decompress(frame), received_at)
    return StoredRow(id_, name, delivery_id, received_at, webhook, verdict, kept.get(TRACEPARENT, ""))
