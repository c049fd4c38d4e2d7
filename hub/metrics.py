"""Figures of the processing side. Counting only: nothing here reads a table."""

from __future__ import annotations

from collections import Counter as Counts
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
        kinds: Counts[str] = Counts()
        points: Counts[tuple[str, str]] = Counts()
        for posting in posted:
            kinds[posting.kind] += 1
            for wallet, change in posting.points.items():
                points[posting.kind, wallet] += abs(change)
        for labels, count in Counts((entry.connection, entry.state) for entry in entries).items():
            self._events.labels(*labels).inc(count)
        for kind, count in kinds.items():
            self._postings.labels(kind).inc(count)
        for labels, count in points.items():
            self._points.labels(*labels).inc(count)
