"""The programme's calendar: lengths of time, spans of the calendar, and when points expire. Pure."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

_LENGTHS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
_MONTHS = {"month": 1, "year": 12}
MOST = 3660
"""Days, months or years: enough for any programme, and far from the end of the calendar."""

ENDS: Mapping[str, int] = {"end_of_month": 1, "end_of_quarter": 3, "end_of_year": 12}
"""Part of the calendar whose end is meant -> its months."""


def parse_length(text: str) -> timedelta:
    """Return a length of time: "14 days" is fourteen times 24 hours, whatever the clocks do meanwhile.

    Raises:
        ValueError: not such a text.
    """
    count, unit = _count_and_unit(text)
    if unit not in _LENGTHS:
        raise ValueError(f"{text!r} is not a length of time: write 30 minutes, 12 hours or 14 days")
    return count * _LENGTHS[unit]


@dataclass(frozen=True, slots=True)
class Span:
    """So many days or months on the calendar."""

    months: int
    days: int

    @classmethod
    def parse(cls, text: str) -> Span:
        """Return "90 days", "12 months" or "2 years".

        Raises:
            ValueError: not such a text.
        """
        count, unit = _count_and_unit(text)
        if unit not in (*_MONTHS, "day") or not 0 < count <= MOST:
            raise ValueError(f"{text!r} is not a span of the calendar: write 90 days, 12 months or 2 years")
        months = count * _MONTHS.get(unit, 0)
        return cls(months, 0 if months else count)

    def after(self, there: datetime) -> datetime:
        """Return the time on the wall this much later; of a month without that day its last one."""
        there += timedelta(days=self.days)
        year, month = divmod(there.year * 12 + there.month - 1 + self.months, 12)
        day = min(there.day, calendar.monthrange(year, month + 1)[1])
        return there.replace(year=year, month=month + 1, day=day)

    def before(self, there: datetime) -> datetime:
        """Return the time on the wall this much earlier, by the same rule."""
        return Span(-self.months, -self.days).after(there)


NO_SPAN = Span(0, 0)


@dataclass(frozen=True, slots=True)
class Rolling:
    """Points expire so many calendar days or months after they were earned.

    Attributes:
        end: of `ENDS`: they stay until that part of the calendar is over; empty: to the minute.
    """

    span: Span
    end: str = ""

    @classmethod
    def parse(cls, text: str) -> Rolling:
        """Return the rule for "90 days", "12 months" or "2 years", to the minute.

        Raises:
            ValueError: not such a text.
        """
        return cls(Span.parse(text))

    def after(self, at: datetime, zone: ZoneInfo) -> datetime:
        """Return the first instant, in UTC, at which points earned `at` can no longer be spent.

        The clock on the wall of `zone` counts: 12 months after 31 January 10:00 is 31 January 10:00. A time that
        the clocks leap over is taken with the offset before the leap; of one they show twice the first counts.
        """
        there = self.span.after(on_the_wall(at, zone))
        return instant(end_of(there, self.end) if self.end else there, zone)


@dataclass(frozen=True, slots=True)
class Fixed:
    """Points expire when the next of these days of the year is over.

    Attributes:
        days: (month, day), in order; 29 February is 28 in other years.
        at_least: points live that long: a day that comes sooner is passed over.
    """

    days: tuple[tuple[int, int], ...]
    at_least: Span = NO_SPAN

    @classmethod
    def parse(cls, days: list[str], at_least: Span) -> Fixed:
        """Return the rule for days written as "12-31".

        Raises:
            ValueError: there is no such day.
        """
        if not days:
            raise ValueError("write one day of the year or more: [12-31]")
        found: set[tuple[int, int]] = set()
        for text in days:
            match = re.fullmatch(r"(\d\d)-(\d\d)", str(text))
            try:
                if match is None:
                    raise ValueError
                day = date(2028, int(match[1]), int(match[2]))  # a leap year
            except ValueError:
                raise ValueError(f"{text!r} is not a day of the year: write 12-31") from None
            found.add((day.month, day.day))
        return cls(tuple(sorted(found)), at_least)

    def after(self, at: datetime, zone: ZoneInfo) -> datetime:
        """As `Rolling.after`."""
        earliest = self.at_least.after(on_the_wall(at, zone))
        ends = (_over(year, *day) for year in (earliest.year, earliest.year + 1) for day in self.days)
        return instant(next(end for end in ends if end > earliest), zone)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Points expire when the month, quarter or year in which they were earned is over, or `plus` of them later."""

    end: str
    plus: int = 0

    def after(self, at: datetime, zone: ZoneInfo) -> datetime:
        """As `Rolling.after`."""
        over = end_of(on_the_wall(at, zone), self.end)
        return instant(Span(self.plus * ENDS[self.end], 0).after(over), zone)


@dataclass(frozen=True, slots=True)
class Inactivity:
    """All points of a wallet expire when their owner has done nothing for so long. No lot has a date of its own."""

    span: Span

    def after(self, at: datetime, zone: ZoneInfo) -> None:
        """As `Rolling.after`: never by date."""

    def over(self, last: datetime, zone: ZoneInfo) -> datetime:
        """Return the instant at which points are over whose owner was active `last`."""
        return instant(self.span.after(on_the_wall(last, zone)), zone)

    def latest(self, now: datetime, zone: ZoneInfo) -> datetime:
        """Return an instant no earlier than any last activity whose points are over `now`; `over` decides."""
        return instant(self.span.before(on_the_wall(now, zone)) + timedelta(days=4), zone)


Expiry = Rolling | Fixed | Calendar | Inactivity
"""When points of a wallet expire."""


def on_the_wall(at: datetime, zone: ZoneInfo) -> datetime:
    """Return what the clock on the wall of `zone` shows."""
    return at.astimezone(zone).replace(tzinfo=None)


def instant(there: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant, in UTC, at which the clock on the wall of `zone` first shows this time."""
    return there.replace(tzinfo=zone, fold=0).astimezone(UTC)


def end_of(there: datetime, end: str) -> datetime:
    """Return the midnight that ends the month, quarter or year (of `ENDS`) of a time on the wall."""
    months = ENDS[end]
    index = ((there.year * 12 + there.month - 1) // months + 1) * months
    return datetime(index // 12, index % 12 + 1, 1)  # noqa: DTZ001 - a time on the wall has no zone


def _over(year: int, month: int, day: int) -> datetime:
    """Return the midnight that ends a day of a year."""
    last = min(day, calendar.monthrange(year, month)[1])
    return datetime(year, month, last) + timedelta(days=1)  # noqa: DTZ001 - as above


def parse_moment(text: str) -> tuple[date, datetime | None]:
    """Return the day of "2026-11-01" or "2026-11-01 18:00", and the time on the wall where there is one.

    Raises:
        ValueError: not such a text.
    """
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d))?", text.strip())
    try:
        if match is None:
            raise ValueError
        day = date.fromisoformat(match[1])
        time = datetime.fromisoformat(f"{match[1]} {match[2]}") if match[2] else None
    except ValueError:
        raise ValueError(f"{text!r} is not a day: write 2026-11-01, or 2026-11-01 18:00") from None
    return day, time


@dataclass(frozen=True, slots=True)
class Period:
    """What is measured for a level: the last so many calendar months, or, with `months` 0, this calendar year."""

    months: int

    @classmethod
    def parse(cls, text: str) -> Period:
        """Return the period for "12 months" or "1 year".

        Raises:
            ValueError: not such a text.
        """
        return cls(Span.parse(text).months or _refuse(text))

    def start(self, at: datetime, zone: ZoneInfo) -> datetime:
        """Return the first instant that counts at `at`. What happened N months before to the microsecond does not."""
        there = at.astimezone(zone).replace(tzinfo=None)
        if not self.months:
            return _first_of(there.year, 1, zone)
        year, month = divmod(there.year * 12 + there.month - 1 - self.months, 12)
        day = min(there.day, calendar.monthrange(year, month + 1)[1])
        then = there.replace(year=year, month=month + 1, day=day, tzinfo=zone, fold=0)
        return then.astimezone(UTC) + timedelta(microseconds=1)

    def end(self, since: datetime, zone: ZoneInfo) -> datetime:
        """Return when the period is over that a level reached at `since` is good for."""
        if not self.months:
            return _first_of(since.astimezone(zone).year + 1, 1, zone)
        return Rolling(Span(self.months, 0)).after(since, zone)


def next_month(at: datetime, zone: ZoneInfo) -> datetime:
    """Return when the month after that of `at` begins in `zone`."""
    year, month = divmod(at.astimezone(zone).year * 12 + at.astimezone(zone).month, 12)
    return _first_of(year, month + 1, zone)


def _first_of(year: int, month: int, zone: ZoneInfo) -> datetime:
    return datetime(year, month, 1, tzinfo=zone).astimezone(UTC)


def _refuse(text: str) -> int:
    raise ValueError(f"{text!r} is not a period: write 12 months or 1 year")


def _count_and_unit(text: str) -> tuple[int, str]:
    match = re.fullmatch(r"(\d{1,6}) +([a-z]+?)s?", text.strip())
    return (int(match[1]), match[2]) if match else (0, "")
