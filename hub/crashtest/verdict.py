"""Compares what was accepted, what was posted and what was told."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from hub.clock import Clock
from hub.intake import intake_of
from hub.storage import Database
from hub.storage.tables import event, inbox, outbox, posting

LOOK_EVERY_S = 0.2
MOST_S = 1200.0
"""However much is left: a test ends by itself."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the accepted deliveries.

    Attributes:
        posted: postings of orders.
        lost: sentences, one for each delivery without a posting and each posting that was never told.
        doubled: sentences, one for each fact posted twice and each posting told under two keys.
        extra_calls: repeats of a call under its one key, which the receiver drops.
    """

    posted: int
    lost: list[str]
    doubled: list[str]
    extra_calls: int


def compare(
    database: Database, accepted: AbstractSet[str], calls: Counter[str], posting_of: Mapping[str, str]
) -> Verdict:
    """Compare.

    Args:
        database: of a hub that is at rest.
        accepted: ids of the deliveries that were answered with 2xx.
        calls: how often the sink was called with each idempotency key.
        posting_of: key -> the posting that the call told of.
    """
    earned = (
        sa.select(posting.c.id, event.c.source_id, event.c.fact)
        .join(event, event.c.id == posting.c.event)
        .where(posting.c.kind == "earn")
    )
    with database.read() as connection:
        rows = connection.execute(earned).all()
    per_fact = Counter(row.fact for row in rows)
    keys_of: dict[str, set[str]] = defaultdict(set)
    for key, told in posting_of.items():
        keys_of[told].add(key)
    lost = [
        f"{id_} was accepted and never posted" for id_ in sorted(accepted - {row.source_id for row in rows})
    ]
    lost += [f"posting {row.id} was never told" for row in rows if row.id not in keys_of]
    doubled = [f"{fact} was posted {times} times" for fact, times in per_fact.items() if times > 1]
    doubled += [
        f"posting {id_} was told under {len(keys)} keys" for id_, keys in keys_of.items() if len(keys) > 1
    ]
    return Verdict(len(rows), lost, doubled, calls.total() - len(calls))


def wait_until_done(database: Database, still_s: float, clock: Clock) -> bool:
    """Wait until everything accepted is processed and told; False: nothing came nearer to it for `still_s`, or MOST_S
    are over.
    """
    end, until = time.monotonic() + MOST_S, time.monotonic() + still_s
    nearest: tuple[bool, float, int] | None = None
    while left := _left(database):
        if nearest is None or left < nearest:
            until, nearest = time.monotonic() + still_s, left
        elif time.monotonic() > min(until, end):
            return False
        end_pauses(database, clock())
        time.sleep(LOOK_EVERY_S)
    return True


def leased(database: Database) -> bool:
    """Return whether a process has deliveries in hand, or had when it died."""
    with database.read() as connection:
        return bool(connection.scalar(sa.select(sa.exists().where(outbox.c.state == "sending"))))


def end_leases(database: Database, now: datetime) -> None:
    """Let a minute pass for the calls that a killed hub had in hand, whose leases would run out by themselves."""
    with database.write() as connection:
        taken = outbox.update().where(outbox.c.state == "sending", outbox.c.lease_until > now)
        connection.execute(taken.values(lease_until=now))


def end_pauses(database: Database, now: datetime) -> None:
    """Let the minutes pass that a call waits for its next try: each crash that it met has made it wait longer."""
    with database.write() as connection:
        later = outbox.update().where(outbox.c.state == "ready", outbox.c.next_at > now)
        connection.execute(later.values(next_at=now))


def unanswered(database: Database, prefix: str) -> list[str]:
    """Return the deliveries, of those whose id begins so, of which no event says what became of them."""
    sent = sa.select(inbox.c.id, inbox.c.delivery_id).where(inbox.c.delivery_id.startswith(prefix))
    with database.read_inbox() as connection:
        ids = {row.id: row.delivery_id for row in connection.execute(sent)}
    with database.read() as connection:
        told = set(connection.scalars(sa.select(event.c.inbox_id).where(event.c.inbox_id.in_(ids))))
    return sorted(name for id_, name in ids.items() if id_ not in told)


def _left(database: Database) -> tuple[bool, float, int] | None:
    """Return what is less the nearer the end: whether webhooks wait, how new the oldest is not, how much is open.

    None: all is done.
    """
    with database.read() as connection:
        reading = connection.scalar(
            sa.select(sa.func.count()).select_from(event).where(event.c.state.in_(["ready", "fetching"]))
        )
        telling = connection.scalar(
            sa.select(sa.func.count()).select_from(outbox).where(outbox.c.state.in_(["ready", "sending"]))
        )
    oldest, open_ = intake_of(database).oldest(), (reading or 0) + (telling or 0)
    if oldest is None:
        return (False, 0.0, open_) if open_ else None
    return True, -oldest.timestamp(), open_
