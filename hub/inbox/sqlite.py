"""The inbox's insert on SQLite: hand-written, because every accepted webhook pays for it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from functools import cache

from hub.crashpoints import here
from hub.inbox.row import BODY, Row, compress
from hub.storage import Database
from hub.storage.database import INBOX_WRITER

COLUMNS = "connection, delivery_id, received_at, method, url, headers, size, verdict"


class SqliteStore:
    """One connection, used by the writer's thread alone.

    SQLite gives out ids one after the other, under the write lock, so that their order is the order of commits: a
    reader that remembers the last id it saw misses nothing.
    """

    unavailable = (sqlite3.OperationalError,)
    """Locked, full, read-only, broken: the next row would fare no better."""

    def __init__(self, database: Database) -> None:
        self._delay_s = database.commit_delay_s
        self._checkpointer = database.inbox_checkpointer
        lent = database.inbox.raw_connection()
        self._connection: sqlite3.Connection = lent.driver_connection  # type: ignore[assignment]
        lent.detach()  # ours until `close`, not one of the pool's
        for pragma in INBOX_WRITER:
            self._connection.execute(f"PRAGMA {pragma}")
        self._cursor = self._connection.cursor()

    def write(self, rows: Sequence[Row]) -> list[bool]:
        """Store rows in one transaction; return for each whether it is new."""
        cursor = self._cursor
        frames = compress([row.body for row in rows])
        cursor.execute("BEGIN IMMEDIATE")
        try:
            new = self._insert(cursor, rows, frames)
            if self._delay_s:
                time.sleep(self._delay_s)
            here("before inbox commit")
            cursor.execute("COMMIT")
            here("after inbox commit")
        except BaseException:
            if self._connection.in_transaction:
                cursor.execute("ROLLBACK")
            raise
        self._checkpointer.written(self._connection)
        return new

    def _insert(self, cursor: sqlite3.Cursor, rows: Sequence[Row], frames: Sequence[bytes]) -> list[bool]:
        cursor.execute(_insert_inbox(len(rows)), [value for row in rows for value in row[:BODY]])
        count, last = cursor.rowcount, cursor.lastrowid or 0
        ids: list[int | None] = list(range(last - len(rows) + 1, last + 1))
        if count < len(rows):
            ids = self._ids(cursor, rows, last - count) if count else [None] * len(rows)
        bodies = [v for id_, frame in zip(ids, frames, strict=True) if id_ is not None for v in (id_, frame)]
        if bodies:
            cursor.execute(_insert_bodies(len(bodies) // 2), bodies)
        return [id_ is not None for id_ in ids]

    def _ids(self, cursor: sqlite3.Cursor, rows: Sequence[Row], after: int) -> list[int | None]:
        """Return the ids of rows of which some were there before, or are among them twice: None for each of these."""
        found = cursor.execute("SELECT connection, delivery_id, id FROM inbox WHERE id > ?", (after,))
        new = {(connection, delivery): id_ for connection, delivery, id_ in found}
        return [new.pop((row.connection, row.delivery_id), None) for row in rows]

    def close(self) -> None:
        self._connection.close()


@cache
def _insert_inbox(count: int) -> str:
    row = "(" + ",".join("?" * (COLUMNS.count(",") + 1)) + ")"
    rows = ",".join([row] * count)
    return f"INSERT INTO inbox ({COLUMNS}) VALUES {rows} ON CONFLICT (connection, delivery_id) DO NOTHING"  # noqa: S608


@cache
def _insert_bodies(count: int) -> str:
    return "INSERT INTO inbox_body (id, data) VALUES " + ",".join(["(?,?)"] * count)  # noqa: S608
