"""The ledger: double-entry postings, each done once; nothing is ever edited.

    with database.write() as tx:
        book = Book.open(tx, {member}, now=now, program=program, keys=[earn_key(event.fact)])
        book.earn(member, fact=event.fact, awards=awards, occurred_at=event.occurred_at, cause=entry, amounts=event.order)
        book.flush(tx)

A refund: `book.earning(fact)` tells what the purchase gave (None: park the refund until it arrives), `add_refund`
notes what the source says, the programme says what may be kept of it, and `settle_refunds` posts the difference.
`due` finds members whose points activate or expire; `verify` proves that the whole ledger adds up; `balances`,
`open_lots` and `last_postings` show one member's account.
"""

from hub.ledger.book import Book
from hub.ledger.conflicts import KeyConflict, conflicts, keep_conflict
from hub.ledger.dates import due
from hub.ledger.reading import balances, balances_of, last_postings, open_lots, posting_by
from hub.ledger.records import (
    CANCELLED,
    Cause,
    Earning,
    Hold,
    Refund,
    Spent,
    adjust_key,
    earn_key,
    hold_id,
    release_key,
    settle_key,
)
from hub.ledger.verify import Finding, Report, verify

__all__ = [
    "CANCELLED",
    "Book",
    "Cause",
    "Earning",
    "Finding",
    "Hold",
    "KeyConflict",
    "Refund",
    "Report",
    "Spent",
    "adjust_key",
    "balances",
    "balances_of",
    "conflicts",
    "due",
    "earn_key",
    "hold_id",
    "keep_conflict",
    "last_postings",
    "open_lots",
    "posting_by",
    "release_key",
    "settle_key",
    "verify",
]
