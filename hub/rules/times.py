"""The programme's calendar: when pending points become active, and when points expire. Pure."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_LENGTHS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
_MONTHS = {"month": 1, "year": 12}
MOST = 3660
"""Days, months or years: enough for any programme, and far from the end of the calendar."""


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
class Rolling:
    """Points expire so many calendar days or months after they were earned.

    Attributes:
        end_of_month: they stay until that month is over in the programme's zone.
    """

    months: int
    days: int
    end_of_month: bool

    @classmethod
    def parse(cls, text: str, *, end_of_month: bool) -> Rolling:
        """Return the rule for "90 days", "12 months" or "2 years".

        Raises:
            ValueError: not such a text.
        """
        count, unit = _count_and_unit(text)
        if unit not in (*_MONTHS, "day") or not 0 < count <= MOST:
            raise ValueError(f"{text!r} is not a span of the calendar: write 90 days, 12 months or 2 years")
        months = count * _MONTHS.get(unit, 0)
        return cls(months, 0 if months else count, end_of_month)

    def after(self, at: datetime, zone: ZoneInfo) -> datetime:
        """Return the first instant, in UTC, at which points earned `at` can no longer be spent.

        The clock on the wall of `zone` counts: 12 months after 31 January 10:00 is 31 January 10:00, of a month
        without that day its last one. A time that the clocks leap over is taken with the offset before the leap;
        of one they show twice the first counts.
        """
        there = at.astimezone(zone).replace(tzinfo=None) + timedelta(days=self.days)
        year, month = divmod(there.year * 12 + there.month - 1 + self.months, 12)
        day = min(there.day, calendar.monthrange(year, month + 1)[1])
        there = there.replace(year=year, month=month + 1, day=day)
        if self.end_of_month:
            first = there.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            there = (first + timedelta(days=31)).replace(day=1)
        return there.replace(tzinfo=zone, fold=0).astimezone(UTC)


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
        return cls(Rolling.parse(text, end_of_month=False).months or _refuse(text))

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
        return Rolling(self.months, 0, end_of_month=False).after(since, zone)


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
