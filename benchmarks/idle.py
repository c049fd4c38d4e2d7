"""A hub with nothing to do: its memory, how soon it is there, and what its imports cost."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import psutil

from benchmarks.report import Report
from hub.crashtest.child import Child
from hub.rules.program import SAMPLE_PROGRAM

STARTS = 5
SETTLE_S = 3.0
MOST_SHOWN = 15
MB = 1e6

HUB = """
public_url: https://points.example.com
logs: json
connections:
  shop: {connector: shopify, secrets: [one], settings: {shop: brewline}}
  till: {connector: square, secrets: [two], settings: {access_token: three}}
  books: {connector: standard_webhooks, secrets: [whsec_YSBzZWNyZXQ=]}
"""


def measure(report: Report) -> None:
    with TemporaryDirectory(prefix="hub-benchmarks-") as name:
        folder = Path(name)
        (folder / "hub.yaml").write_text(HUB)
        (folder / "program.yaml").write_bytes(SAMPLE_PROGRAM.read_bytes())
        command = [sys.executable, "-m", "hub", "serve", "--config", str(folder / "hub.yaml")]
        child = Child([*command, "--listen", "127.0.0.1:{port}"], folder / "hub.log")
        first, *again = [start(child) for _ in range(1 + STARTS)]
        report.add("idle.first_start_with_migrations", first, "s")
        report.add("idle.cold_start", median(again), "s", "<= 2")
        memory(report, child)
    imports(report)


def start(child: Child) -> float:
    """Return the seconds from the start of a hub to a good answer on /readyz."""
    child.start()
    try:
        return child.wait_ready()
    finally:
        child.stop()


def memory(report: Report, child: Child) -> None:
    child.start()
    try:
        child.wait_ready()
        time.sleep(SETTLE_S)
        leader = psutil.Process(child.pid)
        rss = pss = 0.0
        for process in (leader, *leader.children(recursive=True)):
            used = process.memory_full_info()
            what = " ".join(process.cmdline()[1:4])
            report.say(
                f"  process {process.pid} ({what}): rss {used.rss / MB:.1f} MB, pss {used.pss / MB:.1f} MB"
            )
            rss += used.rss / MB
            pss += used.pss / MB
    finally:
        child.stop()
    report.add("idle.rss", rss, "MB", "<= 120")
    report.add("idle.pss", pss, "MB")


def imports(report: Report) -> None:
    """Print the modules whose own code takes longest to import in the worker."""
    command = [sys.executable, "-X", "importtime", "-c", "import hub.web.serving"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stderr
    rows = re.findall(r"import time:\s+(\d+) \|\s+(\d+) \| +(\S+)", said)
    report.say("  own ms, with its imports ms, module")
    for own, total, module in sorted(rows, key=lambda row: -int(row[0]))[:MOST_SHOWN]:
        report.say(f"  {int(own) / 1000:8.1f} {int(total) / 1000:8.1f}  {module}")
    report.add("idle.imports", sum(int(own) for own, _, _ in rows) / 1000, "ms")
