"""Outcomes, written down many at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
import zstandard

from hub.outbox import breaker as breakers
from hub.outbox.breaker import Alert, Breaker
from hub.outbox.claim import Job, expired
from hub.outbox.schedule import next_wait_s
from hub.sdk.http import Exchange
from hub.storage import Many
from hub.storage.tables import attempt, outbox

LOST = "the worker stopped before it told the outcome"
REFUSED_TO_US = {401, 403}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a job.

    Attributes:
        verdict: `released` gives the row back untouched; `lost` is a try whose worker vanished.
        at: when the try began.
        exchanges: what was said, without secrets.
        reason: without secrets too.
        status: the HTTP status of a rejection, where there was one.
    """

    job: Job
    verdict: Literal["delivered", "try_later", "rejected", "released", "lost"]
    at: datetime
    elapsed_ms: int = 0
    reason: str = ""
    remote_id: str = ""
    status: int | None = None
    retry_after_s: float | None = None
    exchanges: list[Exchange] = []


class Dead(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that became a dead letter."""

    id: str
    connection: str
    action: str
    attempts: int
    reason: str


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What writing outcomes down led to: new dead letters, and the breakers of the connections concerned."""

    dead: list[Dead]
    breakers: dict[str, Breaker]


def record(
    connection: sa.Connection,
    outcomes: Sequence[Outcome],
    now: datetime,
    alert: Alert | None = None,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Recorded:
    """Write outcomes down; those whose lease another worker has got since are passed over.

    Args:
        connection: a write transaction.
        outcomes: in the order in which they came about.
        now: aware UTC.
        alert: makes the message when a breaker opens or closes.
        uniform: a random number between two bounds, for the jitter.
    """
    locked = connection.execute(LOCK, {"ids": [outcome.job.id for outcome in outcomes]})
    ours = {row.id: row.fence for row in locked}
    counted = [outcome for outcome in outcomes if ours.get(outcome.job.id) == outcome.job.fence]
    _release(connection, [outcome.job.id for outcome in counted if outcome.verdict == "released"])
    counted = [outcome for outcome in counted if outcome.verdict != "released"]
    if not counted:
        return Recorded(dead=[], breakers={})
    rows = [_row(outcome, now, uniform) for outcome in counted]
    _UPDATE(connection, rows)
    compress = zstandard.ZstdCompressor(level=1).compress
    _ATTEMPTS(connection, [_attempt(outcome, compress) for outcome in counted])
    before = breakers.lock(connection, (outcome.job.connection for outcome in counted), now)
    after = _judge(before, counted, now)
    breakers.save(connection, before, after, alert)
    dead = [
        Dead(
            id=outcome.job.id,
            connection=outcome.job.connection,
            action=outcome.job.action,
            attempts=outcome.job.attempts + 1,
            reason=row["reason"],
        )
        for outcome, row in zip(counted, rows, strict=True)
        if row["state"] == "dead"
    ]
    return Recorded(dead=dead, breakers=after)


def sweep(connection: sa.Connection, now: datetime, alert: Alert | None = None) -> Recorded:
    """Take back rows whose lease ran out: each counts as a try and goes out again with the same key."""
    lost = [
        Outcome(job=job, verdict="lost", at=job.lease_until, reason=LOST) for job in expired(connection, now)
    ]
    return record(connection, lost, now, alert) if lost else Recorded(dead=[], breakers={})


LOCK = (
    sa.select(outbox.c.id, outbox.c.fence)
    .where(outbox.c.id.in_(sa.bindparam("ids", expanding=True)), outbox.c.state == "sending")
    .order_by(outbox.c.id)  # so that two recorders cannot wait for each other
    .with_for_update()
)


def _set(_insert: object) -> sa.Update:
    names = ("state", "attempts", "next_at", "done_at", "remote_id", "reason")
    values: dict[str, Any] = {name: sa.bindparam(name, type_=outbox.c[name].type) for name in names}
    key = sa.bindparam("key", type_=outbox.c.id.type)
    return sa.update(outbox).where(outbox.c.id == key).values(values | {"lease_until": sa.null()})


_UPDATE = Many(_set)
_ATTEMPTS = Many(lambda insert: insert(attempt))


def _row(outcome: Outcome, now: datetime, uniform: Callable[[float, float], float]) -> dict[str, Any]:
    attempts = outcome.job.attempts + 1
    row: dict[str, Any] = {
        "key": outcome.job.id,
        "state": "done",
        "attempts": attempts,
        "next_at": None,
        "done_at": now,
        "remote_id": _plain(outcome.remote_id),
        "reason": _plain(outcome.reason),
    }
    if outcome.verdict == "delivered":
        return row
    if outcome.verdict == "rejected":
        return row | {"state": "dead"}
    wait_s = next_wait_s(attempts, outcome.retry_after_s, uniform)
    if wait_s is None:
        return row | {"state": "dead", "reason": f"given up after {attempts} tries: {row['reason']}"}
    return row | {"state": "ready", "done_at": None, "next_at": now + timedelta(seconds=wait_s)}


def _attempt(outcome: Outcome, compress: Callable[[bytes], bytes]) -> dict[str, Any]:
    return {
        "outbox": outcome.job.id,
        "n": outcome.job.tries + 1,
        "at": outcome.at,
        "elapsed_ms": outcome.elapsed_ms,
        "outcome": "try_later" if outcome.verdict == "lost" else outcome.verdict,
        "reason": _plain(outcome.reason),
        "exchanges": compress(msgspec.json.encode(outcome.exchanges)),
    }


def _judge(before: dict[str, Breaker], outcomes: Sequence[Outcome], now: datetime) -> dict[str, Breaker]:
    """Return each breaker after what happened, in order. A worker of ours that vanished says nothing of them."""
    after = dict(before)
    for outcome in outcomes:
        name = outcome.job.connection
        if outcome.verdict == "try_later" or outcome.status in REFUSED_TO_US:
            after[name] = after[name].failed(now, outcome.reason, outcome.retry_after_s)
        elif outcome.verdict != "lost":
            after[name] = after[name].answered(now)
    return after


def _release(connection: sa.Connection, ids: list[str]) -> None:
    if ids:
        connection.execute(
            sa.update(outbox).where(outbox.c.id.in_(ids)).values(state="ready", lease_until=None)
        )


def _plain(text: str) -> str:
    # PostgreSQL keeps no null characters; one in an answer must not undo a whole batch.
    return text.replace("\0", "")
