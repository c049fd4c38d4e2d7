"""The engine of one process: a few threads beside the web server.

Work lies in the database; the bells here only save waiting. A bell that is lost (a crash, another process)
costs at most `SWEEP_S`, because every loop looks again by itself.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog

from hub import housekeeping, pipeline, upkeep
from hub.storage import is_conflict

if TYPE_CHECKING:
    from hub.hub import Hub

SWEEP_S = 2.0
"""Seconds after which a loop looks for work without a bell."""

log = structlog.get_logger()


class Loop:
    """Calls `work` until there is none, then waits for the bell or the sweep.

    Args:
        work: does a bounded piece and returns how much it found; 0 lets the loop rest.
    """

    def __init__(self, name: str, work: Callable[[], int], every_s: float = SWEEP_S) -> None:
        self._work = work
        self._every_s = every_s
        self._bell = threading.Event()
        self._resting = threading.Event()
        self._staying = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ring(self) -> None:
        """Say that there is work."""
        self._resting.clear()
        self._bell.set()

    def ring_and_stay(self, timeout_s: float) -> None:
        """Say that there is work, and stay until it is done; whoever comes while somebody stays goes at once."""
        self.ring()
        if self._staying.acquire(blocking=False):
            try:
                self._resting.wait(timeout_s)
            finally:
                self._staying.release()

    def stop(self, timeout_s: float) -> None:
        """Finish the piece at hand and end."""
        self._stopping.set()
        self._bell.set()
        self._resting.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stopping.is_set():
            self._bell.clear()
            try:
                found = self._work()
                pause_s = 0.0
            except sa.exc.OperationalError as error:
                found = 0
                if is_conflict(error):  # nothing happened, and the other side is through
                    pause_s = random.uniform(0.001, 0.02)
                    log.info(
                        "a transaction is tried again", action="transaction_again", loop=self._thread.name
                    )
                else:
                    pause_s = min(max(2 * pause_s, 0.1), 10.0)
                    log.warning(
                        "the database is away",
                        action="database_away",
                        loop=self._thread.name,
                        error=str(error.orig),
                    )
            except Exception:
                pause_s = min(max(2 * pause_s, 0.1), 10.0)
                log.exception("a loop failed and goes on", action="loop_error", loop=self._thread.name)
                found = 0
            if pause_s:
                self._stopping.wait(pause_s)
            elif not found:
                if not self._bell.is_set():
                    self._resting.set()
                self._bell.wait(self._every_s)


Work = Callable[["Hub"], int]

LOOPS: Mapping[str, tuple[Work, float]] = {
    "inbox": (pipeline.process, SWEEP_S),
    "journal": (pipeline.catch_up, SWEEP_S),
    "housekeeping": (housekeeping.sweep, 5.0),
    "upkeep": (upkeep.run_due, 5.0),
}
"""Kind of work -> what does a bounded piece of it, and the seconds after which its loop looks by itself."""


class LocalEngine:
    """Threads that process, catch up, keep house, ask platforms and deliver.

    Args:
        hub: whose work it is.
        loops: which kinds of work are done here.
        deliver: connections whose deliveries are made here; None is all.
    """

    def __init__(
        self,
        hub: Hub,
        loops: Mapping[str, tuple[Work, float]] = LOOPS,
        deliver: Collection[str] | None = None,
    ) -> None:
        self._hub = hub
        self._started = False
        self._deliver = deliver
        self._loops = {
            kind: Loop(f"hub-{kind}", partial(work, hub), every_s) for kind, (work, every_s) in loops.items()
        }

    def start(self) -> None:
        """Start every thread."""
        self._started = True
        if "upkeep" in self._loops:
            upkeep.plan(self._hub)
        if self._deliver is None or self._deliver:
            self._hub.deliverer.start(self._deliver)
        for loop in self._loops.values():
            loop.start()

    def ring_inbox(self) -> None:
        """A webhook was stored."""
        self.ring("inbox")

    def ring_journal(self) -> None:
        """An event became ready."""
        self.ring("journal")

    def ring_upkeep(self) -> None:
        """A platform is to be asked now."""
        self.ring("upkeep")

    def ring_outbox(self) -> None:
        """A delivery was written."""
        self._hub.deliverer.wake()

    def ring(self, kind: str) -> None:
        """There is work of a kind; nothing happens where it is not done here."""
        if kind in self._loops:
            self._loops[kind].ring()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Finish what is at hand; the rest waits in the database."""
        if not self._started:
            return
        for loop in self._loops.values():
            loop.stop(timeout_s)
        if self._deliver is None or self._deliver:
            self._hub.deliverer.stop(timeout_s)
