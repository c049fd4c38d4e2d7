"""Simulating: orders that were really processed, lived again with another programme.

A dearer rule prices every order anew; the rules as they are do so too, and no figure may differ. The rate is of one
process on one core; reading the journal and the ledger is part of it.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.full import accept_all, rate_of
from benchmarks.report import Report
from benchmarks.servers import hub_file
from hub.hub import Hub, open_hub
from hub.rules import parse_program
from hub.running import spare_the_collector
from hub.whatif import prove, simulate

ORDERS = 20_000
CUSTOMERS = 1_000
PART = 2_000
ROUNDS = 3
RATE = '{points: 1, per: "1.00 EUR"}'


def measure(report: Report) -> None:
    with TemporaryDirectory(prefix="hub-benchmarks-") as name:
        hub = open_hub(hub_file(Path(name) / "hub"))
        try:
            report.add("simulate.processed", fill(hub), "events/s")
            spare_the_collector()
            simulated(report, hub)
        finally:
            hub.close()


def fill(hub: Hub) -> float:
    """Process orders of some customers; return the rate."""
    chosen, rates = random.Random(1), []
    for first in range(0, ORDERS, PART):
        accept_all(hub, first, [chosen.randrange(CUSTOMERS) for _ in range(PART)])
        rates.append(rate_of(hub, PART))
    return sum(rates) / len(rates)


def simulated(report: Report, hub: Hub) -> None:
    """Simulate the programme as it is and a dearer one, in turn."""
    text = hub.programs.current.text
    programs = [
        parse_program(each.encode(), "tried")
        for each in (text, text.replace(RATE, '{points: 2, per: "1.00 EUR"}'))
    ]
    best, seconds, differing = 0.0, 0.0, 0
    for _ in range(ROUNDS):
        for number, program in enumerate(programs):
            began, worked = time.perf_counter(), time.process_time()
            result = simulate(hub.database, program, now=hub.clock())
            rate = result.events / (time.perf_counter() - began)
            seconds = time.process_time() - worked
            report.say(f"  {result.events:,} events in {seconds:.1f} s of processor time, {rate:,.0f}/s")
            best = max(best, rate)
            differing += result.differs is (number == 0)
    report.add("simulate.events", best, "events/s", ">= 5000")
    report.add("simulate.wrong", differing, "runs", "<= 0")
    began = time.perf_counter()
    proof = prove(hub.database, now=hub.clock())
    report.add("simulate.replayed", proof.events / (time.perf_counter() - began), "events/s")
    report.add("simulate.unlike", len(proof.unlike), "members", "<= 0")
