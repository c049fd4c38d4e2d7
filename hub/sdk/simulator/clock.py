"""A clock that stands still until it is told to go on, and does on its way what was put off. Nothing sleeps."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

MONTH_S = 31 * 86_400.0
"""No platform tries for longer."""


class Clock:
    """Virtual time. Things due at the same time are done in the order in which they were put off.

    Attributes:
        now: aware UTC.
    """

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = count()

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Have something done in so many seconds of this clock."""
        heapq.heappush(self._agenda, (self.now + timedelta(seconds=seconds), next(self._order), do))

    def advance(self, seconds: float) -> None:
        """Let time pass, doing what comes due on the way; what that puts off may come due as well."""
        until = self.now + timedelta(seconds=seconds)
        while self._agenda and self._agenda[0][0] <= until:
            self.now, _, do = heapq.heappop(self._agenda)
            do()
        self.now = until

    def settle(self) -> None:
        """Let time pass until nothing is put off any more.

        Raises:
            RuntimeError: there still is after a month.
        """
        until = self.now + timedelta(seconds=MONTH_S)
        while self._agenda:
            if self._agenda[0][0] > until:
                raise RuntimeError("after a month something is still put off: it puts itself off for ever")
            self.now, _, do = heapq.heappop(self._agenda)
            do()
