"""What has to happen without anybody asking: points come due, files change, bodies grow old."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from hub import inbox, journal, ledger, outbox
from hub.fanout import fan_out
from hub.ledger import Book
from hub.members import Directory

if TYPE_CHECKING:
    from hub.hub import Hub

BATCH = 200
PRUNE_EVERY = timedelta(hours=1)

log = structlog.get_logger()


def sweep(hub: Hub) -> int:
    """Do a bounded piece of everything that is due; return how much there was."""
    found = hub.reload_if_changed()
    found += redelivered(hub)
    found += settle_due(hub)
    found += prune(hub)
    return found


def redelivered(hub: Hub) -> int:
    """Give parked events of redelivered webhooks another chance: the platform asked again."""
    ids = hub.take_redelivered()
    if not ids:
        return 0
    with hub.database.read_inbox() as connection:
        rows = inbox.ids_of(connection, ids)
    with hub.database.write() as tx:
        woken = journal.wake_deliveries(tx, rows, hub.clock())
    if woken:
        hub.ring_journal()
    return woken


def settle_due(hub: Hub) -> int:
    """Activate pending lots whose time has come and expire those whose time is over."""
    now = hub.clock()
    with hub.database.read() as connection:
        members = ledger.due(connection, now, BATCH)
    if not members:
        return 0
    with hub.database.write() as tx:
        book = Book.open(tx, members, now=now, programs=hub.programs)
        book.settle_due()
        book.flush(tx)
        directory = Directory.open(tx, [], match=(), enrol=False, now=now)
        fan_out(hub, tx, directory, book)
    hub.tell([], book.posted)
    return len(members)


def prune(hub: Hub) -> int:
    """Delete bodies and attempts past their retention, in chunks; facts, postings and the journal stay."""
    now = hub.clock()
    if not hub.prune_is_due(now):
        return 0
    retention = hub.config.file.retention
    bodies = inbox.prune(hub.database, now - retention.bodies)
    attempts = outbox.prune(hub.database, now - retention.attempts)
    if bodies or attempts:
        log.info("old bodies were deleted", action="pruned", bodies=bodies, attempts=attempts)
    return 0


def is_due(last: datetime | None, now: datetime) -> bool:
    """Return whether an hourly chore should run."""
    return last is None or now - last >= PRUNE_EVERY
