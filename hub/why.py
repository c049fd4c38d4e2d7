"""Accounts for a posting, an event, a delivery or a fact: the chain from the bytes to the platforms told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from hub import inbox, journal
from hub.mapping import explain
from hub.sdk import HubError, SourceEvent
from hub.storage.tables import award, event, fact, leg, outbox, posting, version
from hub.storage.tables import inbox as inbox_table

if TYPE_CHECKING:
    from hub.hub import Hub


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an account. `depth` says what it belongs to; `said` is for people."""

    depth: int
    said: str


def why(hub: Hub, reference: str) -> list[Line]:
    """Account for what `reference` names: the id of a posting, event or delivery, or a fact key.

    Raises:
        HubError: nothing has that name.
    """
    with hub.database.read() as connection:
        found = _find(connection, reference)
        if found is None:
            raise HubError(
                f"nothing is known as {reference!r}; give the id of a posting, an event or a delivery, or a fact key"
                " such as shopify:order/5551"
            )
        happened, postings = found
        lines = list(_event(hub, connection, happened)) if happened is not None else []
        for row in postings:
            lines += _posting(connection, row)
        if happened is not None and not postings:
            lines += _deliveries(connection, outbox.c.event == happened.id)
    return lines


def _find(connection: sa.Connection, reference: str) -> tuple[sa.Row[Any] | None, list[sa.Row[Any]]] | None:
    """Return the event behind a reference, and the postings it caused (or the one that was asked for)."""
    known_as = connection.scalar(sa.select(fact.c.canonical).where(fact.c.key == reference))
    if known_as is not None:
        told = sa.select(event).where(event.c.fact == known_as).order_by(event.c.received_at).limit(1)
        row = connection.execute(told).first()
        return row, _caused(connection, row.id) if row else []
    identifier = _uuid(reference)
    if identifier is None:
        return None
    if row := connection.execute(sa.select(event).where(event.c.id == identifier)).first():
        return row, _caused(connection, row.id)
    one = connection.execute(sa.select(posting).where(posting.c.id == identifier)).first()
    if one is None and (
        sent := connection.execute(sa.select(outbox).where(outbox.c.id == identifier)).first()
    ):
        if sent.posting is None:
            return connection.execute(sa.select(event).where(event.c.id == sent.event)).first(), []
        one = connection.execute(sa.select(posting).where(posting.c.id == sent.posting)).first()
    if one is None:
        return None
    cause = connection.execute(sa.select(event).where(event.c.id == one.event)).first() if one.event else None
    return cause, [one]


def _caused(connection: sa.Connection, event_id: str) -> list[sa.Row[Any]]:
    rows = connection.execute(
        sa.select(posting).where(posting.c.event == event_id).order_by(posting.c.posted_at, posting.c.seq)
    )
    return list(rows)


def _event(hub: Hub, connection: sa.Connection, row: sa.Row[Any]) -> Iterator[Line]:
    yield Line(
        0,
        f"event {row.id}: {row.type or 'an unreadable webhook'} from {row.connection}, {row.state}"
        + _because(row),
    )
    yield Line(1, f"it happened {_time(row.occurred_at)} and reached us {_time(row.received_at)}")
    with hub.database.read_inbox() as inbox_connection:
        facts = inbox_connection.execute(
            sa.select(inbox_table).where(inbox_table.c.id == row.inbox_id)
        ).first()
        stored = next(iter(inbox.get(inbox_connection, [row.inbox_id])), None)
    if facts is not None:
        yield Line(
            1,
            f"webhook {facts.id}: {facts.size:,} bytes, {facts.verdict}, delivery {facts.delivery_id},"
            f" SHA-256 {facts.body_hash.hex()[:16]}…"
            + ("" if stored and stored.webhook else "; body past its retention"),
        )
    if row.mapping_version is None:
        return
    name = (
        connection.scalar(sa.select(version.c.path).where(version.c.hash == row.mapping_version))
        or "a mapping"
    )
    means = f": {row.name}, fact {row.fact}" if row.name else ""
    yield Line(1, f"{name} version {row.mapping_version[:12]}{means}")
    source = _source(hub, stored, row)
    if source is None:
        return
    live = hub.mapping(row.connection)
    if live.version != row.mapping_version:
        yield Line(2, "the file has changed since; below is how it reads the event today")
    for rule in explain(live, source, row.connection):
        if rule.condition is not None:
            yield Line(
                2, f"line {rule.condition.line}: if {rule.condition.expression} -> {_said(rule.condition)}"
            )
        for field in rule.fields:
            yield Line(2, f"line {field.line}: {field.path} = {_said(field)}   ({field.expression})")


def _posting(connection: sa.Connection, row: sa.Row[Any]) -> Iterator[Line]:
    yield Line(0, f"posting {row.id}: {row.kind}, number {row.seq} of member {row.member}, key {row.key}")
    yield Line(1, f"posted {_time(row.posted_at)} under programme version {row.program_version[:12]}")
    if row.actor or row.reason:
        yield Line(1, f"by {row.actor or 'the hub'}: {row.reason}")
    for given in connection.execute(sa.select(award).where(award.c.posting == row.id).order_by(award.c.n)):
        short = f" of {given.wanted:+,} wanted" if given.wanted != given.points else ""
        yield Line(1, f"rule {given.rule}: {given.points:+,} {given.wallet}{short}")
    for part in connection.execute(sa.select(leg).where(leg.c.posting == row.id).order_by(leg.c.n)):
        side = "member" if part.owner == row.member else "programme"
        yield Line(2, f"{side} {part.wallet}.{part.bucket} {part.delta:+,}")
    yield from _deliveries(connection, outbox.c.posting == row.id)


def _deliveries(connection: sa.Connection, which: sa.ColumnElement[bool]) -> Iterator[Line]:
    for sent in connection.execute(sa.select(outbox).where(which).order_by(outbox.c.id)):
        tries = f" after {sent.attempts} tr{'y' if sent.attempts == 1 else 'ies'}" if sent.attempts else ""
        yield Line(1, f"told {sent.connection} by {sent.action}: {sent.state}{tries}" + _because(sent))


def _source(hub: Hub, stored: inbox.StoredRow | None, row: sa.Row[Any]) -> SourceEvent | None:
    """Return the source event as the mapping saw it, or None when its bytes or its connection are gone."""
    connection = hub.connections.get(row.connection)
    if stored is None or stored.webhook is None or connection is None:
        return None
    for source in connection.connector.parse(stored.webhook):
        if source.id == row.source_id:
            fetched = journal.unpack(row.payload)
            return (
                source
                if fetched is None
                else SourceEvent(
                    id=source.id,
                    type=source.type,
                    at=source.at,
                    account=source.account,
                    payload=fetched,
                    test=source.test,
                )
            )
    return None


def _because(row: sa.Row[Any]) -> str:
    return f" ({row.reason})" if row.reason else ""


def _said(field: Any) -> str:
    return f"error: {field.error}" if field.error else repr(field.value)


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _uuid(text: str) -> str | None:
    from uuid import UUID

    try:
        return str(UUID(text))
    except ValueError:
        return None
