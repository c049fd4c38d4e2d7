"""Who sends what, and for how long it is theirs.

A claim leases rows to one worker. Each claim raises the row's fence, and an outcome counts only with the fence it
was claimed with: a worker whose lease ran out changes nothing, however late it comes back.

First tries and retries wait in two lanes with an index each. Of a claim, three quarters are for first tries and one
quarter for retries; what one lane leaves over goes to the other. So neither a backlog of old failures nor a flood
of new rows stops the other. Where more first tries wait than a claim takes, half of them are the oldest and half the
newest: what happens now does not queue behind the hours that a platform was away.

Rows that overwrite the same target go out one at a time and only the newest counts: it is claimed while no other
is `sending`, and in the same transaction the older ones become `replaced`. So no retry overwrites a newer value.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from hub.members.consents import allowing
from hub.outbox.targets import READY, SENDING, replace_older, unsent_with_target
from hub.storage.tables import attempt, outbox
from hub.tracing import Trace

LEASE_S = 60
RETRY_SHARE = 0.25

CLAIMING = sa.text("SELECT pg_advisory_xact_lock(7010, 1)")
"""One claim at a time in all processes: each must see which targets the others have just taken."""

ZERO: sa.ColumnElement[int] = sa.literal_column("0")

TRIES = (
    sa.select(attempt.c.outbox, sa.func.max(attempt.c.n))
    .where(
        attempt.c.outbox.in_(sa.bindparam("ids", expanding=True)),
        attempt.c.outbox.between(
            sa.bindparam("first"), sa.bindparam("last")
        ),  # only these months are looked at
    )
    .group_by(attempt.c.outbox)
)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A row that is ours until `lease_until`.

    Attributes:
        attempts: tries in this round; a replay begins a new one.
        tries: attempts on record, of all rounds.
        trace: of what caused it, where somebody wants to know.
    """

    id: str
    connection: str
    action: str
    params: dict[str, Any]
    target: str | None
    attempts: int
    tries: int
    fence: int
    lease_until: datetime
    event: str | None = None
    trace: Trace | None = None


JOB = [
    outbox.c[name]
    for name in ("id", "connection", "action", "params", "target", "attempts", "fence", "event")
]
CONSENT = [outbox.c[name] for name in ("member", "purpose", "channel")]


def _lane(*lane: sa.ColumnElement[bool], newest: bool = False) -> sa.Select[Any]:
    """Return the query of one lane: what is due, in order, and not in the way of its own target."""
    other = outbox.alias("other")
    blocked = sa.exists().where(
        other.c.connection == outbox.c.connection,
        other.c.action == outbox.c.action,
        other.c.target == outbox.c.target,
        unsent_with_target(other),
        sa.or_(other.c.state == SENDING, other.c.id > outbox.c.id),
    )
    return (
        sa.select(*JOB, *CONSENT)
        .where(
            outbox.c.connection == sa.bindparam("of"),
            outbox.c.state == READY,
            *lane,
            sa.or_(outbox.c.target.is_(None), ~blocked),
        )
        .order_by(outbox.c.next_at.desc() if newest else outbox.c.next_at)
        .limit(sa.bindparam("most"))
        .with_for_update(of=outbox, skip_locked=True)
    )


# A first try is due when it is written, whatever the clock says now: it may have been set back since.
OLDEST = _lane(outbox.c.attempts == ZERO)
NEWEST = _lane(outbox.c.attempts == ZERO, newest=True)
RETRIES = _lane(outbox.c.attempts > ZERO, outbox.c.next_at <= sa.bindparam("now"))


def in_turn(connection: sa.Connection) -> None:
    """Wait until no other transaction is claiming. SQLite's write lock does the same."""
    if connection.dialect.name == "postgresql":
        connection.execute(CLAIMING)


def claim(
    connection: sa.Connection,
    now: datetime,
    limits: Mapping[str, int],
    held: Collection[str] = (),
    chance: Callable[[], float] = random.random,
) -> list[Job]:
    """Lease rows that are due. The transaction should commit at once: others wait for it.

    Args:
        connection: a write transaction.
        now: aware UTC.
        limits: the most rows by connection; connections that are not named are not served.
        held: connections to pass over.
        chance: a random number in [0, 1); shares out the quarters of a small claim.
    """
    in_turn(connection)
    rows: list[sa.Row[Any]] = []
    for name, most in limits.items():
        if most > 0 and name not in held:
            rows += _due(connection, name, now, most, chance)
    rows = _allowed(connection, rows, now)
    if not rows:
        return []
    ids = [row.id for row in rows]
    replace_older(connection, rows, now, keep=ids)
    lease_until, tries = now + timedelta(seconds=LEASE_S), _tries(connection, ids)
    connection.execute(
        sa.update(outbox)
        .where(outbox.c.id.in_(ids))
        .values(state="sending", lease_until=lease_until, fence=outbox.c.fence + 1)
    )
    return [
        Job(
            id=row.id,
            connection=row.connection,
            action=row.action,
            params=row.params,
            target=row.target,
            attempts=row.attempts,
            tries=tries.get(row.id, 0),
            fence=row.fence + 1,
            lease_until=lease_until,
            event=row.event,
        )
        for row in rows
    ]


def _due(
    connection: sa.Connection, name: str, now: datetime, most: int, chance: Callable[[], float]
) -> list[sa.Row[Any]]:
    """Return up to `most` rows of a connection that are due, each lane with its share."""
    bound = {"of": name, "most": most}
    oldest = connection.execute(OLDEST, bound).all()
    retries = connection.execute(RETRIES, {**bound, "now": now}).all()
    first, again = shared_out(most, len(oldest), len(retries), chance)
    half = int(first / 2 + chance()) if len(oldest) == most else 0  # otherwise these are all there are
    newest = connection.execute(NEWEST, {**bound, "most": half}).all() if half else []
    taken = list({row.id: row for row in (*newest, *oldest)}.values())
    return [*taken[:first], *retries[:again]]


def _allowed(connection: sa.Connection, rows: list[Any], now: datetime) -> list[Any]:
    """Return the rows that may be sent; offers whose consent was withdrawn since they were written are withheld."""
    offers = {row.id: (row.member, row.purpose, row.channel) for row in rows if row.purpose}
    if not offers:
        return rows
    granted = allowing(connection, set(offers.values()))
    withheld = [id_ for id_, place in offers.items() if place not in granted]
    if withheld:
        reason = outbox.c.purpose + sa.literal(" by ") + outbox.c.channel + sa.literal(" was withdrawn")
        closed = {"state": "withheld", "done_at": now, "next_at": None, "reason": reason}
        connection.execute(sa.update(outbox).where(outbox.c.id.in_(withheld)).values(closed))
    return [row for row in rows if row.id not in set(withheld)]


def shared_out(most: int, fresh: int, retries: int, chance: Callable[[], float]) -> tuple[int, int]:
    """Return how many first tries and retries a claim of `most` takes of those there are."""
    quarter = int(most * RETRY_SHARE)
    quarter += chance() < most * RETRY_SHARE - quarter
    taken = min(retries, max(quarter, most - fresh))
    return min(fresh, most - taken), taken


def expired(connection: sa.Connection, now: datetime, most: int = 500) -> list[Job]:
    """Return rows whose lease ran out, locked; their worker is gone or too late."""
    query = (
        sa.select(*JOB, outbox.c.lease_until)
        .where(outbox.c.state == SENDING, outbox.c.lease_until < now)
        .limit(most)
        .with_for_update(of=outbox, skip_locked=True)
    )
    rows = connection.execute(query).all()
    tries = _tries(connection, [row.id for row in rows])
    return [Job(**row._asdict(), tries=tries.get(row.id, 0)) for row in rows]


def _tries(connection: sa.Connection, ids: list[str]) -> dict[str, int]:
    """Return how many attempts are on record of each row that has any."""
    if not ids:
        return {}
    found = connection.execute(TRIES, {"ids": ids, "first": min(ids), "last": max(ids)})
    return {row[0]: row[1] for row in found}
