"""Accepting: webhooks verified and durably stored before they are answered. Nothing is done with them here.

Beside it, on the same server with the same bodies: a Flask view that does nothing, and one that commits each
request on its own. Rounds are taken in turn, and figures are medians of them.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks import disk
from benchmarks.load import Load, Orders, run
from benchmarks.report import Report
from benchmarks.servers import hub_file, server

ROUNDS = 5
ROUND_S = 3.0
WARM_S = 1.0
SLOW_DISK_S = 0.002


def measure(report: Report) -> None:
    with TemporaryDirectory(prefix="hub-benchmarks-") as name:
        folder = Path(name)
        disk.note(report, "ingest.disk_fsync", folder)
        fast_disk(report, folder)
        slow_disk(report, folder)


def fast_disk(report: Report, folder: Path) -> None:
    """This machine's disk as it is."""
    servers = {
        "hello": ("hello", hub_file(folder / "hello")),
        "view": ("accepting", hub_file(folder / "view", fast_lane=False)),
        "lane": ("accepting", hub_file(folder / "lane")),
    }
    rounds = take_turns(report, servers)
    for kind in servers:
        report.add(f"ingest.{kind}", median(load.rate for load in rounds[kind]), "requests/s")
    for kind, target in (("view", 0.60), ("lane", 1.2)):
        ratios = [ours.rate / hello.rate for ours, hello in zip(rounds[kind], rounds["hello"], strict=True)]
        report.add(f"ingest.{kind}_to_hello", median(ratios), "x", f">= {target}")
        report.add(f"ingest.{kind}_p99", median(load.percentile_ms(0.99) for load in rounds[kind]), "ms")
    refused = sum(load.refused for kind in ("view", "lane") for load in rounds[kind])
    report.add("ingest.not_2xx", refused, "requests", "<= 0")


def slow_disk(report: Report, folder: Path) -> None:
    """With two milliseconds more in each commit, as a slower disk has."""
    servers = {
        "view": ("accepting", hub_file(folder / "slow-view", fast_lane=False)),
        "lane": ("accepting", hub_file(folder / "slow-lane")),
        "naive": ("naive", hub_file(folder / "slow-naive")),
    }
    rounds = take_turns(report, servers, SLOW_DISK_S)
    for kind in servers:
        report.add(f"ingest.slow_disk_{kind}", median(load.rate for load in rounds[kind]), "requests/s")
    for kind in ("view", "lane"):
        p99 = median(load.percentile_ms(0.99) for load in rounds[kind])
        report.add(f"ingest.slow_disk_{kind}_p99", p99, "ms", "<= 30")
        ratios = [ours.rate / naive.rate for ours, naive in zip(rounds[kind], rounds["naive"], strict=True)]
        report.add(f"ingest.slow_disk_{kind}_to_naive", median(ratios), "x", ">= 8")
    refused = sum(load.refused for kind in ("view", "lane") for load in rounds[kind])
    report.add("ingest.slow_disk_not_2xx", refused, "requests", "<= 0")


def take_turns(
    report: Report, servers: dict[str, tuple[str, Path]], delay_s: float = 0.0
) -> dict[str, list[Load]]:
    """Return the rounds of each server; all of them run throughout, and idle ones cost nothing."""
    rounds: dict[str, list[Load]] = {kind: [] for kind in servers}
    with ExitStack() as stack:
        ports, orders = {}, {}
        for kind, (factory, file) in servers.items():
            ports[kind] = stack.enter_context(server(factory, file, delay_s=delay_s)).port
            orders[kind] = Orders(1)
            run(ports[kind], orders[kind], seconds=WARM_S)
        for number in range(ROUNDS):
            for kind in servers:
                load = run(ports[kind], orders[kind], seconds=ROUND_S)
                rounds[kind].append(load)
                report.say(f"  round {number + 1} {kind}: {load}")
    return rounds
