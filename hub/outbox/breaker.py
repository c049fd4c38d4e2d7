"""A breaker for each connection: when its platform is down, rows are held, not spent.

    closed --5 failures in a row--> open --at probe_at--> half_open --answered--> closed
                                     ^                        |
                                     +---------failed---------+   (30 s, doubling to 15 min)

Held rows stay as they are: no attempt is counted and nothing is dropped. An answer is an answer: a call that the
platform rejects shows that it is up. Only 401 and 403 count as failures, because the next rows would fare alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace

from hub.outbox import delivery as deliveries
from hub.outbox.delivery import Delivery
from hub.storage import insert_new
from hub.storage.tables import breaker as table

FAILURES = 5
FIRST_PROBE_S, LONGEST_PROBE_S = 30, 900

Alert = Callable[[str, str], Delivery | None]
"""(connection, text) -> the message to the people who look after it, or None. Its `dedupe` is set here."""


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """One connection's breaker.

    Attributes:
        state: closed, open or half_open.
        failures: in a row.
        changed_at: when deliveries last stopped or began to flow.
        probe_at: when the next single row may try. While half_open: when the one under way counts as lost.
        reason: of the last failure.
    """

    connection: str
    changed_at: datetime
    state: str = "closed"
    failures: int = 0
    probe_at: datetime | None = None
    reason: str = ""

    def answered(self, now: datetime) -> Breaker:
        """Return the breaker after an answer. Calls that were under way when it opened prove nothing."""
        if self.state == "open" or (self.state == "closed" and not self.failures):
            return self
        changed_at = now if self.state == "half_open" else self.changed_at
        return Breaker(connection=self.connection, changed_at=changed_at)

    def failed(self, now: datetime, reason: str, retry_after_s: float | None = None) -> Breaker:
        """Return the breaker after a failure. `retry_after_s` puts the probe off, within its longest wait."""
        if self.state == "open":
            return self
        counted = replace(self, failures=self.failures + 1, reason=reason)
        if counted.failures < FAILURES:
            return counted
        backoff_s = FIRST_PROBE_S * 2 ** min(counted.failures - FAILURES, 10)
        wait_s = min(LONGEST_PROBE_S, max(backoff_s, retry_after_s or 0))
        return replace(
            counted,
            state="open",
            changed_at=now if self.state == "closed" else self.changed_at,
            probe_at=now + timedelta(seconds=wait_s),
        )

    def news_since(self, before: Breaker) -> str:
        """Return what people should hear of a change; empty when it is no news to them."""
        if before.state == "closed" and self.state == "open":
            return (
                f"Deliveries to {self.connection} are on hold: {self.failures} calls in a row failed. "
                f"The last one: {self.reason}. Nothing is lost; the next try is at {self.probe_at:%H:%M} UTC."
            )
        if before.state != "closed" and self.state == "closed":
            minutes = round((self.changed_at - before.changed_at).total_seconds() / 60)
            return f"Deliveries to {self.connection} flow again after {minutes} min on hold."
        return ""


def breakers(connection: sa.Connection) -> list[Breaker]:
    """Return every breaker that has ever counted a failure."""
    return _read(connection.execute(sa.select(table).order_by(table.c.connection)))


def lock(connection: sa.Connection, names: Iterable[str], now: datetime) -> dict[str, Breaker]:
    """Return the breakers of these connections, locked until the transaction ends."""
    wanted = sorted(set(names))
    # In order, so that two recorders cannot wait for each other.
    query = (
        sa.select(table).where(table.c.connection.in_(wanted)).order_by(table.c.connection).with_for_update()
    )
    known = {breaker.connection: breaker for breaker in _read(connection.execute(query))}
    return {name: known.get(name) or Breaker(connection=name, changed_at=now) for name in wanted}


def save(
    connection: sa.Connection, before: dict[str, Breaker], after: dict[str, Breaker], alert: Alert | None
) -> None:
    """Write the breakers that changed, with the alerts their changes call for."""
    changed = [breaker for name, breaker in after.items() if breaker != before[name]]
    if not changed:
        return
    statement = insert_new(connection, table)
    others = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["connection"], set_=others),
        [msgspec.structs.asdict(breaker) for breaker in changed],
    )
    told = (_alert(alert, breaker, before[breaker.connection]) for breaker in changed if alert)
    deliveries.add(connection, [delivery for delivery in told if delivery])


def gate(connection: sa.Connection, now: datetime) -> tuple[set[str], set[str]]:
    """Return the connections that are held, and those of which a single row may go out as a probe."""
    shut = _read(connection.execute(sa.select(table).where(table.c.state != "closed")))
    probes = {breaker.connection for breaker in shut if breaker.probe_at is None or breaker.probe_at <= now}
    return {breaker.connection for breaker in shut} - probes, probes


def probing(connection: sa.Connection, names: Iterable[str], lost_at: datetime) -> None:
    """Note that a probe of each connection is under way; at `lost_at` another may go."""
    if wanted := sorted(names):
        connection.execute(
            sa.update(table)
            .where(table.c.connection.in_(wanted), table.c.state != "closed")
            .values(state="half_open", probe_at=lost_at)
        )


def _alert(alert: Alert | None, breaker: Breaker, before: Breaker) -> Delivery | None:
    text = breaker.news_since(before)
    delivery = alert(breaker.connection, text) if alert and text else None
    # What is down cannot carry the news that it is down.
    if delivery is None or delivery.connection == breaker.connection:
        return None
    name = f"alert:{breaker.connection}:{breaker.state}:{breaker.changed_at.isoformat()}"
    return replace(delivery, dedupe=name)


def _read(rows: Iterable[sa.Row[*tuple[Any, ...]]]) -> list[Breaker]:
    return [Breaker(**row._asdict()) for row in rows]
