"""Accounts for a balance, a posting, an event, a delivery or a fact: the chain from the bytes to the platforms told."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from hub import inbox, members
from hub.connections import Connection
from hub.ledger import balances
from hub.mapping import FieldReport, explain
from hub.rules import Used, refunds
from hub.sdk import HubError
from hub.storage import Database
from hub.storage.tables import award, earning, event, fact, leg, lot, outbox, pinned, posting, version
from hub.tracing import Trace
from hub.trying import counted, source_again, uuid_of
from hub.versions import stored

PAGE = 1000
"""Ids of one statement."""


class Known(Protocol):
    """What an account is made from; a `Hub` is one."""

    @property
    def database(self) -> Database: ...
    @property
    def connections(self) -> Mapping[str, Connection]: ...


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an account. `depth` says what it belongs to; `said` is for people."""

    depth: int
    said: str


def why(hub: Known, reference: str) -> list[Line]:
    """Account for what `reference` names: the id of a posting, event, delivery or member, a fact key, or whatever else
    a member is known by.

    Raises:
        HubError: nothing has that name, or several members do.
    """
    identifier = uuid_of(reference)
    with hub.database.read() as tx:
        lines = list(_of_fact(hub, tx, reference) if identifier is None else _of_id(hub, tx, identifier))
        if not lines:
            found = members.find(tx, reference)
            if len(found) > 1:
                raise HubError(f"{reference!r} may be {' or '.join(found)}: name one by its id")
            lines = [line for each in found for line in _of_member(hub, tx, each)]
    if not lines:
        raise HubError(
            f"nothing is known as {reference!r}; give the id of a posting, an event or a delivery, a fact key"
            " such as shop:order/5551, or a member: an id, connection:external id, an e-mail address"
        )
    return lines


def _of_fact(hub: Known, tx: sa.Connection, name: str) -> Iterator[Line]:
    known_as = tx.scalar(sa.select(fact.c.canonical).where(fact.c.key == name))
    if known_as is None:
        waiting = tx.execute(sa.select(event).where(event.c.waits_for == name).order_by(event.c.id)).all()
        if waiting:
            yield Line(0, f"fact {name} has not arrived yet; these events wait for it")
        for row in waiting:
            yield from _event(hub, tx, row)
        return
    tellers = sa.select(fact.c.event).where(fact.c.key.in_([known_as, name]))
    yield Line(0, f"fact {name}" + (f", which was first told as {known_as}" if name != known_as else ""))
    for row in tx.execute(sa.select(event).where(event.c.id.in_(tellers)).order_by(event.c.id)):
        yield from _event(hub, tx, row)
    earned = tx.scalar(sa.select(earning.c.posting).where(earning.c.fact == known_as))
    of_it = sa.or_(posting.c.id == earned, posting.c.reverses == earned)
    for row in tx.execute(sa.select(posting).where(of_it).order_by(posting.c.posted_at, posting.c.seq)):
        yield from _posting(tx, row)


def _of_id(hub: Known, tx: sa.Connection, identifier: str) -> Iterator[Line]:
    if row := tx.execute(sa.select(event).where(event.c.id == identifier)).one_or_none():
        yield from _event(hub, tx, row)
        caused = sa.select(posting).where(posting.c.event == row.id)
        for each in tx.execute(caused.order_by(posting.c.posted_at, posting.c.seq)):
            yield from _posting(tx, each)
        # No index leads from events to deliveries; ids sort by time, and what it caused came later.
        yield from _deliveries(tx, outbox.c.event == row.id, outbox.c.posting.is_(None), outbox.c.id > row.id)
    elif row := tx.execute(sa.select(posting).where(posting.c.id == identifier)).one_or_none():
        yield from _cause(hub, tx, row.event)
        yield from _posting(tx, row)
    elif row := tx.execute(sa.select(outbox).where(outbox.c.id == identifier)).one_or_none():
        yield Line(0, f"delivery {row.id}")
        if not row.event:
            yield Line(1, f"trace {Trace.alone(row.id).id}: look for it in the log")
        yield from _deliveries(tx, outbox.c.id == row.id)
        yield from _of_id(hub, tx, row.posting or row.event) if row.posting or row.event else ()


def _cause(hub: Known, tx: sa.Connection, event_id: str | None) -> Iterator[Line]:
    row = tx.execute(sa.select(event).where(event.c.id == event_id)).one_or_none() if event_id else None
    if row is None:
        yield Line(0, "no webhook asked for it: it was due, or somebody did it by hand")
    else:
        yield from _event(hub, tx, row)


def _event(hub: Known, tx: sa.Connection, row: sa.Row[Any]) -> Iterator[Line]:
    kind = row.type or "an unreadable webhook"
    yield Line(0, f"event {row.id}: {kind} from {row.connection}, {row.state}{_because(row)}")
    yield Line(1, f"it happened {_time(row.occurred_at)} and reached us {_time(row.received_at)}")
    with hub.database.read_inbox() as inbox_tx:
        facts = inbox.facts_of(inbox_tx, row.inbox_id)
        webhook = next(iter(inbox.get(inbox_tx, [row.inbox_id])), None)
    if facts is not None:
        gone = "" if webhook and webhook.webhook else "; its body is past its retention"
        yield Line(
            1,
            f"webhook {facts.id}: {facts.size:,} bytes, {facts.verdict}, delivery {facts.delivery_id},"
            f" SHA-256 {facts.body_hash.hex()[:16]}{gone}",
        )
        named = ", which its sender named" if facts.trace.parent else ""
        yield Line(1, f"trace {facts.trace.id}{named}: look for it in the log")
    yield from _priced(tx, row)
    if row.mapping_version is None:
        return
    yield Line(1, _file(tx, row.mapping_version) + (f": {row.name}, fact {row.fact}" if row.name else ""))
    yield from _mapped(hub, tx, row, webhook, 2)


def _mapped(
    hub: Known, tx: sa.Connection, row: sa.Row[Any], webhook: inbox.StoredRow | None, depth: int
) -> Iterator[Line]:
    """Account for every line of the mapping that counted."""
    connection = hub.connections.get(row.connection)
    source = source_again(connection, webhook, row) if connection else None
    if connection is None or source is None:
        return
    for rule in explain(counted(tx, row.mapping_version, connection), source, row.connection):
        condition = [rule.condition] if rule.condition else []
        for field in [*condition, *rule.fields]:
            yield Line(
                depth,
                f"line {field.line}: {field.path} = {_said(field)}   ({' '.join(field.expression.split())})",
            )


def _priced(tx: sa.Connection, row: sa.Row[Any]) -> Iterator[Line]:
    """Account for what every rule of the programme made of an event that earned.

    It is priced again from what is stored: the event, the version of the programme, and what was read of the
    member and the counters. An event that earned nothing tells why in its own reason.
    """
    posted = sa.select(posting.c.program_version).where(
        posting.c.event == row.id, posting.c.kind == "earn", posting.c.reverses.is_(None)
    )
    digest = tx.scalar(posted.limit(1))
    if digest is None or row.data is None:
        return
    kept = tx.execute(sa.select(pinned).where(pinned.c.fact == row.fact)).one_or_none()
    used = {(name, period): Used(*rest) for name, period, *rest in kept.usage} if kept else {}
    try:
        program, canonical = stored(tx, digest), refunds.restored(row.data, row.fact)
        tried = program.price(canonical, kept.member if kept else {}, used, trace=True).trace
    except HubError as error:
        yield Line(1, f"what its rules gave cannot be told any more: {error}")
        return
    for each in tried:
        gave = "does not count" if each.gave is None else f"gives {each.gave:,}"
        yield Line(2, f"rule {each.rule} {gave}: {each.said}")


def _posting(tx: sa.Connection, row: sa.Row[Any]) -> Iterator[Line]:
    yield Line(0, f"posting {row.id}: {row.kind}, number {row.seq} of member {row.member}, key {row.key}")
    yield Line(1, f"posted {_time(row.posted_at)} under {_file(tx, row.program_version)}")
    if row.reverses:
        yield Line(1, f"it goes back to posting {row.reverses}")
    if row.actor or row.reason:
        yield Line(1, f"by {row.actor or 'the hub'}" + (f": {row.reason}" if row.reason else ""))
    given = (
        sa.select(award, lot.c.available_at, lot.c.expires_at)
        .outerjoin(lot, lot.c.id == award.c.lot)
        .where(award.c.posting == row.id)
        .order_by(award.c.n)
    )
    for each in tx.execute(given):
        short = f" of {each.wanted:+,} wanted" if each.wanted != each.points else ""
        until = f", until {_time(each.expires_at)}" if each.expires_at and each.points > 0 else ""
        yield Line(1, f"rule {each.rule}: {each.points:+,} {each.wallet}{short}{until}")
    for part in tx.execute(sa.select(leg).where(leg.c.posting == row.id).order_by(leg.c.n)):
        side = "member" if part.owner == row.member else "programme"
        yield Line(2, f"{side} {part.wallet}.{part.bucket} {part.delta:+,}")
    yield from _deliveries(tx, outbox.c.posting == row.id)


def _deliveries(tx: sa.Connection, *which: sa.ColumnElement[bool]) -> Iterator[Line]:
    for sent in tx.execute(sa.select(outbox).where(*which).order_by(outbox.c.id)):
        tries = f" after {sent.attempts} tr{'y' if sent.attempts == 1 else 'ies'}" if sent.attempts else ""
        what = "tells" if sent.state in ("ready", "sending") else "told"
        yield Line(1, f"{what} {sent.connection} by {sent.action}: {sent.state}{tries}{_because(sent)}")


@dataclass(frozen=True, slots=True)
class Owned:
    """Points of one balance and where they come from.

    Attributes:
        points: those in the lot, or (negative) those owed since.
        posting: that gave them, or made or repaid the debt; a row of `posting`.
        lot: None for debt.
        rules: which gave them, each with how many; none for points that no rule gave.
    """

    wallet: str
    points: int
    posting: sa.Row[Any]
    lot: sa.Row[Any] | None = None
    rules: tuple[tuple[str, int], ...] = ()


def owned(tx: sa.Connection, member: str) -> list[Owned]:
    """Return what a member's balances are made of, oldest first: every open lot, and every change of what they owe.

    The points of a wallet sum to its balance over all buckets. Four queries, however many lots there are.
    """
    lots = tx.execute(
        sa.select(lot)
        .where(lot.c.member == member, sa.text("pending + active + held > 0"))  # as the index says it
        .order_by(lot.c.wallet, lot.c.id)
    ).all()
    debts = tx.execute(
        sa.select(leg.c.posting, leg.c.wallet, sa.func.sum(leg.c.delta).label("points"))
        .join(posting, posting.c.id == leg.c.posting)
        .where(leg.c.owner == member, leg.c.bucket == "debt", posting.c.member == member)
        .group_by(leg.c.posting, leg.c.wallet)
        .order_by(leg.c.posting)
    ).all()
    gave: dict[str, list[tuple[str, int]]] = {}
    for page in _pages({each.id for each in lots}):
        rows = tx.execute(sa.select(award).where(award.c.lot.in_(page)).order_by(award.c.posting, award.c.n))
        for row in rows:
            gave.setdefault(row.lot, []).append((row.rule, row.points))
    causes = _by_id(tx, posting, {each.posting for each in (*lots, *debts)})
    return [
        Owned(
            each.wallet,
            each.pending + each.active + each.held,
            causes[each.posting],
            each,
            tuple(gave.get(each.id, ())),
        )
        for each in lots
    ] + [Owned(each.wallet, int(each.points), causes[each.posting]) for each in debts if each.points]


def _of_member(hub: Known, tx: sa.Connection, member: str) -> Iterator[Line]:
    """Account for every point of a member's balances: lot, posting, rule and version, event, mapping line."""
    parts = owned(tx, member)
    events = _by_id(tx, event, {part.posting.event for part in parts if part.posting.event})
    with hub.database.read_inbox() as inbox_tx:
        webhooks = {
            row.id: row
            for page in _pages({row.inbox_id for row in events.values()})
            for row in inbox.get(inbox_tx, page)
        }
    had = balances(tx, member)
    yield Line(0, f"member {member}" + ("" if had else ": has never had a point"))
    for each in had:
        total = each.active + each.pending + each.held + each.debt
        buckets = ", ".join(
            f"{getattr(each, name):,} {name}" for name in ("active", "pending", "held", "debt")
        )
        yield Line(0, f"{total:,} {each.wallet}: {buckets}")
        summed = 0
        for part in (part for part in parts if part.wallet == each.wallet):
            summed += part.points
            yield from _part(hub, tx, part, events.get(part.posting.event), webhooks)
        yield Line(1, f"these sum to {summed:,}, the balance is {total:,}, the difference {total - summed:,}")


def _part(
    hub: Known,
    tx: sa.Connection,
    part: Owned,
    cause: sa.Row[Any] | None,
    webhooks: Mapping[int, inbox.StoredRow],
) -> Iterator[Line]:
    if part.lot is None:
        yield Line(1, f"{part.points:+,} {'owed' if part.points < 0 else 'repaid'}")
    else:
        until = f", until {_time(part.lot.expires_at)}" if part.lot.expires_at else ""
        yield Line(1, f"{part.points:+,} left of lot {part.lot.id} of {part.lot.amount:,}{until}")
    row = part.posting
    yield Line(2, f"posting {row.id}: {row.kind}, number {row.seq} of member {row.member}, key {row.key}")
    for rule, points in part.rules:
        yield Line(3, f"rule {rule}: {points:+,} under {_file(tx, row.program_version)}")
    if row.actor or row.reason:
        yield Line(3, f"by {row.actor or 'the hub'}" + (f": {row.reason}" if row.reason else ""))
    if row.reverses:
        yield Line(3, f"it goes back to posting {row.reverses}")
    if cause is not None:
        yield Line(3, f"event {cause.id}: {cause.type} from {cause.connection}, {_time(cause.occurred_at)}")
        if cause.mapping_version is not None:
            yield Line(4, _file(tx, cause.mapping_version) + (f": {cause.name}" if cause.name else ""))
            yield from _mapped(hub, tx, cause, webhooks.get(cause.inbox_id), 5)


def _pages(ids: Collection[Any]) -> Iterator[list[Any]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), PAGE):
        yield ordered[start : start + PAGE]


def _by_id(tx: sa.Connection, table: sa.Table, ids: Collection[str]) -> dict[str, sa.Row[Any]]:
    return {
        row.id: row
        for page in _pages(ids)
        for row in tx.execute(sa.select(table).where(table.c.id.in_(page)))
    }


def _file(tx: sa.Connection, digest: str) -> str:
    path = tx.scalar(sa.select(version.c.path).where(version.c.hash == digest))
    return f"{path or 'a file that is not kept'}, version {digest[:12]}"


def _because(row: sa.Row[Any]) -> str:
    return f" ({row.reason})" if row.reason else ""


def _said(field: FieldReport) -> str:
    return f"error: {field.error}" if field.error else repr(field.value)


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")
