"""Processing over a full ledger and over an empty one, in turn: `process` alone, over inboxes filled before.

The full ledger is built by SQL, a statement for each table, and is as sound as a grown one: its invariants hold and
its hash chains verify. Both hubs know the same members. A third, small one knows those alone whose orders come, so that
all it ever reads stays in memory.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks.load import FIRST_CUSTOMER, SECRET, Orders
from benchmarks.report import Report
from benchmarks.servers import hub_file
from hub.hub import Hub, open_hub
from hub.inbox import Row
from hub.inbox.sqlite import SqliteStore
from hub.ledger.chain import START, Sealed, cause_name, lot_seal
from hub.ledger.verify import check_invariants
from hub.pipeline import process
from hub.running import spare_the_collector
from hub.sdk import Headers, Webhook
from hub.sdk.signatures import encode, hmac_digest
from hub.storage.tables import PROGRAMME, from_us, to_us

MEMBERS = 200_000
EACH = 5
"""Postings of each member: a million in all, two legs each."""
POINTS = 10
BUYERS = 12_500
"""Members whose orders are processed, each of them once, spread evenly over all."""
WARMING, ROUNDS = 1, 5
"""Rounds that do not count, in which the log gets its pages from the system, and those that do."""
CHUNK = 256
BEGAN = to_us(datetime(2025, 1, 1, tzinfo=UTC))
STEP_US = 30_000_000


def measure(report: Report, folder: Path) -> None:
    members = {"full": range(MEMBERS), "empty": range(MEMBERS), "small": range(0, MEMBERS, MEMBERS // BUYERS)}
    hubs = {name: open_hub(hub_file(folder / name)) for name in members}
    began = time.perf_counter()
    for name, hub in hubs.items():
        fill(hub, members[name], EACH if name == "full" else 0)
    took = time.perf_counter() - began
    size = Path(str(hubs["full"].database.path)).stat().st_size / 1e6
    report.say(f"  {MEMBERS * EACH:,} postings of {MEMBERS:,} members in {took:.0f} s, {size:,.0f} MB")
    with hubs["full"].database.read() as connection:
        findings = check_invariants(connection, hubs["full"].clock())
    report.add("pipeline.full_ledger_findings", len(findings), "findings", "<= 0")
    buyers = list(members["small"])
    random.Random(1).shuffle(buyers)
    share = BUYERS // (WARMING + ROUNDS)
    rates: dict[str, list[float]] = {name: [] for name in hubs}
    spare_the_collector()  # as every process that serves or works
    for number in range(WARMING + ROUNDS):
        for name, hub in hubs.items():
            some = buyers[number * share : (number + 1) * share]
            accept_all(hub, MEMBERS * EACH + number * share, some)
            rates[name].append(rate_of(hub, share))
        seen = ", ".join(f"{name} {found[-1]:,.0f}/s" for name, found in rates.items())
        report.say(f"  round {number + 1}: {seen}{' (to warm up)' if number < WARMING else ''}")
    counted = {name: found[WARMING:] for name, found in rates.items()}
    for name, found in counted.items():
        report.add(f"pipeline.process_{name}", median(found), "events/s")
    ratios = [one / other for one, other in zip(counted["full"], counted["empty"], strict=True)]
    report.add("pipeline.full_to_empty", median(ratios), "x", ">= 0.85")
    for hub in hubs.values():
        hub.close()


def accept_all(hub: Hub, first: int, customers: Sequence[int]) -> None:
    """Put an order of each customer into the inbox."""
    connection = hub.connections["shop"]
    orders = Orders(first, lambda order: customers[order - first])
    store = SqliteStore(hub.database)
    rows = []
    for _ in customers:
        number = first + len(rows)
        body = orders.body(number)
        headers = {
            "X-Shopify-Topic": "orders/paid",
            "X-Shopify-Webhook-Id": f"bench-{number}",
            "X-Shopify-Hmac-Sha256": encode(hmac_digest(SECRET, body), "base64"),
        }
        rows.append(Row.of(connection, Webhook("POST", connection.url, Headers(headers), body, hub.clock())))
    for start in range(0, len(rows), CHUNK):
        store.write(rows[start : start + CHUNK])
    store.close()


def rate_of(hub: Hub, events: int) -> float:
    """Process what is in the inbox; return the events a second."""
    began = time.perf_counter()
    done = 0
    while done < events:
        taken = process(hub)
        if not taken:
            raise RuntimeError(f"the inbox gave {done} of {events} webhooks")
        done += taken
    return done / (time.perf_counter() - began)


def fill(hub: Hub, members: range, each: int) -> None:
    """Give a hub members, and each of them some orders of long ago."""
    connection = sqlite3.connect(str(hub.database.path), isolation_level=None)
    connection.create_function("chance", 0, random.Random(1).random)
    connection.create_function("sealed", 3, Seal(hub.programs.current.hash), deterministic=True)
    for pragma in ("journal_mode=WAL", "synchronous=OFF", "cache_size=-400000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    values = {
        "began": BEGAN, "step": STEP_US, "members": MEMBERS, "points": POINTS, "version": hub.programs.current.hash,
        "each": each, "customer": FIRST_CUSTOMER, "programme": PROGRAMME, "start": members.start, "stop": members.stop, "by": members.step,
    }  # fmt: skip
    connection.execute("BEGIN")
    for statement in PREPARE + (POSTINGS if each else ()) + PEOPLE:
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        connection.execute(statement, used)
    connection.execute("COMMIT")
    connection.execute("DROP TABLE temp.number")
    connection.execute("DROP TABLE temp.person")
    connection.execute("ANALYZE")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


class Seal:
    """Seals the postings of members: (member, seq, number of the order) -> the previous hash and its own."""

    def __init__(self, program_version: str) -> None:
        self._program_version = program_version
        self._last = (-1, 0)
        self._both = b""
        self._heads: dict[int, bytes] = {}

    def __call__(self, member: int, seq: int, number: int) -> bytes:
        if (member, seq) != self._last:  # SQLite may ask twice for one row
            previous = self._heads.get(member, START)
            self._heads[member] = self._sealed(seq, number).hash(previous)
            self._both = previous + self._heads[member]
            self._last = (member, seq)
        return self._both

    def _sealed(self, seq: int, number: int) -> Sealed:
        at = BEGAN + number * STEP_US
        return Sealed(
            seq=seq,
            key=f"earn:shopify:order/{number}",
            request_hash=bytes(32).hex(),
            kind="earn",
            occurred_at=at,
            posted_at=at,
            reverses=None,
            cause=cause_name("shop", f"old-{number}", 0),
            program_version=self._program_version,
            actor="",
            reason="",
            legs=[(0, "member", "beans", "active", POINTS), (1, "programme", "beans", "issued", -POINTS)],
            lots=[lot_seal(f"earn:shopify:order/{number}#0", "beans", POINTS, from_us(at), None)],
            awards=[(0, "base_purchase", "beans", POINTS, POINTS)],
            moves=[(0, f"earn:shopify:order/{number}#0", "active", POINTS)],
        )


# Ids as a UUIDv7 of 2024 has them, so that they sort before those of today. Members buy in no order, as they do in life,
# so that the pages of indexes are as full as they are then.
PREPARE = (
    """CREATE TEMP TABLE person (m INTEGER PRIMARY KEY, id TEXT)""",
    """WITH RECURSIVE counted(m) AS (SELECT :start UNION ALL SELECT m + :by FROM counted WHERE m + :by < :stop)
       INSERT INTO person SELECT m, printf('018f0001-0000-7000-8000-%012x', m) FROM counted""",
    """CREATE TEMP TABLE number (m INTEGER, seq INTEGER, n INTEGER, at INTEGER, tail TEXT, member TEXT,
                                 PRIMARY KEY (m, seq)) WITHOUT ROWID""",
    """WITH RECURSIVE counted(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM counted WHERE seq < :each)
       INSERT INTO number
       SELECT m, seq, n, :began + n * :step, printf('-0000-7000-8000-%012x', n), id
       FROM (SELECT m, seq, row_number() OVER (ORDER BY seq, chance()) - 1 AS n, person.id FROM person, counted)""",
)
POSTINGS = (
    """INSERT INTO posting (id, member, seq, key, request_hash, kind, occurred_at, posted_at, event, program_version,
                            prev_hash, hash)
       SELECT '018f0002' || tail, member, seq, 'earn:shopify:order/' || n, zeroblob(32), 'earn', at, at,
              '018f0003' || tail, :version, substr(sealed(m, seq, n), 1, length(sealed(m, seq, n)) - 32),
              substr(sealed(m, seq, n), -32)
       FROM number ORDER BY n""",
    """INSERT INTO leg (posting, n, owner, wallet, bucket, delta)
       SELECT '018f0002' || tail, 0, member, 'beans', 'active', :points FROM number ORDER BY n""",
    """INSERT INTO leg (posting, n, owner, wallet, bucket, delta)
       SELECT '018f0002' || tail, 1, :programme, 'beans', 'issued', -:points FROM number ORDER BY n""",
    """INSERT INTO lot (id, member, wallet, posting, name, amount, pending, active, held, available_at)
       SELECT '018f0004' || tail, member, 'beans', '018f0002' || tail, 'earn:shopify:order/' || n || '#0', :points, 0, :points, 0, at
       FROM number ORDER BY n""",
    """INSERT INTO lot_move (posting, n, lot, bucket, delta)
       SELECT '018f0002' || tail, 0, '018f0004' || tail, 'active', :points FROM number ORDER BY n""",
    """INSERT INTO award (posting, n, origin, rule, wallet, lot, wanted, points)
       SELECT '018f0002' || tail, 0, '018f0002' || tail, 'base_purchase', 'beans', '018f0004' || tail, :points, :points
       FROM number ORDER BY n""",
    """INSERT INTO earning (fact, posting, member, event, program_version, net_minor, gross_minor, currency)
       SELECT 'shopify:order/' || n, '018f0002' || tail, member, '018f0003' || tail, :version, 1000, 1070, 'EUR'
       FROM number ORDER BY n""",
    """INSERT INTO fact (key, canonical, event)
       SELECT 'shopify:order/' || n, 'shopify:order/' || n, '018f0003' || tail FROM number ORDER BY n""",
    """INSERT INTO event (id, inbox_id, connection, source_id, part, type, name, fact, occurred_at, received_at,
                          state, member, data)
       SELECT '018f0003' || tail, -1 - n, 'shop', 'old-' || n, 0, 'orders/paid', 'purchase.paid',
              'shopify:order/' || n, at, at, 'done', member,
              json_object('fact', 'shopify:order/' || n, 'name', 'purchase.paid', 'order', json_object(
                  'id', n, 'currency', 'EUR', 'net_minor', 1000, 'gross_minor', 1070))
       FROM number ORDER BY n""",
    """INSERT INTO balance (member, wallet, pending, active, held, debt)
       SELECT member, 'beans', 0, SUM(:points), 0, 0 FROM number GROUP BY m ORDER BY m""",
)
PEOPLE = (
    """INSERT INTO member (id, created_at, state, salt, seq, head, posted_at)
       SELECT person.id, :began, 'active', randomblob(16), :each, COALESCE(posting.hash, zeroblob(0)),
              posting.posted_at
       FROM person LEFT JOIN posting ON posting.member = person.id AND posting.seq = :each ORDER BY m""",
    """INSERT INTO identity (source, value, member, created_at)
       SELECT 'shop', CAST(:customer + m AS TEXT), id, :began FROM person ORDER BY m""",
    """INSERT INTO identity (source, value, member, created_at)
       SELECT 'email', (:customer + m) || '@example.com', id, :began FROM person ORDER BY m""",
    """INSERT INTO contact (member, kind, value)
       SELECT id, kind, COALESCE(value, (:customer + m) || '@example.com') FROM person, (
           SELECT 'email' AS kind, NULL AS value UNION ALL SELECT 'name', 'Marta Lindqvist'
           UNION ALL SELECT 'phone', '+4915112345678' UNION ALL SELECT 'locale', 'de-DE')
       ORDER BY m""",
)
