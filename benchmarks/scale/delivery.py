"""Deliveries: how many calls a process makes and writes down, with the threads a connection has."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import requests
import sqlalchemy as sa

from benchmarks.report import Report
from benchmarks.scale.site import Setting
from benchmarks.sink import Sink, sink
from hub import outbox
from hub.hub import open_hub
from hub.storage.tables import outbox as table

THREADS = 4
WITHIN_S = 120.0
CHUNK = 1000
PLAIN, PLAIN_CALLS = "plain", 500


def measure(report: Report, setting: Setting, deliveries: int) -> None:
    """Deliver to a sink that answers at once; the rate of wall time and, beside a loaded machine, of our own."""
    with sink() as receiver:
        plain = plainly(receiver)
        wall, own = run(setting, receiver, deliveries)
        calls = {key: count for key, count in receiver.calls().items() if key != PLAIN}
    report.add("delivery.rate", wall, "calls/s", ">= 1000")
    report.add("delivery.per_cpu_second", own, "calls")
    report.add("delivery.plain_per_cpu_second", plain, "calls")
    report.add("delivery.to_plain", own / plain, "x")
    report.add("delivery.lost", deliveries - len(calls), "calls", "<= 0")
    report.add("delivery.twice", sum(calls.values()) - len(calls), "calls", "<= 0")


def plainly(receiver: Sink) -> float:
    """Return the calls a second of processor time that `requests` makes by itself, in one thread, keeping nothing."""
    body = b"x" * 200
    with requests.Session() as session:
        began = time.process_time()
        for _ in range(PLAIN_CALLS):
            session.post(receiver.url, data=body, headers={"webhook-id": PLAIN}).raise_for_status()
        return PLAIN_CALLS / (time.process_time() - began)


def run(setting: Setting, receiver: Sink, deliveries: int) -> tuple[float, float]:
    """Return the calls a second of wall time, and a second of this process's processor time."""
    hub = open_hub(setting.write(told=receiver.url, concurrency=THREADS))
    try:
        fill(hub.database, deliveries)
        cpu, began = time.process_time(), time.perf_counter()
        hub.deliverer.start()
        until = began + WITHIN_S
        while time.perf_counter() < until and left(hub.database):
            time.sleep(0.05)
        wall, own = time.perf_counter() - began, time.process_time() - cpu
        done = deliveries - left(hub.database)
        hub.deliverer.stop()
    finally:
        hub.close()
    return done / wall, done / own


def fill(database: object, deliveries: int) -> None:
    """Write deliveries as a posting does."""
    now = datetime.now(UTC)
    for start in range(0, deliveries, CHUNK):
        with database.write() as tx:
            outbox.add(
                tx,
                [
                    outbox.Delivery(
                        connection="books",
                        action="send",
                        params={
                            "type": "points.earned",
                            "timestamp": now.isoformat(),
                            "data": {"member": f"m-{number}", "points": 33, "balance": 330, "order": number},
                        },
                        dedupe=f"bench-{number}",
                        created_at=now,
                    )
                    for number in range(start, min(start + CHUNK, deliveries))
                ],
            )


def left(database: object) -> int:
    with database.read() as tx:
        return tx.scalar(
            sa.select(sa.func.count()).select_from(table).where(table.c.state.in_(["ready", "sending"]))
        )
