"""A hub of three processes at work: how long an event takes, what idling costs, and a backlog beside new events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import psutil
import sqlalchemy as sa

from benchmarks.load import Orders, run
from benchmarks.report import Report
from benchmarks.scale.site import Setting, setting
from benchmarks.scale.work import accept, waiting
from hub.crashtest.child import Child
from hub.hub import open_hub
from hub.processes import processes
from hub.storage import Database
from hub.storage.tables import event, posting

PER_S = 50
IDLE_S = 10.0
REST_S = 300.0
READY_S = 120.0
CUSTOMERS = 5_000
BACKLOG_FIRST = 1_000_000
"""Orders of the backlog are numbered from here, those that come beside it from 1."""


@contextmanager
def three(made: Setting) -> Iterator[tuple[Child, list[psutil.Process], Database]]:
    """Run a web process, a worker and a scheduler; give the first, the other two, and the database."""
    made.write()
    web = made.web()
    others = [made.child(name, name) for name in ("worker", "scheduler")]
    database = Database(made.database)
    try:
        web.start()
        web.wait_ready(READY_S)
        for child in others:
            child.start()
        _heard(database, 3)
        yield web, [psutil.Process(child.pid) for child in others], database
    finally:
        for child in (*others, web):
            child.stop()
        database.close()


def _heard(database: Database, count: int) -> None:
    """Wait until so many processes have said that they are there."""
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        with database.read() as tx:
            if len(processes(tx)) >= count:
                return
        time.sleep(0.2)
    raise RuntimeError("the processes of the hub did not start")


def doorbell(report: Report, postgresql: str, broker: str, seconds: float) -> None:
    """Webhook to posting at 50 a second, and what worker and scheduler cost when nothing happens."""
    with setting(postgresql, broker) as made, three(made) as (web, others, database):
        time.sleep(2)
        before = [sum(process.cpu_times()[:2]) for process in others]
        time.sleep(IDLE_S)
        used = sum(sum(process.cpu_times()[:2]) for process in others) - sum(before)
        report.add("doorbell.idle_cpu", 100 * used / IDLE_S, "% of a core", "<= 2")
        load = run(web.port, Orders(1, lambda order: order % CUSTOMERS), seconds=seconds, per_s=PER_S)
        report.say(f"  accepted {load}")
        _rest(database)
        delays = _delays_ms(database)
        report.add("doorbell.p50", median(delays), "ms", "<= 50")
        report.add("doorbell.p99", delays[int(len(delays) * 0.99)], "ms")
        report.add("doorbell.not_2xx", load.refused, "requests", "<= 0")


def backlog(report: Report, postgresql: str, broker: str, events: int, seconds: float) -> None:
    """New webhooks beside a backlog that drains, against new webhooks alone."""
    with setting(postgresql, broker) as made, three(made) as (web, _, database):
        orders = Orders(1, lambda order: order % CUSTOMERS)
        run(web.port, orders, seconds=2, per_s=PER_S)
        _rest(database)
        alone = run(web.port, orders, seconds=seconds, per_s=PER_S)
        _rest(database)
        hub = open_hub(made.folder / "hub.yaml")
        accept(hub, BACKLOG_FIRST, events, lambda order: order % CUSTOMERS)
        hub.close()
        began, left = time.perf_counter(), waiting(database)
        beside = run(web.port, orders, seconds=seconds, per_s=PER_S)
        still = waiting(database)
        _rest(database)
        took = time.perf_counter() - began
    report.say(f"  alone {alone}; beside a backlog of {left:,} (then {still:,}) {beside}")
    report.add("backlog.p99_to_alone", beside.percentile_ms(0.99) / alone.percentile_ms(0.99), "x", "<= 2")
    report.add("backlog.drained", (left + beside.accepted) / took, "events/s")
    report.add("backlog.not_2xx", alone.refused + beside.refused, "requests", "<= 0")


def _rest(database: Database) -> None:
    until = time.monotonic() + REST_S
    while waiting(database) and time.monotonic() < until:
        time.sleep(0.1)


def _delays_ms(database: Database) -> list[float]:
    """Return, sorted, the times from a webhook's arrival to the beginning of the transaction that posted it."""
    took = sa.select(posting.c.posted_at, event.c.received_at).join(event, event.c.id == posting.c.event)
    with database.read() as tx:
        return sorted((posted - received).total_seconds() * 1000 for posted, received in tx.execute(took))
