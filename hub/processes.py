"""What the processes of a hub say of themselves, where there are several: seldom, and in one row each.

Workers have no HTTP. Each process writes its figures down now and then; whoever is asked (`/metrics`, `hub top`) reads
those of all.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from hub.clock import Clock
from hub.ids import new_id
from hub.storage import Database, insert_new
from hub.storage.tables import process

EVERY_S = 10.0
"""How soon news is written."""
AT_LEAST = timedelta(minutes=1)
"""How seldom a process that has none says that it is there."""
GONE = timedelta(minutes=3)
"""A process not heard of for so long is gone; its last figures stay for the hour in which they are looked for."""
KEPT = timedelta(hours=1)

Sample = tuple[str, Mapping[str, str], float]
"""Name, labels, value."""


class Family(msgspec.Struct, frozen=True):
    """Figures of one name. `type` is Prometheus': counter, gauge, histogram."""

    name: str
    type: str
    said: str
    samples: Sequence[Sample]


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a hub, as it last said.

    Attributes:
        name: host, number and a random part.
        role: serve, worker or scheduler.
    """

    name: str
    role: str
    started_at: datetime
    seen_at: datetime
    figures: Sequence[Family]

    def runs(self, now: datetime) -> bool:
        """Return whether it was heard of lately."""
        return now - self.seen_at < GONE

    def figure(self, sample: str) -> float | None:
        """Return the sum over all labels of a figure; None where it has none of that name."""
        values = [value for family in self.figures for name, _, value in family.samples if name == sample]
        return sum(values) if values else None


def process_name() -> str:
    """Return a name for this process; host and number are there for people."""
    return f"{socket.gethostname()}/{os.getpid()}/{new_id()[-8:]}"


def families_of(metrics: Sequence[Metric]) -> list[Family]:
    """Return figures as they are kept, without the times at which each began."""
    return [
        Family(
            metric.name,
            metric.type,
            metric.documentation,
            [(s.name, s.labels, s.value) for s in metric.samples if not s.name.endswith("_created")],
        )
        for metric in metrics
    ]


class Reporter:
    """Writes down what this process has counted.

    Args:
        registry: its figures.
        role: serve, worker or scheduler.

    Attributes:
        name: of this process.
    """

    def __init__(self, database: Database, registry: CollectorRegistry, role: str, clock: Clock) -> None:
        self.name = process_name()
        self._database, self._registry, self._role, self._clock = database, registry, role, clock
        self._started = clock()
        self._told: list[Family] = []
        self._told_at: datetime | None = None

    def report(self) -> int:
        """Write the figures down where they are news, or now and then; return 0: nothing is left to do."""
        now, figures = self._clock(), families_of(list(self._registry.collect()))
        # The process's own time and memory change by looking at them.
        counted = [family for family in figures if family.name.startswith("points_hub")]
        if self._told_at and counted == self._told and now - self._told_at < AT_LEAST:
            return 0
        with self._database.write() as tx:
            if self._told_at is None:
                tx.execute(sa.delete(process).where(process.c.seen_at < now - KEPT))
            values = {"role": self._role, "started_at": self._started, "seen_at": now}
            values["figures"] = msgspec.to_builtins(figures)
            new = insert_new(tx, process).values(name=self.name, **values)
            tx.execute(new.on_conflict_do_update(index_elements=["name"], set_=values))
        self._told, self._told_at = counted, now
        return 0

    def leave(self) -> None:
        """Take the row away: the process ends in order."""
        with self._database.write() as tx:
            tx.execute(sa.delete(process).where(process.c.name == self.name))


def processes(connection: sa.Connection) -> list[Process]:
    """Return the processes that have said something in the last hour, oldest first."""
    rows = connection.execute(sa.select(process).order_by(process.c.started_at, process.c.name))
    return [
        Process(**{**row._asdict(), "figures": msgspec.convert(row.figures, list[Family])}) for row in rows
    ]


def merged(own: Sequence[Family], others: Sequence[Process], mine: str) -> list[Metric]:
    """Return the figures of several processes as Prometheus reads them, each with the name of its process.

    Args:
        own: of this process, as they are now.
        others: of all that have said something; this process's row is passed over.
        mine: its name.
    """
    found: dict[str, Metric] = {}
    given: list[tuple[str, Sequence[Family]]] = [(mine, own)]
    given += [(other.name, other.figures) for other in others if other.name != mine]
    for name, families in given:
        for family in families:
            metric = found.setdefault(family.name, Metric(family.name, family.said, family.type))
            for sample, labels, value in family.samples:
                metric.add_sample(sample, {**labels, "process": name}, value)
    return list(found.values())
