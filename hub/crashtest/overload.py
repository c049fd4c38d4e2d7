"""More than a hub can take: many times the rate at which it keeps up, on connections that never wait their turn.

A process of its own sends, over far more connections than rows may wait for a commit. Besides there are connections that
say nothing, and some that dribble: neither may keep anybody out.
"""

from __future__ import annotations

import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

from hub.crashtest.judge import OUT, judge
from hub.crashtest.sender import Platform
from hub.crashtest.site import Site, site
from hub.crashtest.storm import Load, open_files

TIMES = 10
"""How many times the rate at which everything keeps up is offered."""
CONNECTIONS = 2000
"""Requests under way at once: about twice the rows that may wait for a commit."""
PROBE_ORDERS = 300
"""Orders by which the rate is found at which everything, calls included, keeps up."""
GROWTH_KB = 300_000
"""How much more memory the hub may use under it: 3 KB for each connection that says nothing and 28 KB for each with a request
in it (33 and 62 MB, measured 2026-11), SQLite's pages (80 MB), the bodies that wait for their commit."""
DRIBBLERS = 200
SPARE = 500
"""File descriptors that are left for other things."""
EVERY_S = 0.25


def overload(
    *,
    seed: int = 1,
    postgresql: str = "",
    seconds: float = 60.0,
    idle: int = 10_000,
    connections: int = CONNECTIONS,
) -> int:
    """Offer ten times the sustainable rate beside idle and dribbling connections; what is answered with 2xx must be there.

    Args:
        seed: of the orders.
        postgresql: a server's address; empty is SQLite.
        seconds: how long.
        idle: connections that say nothing; as many as the limit of open files allows.
        connections: of the sender.
    """
    wrong: list[str] = []
    lines = min(idle, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE - connections - DRIBBLERS)
    loads: list[Load] = []
    told: dict[str, float] = {}

    def hurt(hub: Site, platform: Platform) -> float:
        open_files()
        hub.start()
        hub.web.wait_ready()
        began = time.monotonic()
        platform.flood(PROBE_ORDERS, 1, 8)
        told["sustained"] = PROBE_ORDERS / _drain(hub, PROBE_ORDERS, began)
        before_kb = memory_kb(hub.web.pid)
        with holding(hub.web.port, lines):
            load, peak_kb = _storm(hub, seconds, connections, seed)
            loads.append(load)
        ended = time.monotonic()
        told.update(offered=sum(load.statuses.values()) / load.seconds, grown=peak_kb - before_kb)
        hub.web.wait_ready()
        if told["grown"] > GROWTH_KB:
            wrong.append(f"memory grew by {told['grown'] / 1000:.0f} MB")
        if load.impolite:
            wrong.append(f"{load.impolite} refusals without Retry-After")
        strange = {status: n for status, n in load.statuses.items() if status not in {"200", "503"}}
        if strange:
            wrong.append(f"answers that are neither 200 nor 503: {strange}")
        platform.begin_counted(load.accepted)
        return time.monotonic() - ended

    with site(postgresql=postgresql) as hub:
        status = judge(
            hub,
            f"overload of {seconds:.0f} s beside {lines} idle connections:",
            seed,
            hurt,
            steady=False,
            wrong=wrong,
        )
    if loads:
        counts = " ".join(f"{status}: {count}" for status, count in sorted(loads[0].statuses.items()))
        OUT.print(
            f"sustained {told['sustained']:.0f}/s offered {told['offered']:.0f}/s "
            f"({told['offered'] / told['sustained']:.1f} times) answers {counts} memory +{told['grown'] / 1000:.0f} MB"
        )
    return status


def _drain(hub: Site, wanted: int, since: float) -> float:
    """Wait until so many postings are told; return the seconds since a moment."""
    while len(hub.sink.calls) < wanted and time.monotonic() - since < 120:
        time.sleep(0.01)
    return time.monotonic() - since


def _storm(hub: Site, seconds: float, connections: int, seed: int) -> tuple[Load, int]:
    """Let the sending process do its work; return what it saw, and the most memory the hub used meanwhile, in KB."""
    command = [sys.executable, "-W", "ignore::RuntimeWarning:runpy", "-m", "hub.crashtest.storm", str(hub.file), str(hub.web.port), str(seconds), str(connections), str(seed)]  # fmt: skip
    peak_kb = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=hub.environment) as sender:  # noqa: S603 - ourselves
        try:
            assert sender.stdout
            with select.epoll() as poll:
                poll.register(sender.stdout, select.EPOLLIN | select.EPOLLHUP)
                while not poll.poll(EVERY_S):
                    peak_kb = max(peak_kb, memory_kb(hub.web.pid))
            return msgspec.json.decode(sender.stdout.read(), type=Load), peak_kb
        finally:
            sender.kill()


def memory_kb(pid: int) -> int:
    """Return how much memory a process has in use; 0 where the system does not tell."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


@contextmanager
def holding(port: int, idle: int) -> Iterator[None]:
    """Hold connections that say nothing, and some on which a request is begun and never ended."""
    with ExitStack() as stack:
        for number in range(idle + DRIBBLERS):
            line = stack.enter_context(socket.create_connection(("127.0.0.1", port), 30.0))
            if number >= idle:
                line.sendall(b"POST /webhooks/shop HTTP/1.1\r\nHost: shop\r\nX-Slow: ")
        yield
