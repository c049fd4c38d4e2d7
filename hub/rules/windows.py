"""When a rule counts: dates, days of the week, hours of the day, by the clock on the programme's wall. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hub.rules.times import instant, on_the_wall, parse_moment

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_STEP = timedelta(minutes=5)
_LONG = 400
"""Days: a window this long meets every day of the week and no clock change spoils it."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rule counts while this is open. What is not said does not limit it.

    Attributes:
        first, last: days, both included.
        opens, closes: times on the wall, where the file has them instead of whole days; `closes` is not included.
        days: of the week, Monday is 0.
        hours: (from, to) in minutes of the day, `to` not included. From 22:00 to 02:00 is a night: its second half
            belongs to the day on which it began.
    """

    first: date | None = None
    last: date | None = None
    opens: datetime | None = None
    closes: datetime | None = None
    days: frozenset[int] = frozenset()
    hours: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, value: Any) -> Window:
        """Return the window of {from, to, days, hours}.

        Raises:
            ValueError: not such a table.
        """
        if not isinstance(value, dict) or not value or value.keys() - {"from", "to", "days", "hours"}:
            raise ValueError(
                "write one or more of {from: 2026-11-01, to: 2026-12-24, days: [mon], hours: 15:00-17:00}"
            )
        first, opens = parse_moment(str(value["from"])) if "from" in value else (None, None)
        last, closes = parse_moment(str(value["to"])) if "to" in value else (None, None)
        days, hours = value.get("days", []), value.get("hours", [])
        for day in days if isinstance(days, list) else [days]:
            if day not in DAYS:
                raise ValueError(f"{day!r} is not a day of the week: write {', '.join(DAYS)} in a list")
        return cls(
            first, last, opens, closes,
            frozenset(map(DAYS.index, days)),
            tuple(map(_hours, hours if isinstance(hours, list) else [hours])),
        )  # fmt: skip

    def closed(self, at: datetime, zone: ZoneInfo) -> str:
        """Return why it is closed at an instant; empty while it is open."""
        there = on_the_wall(at, zone)
        minute = there.hour * 60 + there.minute
        hours = next((span for span in self.hours if _within(span, minute)), None)
        if self.hours and hours is None:
            return f"{there:%H:%M} is not within its hours"
        # Past midnight of a night that began the day before.
        day = there.date() - timedelta(days=hours is not None and hours[0] > hours[1] > minute)
        if self.days and day.weekday() not in self.days:
            return f"{DAYS[day.weekday()]} is not one of its days"
        if (at < instant(self.opens, zone)) if self.opens else (self.first is not None and day < self.first):
            return f"it opens {self.opens or self.first}"
        if (at >= instant(self.closes, zone)) if self.closes else (self.last is not None and day > self.last):
            return f"it closed {self.closes or self.last}"
        return ""

    def never(self, zone: ZoneInfo) -> str:
        """Return why it never opens; empty when it does."""
        if self.first is None or self.last is None or (self.last - self.first).days > _LONG:
            return ""
        if self.first > self.last or (self.opens and self.closes and self.opens >= self.closes):
            return f"it ends ({self.closes or self.last}) before it begins ({self.opens or self.first})"
        day = self.first
        while day <= self.last:
            start = instant(datetime.combine(day, time()), zone)
            if any(not self.closed(start + n * _STEP, zone) for n in range(25 * 12)):
                return ""
            day += timedelta(days=1)
        return f"none of its days and hours lies between {self.opens or self.first} and {self.closes or self.last}"


def _within(span: tuple[int, int], minute: int) -> bool:
    start, end = span
    return start <= minute < end if start < end else minute >= start or minute < end


def _hours(text: Any) -> tuple[int, int]:
    match = re.fullmatch(r"(\d\d):(\d\d) *- *(\d\d):(\d\d)", str(text))
    numbers = [int(number) for number in match.groups()] if match else []
    if not numbers or max(numbers[1::2]) > 59 or numbers[0] > 23 or numbers[2:] > [24, 0]:
        raise ValueError(f"{text!r} are not hours: write 15:00-17:00")
    start, end = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
    if start == end:
        raise ValueError(f"{text!r} never opens: it ends when it begins")
    return start, end
