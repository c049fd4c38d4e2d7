"""Figures of the accepting side, read from memory when somebody asks: never a table scan.

They are of this process, since its start. With several workers each scrape meets one of them; the tables
`inbox` and `refused` hold the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hub.inbox import Inbox, Refusals

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0)


class Accepting(Collector):
    """What the inbox and the refusals have counted."""

    def __init__(self, inbox: Inbox, refusals: Refusals) -> None:
        self._inbox = inbox
        self._refusals = refusals

    def collect(self) -> Iterator[Metric]:
        accepted = CounterMetricFamily(
            "points_hub_webhooks", "Verified webhooks by outcome.", labels=("connection", "outcome")
        )
        for (name, outcome), count in self._inbox.counts.copy().items():
            accepted.add_metric((name, outcome), count)
        yield accepted
        refused = CounterMetricFamily(
            "points_hub_webhooks_refused", "Webhooks that were not stored.", labels=("connection", "reason")
        )
        for (name, reason), count in self._refusals.totals.copy().items():
            refused.add_metric((name, reason), count)
        yield refused
        yield GaugeMetricFamily(
            "points_hub_webhooks_waiting", "Webhooks that wait for the next commit.", self._inbox.waiting()
        )


def register(registry: CollectorRegistry, inbox: Inbox, refusals: Refusals) -> Callable[[float], None]:
    """Add the accepting side's figures; return the function that notes how long a webhook took, in seconds."""
    registry.register(Accepting(inbox, refusals))
    seconds = Histogram(
        "points_hub_accept_seconds",
        "From the request to its answer, commit included.",
        buckets=BUCKETS_S,
        registry=registry,
    )
    return seconds.observe
