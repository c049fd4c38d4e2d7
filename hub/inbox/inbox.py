"""Group commit: request threads hand rows to one writer, which commits whatever has gathered.

There is no artificial delay: the commit that runs is the time in which the next batch gathers. A lone row is
written at once.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal, Protocol

import structlog

from hub.crashpoints import here
from hub.inbox.aside import Aside
from hub.inbox.postgresql import PostgresqlStore
from hub.inbox.row import Delivery, Row
from hub.inbox.sqlite import SqliteStore
from hub.sdk import HubError
from hub.storage import Database

MOST_ROWS = 256
"""Rows of one commit. Beyond this a commit's own cost is spread thin already."""
LIMIT = 1024
"""Rows that may wait for a commit: two seconds' worth on a slow disk."""
WAIT_S = 10.0
"""How long a request waits for its commit. Platforms give up after 3 to 10 seconds anyway."""
GLANCE_S = 0.5
"""Between two looks for promised rows that waited too long."""
QUIET_S = 10.0
"""Between two log lines about batches that could not be stored."""
MOST_DUPLICATES = 10_000
"""Redeliveries remembered for a re-kick. The sweeper finds what does not fit."""

Outcome = Literal["stored", "duplicate"]

log = structlog.get_logger()


class NotStored(HubError):
    """The webhook is not stored. The platform should send it again; the cause is chained."""


class Overloaded(NotStored):
    """More webhooks wait than can be stored in time. The platform should send it again."""


class Store(Protocol):
    """Where the writer writes."""

    @property
    def unavailable(self) -> tuple[type[Exception], ...]:
        """Return what is raised when no row at all can be stored now."""

    def write(self, rows: Sequence[Row]) -> list[bool]:
        """Store rows in one transaction; return for each whether it is new."""

    def close(self) -> None:
        """Let go of the connection."""


class _Waiting:
    """A row on its way. Somebody waits for it: a thread for the lock, or an event loop for the future."""

    __slots__ = ("error", "future", "is_new", "lock", "row")

    def __init__(self, row: Row, future: asyncio.Future[Outcome] | None = None) -> None:
        self.row = row
        self.future = future
        self.lock = None if future else threading.Lock()
        if self.lock:
            self.lock.acquire()
        self.is_new: bool | None = None
        self.error: Exception | None = None

    @property
    def outcome(self) -> Outcome:
        return "stored" if self.is_new else "duplicate"


class Inbox:
    """Keeps verified webhooks. One per process; its writer starts with the first row, after any fork.

    Attributes:
        counts: rows by (connection, outcome) since the start, for metrics.
    """

    def __init__(
        self,
        database: Database,
        *,
        on_stored: Callable[[], None] = lambda: None,
        on_duplicate: Callable[[list[Delivery]], None] = lambda _deliveries: None,
        on_each: Callable[[Row, bool], None] | None = None,
        limit: int = LIMIT,
        wait_s: float = WAIT_S,
    ) -> None:
        """Make an inbox.

        Args:
            database: where rows go.
            on_stored: the doorbell, rung by the writer after a commit; it must return at once.
            on_duplicate: hears of redeliveries, which may be of events that still wait for something. It runs
                beside the writer, so it may read and write.
            on_each: hears of each row, and whether it is new, after its commit; it runs in the writer's thread.
            limit: rows that may wait.
            wait_s: how long `put` waits.
        """
        self.counts: Counter[tuple[str, Outcome]] = Counter()
        self._database = database
        self._on_stored = on_stored
        self._on_duplicate = on_duplicate
        self._on_each = on_each
        self._limit = limit
        self._wait_s = wait_s
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._closing = False
        self._quiet_until = 0.0
        self._promised: deque[tuple[float, asyncio.Future[Outcome]]] = deque()
        self._again: deque[Delivery] = deque(maxlen=MOST_DUPLICATES)
        self._aside = Aside("hub-inbox-duplicates", self._tell_duplicates, pause_s=0.1)

    def put(self, row: Row) -> Outcome:
        """Store a row; return after the commit.

        Raises:
            Overloaded: too many rows wait, or this one waited too long. It may still be stored: the
                redelivery is a duplicate then.
            NotStored: the database refused it.
        """
        if self._pid != os.getpid():
            self._start()
        if self._closing or self._queue.qsize() >= self._limit:
            raise Overloaded
        waiting = _Waiting(row)
        assert waiting.lock
        self._queue.put(waiting)
        if not waiting.lock.acquire(timeout=self._wait_s):
            raise Overloaded
        if waiting.error is not None:
            raise NotStored from waiting.error
        return waiting.outcome

    def put_all(self, rows: Sequence[Row]) -> list[Outcome]:
        """As `put`, of several rows that wait for their commits together; none is left out.

        Raises:
            NotStored: one of them is not stored, others may be.
        """
        if self._pid != os.getpid():
            self._start()
        if self._closing:
            raise Overloaded
        waiting = [_Waiting(row) for row in rows]
        for each in waiting:
            self._queue.put(each)
        outcomes = []
        for each in waiting:
            assert each.lock
            if not each.lock.acquire(timeout=self._wait_s):
                raise Overloaded
            if each.error is not None:
                raise NotStored from each.error
            outcomes.append(each.outcome)
        return outcomes

    def put_soon(self, row: Row) -> asyncio.Future[Outcome]:
        """As `put`, on an event loop: return at once what will be the outcome, or be raised, after the commit."""
        if self._pid != os.getpid():
            self._start()
        if self._closing or self._queue.qsize() >= self._limit:
            raise Overloaded
        here("after verify")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._queue.put(_Waiting(row, future))
        if not self._promised:
            loop.call_later(GLANCE_S, self._give_up)
        self._promised.append((time.monotonic() + self._wait_s, future))
        return future

    def _give_up(self) -> None:
        """Fail what has waited too long. One look now and then, instead of a timer for each row."""
        promised, now = self._promised, time.monotonic()
        while promised and (promised[0][1].done() or promised[0][0] <= now):
            if not promised[0][1].done():
                promised[0][1].set_exception(Overloaded())
            promised.popleft()
        if promised:
            asyncio.get_running_loop().call_later(GLANCE_S, self._give_up)

    def waiting(self) -> int:
        """Return how many rows wait for the next commit."""
        return self._queue.qsize()

    def close(self) -> None:
        """Commit what waits, tell of the last duplicates, and take nothing more."""
        self._closing = True
        if self._thread is not None and self._pid == os.getpid():
            self._queue.put(None)
            self._thread.join(2 * self._wait_s)
        self._aside.close()

    def _start(self) -> None:
        with self._starting:
            if self._pid == os.getpid():
                return
            self._queue = queue.SimpleQueue()  # a parent's rows are the parent's
            self._promised.clear()
            self._thread = threading.Thread(target=self._run, name="hub-inbox-writer", daemon=True)
            self._thread.start()
            self._pid = os.getpid()

    # The writer's thread.

    def _run(self) -> None:
        store: Store | None = None
        while batch := self._gather():
            try:
                store = store or self._open()
                self._write(store, batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, the writer goes on
                self._log_failure(error, len(batch))
                for waiting in batch:
                    if waiting.is_new is None:
                        waiting.error = waiting.error or error
                _close(store)  # a broken connection does not heal; a new one may
                store = None
            _settle(batch)
            try:
                self._tell(batch)
            except Exception:
                log.exception("the rows are stored, telling so failed", action="inbox_bell_error")
        _close(store)

    def _gather(self) -> list[_Waiting]:
        """Wait for a row; return it with all that came meanwhile, oldest first. Empty: closed and drained."""
        batch: list[_Waiting] = []
        ended = False
        try:
            item = self._queue.get()
            while True:
                if item is None:
                    ended = True
                else:
                    batch.append(item)
                if len(batch) == MOST_ROWS:
                    break
                item = self._queue.get_nowait()
        except queue.Empty:
            pass
        if ended and batch:
            self._queue.put(None)  # the end comes after these
        return batch

    def _log_failure(self, error: Exception, rows: int) -> None:
        """Log a failed batch, unless one was logged just now: a full disk fails every batch."""
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + QUIET_S
            log.error("webhooks cannot be stored", action="inbox_not_stored", rows=rows, exc_info=error)

    def _open(self) -> Store:
        return SqliteStore(self._database) if self._database.is_sqlite else PostgresqlStore(self._database)

    def _write(self, store: Store, batch: list[_Waiting]) -> None:
        """Store a batch. Where one row spoils it, each gets a transaction of its own and only that one fails.

        Raises:
            Exception: one of `store.unavailable`; rows that have no verdict yet are not stored.
        """
        try:
            news = store.write([waiting.row for waiting in batch])
        except store.unavailable:
            raise
        except Exception as error:
            if len(batch) == 1:
                name = batch[0].row.connection
                log.exception(
                    "the database refused a webhook",
                    action="inbox_row_refused",
                    connection=name,
                    trace_id=batch[0].row.trace.id,
                )
                batch[0].error = error
                return
            for waiting in batch:
                self._write(store, [waiting])
            return
        for waiting, is_new in zip(batch, news, strict=True):
            waiting.is_new = is_new

    def _tell(self, batch: list[_Waiting]) -> None:
        stored = False
        for waiting in batch:
            if waiting.error is not None:
                continue
            row = waiting.row
            self.counts[row.connection, "stored" if waiting.is_new else "duplicate"] += 1
            if waiting.is_new:
                stored = True
            else:
                self._again.append((row.connection, row.delivery_id))
            if self._on_each:
                self._on_each(row, bool(waiting.is_new))
        if stored:
            here("before doorbell")
            self._on_stored()
            here("after doorbell")
        if self._again:
            self._aside.ring()

    def _tell_duplicates(self) -> None:
        again = [self._again.popleft() for _ in range(len(self._again))]
        if again:
            self._on_duplicate(again)


def _settle(batch: list[_Waiting]) -> None:
    """Let everybody know who waits for a row of a batch; an event loop is woken once."""
    awaited: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for waiting in batch:
        if waiting.future is None:
            assert waiting.lock
            waiting.lock.release()
        else:
            awaited.setdefault(waiting.future.get_loop(), []).append(waiting)
    for loop, theirs in awaited.items():
        with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
            loop.call_soon_threadsafe(_resolve, theirs)


def _resolve(awaited: list[_Waiting]) -> None:
    for waiting in awaited:
        future = waiting.future
        if future is None or future.done():
            continue
        if waiting.error is None:
            future.set_result(waiting.outcome)
        else:
            error = NotStored()
            error.__cause__ = waiting.error
            future.set_exception(error)


def _close(store: Store | None) -> None:
    """Give a store up."""
    if store is not None:
        with suppress(Exception):
            store.close()
