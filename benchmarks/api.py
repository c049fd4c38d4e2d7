"""Reads of the API over a full ledger: how long one takes, alone and with others, beside a view that asks nothing.

`python -m benchmarks api --postings 5000000 --members 200000` measures over a ledger of that size.
"""

from __future__ import annotations

import http.client
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

from benchmarks import disk, full
from benchmarks.report import Report
from benchmarks.servers import hub_file
from hub.api import tokens
from hub.crashtest.child import Child
from hub.hub import open_hub

POSTINGS = 200_000
MEMBERS = 20_000
"""Of the full ledger, where nothing else is asked for; at most `full.MEMBERS`."""
READS = 2_000
TOGETHER = 8
"""Callers at once."""
UNHURRIED = "api: {rate: {per_s: 1000000, burst: 1000000}}\n"


def measure(report: Report, postings: int = POSTINGS, members: int = MEMBERS) -> None:
    if members > full.MEMBERS:
        raise SystemExit(f"--members: at most {full.MEMBERS:,} here")
    with TemporaryDirectory(prefix="hub-benchmarks-") as name:
        disk.note(report, "api.disk_fsync", Path(name))
        file = hub_file(Path(name) / "api")
        file.write_text(file.read_text() + UNHURRIED)
        token = filled(report, file, postings, members)
        command = [
            sys.executable,
            "-m",
            "hub",
            "serve",
            "--config",
            str(file),
            "--listen",
            "127.0.0.1:{port}",
        ]
        child = Child(command, file.parent / "serve.log")
        child.start()
        try:
            child.wait_ready(60)  # beside a large ledger, on a machine that is not quiet
            reads(report, child.port, token, members)
        finally:
            child.stop()


def filled(report: Report, file: Path, postings: int, members: int) -> str:
    """Give a hub a ledger, and return a token that reads it."""
    hub = open_hub(file)
    began = time.perf_counter()
    full.fill(hub, range(members), max(postings // members, 1))
    took = time.perf_counter() - began
    report.say(f"  {postings:,} postings of {members:,} members in {took:.0f} s")
    with hub.database.write() as tx:
        token = tokens.create(tx, "bench", ["members:read"], hub.clock())
    hub.close()
    return token


def reads(report: Report, port: int, token: str, members: int) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    some = random.Random(1)

    def member() -> str:
        return f"018f0001-0000-7000-8000-{some.randrange(members):012x}"

    paths: dict[str, Callable[[], str]] = {
        "nothing": lambda: "/healthz",
        "balance": lambda: f"/api/v1/members/{member()}/balance",
        "history": lambda: f"/api/v1/members/{member()}/history?limit=20",
    }
    for path in paths.values():
        timed(port, headers, [path() for _ in range(100)])  # the first ones make the application
    for name, path in paths.items():
        target = "<= 20" if name == "balance" else ""
        alone = timed(port, headers, [path() for _ in range(READS)])
        report.add(f"api.{name}_p50", quantiles(alone, n=20)[9], "ms")
        report.add(f"api.{name}_p95", quantiles(alone, n=20)[18], "ms", target)
        began = time.perf_counter()
        together = timed_together(port, headers, [path() for _ in range(READS)])
        report.add(f"api.{name}_rate_of_{TOGETHER}", READS / (time.perf_counter() - began), "reads/s")
        report.add(f"api.{name}_p95_of_{TOGETHER}", quantiles(together, n=20)[18], "ms")


def timed(port: int, headers: dict[str, str], paths: list[str]) -> list[float]:
    """Ask for each path, one after the other on one connection; return how long each took, in milliseconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    took = []
    for path in paths:
        began = time.perf_counter()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        took.append((time.perf_counter() - began) * 1000)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body.decode()}")
    connection.close()
    return took


def timed_together(port: int, headers: dict[str, str], paths: list[str]) -> list[float]:
    """As `timed`, by several callers at once."""
    found: list[float] = []
    callers = [
        threading.Thread(target=lambda mine=paths[n::TOGETHER]: found.extend(timed(port, headers, mine)))
        for n in range(TOGETHER)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    if len(found) != len(paths):
        raise RuntimeError(f"{len(found)} of {len(paths)} reads were answered")
    return found
