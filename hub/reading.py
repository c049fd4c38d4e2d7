"""Parse and map: from stored bytes to canonical events. No transaction is open here."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
import structlog

from hub import canonical, journal
from hub.connections import Connection
from hub.ids import new_id
from hub.inbox import StoredRow
from hub.journal import Entry
from hub.mapping import Ignored
from hub.rules import refunds
from hub.sdk import Malformed, MappingError, Rejected, SourceEvent, TryLater
from hub.sdk.events import Event
from hub.tracing import About, Trace

if TYPE_CHECKING:
    from hub.hub import Hub

FETCHERS = 8
"""Connections fetched from at once."""
FETCH_BUDGET_S = 60.0
"""How long one round of fetching may take; well within the lease of the events it works on."""
MALFORMED = "malformed"
"""The type under which a connector hands over a bad item of an otherwise good batch."""
AHEAD = timedelta(minutes=5)
"""How far a source's clock may run ahead of ours before we hold it back."""

log = structlog.get_logger()


def read(hub: Hub, row: StoredRow) -> list[Entry]:
    """Return the journal entries of one webhook: what happened, mapped, or why it could not be."""
    trace = row.trace
    with About(trace):
        entries = _read(hub, row)
    for entry in entries:
        entry.trace = trace
    return entries


def _read(hub: Hub, row: StoredRow) -> list[Entry]:
    if row.connection == journal.API:
        return _as_it_is(row)
    connection = hub.connections.get(row.connection)
    if connection is None:
        return [
            _unreadable(row, f"hub.yaml has no connection {row.connection!r} any more; add it and replay")
        ]
    if row.webhook is None:
        return [_unreadable(row, "its body is past its retention")]
    try:
        sources = connection.connector.parse(row.webhook)
    except Malformed as error:
        return [_unreadable(row, str(error))]
    except Exception as error:
        log.exception("a connector could not parse", action="parse_error", connection=row.connection)
        return [_unreadable(row, f"the connector failed: {type(error).__name__}: {error}")]
    return [entry for source in sources for entry in _first_reading(hub, connection, row, source)]


def fetch_and_read(hub: Hub, claims: Sequence[sa.Row[Any]], rows: Mapping[int, StoredRow]) -> list[Entry]:
    """Return the entries of journal rows that are due, their records fetched where they must be.

    Connections are fetched from side by side, so that a slow platform holds up its own events alone. What
    cannot be fetched within `FETCH_BUDGET_S` stays ready for the next round.
    """
    by_connection: dict[str, list[sa.Row[Any]]] = defaultdict(list)
    for claim in claims:
        by_connection[claim.connection].append(claim)
    until = time.monotonic() + FETCH_BUDGET_S

    def of_one(waiting: list[sa.Row[Any]]) -> list[Entry]:
        return [
            entry
            for claim in waiting
            for entry in (
                read_again(hub, claim, rows.get(claim.inbox_id))
                if time.monotonic() < until
                else [_not_yet(hub, claim, rows.get(claim.inbox_id))]
            )
        ]

    with ThreadPoolExecutor(
        max_workers=min(len(by_connection), FETCHERS), thread_name_prefix="hub-fetch"
    ) as pool:
        return [entry for entries in pool.map(of_one, by_connection.values()) for entry in entries]


def read_again(hub: Hub, claim: sa.Row[Any], row: StoredRow | None) -> list[Entry]:
    """Return the entries of one journal row that is due, its record fetched where it must be."""
    trace = row.trace if row else Trace.alone(claim.id)
    with About(trace):
        entries = _read_again(hub, claim, row)
    for entry in entries:
        entry.trace = trace
    return entries


def _read_again(hub: Hub, claim: sa.Row[Any], row: StoredRow | None) -> list[Entry]:
    entry = _claimed(claim)
    if claim.connection == journal.CALENDAR:
        entry.canonical, entry.member = refunds.restored(claim.data, claim.fact), claim.member
        return [entry]
    connection = hub.connections.get(claim.connection)
    if row is not None and row.webhook is not None and claim.connection == journal.API:
        again = (each for each in read(hub, row) if each.source_id == claim.source_id)
        return [msgspec.structs.replace(each, id=entry.id, fence=entry.fence, stored=True) for each in again]
    if row is None or row.webhook is None or connection is None:
        entry.park("its webhook can no longer be read")
        return [entry]
    if claim.source_id == _delivery(row):
        first, *others = read(hub, row)
        return [msgspec.structs.replace(first, id=entry.id, fence=entry.fence, stored=True), *others]
    source = next((s for s in connection.connector.parse(row.webhook) if s.id == claim.source_id), None)
    if source is None:
        entry.park("the connector no longer finds this event in its webhook")
        return [entry]
    if _means_nothing(connection, source, entry):
        return [entry]
    if source.notification:
        try:
            entry.fetched = journal.unpack(claim.payload) or connection.connector.fetch(
                source, hub.client(connection, entry.id)
            )
        except TryLater as error:
            _fetch_later(entry, error, hub.clock())
            return [entry]
        except Rejected as error:
            entry.park(f"its record cannot be fetched: {error.reason}")
            return [entry]
        source = msgspec.structs.replace(source, payload=entry.fetched, notification=False)
    parts = _map(hub, connection, entry, source)
    return [part for part in parts if part.part == claim.part] or [_gone(entry)]


def _as_it_is(row: StoredRow) -> list[Entry]:
    """Return the entries of events that came as canonical ones."""
    if row.webhook is None:
        return [_unreadable(row, "its body is past its retention")]
    try:
        events = canonical.read(row.webhook.body)
    except canonical.Faulty as error:  # it was read once, by the version that took it
        return [_unreadable(row, str(error))]
    return [
        Entry(
            id=new_id(),
            inbox_id=row.id,
            connection=row.connection,
            source_id=canonical.source_id(row.delivery_id, n),
            type=told.event.name,
            occurred_at=told.event.occurred_at,
            received_at=row.received_at,
            canonical=_held_back(told.event, row.received_at),
            member=told.member,
        )
        for n, told in enumerate(events)
    ]


def _first_reading(hub: Hub, connection: Connection, row: StoredRow, source: SourceEvent) -> list[Entry]:
    entry = Entry(
        id=new_id(),
        inbox_id=row.id,
        connection=connection.name,
        source_id=source.id,
        type=source.type,
        occurred_at=source.at,
        received_at=row.received_at,
    )
    if _means_nothing(connection, source, entry):
        return [entry]
    if source.notification:
        entry.state, entry.reason, entry.next_at = "ready", "its record must be fetched", row.received_at
    else:
        return _map(hub, connection, entry, source)
    return [entry]


def _means_nothing(connection: Connection, source: SourceEvent, entry: Entry) -> bool:
    """Settle an event that no mapping file is asked about; return whether it was one."""
    if source.echo:
        entry.ignore("our own update came back")
    elif source.bell:
        entry.bell = True
        entry.ignore("the platform has something new, and is asked for it")
    elif source.type == MALFORMED:
        entry.park("one of the events in this webhook is not what the platform documents")
    elif source.test and connection.live:
        entry.ignore("sent in test mode, and this connection is live")
    else:
        return False
    return True


def _map(hub: Hub, connection: Connection, entry: Entry, source: SourceEvent) -> list[Entry]:
    mapping = hub.mapping(connection.name)
    entry.mapping_version = mapping.version
    try:
        mapped = mapping.apply(source, connection=connection.name)
    except MappingError as error:
        entry.park(str(error))
        return [entry]
    if isinstance(mapped, Ignored):
        entry.ignore(mapped.reason)
        return [entry]
    return [_part(connection, entry, part, canonical) for part, canonical in enumerate(mapped)]


def _part(connection: Connection, entry: Entry, part: int, canonical: Event) -> Entry:
    """Return the entry of one canonical event; a mapping may emit several of one source event."""
    canonical = _held_back(canonical, entry.received_at)
    if canonical.test and not connection.live:
        canonical = msgspec.structs.replace(canonical, test=False)
    if part == entry.part:
        return msgspec.structs.replace(entry, canonical=canonical)
    return msgspec.structs.replace(
        entry, id=new_id(), part=part, canonical=canonical, fetched=None, stored=False
    )


def _held_back(event: Event, received_at: datetime) -> Event:
    """Return an event that does not lie in the future, whatever its source's clock says."""
    latest = received_at + AHEAD
    return event if event.occurred_at <= latest else msgspec.structs.replace(event, occurred_at=latest)


def _claimed(claim: sa.Row[Any]) -> Entry:
    return Entry(
        id=claim.id,
        inbox_id=claim.inbox_id,
        connection=claim.connection,
        source_id=claim.source_id,
        part=claim.part,
        type=claim.type,
        occurred_at=claim.occurred_at,
        received_at=claim.received_at,
        attempts=claim.attempts,
        fence=claim.fence,
        stored=True,
    )


def _fetch_later(entry: Entry, error: TryLater, now: datetime) -> None:
    if entry.attempts >= len(journal.FETCH_SCHEDULE_S):
        entry.park(f"its record could not be fetched in {entry.attempts} tries: {error.reason}")
        return
    wait = max(journal.FETCH_SCHEDULE_S[entry.attempts], error.retry_after_s or 0)
    entry.state, entry.reason = "ready", f"its record must be fetched; last try: {error.reason}"
    entry.attempts, entry.next_at = entry.attempts + 1, now + timedelta(seconds=wait)


def _not_yet(hub: Hub, claim: sa.Row[Any], row: StoredRow | None) -> Entry:
    entry = _claimed(claim)
    entry.trace = row.trace if row else None
    entry.state, entry.reason, entry.next_at = "ready", claim.reason, hub.clock()
    return entry


def _gone(entry: Entry) -> Entry:
    entry.ignore("the mapping file no longer makes this event of it")
    return entry


def _unreadable(row: StoredRow, reason: str) -> Entry:
    return Entry(
        id=new_id(),
        inbox_id=row.id,
        connection=row.connection,
        source_id=_delivery(row),
        type="",
        occurred_at=row.received_at,
        received_at=row.received_at,
        state="parked",
        reason=reason,
    )


def _delivery(row: StoredRow) -> str:
    """Return the source id of a webhook from which no event could be read."""
    return f"delivery:{row.delivery_id}"
