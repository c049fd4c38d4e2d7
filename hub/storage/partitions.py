"""Tables that are cut by the month on PostgreSQL, so that what is past its time goes as a file and not row by row.

The month stands in the key itself: a webhook's id begins with it (`2026110000046253`), and a delivery's id is a UUIDv7,
whose first 48 bits are milliseconds. So every look-up by key goes to one month, and no key is wider for it.

    <table>_before     what was there before the table was cut, and what is numbered without a month
    <table>_2026_11    one month; this one and the next are always there
    <table>_default    keys of months that are not there; `ensure` takes them to their month

What must be unique besides the key is unique within its month: PostgreSQL keeps no index across months. SQLite has one
table, and the same statements.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.storage.tables import attempt, inbox, inbox_body

Month = tuple[int, int]
"""Year and month, in UTC."""

IN_MONTH = 10**10
"""Numbers of one month of the inbox. It counts on through the months; its sequence lasts for as many webhooks."""
AHEAD = 1
"""Months that are made before they begin."""
ENSURING = sa.text("SELECT pg_advisory_xact_lock(7012, 1)")
"""One process at a time makes months."""

_NAME = re.compile(r"_(\d{4})_(\d{2})$")


def first_number(month: Month) -> int:
    """Return the first id of a month of the inbox."""
    return (month[0] * 100 + month[1]) * IN_MONTH


FIRST_NUMBER = first_number((2000, 1))
"""Lower ids are plain numbers: of before, or of SQLite."""


def first_uuid(month: Month) -> str:
    """Return the lowest UUIDv7 of a month."""
    milliseconds = int(datetime(*month, 1, tzinfo=UTC).timestamp()) * 1000
    return str(UUID(int=milliseconds << 80))


def _month_of_number(id_: int) -> Month:
    return divmod(id_ // IN_MONTH, 100)


def _month_of_uuid(id_: str) -> Month:
    return month_of(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=UUID(id_).int >> 80))


def month_of(at: datetime) -> Month:
    """Return the month of an aware time."""
    utc = at.astimezone(UTC)
    return utc.year, utc.month


def after(month: Month, months: int = 1) -> Month:
    """Return the month so many months later."""
    year, number = divmod(month[0] * 12 + month[1] - 1 + months, 12)
    return year, number + 1


@dataclass(frozen=True, slots=True)
class Cut:
    """A table that is cut by the month.

    Attributes:
        key: the column that says which.
        first: month -> the lowest key of it.
        of: key -> its month.
        unique: columns that are unique within a month.
    """

    table: sa.Table
    key: str
    first: Callable[[Month], Any]
    of: Callable[[Any], Month]
    unique: tuple[str, ...] = ()

    def name(self, month: Month) -> str:
        return f"{self.table.name}_{month[0]:04}_{month[1]:02}"


CUT = (
    Cut(inbox, "id", first_number, _month_of_number, ("connection", "delivery_id")),
    Cut(inbox_body, "id", first_number, _month_of_number),
    Cut(attempt, "outbox", first_uuid, _month_of_uuid),
)


def months(connection: sa.Connection, table: sa.Table) -> list[Month]:
    """Return the months of a table that are there, oldest first; none on SQLite."""
    if connection.dialect.name != "postgresql":
        return []
    children = sa.text(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = to_regclass(:name)"
    )
    names = connection.scalars(children, {"name": table.name})
    return sorted((int(found[1]), int(found[2])) for name in names if (found := _NAME.search(name)))


def missing(connection: sa.Connection, now: datetime) -> list[str]:
    """Return the months that should be there and are not, by the names of their tables."""
    if connection.dialect.name != "postgresql":
        return []
    return [cut.name(month) for cut in CUT for month in _wanted(connection, cut, now)]


def astray(connection: sa.Connection) -> list[str]:
    """Return the tables with rows whose month is not there."""
    if connection.dialect.name != "postgresql":
        return []
    names = [f"{cut.table.name}_default" for cut in CUT]
    return [name for name in names if connection.scalar(sa.text(f"SELECT EXISTS (SELECT 1 FROM {name})"))]  # noqa: S608


def ensure(connection: sa.Connection, now: datetime, cuts: tuple[Cut, ...] = CUT) -> list[str]:
    """Make the months that should be there, and those of rows astray; return the names of the new tables.

    Nobody who writes waits for it: a month is filled beside the table and attached when it is whole.
    """
    if connection.dialect.name != "postgresql":
        return []
    connection.execute(ENSURING)
    made = []
    for cut in cuts:
        made += [_make(connection, cut, month) for month in _wanted(connection, cut, now)]
        made += [_make(connection, cut, month) for month in _months_astray(connection, cut, now)]
    return made


def drop(connection: sa.Connection, table: sa.Table, month: Month) -> None:
    """Take a month away, with all its rows."""
    name = f"{table.name}_{month[0]:04}_{month[1]:02}"
    connection.execute(sa.text(f"ALTER TABLE {table.name} DETACH PARTITION {name}"))
    connection.execute(sa.text(f"DROP TABLE {name}"))


def over(connection: sa.Connection, table: sa.Table, before: datetime) -> list[Month]:
    """Return the months of a table that ended before a time, oldest first."""
    return [month for month in months(connection, table) if datetime(*after(month), 1, tzinfo=UTC) <= before]


def _wanted(connection: sa.Connection, cut: Cut, now: datetime) -> list[Month]:
    """Return the months that should be there and are not. What is of before needs none."""
    ends = sa.text("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = to_regclass(:name)")
    bound = connection.scalar(ends, {"name": f"{cut.table.name}_before"}) or ""
    begins = cut.of(type(cut.first((2000, 1)))(bound.rpartition("('")[2].partition("'")[0]))
    there = months(connection, cut.table)
    near = (after(month_of(now), ahead) for ahead in range(AHEAD + 1))
    return [month for month in near if month not in there and month >= begins]


def _months_astray(connection: sa.Connection, cut: Cut, now: datetime) -> Iterator[Month]:
    """Yield the months of rows astray, one after the other as the caller takes the rows away.

    Keys that are of no time near ours stay where they are.
    """
    lowest = sa.text(f"SELECT {cut.key} FROM {cut.table.name}_default ORDER BY 1 LIMIT 1")  # noqa: S608
    seen: set[Month] = set()
    while (key := connection.scalar(lowest)) is not None:
        month = cut.of(key if isinstance(key, int) else str(key))
        if month in seen or not (2000, 1) <= month <= after(month_of(now), 24) or not 1 <= month[1] <= 12:
            return
        seen.add(month)
        yield month


def _make(connection: sa.Connection, cut: Cut, month: Month) -> str:
    name, parent = cut.name(month), cut.table.name
    low, high = cut.first(month), cut.first(after(month))
    begins, ends = (repr(key) if isinstance(key, int) else f"'{key}'" for key in (low, high))
    within = f"{cut.key} >= {begins} AND {cut.key} < {ends}"
    for statement in (
        f"CREATE TABLE {name} (LIKE {parent} INCLUDING ALL)",
        *([f"CREATE UNIQUE INDEX {name}_once ON {name} ({', '.join(cut.unique)})"] if cut.unique else []),
        f"WITH astray AS (DELETE FROM {parent}_default WHERE {within} RETURNING *) INSERT INTO {name} SELECT * FROM astray",  # noqa: S608
        f"ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ({begins}) TO ({ends})",
    ):
        connection.exec_driver_sql(statement)
    return name
