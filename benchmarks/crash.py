"""A few runs of `hub crashtest`."""

from __future__ import annotations

import re
import subprocess
import sys

from benchmarks.report import Report

RUNS = 5
WITHIN_S = 600


def measure(report: Report) -> None:
    command = [sys.executable, "-m", "hub", "crashtest", "--runs", str(RUNS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    line = (done.stdout.strip().splitlines() or [""])[-1]
    report.say(f"  {line or done.stderr[-500:]}")
    figures = dict(re.findall(r"(\w+) ([\d.]+)", line))
    for name in ("lost", "doubled"):
        report.add(f"crash.{name}", float(figures.get(name, "nan")), "events", "<= 0")
    report.add("crash.recovery", float(figures.get("recovery_s", "nan")), "s")
