"""Accepting, processing and claiming over full tables, against empty ones."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import sqlalchemy as sa

from benchmarks.report import Report
from benchmarks.scale.site import setting
from benchmarks.scale.work import accept
from hub import outbox
from hub.hub import Hub, open_hub
from hub.pipeline import process
from hub.storage.partitions import first_number, month_of
from hub.storage.tables import to_us

ROUNDS = 3
CUSTOMERS = 2_000
CLAIM = 64
FIRST = 2_000_000_000


def measure(report: Report, postgresql: str, rows: int, events: int) -> None:
    """`rows` webhooks and half as many postings and deliveries are there before; `events` are measured."""
    rates: dict[str, dict[str, list[float]]] = {}
    with setting(postgresql) as full, setting(postgresql) as empty:
        hubs = {
            "empty": open_hub(empty.write(told="http://127.0.0.1:9/told")),
            "full": open_hub(full.write(told="http://127.0.0.1:9/told")),
        }
        began = time.perf_counter()
        fill(hubs["full"], rows)
        report.say(f"  {rows:,} webhooks and {rows // 2:,} postings in {time.perf_counter() - began:.0f} s")
        for number in range(ROUNDS + 1):  # the first is to warm up
            for name, hub in hubs.items():
                found = one_round(hub, FIRST + number * events, events)
                report.say(
                    f"  round {number} {name}: " + ", ".join(f"{k} {v:,.0f}/s" for k, v in found.items())
                )
                for kind, rate in found.items() if number else ():
                    rates.setdefault(kind, {}).setdefault(name, []).append(rate)
        for hub in hubs.values():
            hub.close()
    for kind, found in rates.items():
        ratios = sorted(a / b for a, b in zip(found["full"], found["empty"], strict=True))
        report.add(f"growth.{kind}_full_to_empty", ratios[len(ratios) // 2], "x", ">= 0.8")


def one_round(hub: Hub, first: int, events: int) -> dict[str, float]:
    """Return the rates of one round."""
    accepted = accept(hub, first, events, lambda order: order % CUSTOMERS)
    began, done = time.perf_counter(), 0
    while done < events:
        done += process(hub)
    processed = events / (time.perf_counter() - began)
    began, claimed = time.perf_counter(), 0
    while claimed < events // 2:
        with hub.database.write() as tx:
            jobs = outbox.claim(tx, hub.clock(), {"books": CLAIM})
        claimed += len(jobs)
        if not jobs:
            break
    return {"accept": accepted, "process": processed, "claim": claimed / (time.perf_counter() - began)}


def fill(hub: Hub, rows: int) -> None:
    """Put history in, by SQL: webhooks that are done, events, postings and legs of theirs, deliveries that were made.

    The webhooks are of this month, as if so many had come in it: its indexes are those that new ones meet.
    """
    now = datetime.now(UTC)
    us, month = to_us(now) - rows, first_number(month_of(now))
    with hub.database.hub.begin() as tx:
        for statement in HISTORY:
            given = {"rows": rows, "half": rows // 2, "us": us, "month": month}
            tx.execute(
                sa.text(statement), {name: value for name, value in given.items() if f":{name}" in statement}
            )
    with hub.database.hub.connect().execution_options(isolation_level="AUTOCOMMIT") as tx:
        tx.execute(sa.text("ANALYZE"))


ID = "('018f000{kind}-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
HISTORY = (
    """INSERT INTO inbox (id, connection, delivery_id, received_at, method, url, headers, size, verdict, pending)
       SELECT :month + nextval('inbox_id_seq'), 'shop', 'old-' || n, :us + n, 'POST', 'https://points.example.com/webhooks/shop',
              '{"x-shopify-topic":"orders/paid"}', 6000, 'verified', false FROM generate_series(1, :rows) n""",
    "INSERT INTO inbox_body (id, data) SELECT id, decode(repeat('ab', 300), 'hex') FROM inbox WHERE NOT pending",
    f"""INSERT INTO event (id, inbox_id, connection, source_id, part, type, name, fact, occurred_at, received_at, state, data)
       SELECT {ID.format(kind=3)}, :month + n, 'shop', 'old-' || n, 0, 'orders/paid', 'purchase.paid', 'shop:order/old-' || n,
              :us + n, :us + n, 'done', '{{}}' FROM generate_series(1, :half) n""",
    f"""INSERT INTO posting (id, member, seq, key, request_hash, kind, occurred_at, posted_at, event, program_version, prev_hash, hash)
       SELECT {ID.format(kind=2)}, {ID.format(kind=1)}, 1, 'earn:shop:order/old-' || n, '', 'earn', :us + n, :us + n,
              {ID.format(kind=3)}, 'old', '', '' FROM generate_series(1, :half) n""",
    f"""INSERT INTO leg (posting, n, owner, wallet, bucket, delta)
       SELECT {ID.format(kind=2)}, 0, {ID.format(kind=1)}, 'beans', 'active', 10 FROM generate_series(1, :half) n""",
    f"""INSERT INTO outbox (id, connection, action, params, dedupe, created_at, state, attempts, done_at, posting)
       SELECT {ID.format(kind=4)}, 'books', 'send', '{{}}', 'old-' || n, :us + n, 'done', 1, :us + n, {ID.format(kind=2)}
       FROM generate_series(1, :half) n""",
)  # fmt: skip
