"""Reconcile: what a platform says happened on a day, held against what the hub knows of it.

Facts are compared, not deliveries: a platform's list does not tell webhooks' ids. What is missing goes through the inbox
like the webhook that never came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from hub.connections import Connection
from hub.ids import new_id
from hub.inbox import Row
from hub.mapping import Ignored
from hub.sdk import Client, Headers, HubError, MappingError, SourceEvent, Webhook
from hub.storage import Lookup, insert_new
from hub.storage.tables import event, fact, reconciliation

if TYPE_CHECKING:
    from hub.hub import Hub

PAGE = 200
"""Bodies held against the journal in one step."""
PAGE_S = 600.0
"""How long the platform may take to list that many; one that asks us to wait is not hurried."""

_KNOWN = Lookup(sa.select(fact.c.key), fact.c.key)
_OPEN = Lookup(
    # Spelt out, so that the small index of open events is used. What is parked came: healing it would park it again.
    sa.select(event.c.fact).where(sa.text("event.state in ('parked', 'waiting', 'unassigned')")),
    event.c.fact,
)


@dataclass(slots=True)
class Reconciliation:
    """What came of it.

    Attributes:
        listed: facts the platform tells of; ignored ones are left out.
        missing: those the hub did not know.
        healed: bodies that were stored for them.
        unreadable: what could not be mapped, with the reason.
    """

    connection: str
    day: date
    listed: int = 0
    missing: list[str] = field(default_factory=list)
    healed: int = 0
    unreadable: list[str] = field(default_factory=list)


def reconcile(hub: Hub, connection: Connection, day: date, *, heal: bool = True) -> Reconciliation:
    """Compare one day, of the programme's zone, and store what is missing.

    Args:
        hub: open; it need not run.
        connection: one whose connector lists.
        day: which.
        heal: False only tells.

    Raises:
        HubError: its connector cannot list.
        TryLater, Rejected: as the connector raised them.
    """
    if not connection.connector.lists:
        raise HubError(f"{connection.connector.label} has no list that could be compared")
    zone = hub.programs.current.zone
    since = datetime.combine(day, time(), zone)
    until = datetime.combine(day + timedelta(days=1), time(), zone)
    result = Reconciliation(connection.name, day)
    found_there = connection.connector.listing(since, until, _client(hub, connection))
    while bodies := list(islice(found_there, PAGE)):
        facts = [(body, _facts(hub, connection, body, result)) for body in bodies]
        names = {name for _, several in facts for name in several}
        with hub.database.read() as tx:
            known = {row.key for row in _KNOWN(tx, names)} | {row.fact for row in _OPEN(tx, names)}
        result.listed += len(names)
        result.missing += sorted(names - known)
        lost = [body for body, several in facts if not known.issuperset(several)]
        if heal and lost:
            found = [Webhook("LIST", connection.url, Headers(), body, hub.clock()) for body in lost]
            hub.inbox.put_all([Row.of(connection, each) for each in found])
            result.healed += len(lost)
        _client(hub, connection)  # the next page's time begins; what was fetched in between had its own
    _note(hub, result)
    return result


def _client(hub: Hub, connection: Connection) -> Client:
    return hub.outgoing.client(connection, new_id(), PAGE_S)


def _facts(hub: Hub, connection: Connection, body: bytes, result: Reconciliation) -> set[str]:
    """Return the names of the facts that a body tells."""
    webhook = Webhook("LIST", connection.url, Headers(), body, hub.clock())
    try:
        return {
            name for source in connection.connector.parse(webhook) for name in _names(hub, connection, source)
        }
    except (MappingError, HubError) as error:
        result.unreadable.append(str(error))
        return set()


def _names(hub: Hub, connection: Connection, source: SourceEvent) -> Iterator[str]:
    if source.echo or source.bell or (source.test and connection.live):
        return
    if source.notification:
        fetched = connection.connector.fetch(source, hub.client(connection, new_id()))
        source = msgspec.structs.replace(source, payload=fetched, notification=False)
    mapped = hub.mapping(connection.name).apply(source, connection=connection.name)
    if not isinstance(mapped, Ignored):
        yield from (each.fact for each in mapped)


def _note(hub: Hub, result: Reconciliation) -> None:
    values = {
        "connection": result.connection,
        "day": result.day.isoformat(),
        "at": hub.clock(),
        "listed": result.listed,
        "missing": len(result.missing),
        "healed": result.healed,
        "unreadable": len(result.unreadable),
    }
    with hub.database.write() as tx:
        statement = insert_new(tx, reconciliation).values(values)
        tx.execute(statement.on_conflict_do_update(index_elements=["connection", "day"], set_=values))
