"""Units of work in memory: what a transaction reads, kept for a whole past instead of one batch, and never written.

Each is the real one with its queries taken away, so that what an event does here is what it does in the pipeline:
`hub.effects` and `hub.ledger` are told once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from heapq import heappop, heappush
from typing import Any, NamedTuple

from hub.facts import Facts
from hub.members import Activity, Purchase
from hub.referrals import RECENT, Claimed, Referrals
from hub.rules.counters import NOTHING, Used
from hub.rules.tiers import Ladder
from hub.tiers import Cause, Tiers
from hub.usage import Usage
from hub.whatif.book import EPOCH, NO_DATABASE, ScratchBook


class ScratchFacts(Facts):
    """The names of facts; one that nobody here has told is looked up.

    Args:
        look_up: returns under which name a fact was posted.
    """

    def __init__(self, look_up: Callable[[str], str | None]) -> None:
        super().__init__(NO_DATABASE, {})
        self._look_up = look_up

    def canonical(self, name: str) -> str | None:
        return super().canonical(name) or (self._look_up(name) if name else None)


class ScratchUsage(Usage):
    """Counters and pins from their beginning."""

    def __init__(self) -> None:
        super().__init__(NO_DATABASE)

    def merge(self, gone: str, kept: str) -> None:
        """As `hub.usage.move`."""
        for owner, name, period in [at for at in self._counters if at[0] == gone]:
            more = self._counters.pop((owner, name, period))
            mine = self._counters.get((kept, name, period), NOTHING)
            if name.startswith("milestone/"):
                both = max(more, mine, key=lambda used: used.points)
            else:
                both = more.plus(Used(mine.points, mine.times, mine.marks or None))
            self._counters[kept, name, period] = both

    def _counter(self, at: tuple[str, str, str]) -> Used:
        return self._counters.get(at, NOTHING)


class ScratchActivity(Activity):
    """What members bought, from their first purchase on."""

    def __init__(self) -> None:
        super().__init__(NO_DATABASE, frozenset(), EPOCH, "", lambda _connection, _members: {})

    def read_by(self, reads: frozenset[str] | None, currency: str) -> None:
        """Let another programme ask."""
        fresh = Activity(NO_DATABASE, reads, EPOCH, currency, lambda _connection, _members: {})
        self._wanted, self._currency = fresh._wanted, currency  # noqa: SLF001 - our own kind
        for member_id, bought in self._recent.items():
            ours = [each.left_minor for each in bought.values() if each.currency == currency]
            self._sums[member_id].spend_minor = sum(ours)

    def meet(self, member_id: str, created_at: datetime) -> None:
        """Take note of when somebody became a member."""
        self._created[member_id] = created_at

    def allow(self, member_id: str, channel: str, granted: bool) -> None:
        """Take note of a consent to marketing."""
        self._consents[member_id] = {**self._consents.get(member_id, {}), channel: granted}

    def merge(self, gone: str, kept: str) -> None:
        for fact, bought in self._recent.pop(gone, {}).items():
            bought.member = kept
            self._recent[kept][fact] = bought
        lost = self._sums.pop(gone, None)
        if lost:
            self._sums[kept].orders += lost.orders
            self._sums[kept].spend_minor += lost.spend_minor

    def _load(self, members: set[str]) -> None:
        self._members |= members

    def _last(self, member_id: str, at: datetime) -> datetime | None:
        return None  # nothing is older than what is here

    def purchase(self, new: Purchase) -> None:
        super().purchase(new)
        self._new.clear()  # it is written nowhere


class _Counted(NamedTuple):
    at: datetime
    points: Mapping[str, int]
    spend_minor: int
    orders: int


class ScratchTiers(Tiers):
    """Levels, from everybody's first on."""

    def __init__(self, book: ScratchBook) -> None:
        super().__init__(NO_DATABASE, None, book, "", "")
        self._all: dict[str, list[_Counted]] = defaultdict(list)
        self._within: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
        self.changes: list[dict[str, Any]] = self._changes

    def by(self, ladder: Ladder | None, version: str) -> None:
        """Let another programme decide."""
        if (self.ladder.tiers.basis if self.ladder else None) != (ladder.tiers.basis if ladder else None):
            self._within.clear()
            self._measured.clear()
        self.ladder, self._version = ladder, version
        if ladder and not self._within:
            for member_id, counted in self._all.items():
                for each in counted:
                    self._take(ladder, member_id, each)

    def counted(
        self,
        member_id: str,
        at: datetime,
        *,
        points: Mapping[str, int] | None = None,
        spend_minor: int = 0,
        orders: int = 0,
    ) -> None:
        each = _Counted(at, points or {}, spend_minor, orders)
        self._all[member_id].append(each)
        if self.ladder:
            self._take(self.ladder, member_id, each)

    def measured(self, member_id: str) -> int:
        if self.ladder is None or self.ladder.basis.metric == "balance":
            return super().measured(member_id)
        return self._sum(self.ladder, member_id, self._book.now)

    def now(self, member_id: str) -> str:
        """Return somebody's level; empty where there are none."""
        return self._state(member_id).level if self.ladder else ""

    def due(self, member_id: str) -> bool:
        """Return whether one of the dates of somebody's level has come."""
        state = self._states.get(member_id)
        return state is not None and state.due_at is not None and state.due_at <= self._book.now

    def merge(self, gone: str, kept: str, cause: Cause) -> None:
        theirs, within = self._all.pop(gone, []), self._within.pop(gone, [])
        super().merge(gone, kept, cause)
        total = self._measured.get(kept, 0)
        self._all[kept] += theirs
        for each in within:
            heappush(self._within[kept], each)
        self._measured[kept] = total

    def _take(self, ladder: Ladder, member_id: str, each: _Counted) -> None:
        basis = ladder.basis
        amount = {
            "earned": each.points.get(basis.wallet, 0),
            "spend": each.spend_minor,
            "orders": each.orders,
        }.get(basis.metric, 0)
        if amount:
            heappush(self._within[member_id], (each.at, amount))
            self._measured[member_id] = self._measured.get(member_id, 0) + amount

    def _sum(self, ladder: Ladder, member_id: str, at: datetime) -> int:
        """Return what counts in the window that ends at `at`. Windows only go forward, so what is out stays out."""
        within, start = self._within[member_id], ladder.window(at)
        while start is not None and within and within[0][0] < start:
            self._measured[member_id] -= heappop(within)[1]
        return self._measured.get(member_id, 0)

    def _measure(self, members: Collection[str], at: datetime) -> dict[str, int]:
        assert self.ladder is not None, "its callers saw to that"
        if self.ladder.basis.metric == "balance":
            return {each: Tiers.measured(self, each) for each in members}
        return {each: self._sum(self.ladder, each, at) for each in members}

    def _load(self, members: set[str], since: datetime) -> None:
        """Everything is here."""


class ScratchReferrals(Referrals):
    """Who brought whom, from the beginning."""

    def __init__(self, codes: Mapping[str, str]) -> None:
        super().__init__(NO_DATABASE, set())
        self._codes = dict(codes)
        self._converted: dict[str, list[datetime]] = defaultdict(list)
        self.now = EPOCH

    def about(self, row: Claimed, card: Callable[[str], Mapping[str, Any]], at: datetime) -> dict[str, Any]:
        done = self._converted[row.referrer]
        recent = sum(when > self.now - RECENT for when in done)
        self._counts[row.referrer] = recent, len(done)
        return super().about(row, card, at)

    def decide(self, row: Claimed, *, reason: str, at: datetime, fact: str, sides: int = 0) -> None:
        super().decide(row, reason=reason, at=at, fact=fact, sides=sides)
        if not reason:
            self._converted[row.referrer].append(at)

    def merge(self, gone: str, kept: str) -> None:
        """Let codes and friends follow: as `hub.referrals.move`."""
        self._codes = {key: kept if of == gone else of for key, of in self._codes.items()}
        for friend, row in list(self._rows.items()):
            new = replace(
                row,
                friend=kept if row.friend == gone else row.friend,
                referrer=kept if row.referrer == gone else row.referrer,
            )
            if new == row:
                continue
            del self._rows[friend]
            if new.friend != new.referrer:
                self._rows.setdefault(new.friend, new)
        self._converted[kept] += self._converted.pop(gone, [])


class Nobody:
    """Stands for the directory: who an event is about is known from the journal.

    Args:
        card: returns what is known of a member.
    """

    def __init__(self, card: Callable[[str], Mapping[str, Any]]) -> None:
        self.gone: frozenset[str] = frozenset()
        self.card = card
        self._merged: dict[str, str] = {}

    def merge(self, gone: str, kept: str) -> None:
        self._merged[gone] = kept

    def living(self, member: str) -> str:
        while member in self._merged:
            member = self._merged[member]
        return member

    def find(self, *_: object) -> None:
        """Nobody else is asked for."""


class NoRewards:
    """Stands for rewards: what was spent and given back is done again as the ledger has it."""

    def spent_on(self, orders: Iterable[str]) -> list[Any]:
        return []


class Waits:
    """Stands for approvals: what the programme proposes waits, and is decided as it was decided then.

    Attributes:
        proposed: (member, level) that were proposed.
    """

    def __init__(self) -> None:
        self.happened: list[Any] = []
        self.proposed: set[tuple[str, str]] = set()

    def request(self, kind: str, *, member: str, subject: Mapping[str, Any], **_: object) -> None:
        if kind == "tier":
            self.proposed.add((member, subject["to"]))
