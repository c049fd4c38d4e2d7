"""The units of work of one group's whole past, in memory: what `hub.effects` works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, cast

from hub.effects import Step
from hub.journal import Entry
from hub.whatif.book import ScratchBook
from hub.whatif.scratch import (
    Nobody,
    NoRewards,
    ScratchActivity,
    ScratchFacts,
    ScratchReferrals,
    ScratchTiers,
    ScratchUsage,
    Waits,
)
from hub.whatif.timeline import Timeline


class Known(NamedTuple):
    """What is looked up while a past is lived again.

    Attributes:
        fact: returns under which name a fact was posted.
        card: returns e-mail, phone and name of a member.
        codes: referral code -> whose it is.
    """

    fact: Callable[[str], str | None]
    card: Callable[[str], Mapping[str, Any]]
    codes: Mapping[str, str]


class ScratchStep(Step):
    """As `Step`, from the first event to the last."""

    book: ScratchBook
    activity: ScratchActivity
    tiers: ScratchTiers
    usage: ScratchUsage
    referrals: ScratchReferrals
    approvals: Waits  # type: ignore[assignment]

    def __init__(self, timeline: Timeline, book: ScratchBook, known: Known) -> None:
        self.nobody = Nobody(known.card)
        self._scratch = book
        super().__init__(cast("Any", timeline), book, ScratchFacts(known.fact), cast("Any", self.nobody))
        self.approvals = Waits()
        self.usage = ScratchUsage()
        self.referrals = ScratchReferrals(known.codes)
        self.rewards = cast("Any", NoRewards())

    def prepare(self, entries: list[Entry], members: Any = ()) -> None:
        """Make empty units, once: nothing has to be read."""
        self.activity, self.tiers = ScratchActivity(), ScratchTiers(self._scratch)
        self._blocked = set()
        self._seen = 0

    def change_programme(self, reads: frozenset[str] | None) -> None:
        """Let other programmes count; `reads` is what any of them reads of members."""
        self.activity.read_by(reads, self.program.currency)
        self.tiers.by(self.program.ladder, self.program.hash)

    def begin(self, now: datetime, who: str) -> None:
        """Let a new unit of work begin, about one member."""
        self._scratch.begin(now, self.program)
        self.referrals.now = now
        self._seen = 0
        self._blocked.clear()
        self.happened.clear()
        self.learnt.clear()
        self.activity.changes.clear()
        self.tiers.happened.clear()
        if self.tiers.due(who):
            self.tiers.catch_up([who])
