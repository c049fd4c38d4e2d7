"""Stored events as another mapping file reads them. Writes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from hub import inbox, journal
from hub.connections import Connection
from hub.ids import new_id
from hub.mapping import Ignored
from hub.mapping import Mapping as MappingFile
from hub.members import Directory
from hub.reading import AHEAD, MALFORMED
from hub.rules import Program
from hub.sdk import MappingError, SourceEvent
from hub.sdk.events import Event
from hub.storage.tables import event
from hub.trying import source_again

PAGE = 500


class Row(NamedTuple):
    """An event as `History` reads them; `data` is JSON, empty where the mapping makes nothing of it."""

    member: str
    id: str
    connection: str
    source_id: str
    part: int
    type: str
    name: str
    occurred_at: datetime
    received_at: datetime
    state: str
    reason: str
    data: bytes | str


@dataclass(slots=True)
class Reread:
    """What other mappings make of what came.

    Attributes:
        changed: what is read differently, by the event's id.
        new: what was no event, or of nobody, by member.
        unreadable: events whose bodies are gone: they stay as they are.
        strangers: new events of nobody who is known.
        seen: events that were read again.
    """

    changed: dict[str, Row] = field(default_factory=dict)
    new: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    unreadable: int = 0
    strangers: int = 0
    seen: int = 0

    def of(self, member: str, rows: Sequence[Any]) -> list[Any]:
        """Return a member's events, read again."""
        if not self.changed and not self.new:
            return list(rows)
        return [*(self.changed.get(row.id, row) for row in rows), *self.new.get(member, ())]


def reread(
    connection: sa.Connection,
    inbox_connection: sa.Connection,
    sources: Mapping[str, Connection],
    mappings: Mapping[str, MappingFile],
    program: Program,
    *,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Reread:
    """Read the events of some connections again.

    Args:
        connection, inbox_connection: of the database.
        sources: the hub's connections.
        mappings: by the names of those that are read again.
        program: what proves who somebody is.
        now: the present.
        since, until: only what arrived in between.
    """
    found = Reread()
    for page in _pages(connection, sorted(mappings), since, until):
        webhooks = {row.id: row for row in inbox.get(inbox_connection, {row.inbox_id for row in page})}
        parts = _parts(connection, page)
        read: list[tuple[Row, Event | None]] = []
        for row in page:
            source = source_again(sources[row.connection], webhooks.get(row.inbox_id), row)
            if source is None:
                found.unreadable += row.name is not None
            elif not _means_nothing(source, sources[row.connection]):
                found.seen += 1
                read += _readings(row, source, sources[row.connection], mappings[row.connection], parts)
        _take(connection, found, read, {row.id for row in page}, program, now)
    return found


def _pages(
    connection: sa.Connection, names: Sequence[str], since: datetime | None, until: datetime | None
) -> Iterator[Sequence[Any]]:
    after = ""
    while True:
        query = sa.select(event).where(event.c.connection.in_(names), event.c.state.in_(STATES))
        query = query.where(event.c.received_at >= since) if since else query
        query = query.where(event.c.received_at < until) if until else query
        query = query.where(event.c.id > after) if after else query
        page = connection.execute(query.order_by(event.c.id).limit(PAGE)).all()
        if not page:
            return
        yield page
        after = page[-1].id


STATES = ("done", "witness", "parked", "ignored")


def _parts(connection: sa.Connection, page: Sequence[Any]) -> set[tuple[str, str, int]]:
    """Return the parts that are stored of the events of a page."""
    query = sa.select(event.c.connection, event.c.source_id, event.c.part)
    rows = connection.execute(query.where(event.c.source_id.in_({row.source_id for row in page})))
    return {tuple(row) for row in rows}


def _means_nothing(source: SourceEvent, connection: Connection) -> bool:
    return bool(
        source.echo
        or source.bell
        or source.type == MALFORMED
        or source.notification
        or (source.test and connection.live)
    )


def _readings(
    row: Any,
    source: SourceEvent,
    connection: Connection,
    mapping: MappingFile,
    parts: set[tuple[str, str, int]],
) -> Iterator[tuple[Row, Event | None]]:
    """Yield what becomes of a stored event, and of those that are new beside its first part."""
    try:
        mapped = mapping.apply(source, connection=row.connection)
    except MappingError as error:
        yield _row(row, row.id, row.part, None, "parked", str(error)), None
        return
    if isinstance(mapped, Ignored):
        yield _row(row, row.id, row.part, None, "ignored", mapped.reason), None
        return
    canonical = [_as_stored(each, row.received_at, connection) for each in mapped]
    if row.part >= len(canonical):
        said = "the mapping file no longer makes this event of it"
        yield _row(row, row.id, row.part, None, "ignored", said), None
    else:
        yield _row(row, row.id, row.part, canonical[row.part], "done", row.reason), canonical[row.part]
    for part, each in enumerate(canonical):
        if row.part == 0 and (row.connection, row.source_id, part) not in parts:
            yield _row(row, new_id(), part, each, "done", "the mapping file made no such event of it"), each


def _as_stored(canonical: Event, received_at: datetime, connection: Connection) -> Event:
    return msgspec.structs.replace(
        canonical,
        occurred_at=min(canonical.occurred_at, received_at + AHEAD),
        test=canonical.test and connection.live,
    )


def _row(row: Any, id_: str, part: int, canonical: Event | None, state: str, reason: str) -> Row:
    return Row(
        member=row.member or "", id=id_, connection=row.connection, source_id=row.source_id, part=part, type=row.type,
        name=canonical.name if canonical else row.name or "",
        occurred_at=canonical.occurred_at if canonical else row.occurred_at, received_at=row.received_at,
        state=state if row.state != "witness" or not canonical else "witness", reason=reason,
        data=msgspec.json.encode(journal.plain(canonical)) if canonical else "",
    )  # fmt: skip


def _take(
    connection: sa.Connection,
    found: Reread,
    read: Sequence[tuple[Row, Event | None]],
    stored: set[str],
    program: Program,
    now: datetime,
) -> None:
    """Sort what was read: what a member's event becomes, and what is an event of somebody's now."""
    of_nobody = [(row, canonical) for row, canonical in read if not row.member and canonical]
    refs = [(row.connection, canonical.member) for row, canonical in of_nobody]
    directory = Directory.open(connection, refs, match=program.identity.match, enrol=False, now=now)
    for row, canonical in read:
        if row.member and row.id in stored:
            found.changed[row.id] = row
        elif row.member:
            found.new[row.member].append(row)
        elif canonical:
            member = directory.find(row.connection, canonical.member)
            found.strangers += member is None
            if member:
                found.new[member].append(row._replace(member=member))
