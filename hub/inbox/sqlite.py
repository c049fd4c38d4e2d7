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

COLUMNS = "id, connection, delivery_id, received_at, method, url, headers, size, verdict"


class SqliteStore:
    """One connection, used by the writer's thread alone.

    Ids are given out under the write lock, so that their order is the order of commits: a reader that
    remembers the last id it saw misses nothing.
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
        first = (cursor.execute("SELECT max(id) FROM inbox").fetchone()[0] or 0) + 1
        ids = range(first, first + len(rows))
        values = [value for id_, row in zip(ids, rows, strict=True) for value in (id_, *row[:BODY])]
        cursor.execute(_insert_inbox(len(rows)), values)
        new = [True] * len(rows)
        if cursor.rowcount < len(rows):
            stored = {id_ for (id_,) in cursor.execute("SELECT id FROM inbox WHERE id >= ?", (first,))}
            new = [id_ in stored for id_ in ids]
        bodies = [
            v for id_, frame, is_new in zip(ids, frames, new, strict=True) if is_new for v in (id_, frame)
        ]
        if bodies:
            cursor.execute(_insert_bodies(len(bodies) // 2), bodies)
        return new

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
