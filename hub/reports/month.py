"""A calendar month in the programme's zone, which is what a report is about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from hub.sdk import HubError


@dataclass(frozen=True, slots=True)
class Month:
    """A month of a zone. `end` is the first instant after it."""

    year: int
    number: int
    zone: tzinfo

    @classmethod
    def parse(cls, text: str, zone: tzinfo) -> Month:
        """Return the month "2026-11" names.

        Raises:
            HubError: it names none.
        """
        match = re.fullmatch(r"([1-9][0-9]{3})-(0[1-9]|1[0-2])", text)
        if not match or not 1971 <= int(match[1]) <= 9000:
            raise HubError(f"{text!r} is no month; write 2026-11")
        return cls(int(match[1]), int(match[2]), zone)

    @classmethod
    def of(cls, at: datetime, zone: tzinfo) -> Month:
        """Return the month in which an instant lies."""
        there = at.astimezone(zone)
        return cls(there.year, there.month, zone)

    def __str__(self) -> str:
        return f"{self.year}-{self.number:02}"

    @property
    def start(self) -> datetime:
        """The first instant of it, in UTC."""
        return datetime(self.year, self.number, 1, tzinfo=self.zone).astimezone(UTC)

    @property
    def end(self) -> datetime:
        return self.plus(1).start

    @property
    def days(self) -> tuple[str, str]:
        """Its first and its last day."""
        last = datetime(*self.plus(1)._first, tzinfo=UTC) - timedelta(days=1)  # noqa: SLF001 - of its own kind
        return f"{self}-01", f"{last:%Y-%m-%d}"

    @property
    def _first(self) -> tuple[int, int, int]:
        return self.year, self.number, 1

    def plus(self, months: int) -> Month:
        """Return the month so many later; earlier for a negative number."""
        years, index = divmod(self.number - 1 + months, 12)
        return Month(self.year + years, index + 1, self.zone)
