"""What is done to one person everywhere at once: merge, take apart, erase, export.

merging     two members become one by hand, or a proposal is decided
erasing     all that is kept of a person goes; the ledger stays whole, without them
exporting   all that is kept of a person, table by table
holdings    which table keeps what of a person: erasing and exporting both go by it
needles     the person's own words, found again in bodies and answers
"""

from hub.people.erasing import Pending, Wish, call_off, erase, erase_due, note_bodies, pending, request
from hub.people.exporting import export
from hub.people.holdings import HOLDINGS, NOTHING
from hub.people.merging import accept, merge, reject, take_along, unmerge

__all__ = [
    "HOLDINGS",
    "NOTHING",
    "Pending",
    "Wish",
    "accept",
    "call_off",
    "erase",
    "erase_due",
    "export",
    "merge",
    "note_bodies",
    "pending",
    "reject",
    "request",
    "take_along",
    "unmerge",
]
