"""Small work after the fact, out of everybody's way."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger()


class Aside:
    """A thread that runs `work` soon after `ring`, at most every `pause_s` seconds, and once more at `close`.

    It starts at the first ring, in the process that rings. What `work` raises is logged; the next ring
    tries again.
    """

    def __init__(self, name: str, work: Callable[[], None], pause_s: float) -> None:
        self._name = name
        self._work = work
        self._pause_s = pause_s
        self._rung = threading.Event()
        self._closing = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0

    def ring(self) -> None:
        """Ask for a run; costs nothing when one is asked for already."""
        if self._pid != os.getpid():
            self._start()
        if not self._rung.is_set():
            self._rung.set()

    def close(self) -> None:
        """Run what is left and end the thread."""
        self._closing.set()
        self._rung.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join(10)

    def _start(self) -> None:
        with self._starting:
            if self._pid == os.getpid():
                return
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
            self._pid = os.getpid()

    def _run(self) -> None:
        closing = False
        while not closing:
            self._rung.wait()
            self._rung.clear()
            closing = self._closing.is_set()
            try:
                self._work()
            except Exception:
                log.exception("work beside the requests failed", action="aside_error", thread=self._name)
            self._closing.wait(self._pause_s)
            if self._closing.is_set():
                self._rung.set()
