"""What has to happen without anybody asking: points come due, files change, bodies grow old."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog

from hub import desk, inbox, journal, ledger, outbox, people, redeeming, rewards, upkeep
from hub.calendar import come_round
from hub.fanout import fan_out
from hub.journal import Settled
from hub.ledger import Book
from hub.members import Directory
from hub.proving import prove_due
from hub.rewards import Scope
from hub.storage import partitions

if TYPE_CHECKING:
    from hub.hub import Hub

BATCH = 200
PRUNE_EVERY = timedelta(hours=1)
LOOK_EVERY = timedelta(minutes=1)
HEAR_EVERY = timedelta(minutes=1)

log = structlog.get_logger()


def sweep(hub: Hub) -> int:
    """Do a bounded piece of everything that is due; return how much there was."""
    return (
        hub.reload_if_changed()
        + settle_due(hub)
        + end_rewards(hub)
        + come_round(hub)
        + wake_missed(hub)
        + hear(hub)
        + erase_due(hub)
        + desk.review(hub, BATCH)
        + desk.escalate(hub, BATCH)
        + prune(hub)
        + prove_due(hub)
    )


def redelivered(hub: Hub, deliveries: Sequence[tuple[str, str]]) -> None:
    """Give the parked events of redelivered webhooks another chance: the platform asks again.

    Args:
        hub: where.
        deliveries: pairs of (connection name, delivery id).
    """
    with hub.database.read_inbox() as connection:
        ids = inbox.find(connection, deliveries)
    with hub.database.write() as tx:
        woken = journal.wake_deliveries(tx, ids, hub.clock())
    if woken:
        hub.engine.ring_journal()


def wake_missed(hub: Hub) -> int:
    """Find events that wait for something that is there already; return how many."""
    now = hub.clock()
    if now < hub.look_next:
        return 0
    hub.look_next = now + LOOK_EVERY
    with hub.database.write() as tx:
        woken = journal.wake_missed(tx, now)
    if woken:
        hub.engine.ring_journal()
    return woken


def hear(hub: Hub) -> int:
    """Tell of connections that fall silent, or speak again."""
    now = hub.clock()
    if now < hub.hear_next:
        return 0
    hub.hear_next = now + HEAR_EVERY
    for silence in upkeep.listen(hub):
        log.warning(
            "a connection is silent" if not silence.over else "a silent connection speaks again",
            action="connection_silent" if not silence.over else "connection_speaks",
            connection=silence.connection,
        )
        word = "over" if silence.over else "began"
        name = f"silence:{silence.connection}:{silence.since.isoformat()}:{word}"
        hub.say(silence.connection, str(silence), once=name)
    return 0


def settle_due(hub: Hub) -> int:
    """Activate pending lots whose time has come, and expire those whose time is over."""
    now = hub.clock()
    with hub.database.read() as connection:
        members = ledger.due(connection, now, BATCH)
    if not members:
        return 0
    with hub.database.write() as tx:
        book = Book.open(tx, members, now=now, program=hub.programs.current)
        for member in members:
            book.catch_up(member)
        book.flush(tx)
        told = fan_out(hub, tx, Directory.open(tx, (), match=(), enrol=False, now=now), book)
    hub.tell(Settled([], book.posted, told))
    return len(members)


def end_rewards(hub: Hub) -> int:
    """Let go of redemptions that nobody confirmed in time, and mark vouchers whose time is over."""
    with hub.database.read() as connection:
        scope = rewards.due(connection, hub.clock(), BATCH)
    if not scope:
        return 0
    try:
        return redeeming.act(hub, scope, rewards.settle)
    except sa.exc.OperationalError:
        raise
    except Exception:  # one that breaks must not keep the others from ending
        log.exception("a batch of rewards is taken apart", action="rewards_isolated")
        return sum(_end_apart(hub, one) for one in scope.apart())


def _end_apart(hub: Hub, scope: Scope) -> int:
    try:
        return redeeming.act(hub, scope, rewards.settle)
    except sa.exc.OperationalError:
        raise
    except Exception:
        log.exception("a reward cannot be ended", action="reward_broken", scope=str(scope))
        return 0


def erase_due(hub: Hub) -> int:
    """Erase whom a platform or somebody here asked to erase, once the wait is over; return how much there was."""
    now = hub.clock()
    done = people.erase_due(hub.database, now, hub.programs.current)
    if done:
        log.info("what was kept of erased people is gone", action="erased", count=done)
    return done


def prune(hub: Hub) -> int:
    """Delete bodies and attempts past their retention, in chunks. Facts, postings and the journal stay."""
    now = hub.clock()
    if now < hub.prune_next:
        return 0
    hub.prune_next = now + PRUNE_EVERY
    retention = hub.config.file.retention
    bodies = inbox.prune(hub.database, now - retention.bodies, up_to=hub.intake.position())
    attempts = outbox.prune(hub.database, now - retention.attempts)
    if retention.webhooks is not None:
        inbox.drop_facts(hub.database, now - retention.webhooks)
    with hub.database.write() as tx:
        made = partitions.ensure(tx, now)
    if made:
        log.info("months are made before they begin", action="months_made", tables=made)
    if bodies or attempts:
        log.info(
            "what was kept for support is past its time", action="pruned", bodies=bodies, attempts=attempts
        )
    return 0
