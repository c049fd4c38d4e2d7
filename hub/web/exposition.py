"""What `/metrics` shows: this process's figures, those of the others, and how the hub as a whole is doing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hub.processes import families_of, merged
from hub.vitals import Vitals, look

if TYPE_CHECKING:
    from hub.hub import Hub

FRESH_S = 5.0
"""How long what was read of the database is shown again: several who ask cost no more than one."""
STATES = ("closed", "half_open", "open")


class Exposition(Collector):
    """The figures of a hub.

    Those that processes count carry the label `process` where there are several (`engine: {kind: celery}`).
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._told = [name for name, c in hub.connections.items() if c.connector.actions]
        self._turn = threading.Lock()
        self._known: Vitals | None = None
        self._until = 0.0

    def collect(self) -> Iterator[Metric]:
        own = list(self._hub.metrics.collect())
        vitals = self._vitals()
        if self._hub.reporter is None:
            yield from own
        else:
            others = [p for p in vitals.processes if p.runs(vitals.at)] if vitals else []
            yield from merged(families_of(own), others, self._hub.reporter.name)
        up = vitals is not None
        yield GaugeMetricFamily("points_hub_database_up", "Whether the database could be read.", float(up))
        if vitals:
            yield from _shown(vitals)

    def _vitals(self) -> Vitals | None:
        with self._turn:
            if time.monotonic() >= self._until:
                try:
                    self._known = look(self._hub.database, self._told, self._hub.clock())
                except sa.exc.SQLAlchemyError:
                    self._known = None
                self._until = time.monotonic() + FRESH_S
            return self._known


def _shown(vitals: Vitals) -> Iterator[Metric]:
    now = vitals.at
    depth = _gauge("queue_depth", "Rows that wait, 100,000 at most.", "queue", "connection", "lane")
    age = _gauge("queue_oldest_seconds", "Since when the oldest is due.", "queue", "connection", "lane")
    for queue in vitals.queues:
        labels = (queue.name, queue.connection, queue.lane)
        depth.add_metric(labels, queue.waiting)
        age.add_metric(labels, queue.age_s(now))
    yield depth
    yield age
    yield GaugeMetricFamily("points_hub_lag_seconds", "How far behind processing is.", vitals.lag_s)
    yield GaugeMetricFamily("points_hub_deliveries_sending", "Deliveries under way.", vitals.sending)
    yield GaugeMetricFamily("points_hub_deliveries_dead", "Deliveries that were given up.", vitals.dead)
    events = _gauge("events_open", "Events for which somebody has to do something.", "state")
    for state, count in vitals.open.items():
        events.add_metric((state,), count)
    yield events
    breakers = _gauge("breaker", "1 for the state a connection's breaker is in.", "connection", "state")
    for breaker in vitals.breakers:
        for state in STATES:
            breakers.add_metric((breaker.connection, state), float(breaker.state == state))
    yield breakers
    leases = _gauge(
        "lease_seconds", "For how long somebody still has it; below 0: nobody has.", "name", "holder"
    )
    for held in vitals.leases:
        leases.add_metric((held.name, held.holder), (held.lease_until - now).total_seconds())
    yield leases
    seen = _gauge("process_seen_seconds", "Since when a process has said nothing.", "process", "role")
    for process in vitals.processes:
        seen.add_metric((process.name, process.role), (now - process.seen_at).total_seconds())
    yield seen


def _gauge(name: str, said: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"points_hub_{name}", said, labels=labels)
