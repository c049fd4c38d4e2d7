"""What goes wrong at a platform, as data: the next calls, or a share of them, by path and method."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

Kind = Literal["throttled", "expired", "down", "slow", "lost", "partial"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that goes wrong.

    Attributes:
        kind: throttled: refused for now, with the wait where the platform tells it. expired: the credentials are
            refused; access tokens had by OAuth stay so. down: 500, nothing is done. slow: done, answered after the wait.
            lost: done, the connection breaks before the answer. partial: done in part, as the platform tells that.
        path: a regular expression found in the path; empty: every path.
        method: empty: every method.
        after: calls that are let through first.
        times: how often; None: for good.
        chance: the share of the calls it strikes, drawn from the simulator's seed.
        wait_s: the seconds of throttled and slow.
    """

    kind: Kind
    path: str = ""
    method: str = ""
    after: int = 0
    times: int | None = 1
    chance: float = 1.0
    wait_s: float = 7

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no kind of trouble; valid: {', '.join(KINDS)}")

    def concerns(self, method: str, path: str) -> bool:
        return self.method in {"", method} and re.search(self.path, path) is not None


class Troubles:
    """What is in store for a platform. Of several troubles for one call the oldest strikes."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._ahead: list[_Ahead] = []

    def add(self, trouble: Trouble) -> None:
        self._ahead.append(_Ahead(trouble, trouble.after, trouble.times))

    def clear(self) -> None:
        self._ahead.clear()

    def strike(self, method: str, path: str) -> Trouble | None:
        """Return what happens to a call, and count it; None: nothing."""
        for ahead in self._ahead:
            trouble = ahead.trouble
            if ahead.left == 0 or not trouble.concerns(method, path):
                continue
            if ahead.passing:
                ahead.passing -= 1
                continue
            if trouble.chance < 1 and self._random.random() >= trouble.chance:
                continue
            if ahead.left is not None:
                ahead.left -= 1
            return trouble
        return None


@dataclass(slots=True)
class _Ahead:
    trouble: Trouble
    passing: int
    left: int | None
