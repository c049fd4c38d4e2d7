"""Lives a group's past again: every event by `hub.effects`, every act by the ledger, each at its own time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, cast

import msgspec

from hub import effects
from hub.effects import Step
from hub.journal import Entry
from hub.ledger.draft import Draft
from hub.ledger.records import hold_id
from hub.rules import refunds
from hub.sdk.errors import HoldEnded, InsufficientPoints, MergeRefused, NotSpendable, ReturnedAlready
from hub.tiers import Cause
from hub.values import Posted
from hub.whatif.book import ScratchBook
from hub.whatif.history import Act, Given, Group, Told
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

LEFT_OUT = frozenset(
    {"redemption.requested", "member.merged", "member.erased", "consent.changed", "approval.decided", "command.received"}
)  # fmt: skip
"""Events whose doings are acts of the ledger, or none of points."""
INACTIVITY = "inactivity:"
"""With what the keys of adjustments begin that take all of a wallet."""


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


class Silent(msgspec.Struct):
    """An event that gives no points this time, and why."""

    told: Told
    why: str


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


class ScratchStep(Step):
    """The units of work of one group's whole past."""

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
        self.activity, self.tiers = ScratchActivity(), ScratchTiers(self._scratch)
        self._blocked = set()
        self._seen = 0

    def change_programme(self, reads: frozenset[str] | None) -> None:
        """Let other programmes count."""
        self.activity.read_by(reads, self.program.currency)
        self.tiers.by(self.program.ladder, self.program.hash)

    def begin(self, now: datetime) -> None:
        """Let a new unit of work begin."""
        self._scratch.begin(now, self.program)
        self.referrals.now = now
        self._seen = 0
        self._blocked.clear()
        self.happened.clear()
        self.learnt.clear()
        self.activity.changes.clear()
        self.tiers.happened.clear()


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
        timeline.go(group.items[0].at[0] if group.items else datetime.max)
        self._book = ScratchBook(timeline.current, self._saw, seals=seals)
        self._step = ScratchStep(timeline, self._book, known)
        self._step.change_programme(self._reads)
        for who, created_at in group.members.items():
            self._step.activity.meet(who, created_at)
        self._spent: dict[str, str] = {}
        self._holds: dict[str, str] = {}
        self._waiting: dict[str, list[Told]] = defaultdict(list)
        self._causes: dict[str, Told] = {}

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
                _ACTS[item.kind](self, item)
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
        self._step.begin(now)
        if self._step.tiers.due(who):
            self._step.tiers.catch_up([who])

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
        self._causes[told.id] = told
        if not told.data:
            self._lived.silent[told.id] = told.reason
        if told.name in LEFT_OUT or not told.data:
            return
        entry = _entry(told)
        if told.state == "witness":
            event, facts = effects.event_of(entry), self._step.facts
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

    # --- acts ---------------------------------------------------------------------------------------------

    def _adjust(self, act: Act) -> None:
        by_hand = not act.key.startswith(INACTIVITY)
        for (wallet, bucket), delta in act.points.items():
            if bucket != "adjusted":
                continue
            points = -delta
            if points < 0:
                active = self._book.catch_up(act.member).balance(wallet)["active"]
                points = -active if not by_hand else max(points, -active)
                if by_hand and points != -delta:
                    self._lived.short.append(("adjust", delta + points))
            if not points:
                continue
            posted = self._book.adjust(
                act.member,
                wallet,
                points,
                key=act.key,
                actor=act.actor,
                reason=act.reason,
                expires_at=act.more["expires_at"],
            )
            self._step.tiers.counted(act.member, posted.occurred_at, points={wallet: points})
            if by_hand:
                self._step.rank(None)

    def _migrate(self, act: Act) -> None:
        for (wallet, bucket), delta in act.points.items():
            if bucket == "migrated":
                self._book.migrate(
                    act.member,
                    wallet,
                    -delta,
                    key=act.key,
                    actor=act.actor,
                    reason=act.reason,
                    expires_at=act.more["expires_at"],
                )

    def _hold(self, act: Act) -> None:
        wallet, points = _bucket(act, "held")
        self._holds[act.id] = hold_id(act.key)
        with self._short("redeem", points):
            self._book.hold(
                act.member,
                wallet,
                points,
                key=act.key,
                deadline=act.more["deadline"],
                cause=self._cause(act),
                actor=act.actor,
                reason=act.reason,
                channel=act.more["channel"],
            )

    def _redeem(self, act: Act) -> None:
        wallet, points = _bucket(act, "redeemed")
        held = self._holds.get(act.reverses or "")
        with self._short("redeem", 0 if held else points):
            said: dict[str, Any] = {
                "key": act.key,
                "cause": self._cause(act),
                "actor": act.actor,
                "reason": act.reason,
            }
            if held is None:
                posted = self._book.redeem(act.member, wallet, points, channel=act.more["channel"], **said)
            elif self._book.has_hold(held):
                posted = self._book.confirm(held, **said)
            else:
                return
            self._spent[act.id] = posted.id

    def _release(self, act: Act) -> None:
        held = self._holds.get(act.reverses or "", "")
        if self._book.has_hold(held):
            self._book.catch_up(act.member)
        if self._book.has_hold(held):
            self._book.release(held, key=act.key, cause=self._cause(act), actor=act.actor, reason=act.reason)

    def _give_back(self, act: Act) -> None:
        wallet, points = _bucket(act, "redeemed")
        taken, known = self._spent.get(act.reverses or ""), self._step.program.wallets.get(wallet)
        if taken is not None:
            with suppress(ReturnedAlready):
                self._book.give_back(
                    taken,
                    -points,
                    key=act.key,
                    cause=self._cause(act),
                    actor=act.actor,
                    reason=act.reason,
                    reinstate_days=known.reinstate.days if known else 0,
                )

    def _transfer(self, act: Act) -> None:
        wallet, points = _bucket(act, "transferred")
        with self._short("transfer", points):
            self._book.transfer(
                act.member,
                act.more["to"],
                wallet,
                points,
                key=act.key,
                cause=self._cause(act),
                actor=act.actor,
                reason=act.reason,
            )

    def _merge(self, act: Act) -> None:
        gone, kept = act.member, act.more["into"]
        with suppress(MergeRefused):
            self._book.merge(
                gone, kept, key=act.key, actor=act.actor, reason=act.reason, cause=self._cause(act)
            )
            kept = self._book.account(kept).member
            step = self._step
            step.activity.merge(gone, kept)
            step.tiers.merge(gone, kept, Cause(act.key, self._book.now))
            step.usage.merge(gone, kept)
            step.referrals.merge(gone, kept)
            step.nobody.merge(gone, kept)
            if (
                cause := self._cause(act)
            ) is not None:  # the pipeline looks at levels again; who merges by hand does not
                step.rank(_entry(cause))

    def _grant(self, act: Act) -> None:
        self._step.tiers.grant(
            act.member, act.more["to"], Cause(f"approval:{act.id}", self._book.now, approval=act.id)
        )

    def _consent(self, act: Act) -> None:
        self._step.activity.allow(act.member, act.more["channel"], act.more["granted"])

    def _catch_up(self, act: Act) -> None:
        self._book.catch_up(act.member)

    def _cause(self, act: Act) -> Any:
        return self._causes.get(act.event or "")

    def _short(self, kind: str, points: int) -> _Short:
        return _Short(self._lived.short, kind, points)


class _Short:
    """Notes that an act was not possible, for want of points."""

    def __init__(self, notes: list[tuple[str, int]], kind: str, points: int) -> None:
        self._notes, self._kind, self._points = notes, kind, points

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        if kind is None or not issubclass(kind, InsufficientPoints | NotSpendable | HoldEnded):
            return False
        self._notes.append((self._kind, self._points))
        return True


_ACTS: Mapping[str, Callable[[Living, Act], None]] = {
    "adjust": Living._adjust,
    "migrate": Living._migrate,
    "hold": Living._hold,
    "redeem": Living._redeem,
    "release": Living._release,
    "give_back": Living._give_back,
    "transfer_out": Living._transfer,
    "merge": Living._merge,
    "grant": Living._grant,
    "consent": Living._consent,
    "catch_up": Living._catch_up,
}


def _entry(told: Told) -> Entry:
    """Return an event as the pipeline has it in its hands once it knows whom it is about."""
    return Entry(
        id=told.id, inbox_id=0, connection=told.connection, source_id=told.source_id, part=told.part, type=told.type,
        occurred_at=told.occurred_at, received_at=told.received_at, member=told.member,
        canonical=refunds.restored(msgspec.json.decode(told.data), told.id),
    )  # fmt: skip


def _bucket(act: Act, wanted: str) -> tuple[str, int]:
    """Return the wallet and the points of one bucket of an act."""
    return next((wallet, points) for (wallet, bucket), points in act.points.items() if bucket == wanted)


def _reads(timeline: Timeline) -> frozenset[str] | None:
    """Return what any of the programmes reads of members; None: all."""
    together: set[str] = set()
    for program in timeline.all:
        if program.member_reads is None:
            return None
        together |= program.member_reads
    return frozenset(together)
