"""The inbox: verified webhooks, stored before they are answered, and what became of the refused ones."""

from hub.inbox.advice import next_step
from hub.inbox.inbox import Inbox, NotStored, Outcome, Overloaded
from hub.inbox.reading import (
    Facts,
    Listed,
    Sample,
    claim_pending,
    facts_of,
    find,
    finish,
    get,
    ids_of,
    last_id,
    list_rows,
    prune,
    read_after,
    refused_counts,
    refused_samples,
)
from hub.inbox.refusals import Refusals
from hub.inbox.row import Row, StoredRow

__all__ = [
    "Facts",
    "Inbox",
    "Listed",
    "NotStored",
    "Outcome",
    "Overloaded",
    "Refusals",
    "Row",
    "Sample",
    "StoredRow",
    "claim_pending",
    "facts_of",
    "find",
    "finish",
    "get",
    "ids_of",
    "last_id",
    "list_rows",
    "next_step",
    "prune",
    "read_after",
    "refused_counts",
    "refused_samples",
]
