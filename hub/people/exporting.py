"""Export: all that is kept of a person, table by table, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from hub import inbox, journal
from hub.members.merging import tombstones
from hub.outbox.queries import unpack
from hub.people.holdings import HOLDINGS, Holding, Traces, names_of
from hub.people.needles import readable
from hub.sdk.http import Exchange
from hub.storage import Database, Lookup
from hub.storage.tables import attempt, event, fact, identity, identity_past

FORMAT = "points-hub/person/1"
LEFT_OUT = {"salt", "head", "prev_hash", "hash", "request_hash", "fence", "normal", "needles", "lease_until"}
"""Columns that say nothing of the person: the hub's own workings."""
SHARED = "this webhook tells of others too: its text is left out"

READ: Mapping[tuple[str, str], Callable[[Any], Any]] = {
    (event.name, "payload"): journal.unpack,
    (attempt.name, "exchanges"): lambda packed: [_exchange(call) for call in unpack(packed)],
}
"""Columns that are packed -> how they are read."""


def export(database: Database, member_id: str, now: datetime) -> dict[str, Any]:
    """Return everything that is kept of a member, and of whoever was merged into them.

    Returns:
        `format`, `exported_at`, `member`, `also` (ids of those merged into them), `tables` (name -> rows, each a table
        of column -> value; times are ISO 8601 in UTC), and `counts` (name -> rows). Webhooks are in `webhooks`, with
        their text where they tell of this person alone.
    """
    tables: dict[str, list[dict[str, Any]]] = {}
    with database.read() as connection:
        also = tombstones(connection, [member_id])
        traces = Traces([member_id, *also], _keys(connection, [member_id, *also]))
        for holding in HOLDINGS:
            tables[holding.table.name] = _rows(connection, holding, traces)
        names = {name for row in tables[event.name] for name in names_of(row["fact"], row["data"])}
        tables[fact.name] = [row._asdict() for row in _FACTS(connection, names)]
        webhooks = {row["inbox_id"] for row in tables[event.name]}
        others = sa.select(event.c.inbox_id).where(
            event.c.inbox_id.in_(webhooks), event.c.member.not_in(traces.members)
        )
        shared = set(connection.scalars(others))
    tables["webhooks"] = _webhooks(database, webhooks, shared)
    whole: dict[str, Any] = {
        "format": FORMAT,
        "exported_at": now,
        "member": member_id,
        "also": also,
        "counts": {name: len(rows) for name, rows in tables.items()},
        "tables": tables,
    }
    plain: dict[str, Any] = msgspec.to_builtins(whole, enc_hook=str)
    return plain


def _rows(connection: sa.Connection, holding: Holding, traces: Traces) -> list[dict[str, Any]]:
    key = holding.table.primary_key
    query = sa.select(holding.table).where(holding.where(traces)).order_by(*key)
    return [
        {
            name: READ.get((holding.table.name, name), _plain)(value)
            for name, value in row.items()
            if name not in LEFT_OUT
        }
        for row in connection.execute(query).mappings()
    ]


def _keys(connection: sa.Connection, members: Collection[str]) -> list[tuple[str, str]]:
    keys = (
        sa.select(table.c.source, table.c.value).where(table.c.member.in_(members))
        for table in (identity, identity_past)
    )
    return sorted((source, value) for query in keys for source, value in connection.execute(query))


def _webhooks(database: Database, ids: Collection[int], shared: Collection[int]) -> list[dict[str, Any]]:
    """Return the webhooks, a page at a time: each with its facts, headers and text."""
    rows: list[dict[str, Any]] = []
    for start in range(0, len(ids), 500):
        with database.read_inbox() as connection:
            for row in inbox.get(connection, sorted(ids)[start : start + 500]):
                told: Mapping[str, Any] = {"body": None, "headers": {}}
                if row.webhook is not None:
                    body = SHARED if row.id in shared else readable(row.webhook.body)
                    told = {"body": _writable(body), "headers": dict(row.webhook.headers)}
                rows.append(
                    {
                        "id": row.id,
                        "connection": row.connection,
                        "delivery_id": row.delivery_id,
                        "received_at": row.received_at,
                        **told,
                    }
                )
    return rows


def _exchange(call: Exchange) -> dict[str, Any]:
    return {name: _plain(value) for name, value in asdict(call).items()}


def _plain(value: Any) -> Any:
    return _writable(value.decode(errors="replace")) if isinstance(value, bytes) else value


def _writable(text: str) -> str:
    """Return a text without what is no text: a body may be anything."""
    return text.encode(errors="replace").decode()


_FACTS = Lookup(sa.select(fact).order_by(fact.c.key), fact.c.key)
