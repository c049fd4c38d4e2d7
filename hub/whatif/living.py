"""Lives a group's past again: every event by `hub.effects`, every act by the ledger, each at its own time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from hub import effects
from hub.effects import touched
from hub.ledger.draft import Draft
from hub.sdk.errors import PricingError
from hub.sdk.events import TAKES_BACK
from hub.values import Posted
from hub.whatif.acts import ACTS, Stage, entry_of
from hub.whatif.book import EPOCH, ScratchBook
from hub.whatif.items import Given, Group, Told
from hub.whatif.step import Known, ScratchStep
from hub.whatif.timeline import Timeline

LEFT_OUT = frozenset(
    {"redemption.requested", "member.merged", "member.erased", "consent.changed", "approval.decided", "command.received"}
)  # fmt: skip
"""Events whose doings are acts of the ledger, or none of points."""


@dataclass(slots=True)
class Lived:
    """What came of it.

    Attributes:
        given: points by rules, as `Group.given` has them.
        balances: by (member, wallet), at the end.
        levels: at the end.
        short: (kind, points missing) of acts for which there were not enough points.
        silent: why events gave nothing, by id.
        heads: as of `Group`.
        changes: of levels, each as the table has it.
        proposed: levels that wait for a person, or did.
    """

    given: list[Given] = field(default_factory=list)
    balances: dict[tuple[str, str], int] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)
    short: list[tuple[str, int]] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)
    heads: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    changes: list[dict[str, Any]] = field(default_factory=list)
    proposed: set[tuple[str, str]] = field(default_factory=set)
    events: int = 0


class Living:
    """One group, living again. Make one, call `run`.

    Args:
        group: read from the journal and the ledger.
        timeline: which programme counts when.
        known: what is looked up.
        seals: whether postings are hashed as the real ones are.
    """

    def __init__(self, group: Group, timeline: Timeline, known: Known, *, seals: bool = False) -> None:
        self._group = group
        self._timeline = timeline
        self._lived = Lived()
        self._reads = _reads(timeline)
        timeline.go(group.items[0].at[0] if group.items else EPOCH)
        self._book = ScratchBook(timeline.current, self._saw, seals=seals)
        self._step = ScratchStep(timeline, self._book, known)
        self._step.change_programme(self._reads)
        for who, created_at in group.members.items():
            self._step.activity.meet(who, created_at)
        self._stage = Stage(self._book, self._step, self._lived.short)
        self._waiting: dict[str, list[Told]] = defaultdict(list)

    def run(self, until: datetime, progress: Callable[[int], None] | None = None) -> Lived:
        """Live up to an instant; return what came of it."""
        for item in self._group.items:
            self._begin(item.at[0], item.member)
            if isinstance(item, Told):
                self._tell(item)
                self._lived.events += 1
                if progress and not self._lived.events % 500:
                    progress(500)
            else:
                ACTS[item.kind](self._stage, item)
        if progress:
            progress(self._lived.events % 500)
        self._end(until)
        return self._lived

    def _saw(self, posted: Posted, draft: Draft) -> None:
        for given in draft.awards:
            self._lived.given.append(
                Given(
                    posted.id, posted.kind, posted.member, posted.event, posted.posted_at, given.rule, given.lot.wallet,
                    given.points,
                )
            )  # fmt: skip

    def _begin(self, now: datetime, who: str) -> None:
        if self._timeline.go(now):
            self._step.change_programme(self._reads)
        self._step.begin(now, who)

    def _end(self, until: datetime) -> None:
        lived, living = self._lived, [who for who in self._group.members if who not in self._group.merged]
        lived.heads = {account.member: (account.seq, account.head) for account in self._book.everybody}
        for who in living:
            self._begin(until, who)
            for wallet, balance in self._book.catch_up(who).balances.items():
                lived.balances[who, wallet] = sum(balance.values())
            lived.levels[who] = self._step.tiers.now(who)
        lived.changes = self._step.tiers.changes
        lived.proposed = self._step.approvals.proposed

    # --- events -------------------------------------------------------------------------------------------

    def _tell(self, told: Told) -> None:
        if told.name in LEFT_OUT or told.name in TAKES_BACK:
            self._stage.causes[told.id] = told  # of redemptions, and of points that come back with a refund
        if told.name in LEFT_OUT or not told.data:
            self._lived.silent[told.id] = told.reason
            return
        try:
            entry = entry_of(told)
        except (
            PricingError,
            msgspec.ValidationError,
        ) as error:  # no version of the hub makes such events any more
            self._lived.silent[told.id] = str(error)
            return
        if told.state == "witness":
            event, facts = touched.event_of(entry), self._step.facts
            if name := facts.told([event.fact, *event.same_as]):
                facts.learn([event.fact, *event.same_as], name, told.id)
            return
        effects.apply(self._step, entry)
        if entry.state == "waiting" and entry.waits_for:
            self._waiting[entry.waits_for].append(told)
        elif entry.state == "parked" or entry.reason:
            self._lived.silent[told.id] = entry.reason
        self._wake()

    def _wake(self) -> None:
        """Settle what waited for what was just told."""
        names, self._step.learnt = self._step.learnt, []
        for name in names if self._waiting else ():
            for told in self._waiting.pop(name, ()):
                self._tell(told)


def _reads(timeline: Timeline) -> frozenset[str] | None:
    """Return what any of the programmes reads of members; None: all."""
    together: set[str] = set()
    for program in timeline.all:
        if program.member_reads is None:
            return None
        together |= program.member_reads
    return frozenset(together)
