"""Two workers against one, and all events on one member against many."""

from __future__ import annotations

from benchmarks.report import Report
from benchmarks.scale.site import setting
from benchmarks.scale.work import drained

CUSTOMERS = 5_000


def measure(report: Report, postgresql: str, broker: str, events: int) -> None:
    rates = {}
    for name, workers, customers in (
        ("one_worker", 1, lambda order: order % CUSTOMERS),
        ("two_workers", 2, lambda order: order % CUSTOMERS),
        ("hot_member", 2, lambda _order: 1),
    ):
        with setting(postgresql, broker) as made:
            rates[name] = drained(made, workers, events, customers)
        target = ">= 500" if name == "two_workers" else ""
        report.add(f"workers.{name}", rates[name], "events/s", target)
    report.add("workers.two_to_one", rates["two_workers"] / rates["one_worker"], "x", ">= 1.5")
    report.add("workers.hot_to_spread", rates["hot_member"] / rates["two_workers"], "x", ">= 0.3")
