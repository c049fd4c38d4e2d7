"""What has to be done at platforms from time to time: a row for each connection and task says when.

A task is claimed by a lease, so that of several processes one does it. Where it fails it is tried again, later and later;
what went wrong stands in the row, for `hub doctor`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog

from hub.connections import Connection
from hub.ids import new_id
from hub.inbox import NotStored, Row
from hub.sdk import Connector, Headers, Rejected, TryLater, Webhook
from hub.storage import insert_new
from hub.storage.tables import upkeep

if TYPE_CHECKING:
    from hub.hub import Hub

LEASE = timedelta(minutes=3)
"""How long a process may take for one task before another one thinks it is dead."""
PAGES = 50
"""Pages of one poll; the rest follows at once in another."""
SHORTEST, LONGEST = timedelta(seconds=30), timedelta(hours=1)
"""Between tries that fail."""
AT_ONCE = 8

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Due:
    """A claimed task."""

    connection: str
    task: str
    cursor: str
    failures: int


def plan(hub: Hub) -> None:
    """Write a row for every task that a connection of hub.yaml has, where there is none."""
    wanted = [
        {"connection": name, "task": task, "next_at": hub.clock()}
        for name, each in hub.connections.items()
        for task, (every, _do) in TASKS.items()
        if every(each.connector) is not None
    ]
    if wanted:
        with hub.database.write() as tx:
            tx.execute(insert_new(tx, upkeep).on_conflict_do_nothing(), wanted)


def ring(hub: Hub, connections: Iterable[str]) -> None:
    """Ask for these connections to be polled now."""
    names = list(connections)
    of_them = sa.and_(upkeep.c.connection.in_(names), upkeep.c.task == "poll")
    with hub.database.write() as tx:
        tx.execute(upkeep.update().where(of_them).values(next_at=hub.clock()))
    hub.engine.ring_upkeep()


def run_due(hub: Hub) -> int:
    """Do what is due, connections side by side; return how many tasks there were."""
    due = _claim(hub)
    if due:
        with ThreadPoolExecutor(min(len(due), AT_ONCE), thread_name_prefix="hub-upkeep") as pool:
            list(pool.map(lambda each: _run(hub, each), due))
    return len(due)


def _claim(hub: Hub) -> list[Due]:
    now = hub.clock()
    free = sa.or_(upkeep.c.lease_until.is_(None), upkeep.c.lease_until < now)
    known = upkeep.c.connection.in_(hub.connections)
    with hub.database.read() as tx:
        if tx.scalar(sa.select(upkeep.c.task).where(upkeep.c.next_at <= now, free, known).limit(1)) is None:
            return []
    query = (
        sa.select(upkeep)
        .where(upkeep.c.next_at <= now, free, known)
        .order_by(upkeep.c.next_at)
        .limit(AT_ONCE)
    )
    with hub.database.write() as tx:
        rows = tx.execute(query.with_for_update(skip_locked=True)).all()
        for row in rows:
            tx.execute(_row(row.connection, row.task).values(lease_until=now + LEASE))
    return [Due(row.connection, row.task, row.cursor, row.failures) for row in rows]


def _run(hub: Hub, due: Due) -> None:
    connection = hub.connections[due.connection]
    every, do = TASKS[due.task]
    pause = every(connection.connector)
    if pause is None:  # a connector of another version
        _finish(hub, due, next_at=hub.clock() + LONGEST)
        return
    try:
        again = do(hub, connection, due)
    except (TryLater, NotStored) as error:
        wait = getattr(error, "retry_after_s", None) or 0
        _fail(hub, due, str(error), timedelta(seconds=wait))
    except Rejected as error:
        _fail(hub, due, error.reason, LONGEST)
    except Exception as error:
        log.exception(
            "a task of upkeep fails", action="upkeep_error", connection=due.connection, task=due.task
        )
        _fail(hub, due, f"the connector failed: {type(error).__name__}: {error}")
    else:
        _finish(hub, due, next_at=hub.clock() + (timedelta(0) if again else pause))


def _poll(hub: Hub, connection: Connection, due: Due) -> bool:
    """Store what a platform has new; return whether there is more. The cursor moves when its page is stored."""
    cursor = due.cursor
    for _ in range(PAGES):
        polled = connection.connector.poll(cursor, hub.client(connection, new_id()))
        now = hub.clock()
        found = [Webhook("POLL", connection.url, Headers(), body, now) for body in polled.bodies]
        hub.inbox.put_all([Row.of(connection, each) for each in found])
        if polled.cursor != cursor:
            cursor = polled.cursor
            with hub.database.write() as tx:
                tx.execute(_row(due.connection, due.task).values(cursor=cursor, lease_until=now + LEASE))
        if not polled.more:
            return False
    return True


def _subscribe(hub: Hub, connection: Connection, _due: Due) -> bool:
    """Renew what lapses at the platform."""
    for step in connection.connector.subscribe(connection.url, hub.client(connection, new_id())):
        log.info(
            "a subscription is renewed",
            action="subscription_renewed",
            connection=connection.name,
            step=step.summary,
            came=step.run(),
        )
    return False


TASKS: Mapping[
    str,
    tuple[Callable[[Connector], timedelta | None], Callable[[Hub, Connection, Due], bool]],
] = {
    "poll": (lambda connector: connector.poll_every, _poll),
    "subscribe": (lambda connector: connector.renew_every, _subscribe),
}
"""Task -> how often a connector wants it (None: never), and what does it; that returns whether to go on at once."""


def _fail(hub: Hub, due: Due, reason: str, at_least: timedelta = timedelta(0)) -> None:
    wait = min(SHORTEST * 2 ** min(due.failures, 10), LONGEST)
    log.warning(
        "upkeep of a connection failed",
        action="upkeep_failed",
        connection=due.connection,
        task=due.task,
        failures=due.failures + 1,
    )
    _finish(
        hub, due, next_at=hub.clock() + max(wait, at_least), failures=due.failures + 1, reason=reason[:1000]
    )


def _finish(hub: Hub, due: Due, *, next_at: datetime, failures: int = 0, reason: str = "") -> None:
    values = {"next_at": next_at, "lease_until": None, "failures": failures, "reason": reason}
    with hub.database.write() as tx:
        if not failures:
            values["done_at"] = hub.clock()
        tx.execute(_row(due.connection, due.task).values(values))


def _row(connection: str, task: str) -> sa.Update:
    return upkeep.update().where(upkeep.c.connection == connection, upkeep.c.task == task)
