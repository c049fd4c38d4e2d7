"""Levels: up in the transaction of the posting that reaches one, down at the checks the programme names.

    tiers = Tiers.open(tx, members, ladder=program.ladder, book=book, since=earliest)
    tiers.level(member, at), tiers.benefits(member, at)
    tiers.counted(member, at, points={"status": 40})    # what an event changed of what is measured
    tiers.review(member, Cause(...), allowed)           # up at once; what needs a person is returned
    tiers.catch_up(member)                              # what dates ask for: checks, grace, warnings
    tiers.flush(tx)

`due` finds members with a date that has come; `history` shows how somebody's level came about, `standing` where
they are.
"""

from hub.tiers.measure import measure
from hub.tiers.reading import Change, Standing, due, history, standing
from hub.tiers.work import Cause, Proposal, Tiers

__all__ = ["Cause", "Change", "Proposal", "Standing", "Tiers", "due", "history", "measure", "standing"]
