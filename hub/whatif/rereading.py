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
from hub.sdk import MappingError, SourceEvent
from hub.sdk.events import Event
from hub.storage.tables import event
from hub.trying import source_again

PAGE = 500
STATES = ("done", "witness", "parked", "ignored")
"""Of events that are read again; the others wait for something."""


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


class Rereading:
    """Reads the events of some connections again.

    Args:
        connection, inbox_connection: of the database.
        sources: the hub's connections.
        mappings: by the names of those that are read again.
        match: what proves who somebody is.
    """

    def __init__(
        self,
        connection: sa.Connection,
        inbox_connection: sa.Connection,
        sources: Mapping[str, Connection],
        mappings: Mapping[str, MappingFile],
        match: Sequence[str],
    ) -> None:
        self._connection = connection
        self._bodies = inbox_connection
        self._sources = sources
        self._mappings = mappings
        self._match = match

    def read(self, *, now: datetime, since: datetime | None = None, until: datetime | None = None) -> Reread:
        """Read what arrived between two instants."""
        found = Reread()
        for page in self._pages(since, until):
            webhooks = {row.id: row for row in inbox.get(self._bodies, {row.inbox_id for row in page})}
            parts = self._parts(page)
            read: list[tuple[Row, Event | None]] = []
            for row in page:
                source = source_again(self._sources[row.connection], webhooks.get(row.inbox_id), row)
                if source is None:
                    found.unreadable += row.name is not None
                elif not _means_nothing(source, self._sources[row.connection]):
                    found.seen += 1
                    read += self._readings(row, source, parts)
            self._take(found, read, {row.id for row in page}, now)
        return found

    def _pages(self, since: datetime | None, until: datetime | None) -> Iterator[Sequence[Any]]:
        after = ""
        while True:
            query = sa.select(event).where(
                event.c.connection.in_(sorted(self._mappings)), event.c.state.in_(STATES)
            )
            query = query.where(event.c.received_at >= since) if since else query
            query = query.where(event.c.received_at < until) if until else query
            query = query.where(event.c.id > after) if after else query
            page = self._connection.execute(query.order_by(event.c.id).limit(PAGE)).all()
            if not page:
                return
            yield page
            after = page[-1].id

    def _parts(self, page: Sequence[Any]) -> set[Part]:
        """Return the parts that are stored of the events of a page."""
        query = sa.select(event.c.connection, event.c.source_id, event.c.part)
        rows = self._connection.execute(query.where(event.c.source_id.in_({row.source_id for row in page})))
        return {(row.connection, row.source_id, row.part) for row in rows}

    def _readings(
        self, row: Any, source: SourceEvent, parts: set[Part]
    ) -> Iterator[tuple[Row, Event | None]]:
        """Yield what becomes of a stored event, and of those that are new beside its first part."""
        connection, mapping = self._sources[row.connection], self._mappings[row.connection]
        try:
            mapped = mapping.apply(source, connection=row.connection)
        except MappingError as error:
            yield _silent(row, "parked", str(error)), None
            return
        if isinstance(mapped, Ignored):
            yield _silent(row, "ignored", mapped.reason), None
            return
        canonical = [_as_stored(each, row.received_at, connection) for each in mapped]
        if row.part >= len(canonical):
            yield _silent(row, "ignored", "the mapping file no longer makes this event of it"), None
        else:
            yield _row(row, canonical[row.part]), canonical[row.part]
        for part, each in enumerate(canonical):
            if row.part == 0 and (row.connection, row.source_id, part) not in parts:
                new = _row(row, each)._replace(id=new_id(), part=part, reason="no such event was made of it")
                yield new, each

    def _take(
        self, found: Reread, read: Sequence[tuple[Row, Event | None]], stored: set[str], now: datetime
    ) -> None:
        """Sort what was read: what a member's event becomes, and what is an event of somebody's now."""
        refs = [(row.connection, canonical.member) for row, canonical in read if not row.member and canonical]
        directory = Directory.open(self._connection, refs, match=self._match, enrol=False, now=now)
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


Part = tuple[str, str, int]
"""(connection, source id, part)."""


def _means_nothing(source: SourceEvent, connection: Connection) -> bool:
    return bool(
        source.echo
        or source.bell
        or source.type == MALFORMED
        or source.notification
        or (source.test and connection.live)
    )


def _as_stored(canonical: Event, received_at: datetime, connection: Connection) -> Event:
    return msgspec.structs.replace(
        canonical,
        occurred_at=min(canonical.occurred_at, received_at + AHEAD),
        test=canonical.test and connection.live,
    )


def _row(row: Any, canonical: Event) -> Row:
    """Return a stored event as what it is read as now."""
    return Row(
        member=row.member or "", id=row.id, connection=row.connection, source_id=row.source_id, part=row.part,
        type=row.type, name=canonical.name, occurred_at=canonical.occurred_at, received_at=row.received_at,
        state="witness" if row.state == "witness" else "done", reason=row.reason,
        data=msgspec.json.encode(journal.plain(canonical)),
    )  # fmt: skip


def _silent(row: Any, state: str, reason: str) -> Row:
    """Return a stored event of which nothing is made now."""
    return Row(
        member=row.member or "", id=row.id, connection=row.connection, source_id=row.source_id, part=row.part,
        type=row.type, name=row.name or "", occurred_at=row.occurred_at, received_at=row.received_at, state=state,
        reason=reason, data="",
    )  # fmt: skip
