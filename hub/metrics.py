"""Figures of the processing side. Counting only: nothing here reads a table."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from hub.journal import Entry
from hub.outbox import Outcome
from hub.values import Posted

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)


class Figures:
    """What this process has settled and delivered since it started."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, said: str, *labels: str) -> Counter:
            return Counter(f"points_hub_{name}", said, labels, registry=registry)

        ProcessCollector(registry=registry)
        self._events = counter("events", "Source events by what became of them.", "connection", "state")
        self._postings = counter("postings", "Postings by kind.", "kind")
        self._points = counter("points", "Points moved by postings, without their sign.", "kind", "wallet")
        self._tries = counter("deliveries", "Tries of deliveries by outcome.", "connection", "outcome")
        self._lag = Histogram(
            "points_hub_event_lag_seconds",
            "From a webhook's arrival to the commit of what its event caused.",
            buckets=BUCKETS_S,
            registry=registry,
        )

    def count(self, entries: Iterable[Entry], posted: Iterable[Posted], now: datetime) -> None:
        """Count one committed transaction."""
        kinds: Counts[str] = Counts()
        points: Counts[tuple[str, str]] = Counts()
        states: Counts[tuple[str, str]] = Counts()
        for posting in posted:
            kinds[posting.kind] += 1
            for wallet, change in posting.points.items():
                points[posting.kind, wallet] += abs(change)
        for entry in entries:
            states[entry.connection, entry.state] += 1
            if not entry.stored:  # what waited for something says nothing of our pace
                self._lag.observe((now - entry.received_at).total_seconds())
        for labels, count in states.items():
            self._events.labels(*labels).inc(count)
        for kind, count in kinds.items():
            self._postings.labels(kind).inc(count)
        for labels, count in points.items():
            self._points.labels(*labels).inc(count)

    def tried(self, outcomes: Iterable[Outcome]) -> None:
        """Count tries of deliveries that are written down."""
        counts = Counts((o.job.connection, o.verdict) for o in outcomes if o.verdict != "released")
        for labels, count in counts.items():
            self._tries.labels(*labels).inc(count)
