"""Accepted webhooks, read back: for the pipeline with their bodies, for people without."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from hub.crashpoints import here
from hub.inbox.row import Delivery, StoredRow, compress, decompress, decompress_all
from hub.sdk import Headers, Webhook
from hub.sdk.signatures import body_digest
from hub.storage import Database, partitions
from hub.storage.partitions import FIRST_NUMBER, after, first_number, month_of
from hub.storage.tables import inbox, inbox_body, refused, refused_sample
from hub.tracing import TRACEPARENT, Trace

_COLUMNS = [
    inbox.c[n]
    for n in ("id", "connection", "delivery_id", "received_at", "method", "url", "headers", "verdict")
]


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


def _with_body(first: int, last: int | None = None) -> sa.Select[Any]:
    """Return the query of rows from one id to another, with their bodies.

    The bounds are said of both tables: where these are cut by the month, only the months between are looked at.
    """

    def within(table: sa.Table) -> list[sa.ColumnElement[bool]]:
        return [table.c.id >= first, *([] if last is None else [table.c.id <= last])]

    bodies = sa.and_(inbox.c.id == inbox_body.c.id, *within(inbox_body))
    query = sa.select(*_COLUMNS, inbox_body.c.data).select_from(inbox.outerjoin(inbox_body, bodies))
    return query.where(*within(inbox)).order_by(inbox.c.id)


def read_after(connection: sa.Connection, position: int, limit: int) -> list[StoredRow]:
    """Return rows with an id above `position`, in order: all there will ever be below the last, on SQLite."""
    return _stored(connection.execute(_with_body(position + 1).limit(limit)).all())


def claim_pending(connection: sa.Connection, limit: int, since: int = 0) -> list[StoredRow]:
    """Return unfinished rows that nobody else has, oldest first, locked until the transaction ends.

    PostgreSQL only: SQLite has one reader, with a cursor. There are none below the id `since`, which spares the planner
    the months before.
    """
    found = connection.execute(
        _with_body(since).where(inbox.c.pending).limit(limit).with_for_update(of=inbox, skip_locked=True)
    )
    return _stored(found.all())


_FINISH = sa.text(
    "UPDATE inbox SET pending = false, body_hash = given.hash "
    "FROM unnest(CAST(:ids AS bigint[]), CAST(:hashes AS bytea[])) AS given (id, hash) "
    "WHERE inbox.id = given.id AND inbox.id BETWEEN :first AND :last"
)


def finish(connection: sa.Connection, rows: Sequence[StoredRow]) -> None:
    """Mark claimed rows as worked on, and keep their bodies' hashes: then a month of bodies can go as it is."""
    if rows:
        hashes = [row.webhook and body_digest(row.webhook.body) for row in rows]
        ids = [row.id for row in rows]
        connection.execute(_FINISH, {"ids": ids, "hashes": hashes, "first": min(ids), "last": max(ids)})


def pending_since(connection: sa.Connection) -> int:
    """Return an id below which nothing is unfinished, nor will be: the first of a month. PostgreSQL only.

    Ids do not commit in order: what is under way now may get a lower one, but not one of a month that is long over.
    """
    place = sa.select(inbox.c.id, inbox.c.received_at)
    oldest = connection.execute(place.where(inbox.c.pending).order_by(inbox.c.id).limit(1)).first()
    row = oldest or connection.execute(place.order_by(inbox.c.id.desc()).limit(1)).first()
    if row is None or row.id < FIRST_NUMBER:
        return 0
    id_: int = row.id
    return min(id_, first_number(month_of(row.received_at - _LONG_OVER)))


_LONG_OVER = timedelta(days=1)


def get(connection: sa.Connection, ids: Iterable[int]) -> list[StoredRow]:
    """Return the rows with these ids, in order of id; those that do not exist are left out."""
    wanted = sorted(set(ids))
    if not wanted:
        return []
    query = _with_body(wanted[0], wanted[-1]).where(inbox.c.id.in_(wanted))
    return _stored(connection.execute(query).all())


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

    Where bodies are cut by the month whole months go, once their last day is past; what is not in a month goes by the row.

    Args:
        database: where.
        older_than: bodies received before it go.
        up_to: the last id that has been worked on, on SQLite where the hub's cursor knows; on PostgreSQL
            rows that are still pending keep their bodies anyway.
        chunk: bodies of one transaction: accepting waits for no longer than that.
    """
    pruned = _drop_bodies(database, older_than)
    with database.read_inbox() as connection:
        # Arrival and id agree but for requests of the same instant, and the index ends the search at once.
        last = connection.scalar(
            sa.select(inbox.c.id)
            .where(inbox.c.received_at < older_than)
            .order_by(inbox.c.received_at.desc(), inbox.c.id.desc())
            .limit(1)
        )
    last = min(last or 0, up_to if up_to is not None else last or 0)
    if not database.is_sqlite:
        last = min(last, FIRST_NUMBER - 1)
    old = (
        sa.select(inbox_body.c.id, inbox_body.c.data)
        .join(inbox, inbox.c.id == inbox_body.c.id)
        .where(inbox_body.c.id <= last, inbox.c.id <= last, inbox.c.received_at < older_than)
        .order_by(inbox_body.c.id)
        .limit(chunk)
    )
    if not database.is_sqlite:
        old = old.where(~inbox.c.pending)
    while True:
        with database.write_inbox() as connection:
            bodies = [(id_, frame) for id_, frame in connection.execute(old)]
            forget(connection, bodies)
        pruned += len(bodies)
        if bodies:
            here("mid prune")
        if len(bodies) < chunk:
            return pruned


def _drop_bodies(database: Database, older_than: datetime) -> int:
    """Take whole months of bodies away; return how many bodies that were. A month with unfinished webhooks stays."""
    dropped = 0
    with database.read_inbox() as connection:
        old = partitions.over(connection, inbox_body, older_than)
    for month in old:
        within = inbox.c.id.between(first_number(month), first_number(after(month)) - 1)
        of_month = inbox_body.c.id.between(first_number(month), first_number(after(month)) - 1)
        with database.write_inbox() as connection:
            if connection.scalar(sa.select(sa.exists().where(within, inbox.c.pending))):
                continue
            dropped += (
                connection.scalar(sa.select(sa.func.count()).select_from(inbox_body).where(of_month)) or 0
            )
            partitions.drop(connection, inbox_body, month)
        here("mid prune")
    return dropped


def drop_facts(database: Database, older_than: datetime) -> list[str]:
    """Take away what is left of the webhooks of months that ended before a time; return their tables' names.

    PostgreSQL only. A month whose bodies are still there stays.
    """
    dropped = []
    with database.read_inbox() as connection:
        kept = set(partitions.months(connection, inbox_body))
        old = [month for month in partitions.over(connection, inbox, older_than) if month not in kept]
    for month in old:
        with database.write_inbox() as connection:
            partitions.drop(connection, inbox, month)
        dropped.append(f"inbox_{month[0]}_{month[1]:02}")
    return dropped


def forget(connection: sa.Connection, bodies: Sequence[tuple[int, bytes]]) -> None:
    """Delete bodies, given as rows of (id, frame); what is left of each is its hash."""
    if bodies:
        hashes = [{"b_id": id_, "b_hash": body_digest(decompress(frame))} for id_, frame in bodies]
        by_id = inbox.update().where(inbox.c.id == sa.bindparam("b_id"))
        connection.execute(by_id.values(body_hash=sa.bindparam("b_hash")), hashes)
        connection.execute(inbox_body.delete().where(inbox_body.c.id.in_([id_ for id_, _ in bodies])))


def _stored(rows: Sequence[Sequence[Any]]) -> list[StoredRow]:
    bodies = iter(decompress_all([row[-1] for row in rows if row[-1] is not None]))
    stored = []
    for id_, name, delivery_id, received_at, method, url, headers, verdict, frame in rows:
        kept = msgspec.json.decode(headers)
        webhook = None
        if frame is not None:
            webhook = Webhook(method, url, Headers(kept), next(bodies), received_at)
        stored.append(
            StoredRow(id_, name, delivery_id, received_at, webhook, verdict, kept.get(TRACEPARENT, ""))
        )
    return stored
