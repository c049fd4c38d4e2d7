"""How a hub is doing, read from its database: by any process, at a cost that does not grow with history.

Every query walks a partial index of what is not done yet, or the end of an index by time, and stops at a bound.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Literal

import msgspec
import sqlalchemy as sa

from hub import outbox as deliveries
from hub.ids import first_id
from hub.intake import intake_of
from hub.journal import OPEN
from hub.outbox import Breaker
from hub.processes import Process, processes
from hub.storage import Database
from hub.storage.tables import attempt, event, inbox, lease, outbox, refused

MOST = 100_000
"""Rows that are counted at most; more are shown as so many."""

Lane = Literal["first", "retry"]
ZERO: sa.ColumnElement[int] = sa.literal_column("0")  # spelt out, as the partial indexes have it
LANES: Mapping[Lane, sa.ColumnElement[bool]] = {
    "first": outbox.c.attempts == ZERO,
    "retry": outbox.c.attempts > ZERO,
}
READY: sa.ColumnElement[str] = sa.literal_column("'ready'")


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Work that waits.

    Attributes:
        name: inbox (webhooks), journal (events that are due) or outbox.
        connection, lane: of the outbox.
        waiting: rows, MOST at most; of retries also those whose time has not come.
        oldest: since when the first of them is due; None where none is.
    """

    name: str
    connection: str = ""
    lane: str = ""
    waiting: int
    oldest: datetime | None

    def age_s(self, now: datetime) -> float:
        """Return for how long the oldest has been due; 0 where none is."""
        return max(0.0, (now - self.oldest).total_seconds()) if self.oldest else 0.0


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What one process at a time does, and which."""

    name: str
    holder: str
    lease_until: datetime


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """How a hub is doing.

    Attributes:
        at: when it was looked.
        open: events for which somebody has to do something, by state.
        sending, dead: deliveries under way, and given up.
        breakers: those that ever counted a failure.
        processes: where there are several.
    """

    at: datetime
    queues: list[Queue]
    open: dict[str, int]
    sending: int
    dead: int
    breakers: list[Breaker]
    leases: list[Held]
    processes: list[Process]

    @property
    def lag_s(self) -> float:
        """How far behind processing is: for how long the oldest webhook or event has been due."""
        return max(queue.age_s(self.at) for queue in self.queues if queue.name != "outbox")


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What happened lately, a second."""

    accepted: float
    processed: float
    delivered: float
    failed: float


def look(database: Database, connections: Collection[str], now: datetime) -> Vitals:
    """Return how a hub is doing.

    Args:
        database: of the hub.
        connections: names of those that are told things.
        now: aware UTC.
    """
    waiting, oldest = intake_of(database).waiting(MOST)
    with database.read() as tx:
        queues = [
            Queue(name="inbox", waiting=waiting, oldest=oldest),
            _journal(tx, now),
            *_outbox(tx, connections, now),
        ]
        opened = sa.select(event.c.state).where(event.c.state.in_(_spelt(OPEN))).limit(MOST).subquery()
        states = sa.select(opened.c.state, sa.func.count().label("number")).group_by(opened.c.state)
        return Vitals(
            at=now,
            queues=queues,
            open=dict.fromkeys(OPEN, 0) | {row.state: row.number for row in tx.execute(states)},
            sending=_count(
                tx, sa.select(outbox.c.id).where(outbox.c.state == sa.literal_column("'sending'"))
            ),
            dead=_count(tx, sa.select(outbox.c.id).where(outbox.c.state == sa.literal_column("'dead'"))),
            breakers=deliveries.breakers(tx),
            leases=[
                Held(name=row.name, holder=row.holder, lease_until=row.lease_until)
                for row in tx.execute(sa.select(lease).order_by(lease.c.name))
            ],
            processes=processes(tx),
        )


def refused_today(database: Database, now: datetime) -> dict[tuple[str, str], int]:
    """Return how many webhooks were refused since midnight UTC, by connection and reason.

    It reads a row for each connection, reason and day there was: for people, not for every scrape.
    """
    today = sa.select(refused.c.connection, refused.c.reason, refused.c.count)
    with database.read_inbox() as tx:
        counts = tx.execute(today.where(refused.c.day == now.date().isoformat()))
        return {(name, reason): count for name, reason, count in counts}


def rates(database: Database, now: datetime, window: timedelta) -> Rates:
    """Return what happened in the time before `now`, a second: counted at the ends of indexes by time."""
    since, seconds = now - window, window.total_seconds()
    with database.read_inbox() as tx:
        accepted = _count(tx, sa.select(inbox.c.id).where(inbox.c.received_at > since))
    tried = sa.select(attempt.c.outcome).where(attempt.c.at > since)
    with database.read() as tx:
        processed = _count(tx, sa.select(event.c.id).where(event.c.id > first_id(since)))
        delivered = _count(tx, tried.where(attempt.c.outcome == "delivered"))
        failed = _count(tx, tried.where(attempt.c.outcome != "delivered"))
    return Rates(
        accepted=accepted / seconds,
        processed=processed / seconds,
        delivered=delivered / seconds,
        failed=failed / seconds,
    )


def _count(tx: sa.Connection, of: sa.Select[tuple[object]]) -> int:
    return tx.scalar(sa.select(sa.func.count()).select_from(of.limit(MOST).subquery())) or 0


def _spelt(states: Collection[str]) -> list[sa.BindParameter[str]]:
    return [sa.literal(state, literal_execute=True) for state in states]


def _journal(tx: sa.Connection, now: datetime) -> Queue:
    due = sa.select(event.c.next_at).where(
        event.c.state.in_(_spelt(("ready", "fetching"))), event.c.next_at <= now
    )
    rows = due.limit(MOST).subquery()
    count, oldest = tx.execute(sa.select(sa.func.count(), sa.func.min(rows.c.next_at))).one()
    return Queue(name="journal", waiting=count, oldest=oldest)


def _outbox(tx: sa.Connection, connections: Collection[str], now: datetime) -> Iterator[Queue]:
    for name in sorted(connections):
        for lane, attempts in LANES.items():
            ready = sa.select(outbox.c.next_at).where(
                outbox.c.connection == name, outbox.c.state == READY, attempts
            )
            rows = ready.order_by(outbox.c.next_at).limit(MOST).subquery()
            count, oldest = tx.execute(sa.select(sa.func.count(), sa.func.min(rows.c.next_at))).one()
            due = oldest if oldest is not None and oldest <= now else None
            yield Queue(name="outbox", connection=name, lane=lane, waiting=count, oldest=due)
