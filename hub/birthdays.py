"""Birthdays, as platforms tell them: in the attribute `birthday` of a member."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import sqlalchemy as sa

from hub.storage import Many
from hub.storage.tables import birthday

Day = tuple[str, int | None]
"""("02-29", 1988); the year is None where it was not told."""


def parse(text: str) -> Day | None:
    """Return the day of "1988-02-29", "02-29" or "--02-29"; None where it is no day."""
    match = re.fullmatch(r"(?:(\d{4})-|--)?(\d\d)-(\d\d)(?:T.*)?", text.strip())
    try:
        return match and (
            f"{date(int(match[1] or 2028), int(match[2]), int(match[3])):%m-%d}",
            int(match[1]) if match[1] else None,
        )
    except ValueError:
        return None


def remember(connection: sa.Connection, told: Mapping[str, Day]) -> None:
    """Keep what was told of members; the latest wins."""
    rows = [{"member": member, "day": day, "year": year} for member, (day, year) in sorted(told.items())]
    _PUT(connection, rows)


def on(connection: sa.Connection, day: date, after: str, limit: int) -> list[tuple[str, int | None]]:
    """Return members whose birthday it is, each with the year where it is known; by id, from `after` on."""
    query = (
        sa.select(birthday.c.member, birthday.c.year)
        .where(birthday.c.day.in_(recalled(day)), birthday.c.member > after)
        .order_by(birthday.c.member)
        .limit(limit)
    )
    return [(row.member, row.year) for row in connection.execute(query)]


def recalled(day: date) -> list[str]:
    """Return the days of the year that are kept on a day: 28 February is also for those of the 29th, in other years."""
    leap_day = (day.month, day.day) == (2, 28) and not calendar.isleap(day.year)
    return [f"{day:%m-%d}", *(["02-29"] if leap_day else [])]


def _put(insert: Callable[[sa.Table], Any]) -> Any:
    statement = insert(birthday)
    changed = {"day": statement.excluded.day, "year": statement.excluded.year}
    return statement.on_conflict_do_update(index_elements=["member"], set_=changed)


_PUT = Many(_put)
