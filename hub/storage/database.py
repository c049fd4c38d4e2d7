"""Connections to SQLite or PostgreSQL: the one place that knows how they differ in locking."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from hub.storage.checkpoint import BACKSTOP_PAGES, Checkpointer

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # a 2xx promises that the event survives a power cut
    f"wal_autocheckpoint={BACKSTOP_PAGES}",
    "busy_timeout=10000",
    "foreign_keys=ON",
    "secure_delete=ON",  # what is deleted is overwritten: an erased person must not be left in a free page
)
# By itself SQLite keeps what a statement of many rows changes, should it fail half way, in a temporary file: of all that
# was written when events were processed, that was the larger half (measured 2026-11). And what has a large cache is the
# one connection that writes: it is of no use to a connection once another one has written. With 32 MB for everybody a hub
# with a backlog of 60,000 webhooks took 850 MB; with 32 MB for the writer, a million postings slow it down by a tenth more.
READER, WRITER = ("cache_size=-4000",), ("cache_size=-64000", "temp_store=MEMORY")
INBOX_WRITER = ("cache_size=-16000", "temp_store=MEMORY")
"""Pragmas for SQLite's connections: of those that only read the hub's file, or do little there, of the one that writes to
it, and of the one that writes to the inbox."""


STATEMENT_S, LOCK_S, IDLE_S = 30, 10, 60
"""On PostgreSQL, of a transaction that writes: how long one statement may take, and wait for a lock, and how long its
process may do something else meanwhile (one that is frozen must not keep its rows from the others for good)."""
_LIMITS = sa.text(
    "SELECT "
    + ", ".join(
        f"set_config('{name}', '{seconds}s', true)"
        for name, seconds in (
            ("statement_timeout", STATEMENT_S),
            ("lock_timeout", LOCK_S),
            ("idle_in_transaction_session_timeout", IDLE_S),
        )
    )
)
_UNLIMITED = sa.text(
    "SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true)"
)


class Database:
    """The hub's storage.

    On PostgreSQL nothing is left at a connection when a transaction ends: no setting, no prepared statement, no lock.
    So a pooler that lends a connection for one transaction only (PgBouncer's `pool_mode = transaction`) may stand
    between.

    Attributes:
        hub: engine of the HUB tables.
        inbox: engine of the INBOX tables; the same engine on PostgreSQL, a second file on SQLite.
        commit_delay_s: added to every commit by benchmarks that stand in for a slower disk.
    """

    def __init__(self, url: str, *, pool_size: int = 16, commit_delay_s: float = 0.0) -> None:
        parsed = sa.make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.commit_delay_s = commit_delay_s
        # SQLite's busy handler polls and is no queue: writers of one process wait here in line instead.
        self._turn = threading.RLock() if self.is_sqlite else None
        if self.is_sqlite:
            path = Path(parsed.database or "points.db")
            path.parent.mkdir(parents=True, exist_ok=True)
            self.path: Path | None = path
            self.inbox_path: Path | None = path.with_name(f"{path.stem}-inbox{path.suffix}")
            self.hub = self._sqlite(path, pool_size)
            self.inbox = self._sqlite(self.inbox_path, pool_size)
            self._writer = self._sqlite(path, 1, WRITER)
            self._checkpointer = Checkpointer(path)
            self.inbox_checkpointer = Checkpointer(self.inbox_path)
        else:
            self.path = self.inbox_path = None
            parsed = parsed.set(drivername="postgresql+psycopg")
            # psycopg would prepare at the fifth use what another transaction's connection then does not know.
            self.hub = self.inbox = self._writer = self._engine(
                parsed, pool_size, connect_args={"prepare_threshold": None}
            )

    def _engine(self, url: sa.URL, pool_size: int, **arguments: Any) -> sa.Engine:
        return sa.create_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_use_lifo=True,  # few are in use at most times, and those that are not grow old
            json_serializer=lambda value: msgspec.json.encode(value).decode(),
            json_deserializer=msgspec.json.decode,
            **arguments,
        )

    def _sqlite(self, path: Path, pool_size: int, pragmas: Sequence[str] = READER) -> sa.Engine:
        engine = self._engine(
            sa.URL.create("sqlite", database=str(path)),
            pool_size,
            connect_args={"isolation_level": None, "check_same_thread": False, "timeout": 10.0},
        )

        @sa.event.listens_for(engine, "connect")
        def configure(connection: Any, _record: Any) -> None:
            for pragma in (*_PRAGMAS, *pragmas):
                connection.execute(f"PRAGMA {pragma}")

        @sa.event.listens_for(engine, "begin")
        def begin(connection: sa.Connection) -> None:
            mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
            connection.exec_driver_sql(f"BEGIN {mode}")

        return engine

    @contextmanager
    def write(self, *, waits_for_disk: bool = True) -> Iterator[sa.Connection]:
        """Open a transaction on the HUB tables; commit at the end, roll back on an exception.

        On SQLite it holds the write lock from the start (BEGIN IMMEDIATE): a transaction that read first and
        wrote later could meet another writer half way.

        Args:
            waits_for_disk: on SQLite; False where all of it can be made again after a power cut. Then it is on the disk
                with the next commit that waits.
        """
        if self._turn is None:
            with self._writer.begin() as connection:
                connection.execute(_LIMITS)
                yield connection
            return
        with self._turn, self._writer.connect() as raw:
            self._checkpointer.wait()
            connection = raw.execution_options(sqlite_begin="IMMEDIATE")
            with _unwaiting(raw) if not waits_for_disk else nullcontext(), connection.begin():
                yield connection
                self._slow_disk()
            self._checkpointer.written(raw.connection.driver_connection)  # type: ignore[arg-type]

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a read transaction on the HUB tables: one consistent view."""
        with self.hub.connect() as connection:
            yield connection

    @contextmanager
    def read_inbox(self) -> Iterator[sa.Connection]:
        """Open a read transaction on the INBOX tables."""
        with self.inbox.connect() as connection:
            yield connection

    @contextmanager
    def write_inbox(self) -> Iterator[sa.Connection]:
        """Open a short write on the INBOX tables (pruning, refusals); accepting has its own writer."""
        with self.inbox.connect() as raw:
            connection = raw.execution_options(sqlite_begin="IMMEDIATE") if self.is_sqlite else raw
            with connection.begin():
                if not self.is_sqlite:
                    connection.execute(_LIMITS)
                yield connection

    def empty_logs(self) -> None:
        """Bring SQLite's write-ahead logs into the files and cut them off: they hold old copies of pages.

        A reader at work may keep a log from being cut; the next time does it. Nothing to do on PostgreSQL.
        """
        for engine in dict.fromkeys((self.hub, self.inbox) if self.is_sqlite else ()):
            raw = engine.raw_connection()
            try:
                raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                raw.close()

    def close(self) -> None:
        """Close every pooled connection."""
        if self.is_sqlite:
            self._checkpointer.close()
            self.inbox_checkpointer.close()
        for engine in dict.fromkeys((self._writer, self.hub, self.inbox)):
            engine.dispose()

    def _slow_disk(self) -> None:
        if self.commit_delay_s:
            threading.Event().wait(self.commit_delay_s)


@contextmanager
def _unwaiting(connection: sa.Connection) -> Iterator[None]:
    """Let SQLite leave it to the system when what is committed here gets to the disk. Outside of a transaction."""
    connection.connection.execute("PRAGMA synchronous=NORMAL")
    try:
        yield
    finally:
        connection.connection.execute("PRAGMA synchronous=FULL")


def insert_for(dialect: sa.Dialect) -> Callable[[sa.Table], Any]:
    """Return the dialect's `insert`, which can say `on_conflict_do_nothing` and `on_conflict_do_update`."""
    if dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
    return insert


def insert_new(connection: sa.Connection, table: sa.Table) -> Any:
    """Return an INSERT for this dialect that can say `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return insert_for(connection.dialect)(table)


def take_your_time(connection: sa.Connection) -> None:
    """Lift the limits of a write transaction on PostgreSQL: a migration takes as long as it takes."""
    if connection.dialect.name == "postgresql":
        connection.execute(_UNLIMITED)


def is_conflict(error: sa.exc.DBAPIError) -> bool:
    """Return whether two transactions were in each other's way: this one may simply be tried again."""
    return getattr(error.orig, "sqlstate", None) in {"40001", "40P01"}
