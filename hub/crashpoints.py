"""Named places where a crash would hurt most: `HUB_CRASH_AT=after claim` kills the process the first time it gets there.

    HUB_CRASH_AT="after claim"        the first time
    HUB_CRASH_AT="after claim*3"      the third time

Only `hub crashtest` sets it. Where it is not set `here` is a function that does nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

POINTS = {
    "after bytes read": "web: a body is read, nothing is verified",
    "after verify": "web: genuine, not yet handed to the writer",
    "before inbox commit": "web: rows are written, not committed",
    "after inbox commit": "web: committed, nobody is answered",
    "before doorbell": "web: whoever waits is told, no work is rung for",
    "after doorbell": "web: work is rung for",
    "before 2xx": "web: the answer is ready and not sent",
    "after bell": "web: a message is at the broker",
    "after claim": "worker: webhooks are taken, nothing is read",
    "after mapping": "worker: read and mapped, no row of the ledger is written",
    "before fan out": "worker: posted, not committed, nobody is to be told yet",
    "before ledger commit": "worker: all is written, not committed",
    "after ledger commit": "worker: committed, nothing is rung or counted",
    "after outbox claim": "worker: deliveries are leased, none is sent",
    "mid sweep": "worker: leases that ran out are taken back, not committed",
    "before send": "worker: a delivery is about to be sent",
    "after send": "worker: it is sent, the outcome is in memory",
    "after note": "worker: the outcome is noted in the process's own file",
    "before record": "worker: outcomes are gathered, not written",
    "after record": "worker: outcomes are committed",
    "mid prune": "scheduler: the bodies of one chunk are gone",
    "after lease": "scheduler: it leads and has done nothing",
    "mid migration": "release: the migrations have run, not committed",
    "mid move": "move: a chunk is copied, others are not",
    "before move verified": "move: all is copied, nothing is compared",
}
"""Name -> which process, and what it has done by then. In this order: `mid sweep` finds the leases of the point before."""

VARIABLE = "HUB_CRASH_AT"


def _crashing(wanted: str) -> Callable[[str], None]:
    name, _, count = wanted.partition("*")
    if name not in POINTS:
        raise SystemExit(f"hub: {VARIABLE} names no crash point: {name!r}; valid: {', '.join(POINTS)}")
    left = int(count or 1)

    def here(point: str) -> None:
        nonlocal left
        if point == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return here


def _nothing(_point: str) -> None:
    """No crash is asked for."""


here: Callable[[str], None] = _crashing(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else _nothing
"""Die here when this point is asked for. On SIGKILL nothing is tidied up, as in a crash."""
