"""How fast a connection's calls may go."""

from __future__ import annotations

import threading
from datetime import datetime

from hub.clock import Clock
from hub.connections import Rate


class Bucket:
    """A token bucket that many threads share. Tokens may be taken in advance: the taker waits its turn.

    Args:
        rate: tokens a second, and the most that gather while nobody calls.
        clock: aware UTC; one that jumps back costs nothing but the time it jumped.
    """

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = float(rate.burst)
        self._at: datetime = clock()

    def take(self) -> float:
        """Take one token and return how many seconds to wait before using it; 0 when it is there."""
        with self._lock:
            self._tokens = self._gathered() - 1.0
            return max(0.0, -self._tokens / self._rate.per_s)

    def spend(self) -> float:
        """Take one token and return 0; where there is none take nothing, and return in how many seconds there is."""
        with self._lock:
            self._tokens = self._gathered()
            if self._tokens < 1.0:
                return (1.0 - self._tokens) / self._rate.per_s
            self._tokens -= 1.0
            return 0.0

    def _gathered(self) -> float:
        now = self._clock()
        passed_s = max(0.0, (now - self._at).total_seconds())
        self._at = now
        return min(float(self._rate.burst), self._tokens + passed_s * self._rate.per_s)
