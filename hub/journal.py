"""The journal: what became of every source event.

    ready ──> fetching ──┐
      ^                  v
      └─ parked       (post) ──> done | witness | ignored
      └─ waiting  <──────┤
      └─ unassigned <────┘

done        posted, or understood and worth nothing
witness     another source had told the same fact before
ignored     unknown type, or the mapping says so, or an echo of our own update
parked      a person must look: a mapping error, a record that cannot be fetched
waiting     a refund whose purchase has not arrived
unassigned  nobody can be found for it yet
ready       to be worked on at `next_at`: something to fetch, or a second chance
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
import zstandard

from hub.sdk.events import Event
from hub.storage import Lookup, Many
from hub.storage.tables import event, fact, hint, identity
from hub.tracing import Trace
from hub.values import Posted

CALENDAR = "calendar"
"""The connection of what comes round by itself."""
API = "api"
"""The connection of what the REST API brings."""
OWN = (CALENDAR, API)
"""Names that are the hub's own: no connection of hub.yaml may have one."""
FINAL = frozenset({"done", "witness", "ignored"})
OPEN = ("parked", "waiting", "unassigned")
REPLAYABLE = (*OPEN, "ready", "ignored")
"""Ignored ones too: an unknown type may be known to the mapping file by now."""
STATES = (*sorted(FINAL), *OPEN, "ready", "fetching")
LEASE = timedelta(minutes=2)
FORGOTTEN = "the person it is about was erased"
"""The reason of events of erased people, however they ended."""
FETCH_SCHEDULE_S = (2, 10, 60, 300, 1800, 7200, 21600, 43200, 86400)
"""Seconds between tries to read a record from a platform; after the last the event is parked."""


class Entry(msgspec.Struct, kw_only=True):
    """One row of the journal on its way through `process`.

    Attributes:
        part: a mapping may emit several canonical events of one source event.
        canonical: set once mapped.
        fetched: the payload read for a notification.
        stored: the row is in the database already, in a state that is not final.
        bell: it only said that its platform has something new.
        trace: of the webhook it came in.
    """

    id: str
    inbox_id: int
    connection: str
    source_id: str
    part: int = 0
    type: str
    occurred_at: datetime
    received_at: datetime
    state: str = "done"
    reason: str = ""
    canonical: Event | None = None
    mapping_version: str | None = None
    member: str | None = None
    waits_for: str | None = None
    fetched: Any = None
    attempts: int = 0
    next_at: datetime | None = None
    fence: int = 0
    stored: bool = False
    bell: bool = False
    trace: Trace | None = None
    _plain: tuple[Event, dict[str, Any]] | None = None

    @property
    def plain(self) -> Mapping[str, Any]:
        """The canonical event as plain values, without the person; made once. It has to be there."""
        event = self.canonical
        assert event is not None, "only what is mapped is asked for its values"
        if self._plain is None or self._plain[0] is not event:
            self._plain = event, plain(event)
        return self._plain[1]

    @property
    def trace_id(self) -> str:
        return (self.trace or Trace.alone(self.id)).id

    def park(self, reason: str) -> None:
        self.state, self.reason = "parked", reason

    def ignore(self, reason: str) -> None:
        self.state, self.reason = "ignored", reason

    def forget(self) -> None:
        """Keep nothing of what it says: the person it is about was erased after it happened."""
        self.state, self.reason = "ignored", FORGOTTEN
        self.canonical = self.fetched = self.member = None

    def witness(self, fact: str) -> None:
        self.state, self.reason = "witness", f"{fact} was told before"

    def wait_for(self, fact: str) -> None:
        self.state, self.waits_for, self.reason = "waiting", fact, f"{fact} has not arrived yet"


@dataclass(frozen=True, slots=True)
class Settled:
    """What one transaction did.

    Attributes:
        deliveries: how many were written to the outbox.
    """

    entries: list[Entry]
    posted: list[Posted]
    deliveries: int

    def __add__(self, other: Settled) -> Settled:
        return Settled(
            self.entries + other.entries, self.posted + other.posted, self.deliveries + other.deliveries
        )


def unsettled(connection: sa.Connection, entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that still have to be settled, each happening once.

    A platform may repeat a happening inside another delivery. What is settled, or being fetched, is left out;
    what is stored in an open state is taken up where it is.
    """
    new = [entry for entry in entries if not entry.stored]
    open_rows = _stored(connection, {(entry.connection, entry.source_id) for entry in new})
    chosen = [entry for entry in entries if entry.stored]
    seen: set[tuple[str, str, int]] = set()
    for entry in new:
        key = (entry.connection, entry.source_id, entry.part)
        row = open_rows.get(key)
        if key in seen or (row is not None and (row.state in FINAL or row.state == "fetching")):
            continue
        seen.add(key)
        if row is not None:
            entry.id, entry.fence, entry.stored = row.id, row.fence, True
        chosen.append(entry)
    return chosen


def forgotten(connection: sa.Connection, entries: Iterable[Entry]) -> set[int]:
    """Return the webhooks in which events of erased people came, new or again: their bodies have to go."""
    keys = {(entry.connection, entry.source_id) for entry in entries}
    known = {(row.connection, row.source_id) for row in _SAME(connection, keys) if row.reason == FORGOTTEN}
    return {
        entry.inbox_id
        for entry in entries
        if entry.reason == FORGOTTEN or (entry.connection, entry.source_id) in known
    }


def _stored(connection: sa.Connection, keys: set[tuple[str, str]]) -> dict[tuple[str, str, int], Any]:
    return {(row.connection, row.source_id, row.part): row for row in _SAME(connection, keys)}


_SAME = Lookup(
    sa.select(
        event.c.id,
        event.c.connection,
        event.c.source_id,
        event.c.part,
        event.c.state,
        event.c.fence,
        event.c.reason,
    ),
    event.c.connection,
    event.c.source_id,
)


def write(connection: sa.Connection, entries: Sequence[Entry]) -> None:
    """Write entries, new and changed, in two statements."""
    new = [_row(entry) for entry in entries if not entry.stored]
    changed = [_row(entry) for entry in entries if entry.stored]
    _INSERT(connection, new)
    if changed:
        fields: dict[str, Any] = {n: sa.bindparam(f"b_{n}") for n in changed[0] if n not in ("id", "payload")}
        # What was fetched once stays: a later try that reads nothing new keeps it.
        fields["payload"] = sa.func.coalesce(sa.bindparam("b_payload", type_=sa.LargeBinary), event.c.payload)
        statement = event.update().where(event.c.id == sa.bindparam("b_id")).values(fields)
        connection.execute(
            statement, [{f"b_{name}": value for name, value in row.items()} for row in changed]
        )


_INSERT = Many(lambda insert: insert(event))


def wake_waiting(connection: sa.Connection, facts: Iterable[str], now: datetime) -> int:
    """Make events that wait for one of these facts ready; return how many."""
    names = sorted(set(facts))
    if not names:
        return 0
    waiting = event.update().where(event.c.waits_for.in_(names), event.c.state == "waiting")
    return connection.execute(waiting.values(state="ready", next_at=now, waits_for=None, reason="")).rowcount


def wake_missed(connection: sa.Connection, now: datetime) -> int:
    """Make events ready whose fact or member has come and that nobody woke; return how many.

    Two workers that commit at the same time do not see each other: one writes that an event waits, the other
    that its fact is told. Only rows that wait are read.
    """
    told = sa.select(event.c.id).join(fact, fact.c.key == event.c.waits_for).where(_in(["waiting"]))
    proved = (
        sa.select(event.c.id)
        .join(hint, hint.c.event == event.c.id)
        .join(identity, sa.and_(identity.c.source == hint.c.source, identity.c.value == hint.c.value))
        .where(_in(["unassigned"]))
    )
    missed = event.update().where(event.c.id.in_(told.union(proved)))
    return connection.execute(missed.values(state="ready", next_at=now, waits_for=None, reason="")).rowcount


def wake_deliveries(connection: sa.Connection, inbox_ids: Sequence[int], now: datetime) -> int:
    """Give the unfinished events of redelivered webhooks another chance; return how many."""
    if not inbox_ids:
        return 0
    open_rows = event.update().where(event.c.inbox_id.in_(inbox_ids), event.c.state == "parked")
    return connection.execute(open_rows.values(state="ready", next_at=now)).rowcount


def wake_parked(
    connection: sa.Connection, now: datetime, connections: Sequence[str] = (), limit: int | None = None
) -> int:
    """Give parked events another chance, after a mapping or programme was mended; return how many."""
    chosen = sa.select(event.c.id).where(event.c.state == "parked").order_by(event.c.id)
    if connections:
        chosen = chosen.where(event.c.connection.in_(connections))
    if limit is not None:
        chosen = chosen.limit(limit)
    return connection.execute(
        event.update().where(event.c.id.in_(chosen)).values(state="ready", next_at=now, attempts=0)
    ).rowcount


def claim_ready(connection: sa.Connection, now: datetime, limit: int) -> list[sa.Row[Any]]:
    """Claim events that are due, with a lease; oldest due first. A lease that ran out counts as due."""
    due = (
        sa.select(event.c.id)
        .where(
            sa.or_(
                sa.and_(event.c.state == "ready", event.c.next_at <= now),
                sa.and_(event.c.state == "fetching", event.c.next_at <= now),
            )
        )
        .order_by(event.c.next_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = connection.execute(due).scalars().all()
    if not ids:
        return []
    leased = now + LEASE
    connection.execute(
        event.update()
        .where(event.c.id.in_(ids))
        # `next_at` moves with the lease, so that one small index finds both the due and the abandoned.
        .values(state="fetching", next_at=leased, fence=event.c.fence + 1)
    )
    return list(
        connection.execute(
            sa.select(event).where(event.c.id.in_(ids)).order_by(event.c.received_at, event.c.id)
        )
    )


def still_ours(connection: sa.Connection, claims: Mapping[str, int]) -> set[str]:
    """Return which of the claimed events (id -> fence) nobody else has taken since; locks them."""
    if not claims:
        return set()
    rows = connection.execute(
        sa.select(event.c.id, event.c.fence)
        .where(event.c.id.in_(list(claims)), event.c.state == "fetching")
        .with_for_update()
    )
    return {row.id for row in rows if claims[row.id] == row.fence}


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one event, as people ask for it."""

    id: str
    inbox_id: int
    connection: str
    source_id: str
    part: int
    type: str
    name: str | None
    fact: str | None
    occurred_at: datetime
    received_at: datetime
    state: str
    reason: str
    member: str | None
    mapping_version: str | None
    waits_for: str | None
    attempts: int
    next_at: datetime | None


_FATE = [event.c[name] for name in Fate.__struct_fields__]


def fates(connection: sa.Connection, inbox_ids: Iterable[int]) -> list[Fate]:
    """Return what became of the events of these webhooks, in order."""
    query = (
        sa.select(*_FATE).where(event.c.inbox_id.in_(list(inbox_ids))).order_by(event.c.inbox_id, event.c.id)
    )
    return [Fate(**row._asdict()) for row in connection.execute(query)]


def webhooks_in(
    connection: sa.Connection,
    state: str,
    *,
    of: str = "",
    since: datetime | None = None,
    after: int | None = None,
    limit: int = 50,
) -> list[int]:
    """Return the inbox ids of webhooks with an event in this state, newest first.

    Args:
        connection: of the database.
        state: one of STATES.
        of: the name of a connection in hub.yaml; empty is all.
        since: the earliest arrival.
        after: the last inbox id of the page before.
        limit: ids of a page.
    """
    query = sa.select(event.c.inbox_id).distinct().where(_in([state])).order_by(event.c.inbox_id.desc())
    if of:
        query = query.where(event.c.connection == of)
    if since is not None:
        query = query.where(event.c.received_at >= since)
    if after is not None:
        query = query.where(event.c.inbox_id < after)
    return list(connection.scalars(query.limit(limit)))


def left_open(connection: sa.Connection) -> list[tuple[str, int, datetime]]:
    """Return for each state of OPEN that occurs: how many events are in it, and when the oldest came."""
    query = (
        sa.select(event.c.state, sa.func.count(), sa.func.min(event.c.received_at))
        .where(_in(OPEN))
        .group_by(event.c.state)
        .order_by(event.c.state)
    )
    return [(state, count, oldest) for state, count, oldest in connection.execute(query)]


def replay(
    connection: sa.Connection,
    now: datetime,
    states: Sequence[str],
    *,
    inbox_ids: Sequence[int] = (),
    of: str = "",
    limit: int = 1000,
    dry_run: bool = False,
) -> list[Fate]:
    """Give open events another chance, oldest first; return them as they were before.

    Args:
        connection: a write transaction.
        now: aware UTC.
        states: of REPLAYABLE; "ready" is what would be tried again later by itself.
        inbox_ids: only the events of these webhooks; empty is all.
        of: the name of a connection in hub.yaml; empty is all.
        limit: the most events.
        dry_run: only say which.
    """
    query = sa.select(*_FATE).where(_in(states)).order_by(event.c.id).limit(limit)
    if inbox_ids:
        query = query.where(event.c.inbox_id.in_(inbox_ids))
    if of:
        query = query.where(event.c.connection == of)
    chosen = [Fate(**row._asdict()) for row in connection.execute(query.with_for_update())]
    if chosen and not dry_run:
        again = {"state": "ready", "next_at": now, "waits_for": None, "attempts": 0}
        connection.execute(event.update().where(event.c.id.in_([fate.id for fate in chosen])).values(again))
    return chosen


def _in(states: Iterable[str]) -> sa.ColumnElement[bool]:
    """Return the condition, spelt out so that the small indexes of open rows are used."""
    return event.c.state.in_([sa.literal(state, literal_execute=True) for state in states])


def unpack(payload: bytes | None) -> Any:
    """Return a fetched payload as it was stored."""
    return None if payload is None else msgspec.json.decode(zstandard.decompress(payload))


def plain(canonical: Event) -> dict[str, Any]:
    """Return a canonical event as plain values, without the person: what the journal keeps."""
    data: dict[str, Any] = msgspec.to_builtins(canonical)
    data.pop("member", None)
    data["name"] = canonical.name
    return data


def _row(entry: Entry) -> dict[str, Any]:
    canonical = entry.canonical
    packed = None if entry.fetched is None else zstandard.compress(msgspec.json.encode(entry.fetched))
    return {
        "id": entry.id,
        "inbox_id": entry.inbox_id,
        "connection": entry.connection,
        "source_id": entry.source_id,
        "part": entry.part,
        "type": entry.type,
        "name": canonical.name if canonical else None,
        "fact": canonical.fact if canonical else None,
        "occurred_at": canonical.occurred_at if canonical else entry.occurred_at,
        "received_at": entry.received_at,
        "state": entry.state,
        "reason": entry.reason,
        "member": entry.member,
        "mapping_version": entry.mapping_version,
        "data": entry.plain if canonical else None,
        "payload": packed,
        "waits_for": entry.waits_for,
        "attempts": entry.attempts,
        "next_at": entry.next_at,
        "fence": entry.fence,
    }
