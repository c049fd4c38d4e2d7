"""Takes accepted webhooks to work on: each exactly once, in order of acceptance.

The webhook's own row is the job. On SQLite the inbox is a file of its own, written by the accepting side
alone, so the place we have read to (the cursor) lies in the hub's file and moves in the same transaction as
all that the webhooks cause. On PostgreSQL many workers share the rows, ids do not commit in order, and each
worker locks the rows it takes until that transaction ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa

from hub import inbox
from hub.crashpoints import here
from hub.inbox import StoredRow
from hub.storage import Database, insert_new
from hub.storage.tables import cursor
from hub.storage.tables import inbox as inbox_table

LOOK_EVERY_S = 60.0
"""Between two looks for webhooks that were left behind."""

Transaction = Callable[[], AbstractContextManager[sa.Connection]]


class Intake(Protocol):
    """Where accepted webhooks come from."""

    def batch(self, limit: int) -> AbstractContextManager[tuple[list[StoredRow], Transaction]]:
        """Take up to `limit` webhooks, and the transaction in which they count as processed."""

    def position(self) -> int | None:
        """Return the id up to which everything is processed; None where rows themselves know."""

    def oldest(self) -> datetime | None:
        """Return when the oldest unprocessed webhook arrived; None when all are processed."""

    def waiting(self, most: int) -> tuple[int, datetime | None]:
        """Return how many webhooks are unprocessed, counted up to `most`, and when the oldest arrived."""

    def unprocessed(self, ids: Sequence[int]) -> set[int]:
        """Return which of these webhooks nobody has worked on yet."""


class Moved(Exception):
    """Another process has read on from the same place."""


class CursorIntake:
    """Reads on from a cursor: one processing loop at a time."""

    NAME = "inbox"

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def batch(self, limit: int) -> Iterator[tuple[list[StoredRow], Transaction]]:
        position = self.position()
        with self._database.read_inbox() as connection:
            rows = inbox.read_after(connection, position, limit)
        _taken(rows)

        @contextmanager
        def transaction() -> Iterator[sa.Connection]:
            here("after mapping")
            # After a power cut the cursor stands where the rest does, and the inbox, which was on the disk before anybody
            # was answered, gives the same again. Nothing leaves the hub before: whoever takes a delivery in hand, and
            # whoever answers a request, commits so that all before is on the disk too.
            with self._database.write(waits_for_disk=False) as connection:
                self._advance(connection, position, rows[-1].id)
                yield connection
                here("before ledger commit")

        yield rows, transaction

    def position(self) -> int:
        """Return the id of the last webhook that is processed; 0 before the first."""
        with self._database.read() as connection:
            return connection.scalar(sa.select(cursor.c.position).where(cursor.c.name == self.NAME)) or 0

    def oldest(self) -> datetime | None:
        return self.waiting(1)[1]

    def waiting(self, most: int) -> tuple[int, datetime | None]:
        position = self.position()
        with self._database.read_inbox() as connection:
            return _counted(connection, inbox_table.c.id > position, most)

    def unprocessed(self, ids: Sequence[int]) -> set[int]:
        position = self.position()
        return {id_ for id_ in ids if id_ > position}

    def _advance(self, connection: sa.Connection, position: int, to: int) -> None:
        if position == 0:
            start = insert_new(connection, cursor).values(name=self.NAME, position=0)
            connection.execute(start.on_conflict_do_nothing())
        here = cursor.update().where(cursor.c.name == self.NAME, cursor.c.position == position)
        if connection.execute(here.values(position=to)).rowcount != 1:
            raise Moved


class ClaimIntake:
    """Locks pending rows; any number of workers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._since, self._look_at = 0, 0.0

    @contextmanager
    def batch(self, limit: int) -> Iterator[tuple[list[StoredRow], Transaction]]:
        with self._database.write() as connection:
            rows = inbox.claim_pending(connection, limit, self._first(connection))
            _taken(rows)

            @contextmanager
            def transaction() -> Iterator[sa.Connection]:
                here("after mapping")
                yield connection
                inbox.finish(connection, rows)
                here("before ledger commit")

            yield rows, transaction

    def _first(self, connection: sa.Connection) -> int:
        """Return an id below which nothing is pending, as of a minute ago.

        Where the inbox is cut by the month a plan costs for each month it may touch: 0.5 ms with four of them and 5 ms
        with fourteen (measured 2026-11).
        """
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_EVERY_S
            self._since = inbox.pending_since(connection)
        return self._since

    def position(self) -> None:
        """Rows know by themselves whether they are processed."""

    def oldest(self) -> datetime | None:
        return self.waiting(1)[1]

    def waiting(self, most: int) -> tuple[int, datetime | None]:
        with self._database.read_inbox() as connection:
            return _counted(connection, inbox_table.c.pending, most)

    def unprocessed(self, ids: Sequence[int]) -> set[int]:
        with self._database.read_inbox() as connection:
            pending = sa.select(inbox_table.c.id).where(inbox_table.c.id.in_(ids), inbox_table.c.pending)
            return set(connection.scalars(pending))


def _counted(
    connection: sa.Connection, unprocessed: sa.ColumnElement[bool], most: int
) -> tuple[int, datetime | None]:
    """Return how many webhooks there are of these, and when the first of them arrived."""
    rows = sa.select(inbox_table.c.id).where(unprocessed).order_by(inbox_table.c.id).limit(most).subquery()
    count, first = connection.execute(sa.select(sa.func.count(), sa.func.min(rows.c.id))).one()
    if not count:
        return 0, None
    arrived = sa.select(inbox_table.c.received_at).where(inbox_table.c.id == first)
    return count, connection.scalar(arrived)


def _taken(rows: Sequence[StoredRow]) -> None:
    if rows:
        here("after claim")


def intake_of(database: Database) -> Intake:
    """Return the intake that fits the database."""
    return CursorIntake(database) if database.is_sqlite else ClaimIntake(database)
