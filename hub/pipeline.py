"""The story of an event, in three verbs.

accept    verify -> store                                             commit, then 2xx
process   parse -> map -> identify -> price -> post -> fan out        one transaction for many events
deliver   claim -> call the platform -> record                        `hub.outbox`, told in its own words

`process` takes webhooks as they were accepted; `catch_up` takes events that could not be finished at once:
those whose record must be fetched first, and those that get a second chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import sqlalchemy as sa
import structlog

from hub import birthdays, effects, inbox, journal, people, rewards
from hub.approvals import Approvals, ask_for
from hub.connections import Connection
from hub.effects import touched
from hub.facts import Facts
from hub.fanout import fan_out, reply
from hub.inbox import Row
from hub.journal import Entry, Settled
from hub.ledger import Book
from hub.members import Directory
from hub.reading import fetch_and_read, read
from hub.referrals import Referrals
from hub.rewards import Rewards, Scope
from hub.sdk import Answer, Webhook
from hub.usage import Usage

if TYPE_CHECKING:
    from hub.hub import Hub

BATCH = 256
"""Webhooks in one transaction: four full steps of `Many`. More gain little and hold the write lock longer."""

ACCEPTED = Answer()

log = structlog.get_logger()


class Keeper(Protocol):
    """Where accepted webhooks are kept: `hub.inbox.Inbox`, or what stands for it on an event loop."""

    def put(self, row: Row) -> object:
        """Store a row; return after the commit, or see to it that nobody is answered before."""


def accept(connection: Connection, webhook: Webhook, inbox: Keeper) -> Answer:
    """Verify a webhook, store it durably, and return what the platform wants to read.

    Raises:
        NotVerified: nothing was stored.
        Overloaded: the queue is full; the platform should come again.
    """
    connector = connection.connector
    if not connection.waiver:
        connector.verify(webhook, connection.live_secrets(webhook.received_at))
    answer = _answer(connection, webhook)
    if answer is None or answer.store:
        inbox.put(Row.of(connection, webhook))
    return answer or ACCEPTED


def _answer(connection: Connection, webhook: Webhook) -> Answer | None:
    """Return what the platform wants to read. The webhook is genuine: an error here must not cost the event."""
    try:
        return connection.connector.answer(webhook)
    except Exception:
        log.exception(
            "the connector gave no answer",
            action="answer_error",
            connection=connection.name,
            trace_id=inbox.trace_of(connection, webhook).id,
        )
        return None


def process(hub: Hub, limit: int = BATCH) -> int:
    """Bring up to `limit` accepted webhooks to the ledger and the outbox; return how many were taken.

    Raises:
        sqlalchemy.exc.OperationalError: the database is away or busy; nothing happened, try again.
    """

    def attempt(settle: Settle) -> int:
        with hub.intake.batch(limit) as (rows, transaction):
            if not rows:
                return 0
            entries = [entry for row in rows for entry in read(hub, row)]
            with transaction() as tx:
                settled = settle(hub, tx, entries)
        hub.tell(settled)
        return len(rows)

    return isolating(attempt)


def catch_up(hub: Hub, limit: int = BATCH) -> int:
    """Fetch and finish events that are due; return how many were taken.

    Raises:
        sqlalchemy.exc.OperationalError: as `process`; the events come back when their lease runs out.
    """
    with hub.database.write() as tx:
        claimed = journal.claim_ready(tx, hub.clock(), limit)
    if not claimed:
        return 0
    with hub.database.read_inbox() as connection:
        rows = {row.id: row for row in inbox.get(connection, sorted({claim.inbox_id for claim in claimed}))}
    entries = fetch_and_read(hub, claimed, rows)
    fences = {claim.id: claim.fence for claim in claimed}

    def attempt(settle: Settle) -> int:
        with hub.database.write() as tx:
            ours = journal.still_ours(tx, fences)
            settled = settle(hub, tx, [entry for entry in entries if not entry.stored or entry.id in ours])
        hub.tell(settled)
        return len(claimed)

    return isolating(attempt)


def settle(hub: Hub, tx: sa.Connection, entries: Sequence[Entry]) -> Settled:
    """Bring read events to the ledger and the outbox, and write down what became of each.

    The entries given stay as they are: when the transaction fails they can be settled again.
    """
    now, program = hub.clock(), hub.programs.current
    given, entries = entries, journal.unsettled(tx, [copy(entry) for entry in entries])
    live = [entry for entry in entries if entry.state == "done" and entry.canonical is not None]

    # Identify.
    directory = Directory.open(
        tx,
        [(entry.connection, ref) for entry in live for ref in touched.people(entry)],
        match=program.identity.match,
        enrol=program.identity.enrols_strangers,
        now=now,
        weak=program.identity.weak,
    )
    for entry in live:
        effects.identify(directory, entry)
    live = [entry for entry in live if entry.canonical is not None]
    directory.flush()

    # Price and post.
    facts = Facts.open(tx, [name for entry in live for name in touched.names(entry)])
    approvals = Approvals.open(tx, touched.decisions(live), now=now, roles=hub.config.file.roles)
    origins = touched.origins(hub.programs, live, facts)
    sent = rewards.reading.sent(tx, touched.messages(live))
    wanted = touched.wanted(live, facts, approvals.redemptions, sent)
    needs = rewards.look(tx, wanted)
    referrals = Referrals.open(tx, *touched.referred(hub.programs, live), now=now)
    members = touched.members(directory, live) | needs.members | referrals.referrers | approvals.members
    book = Book.open(
        tx,
        members,
        now=now,
        program=program,
        origins=origins,
        keys=touched.keys(hub.programs, live) | needs.keys | approvals.keys(),
        holds=needs.holds,
        spent=needs.spent,
    )
    referrals.lock()
    directory.note_gone(earned.member for name in origins if (earned := book.earning(name)))
    directory.facts(referrals.people)
    step = effects.Step(hub.programs, book, facts, directory)
    step.referrals = referrals
    step.usage = Usage.open(tx, *touched.counters(hub.programs, live, book, facts))
    step.approvals = approvals
    step.prepare(live, members)
    step.rewards = Rewards.open(tx, wanted if needs else Scope(), book, hub.programs, step.reader)
    step.sent = sent
    step.rewards.ask = partial(ask_for, approvals)
    step.rewards.orders.tell(touched.sold(live, wanted))
    for entry in live:
        effects.apply(step, entry)
    facts.flush()
    book.flush(tx)
    step.flush(tx)
    step.rewards.flush(tx)
    step.usage.flush()
    referrals.flush()
    birthdays.remember(tx, step.birthdays)
    for gone, kept in step.merged:
        people.take_along(tx, gone, kept)
    directory.flush()
    journal.write(tx, entries)
    journal.wake_waiting(tx, step.learnt, now)
    people.request(tx, step.erasures, now)
    if directory.anybody_erased:
        people.note_bodies(tx, journal.forgotten(tx, [*given, *entries]))

    # Fan out.
    happened = [*step.happenings, *step.rewards.happened, *directory.happened]
    told = fan_out(hub, tx, directory, book, entries=live, happenings=happened)
    told += reply(hub, tx, step.replies)
    return Settled(entries, book.posted, told)


def settle_apart(hub: Hub, tx: sa.Connection, entries: Sequence[Entry]) -> Settled:
    """As `settle`, each event behind a savepoint of its own: one that breaks is parked, the others go on."""
    settled = Settled([], [], 0)
    for entry in entries:
        try:
            with tx.begin_nested():
                settled += settle(hub, tx, [entry])
        except sa.exc.OperationalError:
            raise
        except Exception as error:
            log.exception(
                "an event breaks",
                action="event_broken",
                event_id=entry.id,
                connection=entry.connection,
                trace_id=entry.trace_id,
            )
            parked = copy(entry)
            parked.park(f"processing failed: {type(error).__name__}: {error}")
            with tx.begin_nested():
                settled += settle(hub, tx, [parked])
    return settled


Settle = Callable[["Hub", sa.Connection, Sequence[Entry]], Settled]
T = TypeVar("T")


def isolating(attempt: Callable[[Settle], T]) -> T:
    """Run a transaction over a batch; where one event breaks it, run it again with each event apart."""
    try:
        return attempt(settle)
    except sa.exc.OperationalError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever one event brings must not stop the others
        said = f"{type(error).__name__}: {error}"[:500]
        log.warning("a batch is taken apart", action="batch_isolated", error=said)
        return attempt(settle_apart)
