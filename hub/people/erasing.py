"""Erase: all that is kept of a person goes; what stays is a member id of ours with postings that add up.

    waiting ──due──> running ──> done
       └─> called_off

The first step is one transaction: identities, contacts, hints, consents and the salt go, the points are given up, and
digests of the keys are kept, by which older events that come again are recognised. From then on the person is nobody.
What grows with their history (events, deliveries, webhooks) follows in chunks; what they are looked for by stays in the
erasure's own row until that is done, so whoever finds it unfinished goes on. Doing any of it twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from hub import inbox, journal
from hub.ids import new_id
from hub.intake import intake_of
from hub.ledger import Book
from hub.ledger.records import Policy
from hub.members import erased
from hub.members.merging import tombstones
from hub.outbox.queries import unpack
from hub.people.holdings import HOLDINGS, Holding, Traces, names_of
from hub.people.needles import Key, Needles
from hub.sdk import HubError
from hub.storage import Database, Many, insert_new
from hub.storage.tables import (
    attempt,
    contact,
    erasure,
    event,
    fact,
    hint,
    identity,
    identity_past,
    member,
    outbox,
    posting,
    scrub,
)

CHUNK = 500
"""Rows of one transaction: others wait for no longer than that."""

Counts = dict[str, int]
"""Table -> rows that were erased."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody is to be erased.

    Attributes:
        member: None: nobody is a member by these keys, but there may be something of them.
        keys: (source, value) by which they were named.
        due_at: when it is done, unless it is called off before.
        source: a connection's name, or who asks.
        event: the platform's word for it.
    """

    member: str | None
    due_at: datetime
    source: str
    keys: Sequence[Key] = ()
    event: str | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """An erasure that is not done."""

    id: str
    member: str | None
    source: str
    state: str
    requested_at: datetime
    due_at: datetime


def request(connection: sa.Connection, wishes: Iterable[Wish], now: datetime) -> list[str]:
    """Write down wishes; return their ids. One statement, however many."""
    rows = [
        {
            "id": new_id(),
            "member": wish.member,
            "requested_at": now,
            "due_at": wish.due_at,
            "source": wish.source,
            "event": wish.event,
            "state": "waiting",
            "needles": [list(key) for key in wish.keys],
        }
        for wish in wishes
    ]
    _REQUEST(connection, rows)
    return [str(row["id"]) for row in rows]


def pending(connection: sa.Connection) -> list[Pending]:
    """Return the erasures that are not done, the first due first."""
    columns = [erasure.c[name] for name in Pending.__dataclass_fields__]
    query = sa.select(*columns).where(_OPEN).order_by(erasure.c.due_at, erasure.c.id)
    return [Pending(*row) for row in connection.execute(query)]


def call_off(connection: sa.Connection, member_id: str) -> int:
    """Call off the erasures of a member that have not begun; return how many."""
    waiting = erasure.update().where(_OPEN, erasure.c.state == "waiting", erasure.c.member == member_id)
    return connection.execute(waiting.values(state="called_off", needles=sa.null())).rowcount


def note_bodies(connection: sa.Connection, inbox_ids: Collection[int]) -> None:
    """Note webhooks that tell of erased people: `erase_due` takes their bodies away."""
    rows = [{"inbox_id": id_} for id_ in sorted(inbox_ids)]
    if rows:
        connection.execute(insert_new(connection, scrub).on_conflict_do_nothing(), rows)


def erase_due(database: Database, now: datetime, program: Policy) -> int:
    """Do one erasure that is due, and take away the bodies that were noted; return how much there was."""
    if done := _scrub(database):
        database.empty_logs()
    with database.read() as connection:
        due = (
            sa.select(erasure.c.id).where(_OPEN, erasure.c.due_at <= now).order_by(erasure.c.due_at).limit(1)
        )
        id_ = connection.scalar(due)
    if id_ is None:
        return done
    erase(database, id_, now, program)
    return done + 1


def erase(database: Database, erasure_id: str, now: datetime, program: Policy) -> Counts:
    """Erase the person an erasure is about, or go on where that was left; return what went by table.

    Raises:
        HubError: it was called off, or there is none of that id.
    """
    with database.write() as connection:
        begun = _begin(connection, erasure_id, now, program)
    if begun is None:
        return {}
    traces, needles, counts = begun
    _events_and_webhooks(database, traces, needles, counts)
    _scrub(database, needles, counts)
    _look_into_webhooks(database, traces, needles, counts)
    for holding in HOLDINGS:
        if holding.grows and holding.table is not event:
            # Attempts are found by their deliveries, which stay: either order would do.
            _in_chunks(database, holding, traces, counts)
    _look_into_deliveries(database, needles, counts)
    _scrub(database)
    with database.write() as connection:
        done = {"state": "done", "needles": sa.null(), "done_at": now, "counts": counts}
        connection.execute(erasure.update().where(erasure.c.id == erasure_id).values(done))
    database.empty_logs()
    return counts


# The first step.


def _begin(
    connection: sa.Connection, erasure_id: str, now: datetime, program: Policy
) -> tuple[Traces, Needles, Counts] | None:
    row = connection.execute(
        sa.select(erasure).where(erasure.c.id == erasure_id).with_for_update()
    ).one_or_none()
    if row is None or row.state == "called_off":
        raise HubError(f"the erasure {erasure_id} was called off, or never asked for; see `hub doctor`")
    if row.state == "done":
        return None
    named = [(source, value) for source, value in row.needles or ()]
    living = _living(connection, row.member)
    members = [living, *tombstones(connection, [living])] if living else []
    if row.state == "running":  # the first step is done, its keys are in the row
        return Traces(members, named, row.event), Needles(named), dict(row.counts)
    keys = sorted({*named, *_keys(connection, members)})
    traces = Traces(members, keys, row.event)
    counts: Counts = {}
    erased.remember(connection, traces.keys, now)
    if members:
        _give_up_points(connection, living or "", row, now, program)
        connection.execute(member.update().where(member.c.id == living).values(state="erased"))
    for holding in HOLDINGS:
        if not holding.grows:
            _at_once(connection, holding, traces, counts)
    running = {"state": "running", "needles": [list(key) for key in traces.keys], "counts": counts}
    connection.execute(erasure.update().where(erasure.c.id == erasure_id).values(running))
    others = erasure.update().where(erasure.c.member.in_(members), erasure.c.id != erasure_id, _OPEN)
    connection.execute(others.values(state="done", needles=sa.null(), done_at=now))
    return traces, Needles(traces.keys), counts


def _living(connection: sa.Connection, member_id: str | None) -> str | None:
    """Return who has a member now, after merges."""
    while member_id is not None:
        into = connection.scalar(
            sa.select(member.c.merged_into).where(member.c.id == member_id, member.c.state == "merged")
        )
        if into is None:
            break
        member_id = into
    return member_id


def _keys(connection: sa.Connection, members: Sequence[str]) -> Iterator[Key]:
    """Return all that means these members, or was said to reach them."""
    for table in (identity, identity_past):
        yield from (
            (source, value)
            for source, value in connection.execute(
                sa.select(table.c.source, table.c.value).where(table.c.member.in_(members))
            )
        )
    told = sa.select(contact.c.kind, contact.c.value, contact.c.normal).where(
        contact.c.member.in_(members), contact.c.kind.in_(["email", "phone"])
    )
    for kind, value, normal in connection.execute(told):
        yield kind, value
        if normal:
            yield kind, normal


def _give_up_points(
    connection: sa.Connection, member_id: str, row: sa.Row[Any], now: datetime, program: Policy
) -> None:
    """Post that whatever the member has, or owes, is off: nobody can ever spend it, so nobody may owe it either."""
    key = f"erase:{member_id}"
    book = Book.open(connection, {member_id}, now=now, program=program, keys=[key])
    book.forfeit(member_id, key=key, actor=row.source, reason="erased")
    book.flush(connection)


def _at_once(connection: sa.Connection, holding: Holding, traces: Traces, counts: Counts) -> None:
    if holding.erase == "kept":
        return
    statement: Any = (
        holding.table.delete()
        if holding.erase == "rows"
        else holding.table.update().values(dict(holding.erase))
    )
    gone = connection.execute(statement.where(holding.where(traces))).rowcount
    _count(counts, holding.table, gone)


# What grows with their history.


def _in_chunks(database: Database, holding: Holding, traces: Traces, counts: Counts) -> None:
    if not traces.members:
        return
    key = list(holding.table.primary_key)
    after: tuple[Any, ...] | None = None
    while True:
        query = sa.select(*key).where(holding.where(traces)).order_by(*key).limit(CHUNK)
        if after is not None:
            place = [
                sa.bindparam(None, value, type_=column.type) for column, value in zip(key, after, strict=True)
            ]
            query = query.where(sa.tuple_(*key) > sa.tuple_(*place))
        with database.write() as connection:
            found = [tuple(row) for row in connection.execute(query)]
            if found:
                _wipe(connection, holding, found)
                _count(counts, holding.table, len(found))
        if len(found) < CHUNK:
            return
        after = found[-1]


def _wipe(connection: sa.Connection, holding: Holding, keys: Sequence[tuple[Any, ...]]) -> None:
    key: Any = list(holding.table.primary_key)
    which = key[0].in_([k for (k,) in keys]) if len(key) == 1 else sa.tuple_(*key).in_(keys)
    statement: Any = (
        holding.table.delete()
        if holding.erase == "rows"
        else holding.table.update().values(dict(holding.erase))  # type: ignore[arg-type]
    )
    connection.execute(statement.where(which))


def _events_and_webhooks(database: Database, traces: Traces, needles: Needles, counts: Counts) -> None:
    """Empty the journal's rows of the person, and note the webhooks that brought them."""
    last = ""
    while traces.members or traces.event:
        query = sa.select(event.c.id, event.c.inbox_id, event.c.fact, event.c.data).where(
            _EVENTS.where(traces)
        )
        if last:
            query = query.where(event.c.id > last)
        with database.write() as connection:
            found = connection.execute(query.order_by(event.c.id).limit(CHUNK)).all()
            _empty_events(connection, found, needles, counts)
        if len(found) < CHUNK:
            return
        last = found[-1].id


def _empty_events(connection: sa.Connection, found: Sequence[Any], needles: Needles, counts: Counts) -> None:
    if not found:
        return
    _wipe(connection, _EVENTS, [(row.id,) for row in found])
    connection.execute(hint.delete().where(hint.c.event.in_([row.id for row in found])))
    names = {name for row in found for name in names_of(row.fact, row.data)}
    _forget_names(connection, [row.id for row in found], names, needles, counts)
    note_bodies(connection, {row.inbox_id for row in found})
    _count(counts, event, len(found))


def _forget_names(
    connection: sa.Connection, events: Sequence[str], names: Collection[str], needles: Needles, counts: Counts
) -> None:
    """Let go of names of facts that hold the person's id at a platform; an order's name stays, and is paid once.

    A name under which points were posted is sealed with the posting, and stays too.
    """
    telling = [name for name in names if any(needles.found_in(name, source) for source in _sources(needles))]
    if not telling:
        return
    sealed = set(
        connection.scalars(
            sa.select(posting.c.key).where(posting.c.key.in_([f"earn:{name}" for name in telling]))
        )
    )
    going = [name for name in telling if f"earn:{name}" not in sealed]
    gone = connection.execute(fact.delete().where(fact.c.key.in_(going))).rowcount
    _count(counts, fact, gone)
    connection.execute(
        event.update().where(event.c.id.in_(events), event.c.fact.in_(going)).values(fact=None)
    )


def _sources(needles: Needles) -> list[str]:
    return sorted({source for source, _ in needles.keys})


# Webhooks.


def _look_into_webhooks(database: Database, traces: Traces, needles: Needles, counts: Counts) -> None:
    """Look through every body that is still kept: guests' orders and unread webhooks name no member."""
    last, position = 0, intake_of(database).position()
    while needles:
        with database.read_inbox() as connection:
            page = inbox.bodies_after(connection, last, CHUNK, up_to=position)
        telling = [row.id for row in page if needles.in_body(row.body, row.connection)]
        if telling:
            with database.write() as connection:
                mine = sa.or_(event.c.member.is_(None), _EVENTS.where(traces))
                alone = _alone(connection, telling)
                query = sa.select(event.c.id, event.c.inbox_id, event.c.fact, event.c.data)
                found = connection.execute(query.where(event.c.inbox_id.in_(alone), mine)).all()
                _empty_events(connection, found, needles, counts)
                note_bodies(connection, telling)
            _scrub(database, needles, counts)
        if len(page) < CHUNK:
            return
        last = page[-1].id


def _alone(connection: sa.Connection, inbox_ids: Sequence[int]) -> list[int]:
    """Return the webhooks that told of one thing only: it is about the person whom the body names."""
    single = (
        sa.select(event.c.inbox_id)
        .where(event.c.inbox_id.in_(inbox_ids))
        .group_by(event.c.inbox_id)
        .having(sa.func.count() == 1)
    )
    return list(connection.scalars(single))


def _scrub(database: Database, needles: Needles | None = None, counts: Counts | None = None) -> int:
    """Take away the bodies and headers of noted webhooks; return how many.

    A body that an unfinished event of somebody else is still to be read from stays, without this person's words where
    they are known; else it waits for that event.
    """
    total, last = 0, 0
    while True:
        with database.read() as connection:
            noted = sa.select(scrub.c.inbox_id).where(scrub.c.inbox_id > last).order_by(scrub.c.inbox_id)
            ids = list(connection.scalars(noted.limit(CHUNK)))
            unfinished = sa.select(event.c.inbox_id).where(
                event.c.inbox_id.in_(ids), event.c.state.in_([*journal.OPEN, "ready", "fetching"])
            )
            needed = set(connection.scalars(unfinished)) if ids else set()
        if not ids:
            return total
        done = [id_ for id_ in ids if id_ not in needed]
        with database.write_inbox() as connection:
            gone = inbox.erase(connection, done)
            if needed and needles:
                gone += inbox.rewrite(connection, sorted(needed), needles.struck_from_body)
                done = ids
        with database.write() as connection:
            connection.execute(scrub.delete().where(scrub.c.inbox_id.in_(done)))
        total, last = total + len(done), ids[-1]
        if counts is not None and gone:
            counts["inbox_body"] = counts.get("inbox_body", 0) + gone


# Deliveries that are somebody else's, or nobody's, and speak of the person all the same.


def _look_into_deliveries(database: Database, needles: Needles, counts: Counts) -> None:
    _look_into_params(database, needles, counts)
    last: tuple[str, int] | None = None
    while needles:
        query = sa.select(
            attempt.c.outbox, attempt.c.n, attempt.c.exchanges, attempt.c.reason, outbox.c.connection
        )
        query = query.join(outbox, outbox.c.id == attempt.c.outbox)
        if last is not None:
            place = sa.tuple_(sa.bindparam(None, last[0], type_=attempt.c.outbox.type), last[1])
            query = query.where(sa.tuple_(attempt.c.outbox, attempt.c.n) > place)
        with database.read() as connection:
            page = connection.execute(query.order_by(attempt.c.outbox, attempt.c.n).limit(CHUNK)).all()
        telling = [(row.outbox, row.n) for row in page if _tells(row, needles)]
        if telling:
            with database.write() as connection:
                key = sa.tuple_(attempt.c.outbox, attempt.c.n)
                connection.execute(attempt.delete().where(key.in_(telling)))
                _count(counts, attempt, len(telling))
        if len(page) < CHUNK:
            return
        last = (page[-1].outbox, page[-1].n)


def _look_into_params(database: Database, needles: Needles, counts: Counts) -> None:
    texts = needles.texts()
    if not texts:
        return
    spoken = sa.func.lower(sa.cast(outbox.c.params, sa.Text))
    told = sa.or_(*(spoken.contains(text.lower(), autoescape=True) for text in texts))
    last = ""
    while True:
        query = sa.select(outbox.c.id, outbox.c.connection, outbox.c.params, outbox.c.reason).where(told)
        if last:
            query = query.where(outbox.c.id > last)
        with database.write() as connection:
            page = connection.execute(query.order_by(outbox.c.id).limit(CHUNK)).all()
            for row in page:
                struck = {
                    "params": needles.struck(row.params, row.connection),
                    "reason": needles.struck(row.reason),
                }
                connection.execute(outbox.update().where(outbox.c.id == row.id).values(struck))
            _count(counts, outbox, len(page))
        if len(page) < CHUNK:
            return
        last = page[-1].id


def _tells(row: Any, needles: Needles) -> bool:
    said = [row.reason.encode()]
    for call in unpack(row.exchanges):
        said += [call.url.encode(), call.request_body, call.response_body]
    return any(needles.in_body(each, row.connection) for each in said)


def _count(counts: Counts, table: sa.Table, rows: int) -> None:
    if rows > 0:
        counts[table.name] = counts.get(table.name, 0) + rows


_OPEN = sa.text("erasure.state in ('waiting', 'running')")
_EVENTS = next(holding for holding in HOLDINGS if holding.table is event)
_REQUEST = Many(lambda insert: insert(erasure))
