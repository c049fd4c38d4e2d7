"""The engine of one process: a few threads beside the web server.

Work lies in the database; the bells here only save waiting. A bell that is lost (a crash, another process)
costs at most `SWEEP_S`, because every loop looks again by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog

from hub import housekeeping, pipeline, upkeep

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
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ring(self) -> None:
        """Say that there is work."""
        self._bell.set()

    def stop(self, timeout_s: float) -> None:
        """Finish the piece at hand and end."""
        self._stopping.set()
        self._bell.set()
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
                pause_s = min(max(2 * pause_s, 0.1), 10.0)
                log.warning(
                    "the database is away",
                    action="database_away",
                    loop=self._thread.name,
                    error=str(error.orig),
                )
                found = 0
            except Exception:
                pause_s = min(max(2 * pause_s, 0.1), 10.0)
                log.exception("a loop failed and goes on", action="loop_error", loop=self._thread.name)
                found = 0
            if pause_s:
                self._stopping.wait(pause_s)
            elif not found:
                self._bell.wait(self._every_s)


class LocalEngine:
    """Threads that process, catch up, deliver, keep house and ask platforms."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._started = False
        self._process = Loop("hub-process", lambda: pipeline.process(hub))
        self._catch_up = Loop("hub-catch-up", lambda: pipeline.catch_up(hub))
        self._keep_house = Loop("hub-housekeeping", lambda: housekeeping.sweep(hub), every_s=5.0)
        self._upkeep = Loop("hub-upkeep", lambda: upkeep.run_due(hub), every_s=5.0)

    def start(self) -> None:
        """Start every thread."""
        self._started = True
        upkeep.plan(self._hub)
        self._hub.deliverer.start()
        for loop in self._loops:
            loop.start()

    @property
    def _loops(self) -> tuple[Loop, ...]:
        return self._process, self._catch_up, self._keep_house, self._upkeep

    def ring_inbox(self) -> None:
        """A webhook was stored."""
        self._process.ring()

    def ring_journal(self) -> None:
        """An event became ready."""
        self._catch_up.ring()

    def ring_upkeep(self) -> None:
        """A platform is to be asked now."""
        self._upkeep.ring()

    def ring_outbox(self) -> None:
        """A delivery was written."""
        self._hub.deliverer.wake()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Finish what is at hand; the rest waits in the database."""
        if not self._started:
            return
        for loop in self._loops:
            loop.stop(timeout_s)
        self._hub.deliverer.stop(timeout_s)
