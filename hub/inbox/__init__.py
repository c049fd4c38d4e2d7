"""The inbox: verified webhooks, stored before they are answered, and what became of the refused ones."""

from hub.inbox.advice import next_step
from hub.inbox.inbox import Inbox, NotStored, Outcome, Overloaded
from hub.inbox.reading import (
    Facts,
    Kept,
    Listed,
    Sample,
    bodies_after,
    claim_pending,
    erase,
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
    rewrite,
)
from hub.inbox.refusals import Refusals
from hub.inbox.row import LONGEST_ID, Row, StoredRow

__all__ = [
    "LONGEST_ID",
    "Facts",
    "Inbox",
    "Kept",
    "Listed",
    "NotStored",
    "Outcome",
    "Overloaded",
    "Refusals",
    "Row",
    "Sample",
    "StoredRow",
    "bodies_after",
    "claim_pending",
    "erase",
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
    "rewrite",
]
