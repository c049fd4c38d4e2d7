"""What rules remember of the past: counters by rule and period, as plain values. Pure; `hub.usage` keeps them.

A counter is found by its name (a rule's id, `campaign/advent`, `wallet/beans`) and its period ("2026-11-25",
"2026-W48", "2026-11", "2026", "ever"; "all": of all members together). Periods are those in which the event
occurred, by the calendar of the programme's zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

Key = tuple[str, str]
"""(name, period)."""

ALL = "all"
"""The period of counters that all members share."""


class Used(NamedTuple):
    """What a counter says, or what is added to it.

    Attributes:
        points: given so far.
        times: how often something was given.
        marks: other things to remember (a streak's days), replaced as a whole; None: as they are.
    """

    points: int = 0
    times: int = 0
    marks: str | None = None

    def plus(self, more: Used) -> Used:
        """Return the counter after a change."""
        marks = self.marks if more.marks is None else more.marks
        return Used(self.points + more.points, self.times + more.times, marks)

    def __neg__(self) -> Used:
        """Return the change that takes this one back; marks stay."""
        return Used(-self.points, -self.times)


NOTHING = Used()
Usage = Mapping[Key, Used]
"""Counters; one that is not there is at nothing."""

PERIODS: Mapping[str, Callable[[datetime], str]] = {
    "day": lambda there: f"{there:%Y-%m-%d}",
    "week": lambda there: "{}-W{:02}".format(*there.isocalendar()[:2]),
    "month": lambda there: f"{there:%Y-%m}",
    "year": lambda there: f"{there:%Y}",
    "ever": lambda _: "ever",
    ALL: lambda _: ALL,
}

What = Literal["points", "times"]

CAPS: Mapping[str, tuple[str, What]] = {
    "per_event": ("", "points"),
    **{f"per_member_{period}": (period, "points") for period in ("day", "week", "month", "year", "ever")},
    **{f"times_per_{period}": (period, "times") for period in ("day", "week", "month", "year")},
    "times_per_member": ("ever", "times"),
    "per_campaign": (ALL, "points"),
    "times_per_campaign": (ALL, "times"),
}  # fmt: skip
"""Key of `caps` -> the period it counts (empty: the event alone), and what it counts."""


class Limit(NamedTuple):
    """A ceiling on one counter.

    Attributes:
        said: the key in the file, for people.
        name: of the counter.
        period: a key of PERIODS; empty: the event alone.
    """

    said: str
    name: str
    period: str
    what: What
    most: int

    def room(self, used: Used) -> int | None:
        """Return how many more points fit under it; None: any number."""
        if self.what == "points":
            return max(self.most - used.points, 0)
        return None if used.times < self.most else 0


class Ceiling(NamedTuple):
    """The most that a counter may say; None: any number."""

    points: int | None = None
    times: int | None = None

    def under(self, limit: Limit) -> Ceiling:
        """Return the ceiling with one more limit."""
        known: int | None = getattr(self, limit.what)
        return self._replace(**{limit.what: limit.most if known is None else min(known, limit.most)})


NO_CEILING = Ceiling()


class Counters:
    """The counters of one event: what was used before, and what the event adds."""

    __slots__ = ("_at", "_zone", "added", "before")

    def __init__(self, before: Usage, at: datetime, zone: ZoneInfo) -> None:
        self.before = before
        self.added: dict[Key, Used] = {}
        self._at = at
        self._zone = zone

    def key(self, name: str, period: str) -> Key:
        """Return the key of a counter in the event's own period."""
        return key_of(name, period, self._at, self._zone)

    def used(self, key: Key) -> Used:
        """Return a counter with what was added to it."""
        return self.before.get(key, NOTHING).plus(self.added.get(key, NOTHING))

    def room(self, limits: Iterable[Limit]) -> tuple[int | None, str]:
        """Return how many points fit under all limits (None: any number), and the limit that is the nearest."""
        least, nearest = None, ""
        for limit in limits:
            used = self.used(self.key(limit.name, limit.period)) if limit.period else NOTHING
            room = limit.room(used)
            if room is not None and (least is None or room < least):
                least, nearest = room, limit.said
        return least, nearest

    def add(self, key: Key, more: Used) -> None:
        """Add to a counter."""
        self.added[key] = self.added.get(key, NOTHING).plus(more)


def key_of(name: str, period: str, at: datetime, zone: ZoneInfo) -> Key:
    """Return the key of a counter in the period of `at`."""
    return name, PERIODS[period](at.astimezone(zone))
