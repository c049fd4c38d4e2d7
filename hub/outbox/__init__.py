"""What goes out: written in the transaction that causes it, delivered at least once with one idempotency key.

    outbox.add(tx, [Delivery(...), ...])                # in the posting's transaction
    outbox.target_of(action, params)                    # what a delivery overwrites

    deliverer = Deliverer(database, connections, outgoing, clock, calls=CallLog(folder), alert=...)
    deliverer.start(); deliverer.wake(); deliverer.stop(timeout_s=30)
    deliverer.run_once()                                # claim, perform and record in this thread

    outbox.list_deliveries(tx, Filters(state="dead"), limit=50, after=last_id)
    outbox.show(tx, id)                                 # with every attempt and what was said
    outbox.replay(tx, Filters(state="dead", connection="shop"), now, cap=500, dry_run=True)
    outbox.counts(tx)                                   # by connection and state
    outbox.breakers(tx)
    outbox.prune(database, before)                      # attempts only; rows stay as the record of what was sent

The states of a row: ready (at next_at) | sending (until lease_until) | done | replaced | withheld | dead.
"""

from hub.outbox.breaker import Alert, Breaker, breakers
from hub.outbox.calls import CallLog, under_way
from hub.outbox.claim import LEASE_S, Job, claim
from hub.outbox.deliverer import Deliverer
from hub.outbox.delivery import Delivery, add, target_of
from hub.outbox.queries import (
    Attempt,
    Count,
    Filters,
    Replayed,
    Row,
    Shown,
    counts,
    list_deliveries,
    prune,
    replay,
    show,
)
from hub.outbox.record import Outcome, record, sweep
from hub.outbox.schedule import SCHEDULE_S, next_wait_s
from hub.outbox.telling import Telling
from hub.outbox.tokens import OAuthTokens

__all__ = [
    "LEASE_S",
    "SCHEDULE_S",
    "Alert",
    "Attempt",
    "Breaker",
    "CallLog",
    "Count",
    "Deliverer",
    "Delivery",
    "Filters",
    "Job",
    "OAuthTokens",
    "Outcome",
    "Replayed",
    "Row",
    "Shown",
    "Telling",
    "add",
    "breakers",
    "claim",
    "counts",
    "list_deliveries",
    "next_wait_s",
    "prune",
    "record",
    "replay",
    "show",
    "sweep",
    "target_of",
    "under_way",
]
