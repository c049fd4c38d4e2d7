"""Webhooks to work on, put into an inbox on PostgreSQL, and how fast they are gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

import sqlalchemy as sa

from benchmarks.load import SECRET, Orders
from benchmarks.scale.site import Setting
from hub.hub import Hub, open_hub
from hub.inbox import Row
from hub.inbox.postgresql import PostgresqlStore
from hub.sdk import Headers, Webhook
from hub.sdk.signatures import encode, hmac_digest
from hub.storage import Database
from hub.storage.tables import inbox

CHUNK = 256
WITHIN_S = 300.0
LOOK_S = 0.1


def accept(hub: Hub, first: int, count: int, customers: Callable[[int], int]) -> float:
    """Put orders into the inbox as the web process does; return the rows a second."""
    connection, orders = hub.connections["shop"], Orders(first, customers)
    store = PostgresqlStore(hub.database)
    took = 0.0
    for start in range(first, first + count, CHUNK):
        rows = [
            _row(hub, connection, orders, number)
            for number in range(start, min(start + CHUNK, first + count))
        ]
        began = time.perf_counter()
        store.write(rows)
        took += time.perf_counter() - began
    store.close()
    return count / took


def _row(hub: Hub, connection: object, orders: Orders, number: int) -> Row:
    body = orders.body(number)
    headers = {
        "X-Shopify-Topic": "orders/paid",
        "X-Shopify-Webhook-Id": f"bench-{number}",
        "X-Shopify-Hmac-Sha256": encode(hmac_digest(SECRET, body), "base64"),
    }
    return Row.of(connection, Webhook("POST", connection.url, Headers(headers), body, hub.clock()))


def waiting(database: Database) -> int:
    """Return how many webhooks nobody has worked on."""
    with database.read_inbox() as tx:
        return tx.scalar(sa.select(sa.func.count()).select_from(inbox).where(inbox.c.pending)) or 0


def drained(setting: Setting, workers: int, events: int, customers: Callable[[int], int]) -> float:
    """Fill an inbox, let workers empty it, and return the events a second from the first to the last batch."""
    hub = open_hub(setting.write())
    try:
        accept(hub, 1, events, customers)
        with ExitStack() as stack:
            for number in range(workers):
                child = setting.child(f"worker-{number}", "worker", "--queues", "inbox,journal")
                stack.callback(child.stop)
                child.start()
            return _rate(hub.database, events)
    finally:
        hub.close()


def _rate(database: Database, events: int) -> float:
    until = time.monotonic() + WITHIN_S
    began, left_then = 0.0, events
    while time.monotonic() < until:
        left, now = waiting(database), time.perf_counter()
        if not began and left < events:
            began, left_then = now, left
        if not left:
            return left_then / max(now - began, LOOK_S)
        time.sleep(LOOK_S)
    raise RuntimeError(f"{waiting(database)} of {events} webhooks are left after {WITHIN_S} s")
