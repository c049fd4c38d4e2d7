"""Processing: accept, map, price, post, write deliveries; everything but the calls to other platforms.

Sustained is what one hub accepts and processes at the same time, with the sender on the same cores. The rate over a
full ledger is measured on `process` itself, over inboxes filled before.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import sqlalchemy as sa

from benchmarks import disk, full
from benchmarks.load import MOST_PER_S, Load, Orders, run
from benchmarks.report import Report
from benchmarks.servers import hub_file, server
from hub.intake import CursorIntake
from hub.storage import Database
from hub.storage.tables import cursor, event, inbox, outbox, posting

OFFERED = (1500, 2000, 2500, 3000, 3500, 4000, 5000, 6000)
"""Orders a second, from step to step."""
STEP_S = 8.0
WARM_S = 2.0
REST_S = 60.0
"""How long a backlog may take to go away between two steps."""
KEEPS_UP = 0.95
CUSTOMERS = 5_000
SLOW_DISK_S = 0.002


def measure(report: Report) -> None:
    with TemporaryDirectory(prefix="hub-benchmarks-") as name:
        folder = Path(name)
        disk.note(report, "pipeline.disk_fsync", folder)
        sustained(report, folder)
        slow_disk(report, folder)
        full.measure(report, folder)


def sustained(report: Report, folder: Path) -> None:
    """Offer more and more until the hub falls behind; the last step in which it did not is what it sustains."""
    file = hub_file(folder / "sustained")
    best = accepted = refused = 0.0
    with server("processing", file) as child, Watched(file) as watched:
        orders = Orders(1, lambda order: order % CUSTOMERS)
        run(child.port, orders, seconds=WARM_S, per_s=500)
        for offered in OFFERED:
            watched.rest()
            load, processed = watched.run(child.port, orders, offered)
            accepted += load.accepted
            refused += load.refused
            report.say(f"  offered {offered}/s: accepted {load}; processed {processed:,.0f}/s")
            if load.rate < KEEPS_UP * offered or processed < KEEPS_UP * load.rate:
                best = max(best, min(load.rate, processed))
                break
            best = max(best, processed)
        watched.rest()
        report.add("pipeline.sustained", best, "events/s", ">= 2000")
        report.add("pipeline.not_2xx", refused, "requests", "<= 0")
        report.add("pipeline.not_posted", watched.not_posted(), "events", "<= 0")


def slow_disk(report: Report, folder: Path) -> None:
    """As much as the hub accepts, with two milliseconds more in each commit."""
    file = hub_file(folder / "slow")
    with server("processing", file, delay_s=SLOW_DISK_S) as child, Watched(file) as watched:
        orders = Orders(1, lambda order: order % CUSTOMERS)
        run(child.port, orders, seconds=WARM_S, per_s=500)
        watched.rest()
        load, processed = watched.run(child.port, orders, None)
        report.say(f"  accepted {load}; processed {processed:,.0f}/s")
        report.add("pipeline.slow_disk_accepted", load.rate, "requests/s")
        report.add("pipeline.slow_disk_processed", processed, "events/s")
        report.add("pipeline.slow_disk_processed_to_accepted", processed / load.rate, "x", ">= 0.9")
        watched.rest()
        report.add("pipeline.slow_disk_not_posted", watched.not_posted(), "events", "<= 0")


class Watched:
    """Looks into a hub's database from outside."""

    def __init__(self, file: Path) -> None:
        self._database = Database(f"sqlite:///{file.parent / 'points.db'}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def run(self, port: int, orders: Orders, offered: float | None) -> tuple[Load, float]:
        """Send for one step; return what was accepted, and the events a second processed meanwhile."""
        orders.sign(int(STEP_S * (offered or MOST_PER_S)))  # it would count as time of the hub's
        before, began = self._position(), time.perf_counter()
        load = run(port, orders, seconds=STEP_S, per_s=offered)
        return load, (self._position() - before) / (time.perf_counter() - began)

    def rest(self) -> None:
        """Wait until everything accepted is processed."""
        until = time.monotonic() + REST_S
        while self._position() < self._last() and time.monotonic() < until:
            time.sleep(0.1)

    def not_posted(self) -> int:
        """Return how many accepted orders have no posting, no delivery or another state than done."""
        with self._database.read() as connection:
            counts = [
                connection.scalar(sa.select(sa.func.count()).select_from(t)) or 0 for t in (posting, outbox)
            ]
            done = sa.select(sa.func.count()).select_from(event).where(event.c.state == "done")
            counts.append(connection.scalar(done) or 0)
        return self._last() - min(counts)

    def _position(self) -> int:
        with self._database.read() as connection:
            return (
                connection.scalar(sa.select(cursor.c.position).where(cursor.c.name == CursorIntake.NAME)) or 0
            )

    def _last(self) -> int:
        with self._database.read_inbox() as connection:
            return connection.scalar(sa.select(sa.func.max(inbox.c.id))) or 0
