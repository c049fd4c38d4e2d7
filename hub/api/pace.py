"""How fast each token may ask: a bucket of requests for each, in every serving process for itself."""

from __future__ import annotations

from hub.clock import Clock
from hub.connections import Rate
from hub.http.rate import Bucket


class Pace:
    """The buckets of all tokens.

    Args:
        rate: of each token.
        clock: aware UTC.
    """

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._rate, self._clock = rate, clock
        self._buckets: dict[str, Bucket] = {}

    def wait_s(self, token: str) -> float:
        """Take a request of a token and return 0; or return in how many seconds there is one again."""
        bucket = self._buckets.get(token)
        if bucket is None:
            bucket = self._buckets.setdefault(token, Bucket(self._rate, self._clock))
        return bucket.spend()
