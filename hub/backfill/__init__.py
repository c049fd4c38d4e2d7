"""Backfills: what a simulation found, posted as adjustments of many members that stand and fall together.

    proposed ──> approved ──> posted ──> undone
        │  by another person, with the role
        └─ rejected by them: it stays as it is

Each line is an adjustment under a key of its own, so a run that is cut short is run again and nothing is posted twice.
"""

from hub.backfill.records import Batch, CannotBackfill, Line, found, lines_of, listed
from hub.backfill.work import post, propose, show, undo

__all__ = [
    "Batch",
    "CannotBackfill",
    "Line",
    "found",
    "lines_of",
    "listed",
    "post",
    "propose",
    "show",
    "undo",
]
