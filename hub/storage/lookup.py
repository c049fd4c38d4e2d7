"""A SELECT by many keys, in one step.

SQLite's driver lets go of the interpreter's lock at every row it fetches, and each time has to get it back from the
threads that accept webhooks. So there the keys go in as one JSON text and the rows come out as one; that also spares
SQLAlchemy's work for each key and row, which was a tenth of what an event costs (measured 2026-11).
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Collection
from typing import Any

import msgspec
import sqlalchemy as sa

MOST_KEYS = 10_000
"""Keys of one statement on PostgreSQL, which takes 65,535 parameters."""
MOST_TUPLES = 1_000
"""Of keys that are tuples: PostgreSQL 15 nests them, and 10,000 exceed its stack (seen 2026-11)."""

_KEYS: sa.BindParameter[str] = sa.bindparam("keys", type_=sa.Text())


class Lookup:
    """Finds rows. Make it once, where statements are constants: it remembers how it is compiled.

    Args:
        statement: selects columns; it may have parameters.
        by: the column that the keys are values of; several: the keys are tuples.
    """

    def __init__(self, statement: sa.Select[Any], *by: sa.ColumnElement[Any]) -> None:
        self._statement = statement
        self._by: Any = by[0] if len(by) == 1 else sa.tuple_(*by)
        self._width = len(by)
        self._compiled: _Compiled | None = None

    def __call__(self, connection: sa.Connection, keys: Collection[Any], **parameters: Any) -> list[Any]:
        """Return the rows of these keys, as tuples with names; in the statement's order, if it has one."""
        wanted = sorted(keys)
        if not wanted:
            return []
        if connection.dialect.name == "sqlite":
            compiled = self._compiled = self._compiled or self._compile(connection.dialect)
            return compiled.rows(connection, {**parameters, "keys": msgspec.json.encode(wanted).decode()})
        rows: list[Any] = []
        most = MOST_KEYS if self._width == 1 else MOST_TUPLES
        for start in range(0, len(wanted), most):
            statement = self._statement.where(self._by.in_(wanted[start : start + most]))
            rows += connection.execute(statement, parameters).all()
        return rows

    def _compile(self, dialect: sa.Dialect) -> _Compiled:
        parts = (
            ["value"] if self._width == 1 else [f"json_extract(value, '$[{n}]')" for n in range(self._width)]
        )
        given: Any = sa.select(*map(sa.literal_column, parts)).select_from(sa.func.json_each(_KEYS))
        return _Compiled(self._statement.where(self._by.in_(given)), dialect)


class _Compiled:
    """A lookup in SQLite's words."""

    def __init__(self, statement: sa.Select[Any], dialect: sa.Dialect) -> None:
        found = statement.subquery("found")
        values = [_plain(column) for column in found.c]
        wrapped = sa.select(sa.func.json_group_array(sa.func.json_array(*values)))
        compiled: Any = wrapped.compile(dialect=dialect)
        self._sql: str = compiled.string
        self._parameters = [
            (
                name,
                compiled.binds[name].value,
                compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect),
            )
            for name in compiled.positiontup
        ]
        self._found = _found_type([column.name for column in found.c])
        self._converts = [
            (place, convert)
            for place, column in enumerate(found.c)
            if (convert := _reader(column.type, dialect))
        ]

    def rows(self, connection: sa.Connection, given: dict[str, Any]) -> list[Any]:
        parameters = []
        for name, default, convert in self._parameters:
            value = given.get(name, default)
            parameters.append(convert(value) if convert else value)
        text = connection.exec_driver_sql(self._sql, tuple(parameters)).scalar_one()
        found: list[list[Any]] = msgspec.json.decode(text)
        for place, convert in self._converts:
            for values in found:
                if values[place] is not None:
                    values[place] = convert(values[place])
        return [self._found(*values) for values in found]


def _found_type(names: list[str]) -> Any:
    return namedtuple("Found", names)  # noqa: PYI024 - its names are known at run time only


def _plain(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return a column as JSON can hold it."""
    if isinstance(column.type, sa.LargeBinary):
        return sa.case((column.is_(None), None), else_=sa.func.hex(column))
    return sa.type_coerce(column, sa.Text())


def _reader(type_: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Callable[[Any], Any] | None:
    """Return what makes of a JSON value what the column holds."""
    if isinstance(type_, sa.LargeBinary):
        return bytes.fromhex
    reader: Callable[[Any], Any] | None = type_.dialect_impl(dialect).result_processor(dialect, None)
    return reader
