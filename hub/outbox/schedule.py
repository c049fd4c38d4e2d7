"""When a failed delivery is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable

SCHEDULE_S = (5, 30, 120, 600, 1800, 7200, 18000, 36000, 72000, 86400)
"""The longest wait after the first, second, third ... failure, in seconds. After the last one: a dead letter.

Eleven tries in at most 62 hours; half of that on average."""
LONGEST_S = 86400
"""What a platform's Retry-After may ask for at most."""


def next_wait_s(
    tries: int, retry_after_s: float | None = None, uniform: Callable[[float, float], float] = random.uniform
) -> float | None:
    """Return the seconds until the next try, or None when there is none.

    Full jitter: anything up to the schedule's value, so that rows that failed together do not come back
    together. A platform's Retry-After is never undercut; the jitter then comes on top of it.

    Args:
        tries: how often it was tried, this time included; 1 or more.
        retry_after_s: the platform's own wish.
        uniform: a random number between two bounds.
    """
    if tries > len(SCHEDULE_S):
        return None
    jitter_s = uniform(0.0, float(SCHEDULE_S[tries - 1]))
    if retry_after_s is None:
        return jitter_s
    return min(LONGEST_S, max(retry_after_s + uniform(0.0, min(retry_after_s, SCHEDULE_S[0])), jitter_s))
