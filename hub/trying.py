"""Source events to try a mapping file on: stored ones, bodies somebody saved, and the samples that ship."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from hub import inbox, journal
from hub.config import Config
from hub.connections import Connection
from hub.inbox import StoredRow
from hub.mapping import Mapping, loads
from hub.sdk import HubError, SourceEvent
from hub.sdk.samples import Sample
from hub.sending import sample, signed
from hub.storage import Database
from hub.storage.tables import event, version
from hub.yamlfile import did_you_mean

PAGE = 500


def connection_for(config: Config, connector: str, name: str = "") -> Connection:
    """Return the connection whose events a mapping file for `connector` reads.

    Args:
        config: hub.yaml.
        connector: the file's.
        name: which one, where there are several.

    Raises:
        HubError: there is none, or it cannot be told which.
    """
    fitting = {n: c for n, c in config.connections.items() if c.connector.name == connector}
    if name:
        fitting = {n: c for n, c in fitting.items() if n == name}
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if fitting:
        raise HubError(f"{', '.join(fitting)} use {connector}: say which by --connection")
    wanted = f"connection {name!r} of {connector}" if name else f"connection of {connector}"
    raise HubError(f"hub.yaml has no {wanted}; {did_you_mean(name, config.connections)}".rstrip("; "))


def uuid_of(text: str) -> str | None:
    """Return a text that is a UUID as it is stored, else None."""
    try:
        return str(UUID(text))
    except ValueError:
        return None


def stored_source(database: Database, connection: Connection, event_id: str) -> SourceEvent:
    """Return the source event of a journal row, as its mapping saw it.

    Raises:
        HubError: it is not stored, or cannot be read any more.
    """
    with database.read() as tx:
        row = tx.execute(sa.select(event).where(event.c.id == event_id)).one_or_none()
    if row is None:
        raise HubError(f"no event has the id {event_id}; `hub inbox list` and `hub inbox show` tell them")
    if row.connection != connection.name:
        raise HubError(f"event {event_id} came from {row.connection!r}, not from {connection.name!r}")
    with database.read_inbox() as tx:
        stored = next(iter(inbox.get(tx, [row.inbox_id])), None)
    source = source_again(connection, stored, row)
    if source is None:
        raise HubError(f"event {event_id} cannot be read any more: its body is past its retention")
    return source


def saved_sources(connection: Connection, body: Path, event_type: str, now: datetime) -> list[SourceEvent]:
    """Return the events of a body in a file. `event_type` tells what a header tells at some platforms."""
    return _parsed(
        connection,
        Sample(event_type, "", body.read_bytes(), connection.connector.sample_headers(event_type)),
        now,
    )


def sample_sources(connection: Connection, name: str, now: datetime) -> list[SourceEvent]:
    """Return the events of a sample that ships, by its name `type` or `type~variant`.

    Raises:
        ConfigError: there is none of that name; names those there are.
    """
    event_type, _, variant = name.partition("~")
    return _parsed(connection, sample(connection, event_type, variant), now)


def _parsed(connection: Connection, given: Sample, now: datetime) -> list[SourceEvent]:
    # Signing adds what connectors read from signed headers, such as a delivery's id.
    return connection.connector.parse(signed(connection, given, now))


def stored_sources(
    database: Database, connection: Connection, since: datetime | None, limit: int
) -> Iterator[tuple[Mapping, Iterator[SourceEvent]]]:
    """Yield the newest stored events of a connection in order of arrival, by the mapping that counted for them.

    Args:
        database: where.
        connection: whose.
        since: the earliest arrival; None is all.
        limit: the most events.
    """
    mapped = sa.and_(
        event.c.connection == connection.name, event.c.mapping_version.is_not(None), event.c.part == 0
    )
    newest = sa.select(event.c.id).where(mapped).order_by(event.c.id.desc()).limit(limit)
    if since is not None:
        newest = newest.where(event.c.received_at >= since)
    with database.read() as tx, database.read_inbox() as inbox_tx:
        rows = _with_webhooks(tx, inbox_tx, sorted(tx.scalars(newest)))
        for digest, group in groupby(rows, key=lambda pair: pair[0].mapping_version):
            sources = (source_again(connection, stored, row) for row, stored in group)
            yield counted(tx, digest, connection), (source for source in sources if source is not None)


def counted(tx: sa.Connection, digest: str, connection: Connection) -> Mapping:
    """Return a mapping version that counted once, as it was.

    Raises:
        HubError: it is not stored here.
    """
    kept = tx.execute(sa.select(version.c.path, version.c.text).where(version.c.hash == digest)).one_or_none()
    if kept is None:
        raise HubError(f"the mapping version {digest[:12]} is not stored; restore it from a backup")
    return loads(kept.text.encode(), f"{kept.path}@{digest[:12]}", type(connection.connector))


def _with_webhooks(
    tx: sa.Connection, inbox_tx: sa.Connection, ids: list[str]
) -> Iterator[tuple[sa.Row[Any], StoredRow | None]]:
    """Yield journal rows with their webhooks, a page at a time."""
    for start in range(0, len(ids), PAGE):
        page = sa.select(event).where(event.c.id.in_(ids[start : start + PAGE])).order_by(event.c.id)
        rows = tx.execute(page).all()
        stored = {row.id: row for row in inbox.get(inbox_tx, {row.inbox_id for row in rows})}
        for row in rows:
            yield row, stored.get(row.inbox_id)


def source_again(connection: Connection, stored: StoredRow | None, row: sa.Row[Any]) -> SourceEvent | None:
    """Return the source event of a journal row, as its mapping saw it; None where that cannot be had any more."""
    if stored is None or stored.webhook is None:
        return None
    for source in connection.connector.parse(stored.webhook):
        if source.id == row.source_id:
            if not source.notification:
                return source
            fetched = journal.unpack(row.payload)
            return (
                None
                if fetched is None
                else msgspec.structs.replace(source, payload=fetched, notification=False)
            )
    return None
