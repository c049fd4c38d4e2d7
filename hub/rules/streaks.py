"""Streaks: something done in so many days, weeks or months in a row. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from hub.rules.times import on_the_wall

UNITS: Mapping[str, Callable[[datetime], int]] = {
    "days": lambda there: there.toordinal(),
    "weeks": lambda there: (there.toordinal() - 1) // 7,
    "months": lambda there: there.year * 12 + there.month,
}
"""Unit -> the number of a time's day, week (from Monday) or month; the next one's is one more."""

MOST = 366


@dataclass(frozen=True, slots=True)
class Streak:
    """Complete when it happened in `length` of the calendar's units in a row.

    Days are those of the programme's zone: 23 or 25 hours where the clocks change.

    Attributes:
        miss: so many units in a row may be left out and do not count; one more begins it anew.
    """

    unit: str
    length: int
    miss: int = 0

    @classmethod
    def parse(cls, value: Any) -> Streak:
        """Return the streak of {days: 7}, with `miss` perhaps.

        Raises:
            ValueError: not such a table.
        """
        units = [unit for unit in UNITS if isinstance(value, dict) and unit in value]
        length, miss = (value[units[0]], value.get("miss", 0)) if len(units) == 1 else (None, 0)
        whole = all(isinstance(number, int) and not isinstance(number, bool) for number in (length, miss))
        if not whole or value.keys() - {*units, "miss"} or not (2 <= length <= MOST and 0 <= miss <= MOST):  # type: ignore[operator]
            raise ValueError(
                "write {days: 7}, weeks or months, two or more; {days: 7, miss: 1} forgives a gap of one"
            )
        assert length is not None
        return cls(units[0], length, miss)

    def step(self, marks: str | None, at: datetime, zone: ZoneInfo) -> tuple[str, int, bool]:
        """Take up one happening.

        Args:
            marks: what was remembered; None at first.
            at: when it happened; late tellers are put where they belong.
            zone: the programme's.

        Returns:
            What to remember; how long the streak is in which it lies; whether that is complete by it. A complete
            streak is used up: the next one begins after it.
        """
        done, seen = _read(marks)
        unit = UNITS[self.unit](on_the_wall(at, zone))
        if unit <= done:
            return _write(done, seen), 0, False
        seen = sorted({*seen, unit})
        run = self._run(seen, unit)
        complete = len(run) >= self.length
        if complete:
            done = run[self.length - 1]
        # Twice its length is enough to put late tellers in their place.
        kept = [each for each in seen if each > done][-2 * self.length :]
        return _write(done, kept), len(run), complete

    def _run(self, seen: list[int], unit: int) -> list[int]:
        """Return the units of the streak in which `unit` lies."""
        run: list[int] = []
        for each in seen:
            if run and each - run[-1] > self.miss + 1:
                if each > unit:
                    break
                run = []
            run.append(each)
        return run


def _read(marks: str | None) -> tuple[int, list[int]]:
    done, _, seen = (marks or "0:").partition(":")
    return int(done), [int(each) for each in seen.split(",") if each]


def _write(done: int, seen: list[int]) -> str:
    return f"{done}:{','.join(map(str, seen))}"
