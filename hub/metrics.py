"""Figures of the processing side. Counting only: nothing here reads a table."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter

from hub.journal import Entry
from hub.values import Posted


class Figures:
    """What this process has settled since it started."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, said: str, *labels: str) -> Counter:
            return Counter(f"points_hub_{name}", said, labels, registry=registry)

        self._events = counter("events", "Source events by what became of them.", "connection", "state")
        self._postings = counter("postings", "Postings by kind.", "kind")
        self._points = counter("points", "Points moved by postings, without their sign.", "kind", "wallet")

    def count(self, entries: Iterable[Entry], posted: Iterable[Posted]) -> None:
        """Count one committed transaction."""
        for entry in entries:
            self._events.labels(entry.connection, entry.state).inc()
        for posting in posted:
            self._postings.labels(posting.kind).inc()
            for wallet, change in posting.points.items():
                self._points.labels(posting.kind, wallet).inc(abs(change))
