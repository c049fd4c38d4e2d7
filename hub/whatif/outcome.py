"""What a simulation found: what was, what would have been, and the difference."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from decimal import Decimal

import msgspec

from hub.whatif.items import Given, Group, Told
from hub.whatif.living import Lived


class RuleRow(msgspec.Struct, frozen=True, kw_only=True):
    """One rule and wallet; points are what it gave less what was taken back, events those that it gave points for."""

    rule: str
    wallet: str
    was: int
    would: int
    difference: int
    events_was: int
    events_would: int


class LevelRow(msgspec.Struct, frozen=True, kw_only=True):
    """How many members have a level."""

    level: str
    was: int
    would: int


class MemberRow(msgspec.Struct, frozen=True, kw_only=True):
    """What would be different for one member: in one wallet, or of the level (then the wallet is empty)."""

    member: str
    wallet: str
    was: int
    would: int
    difference: int
    level_was: str
    level_would: str


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """An event that would give points and gave none, or the other way round; `why` says what did not hold."""

    event: str
    name: str
    member: str
    occurred_at: datetime
    was: int
    would: int
    why: str


class MonthRow(msgspec.Struct, frozen=True, kw_only=True):
    """Points given less those taken back, by the month of the programme's zone, and what they cost."""

    month: str
    was: int
    would: int
    cost_was: Decimal | None
    cost_would: Decimal | None


class WalletRow(msgspec.Struct, frozen=True, kw_only=True):
    """What members own of a wallet at the end; what it costs if all of it is redeemed, in major units of the currency."""

    wallet: str
    was: int
    would: int
    difference: int
    liability_was: Decimal | None
    liability_would: Decimal | None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """All that a simulation found.

    Attributes:
        program, mappings: hashes of the files that were tried.
        path: of the programme's.
        since: from when on they count; None: from the beginning.
        until: the instant of `would` and `was`.
        events: that were lived again.
        members: that were looked at.
        up, down: members whose level would be higher, lower.
        moves: level -> level it would be -> members.
        approvals: levels that would wait for a person and never did.
        short: act -> how often there would not have been enough points.
        short_points: act -> points missing.
        set_aside: why -> members who are left out.
        notes: what the reader has to know.
    """

    program: str
    path: str
    currency: str
    since: datetime | None
    until: datetime
    events: int
    members: int
    rules: list[RuleRow]
    levels: list[LevelRow]
    up: int
    down: int
    moves: dict[str, dict[str, int]]
    wallets: list[WalletRow]
    months: list[MonthRow]
    by_member: list[MemberRow]
    by_event: list[EventRow]
    approvals: int = 0
    short: dict[str, int] = {}
    short_points: dict[str, int] = {}
    set_aside: dict[str, int] = {}
    mappings: dict[str, str] = {}
    notes: list[str] = []

    @property
    def differs(self) -> bool:
        """Whether anything would be different."""
        rules = [(row.was, row.events_was) != (row.would, row.events_would) for row in self.rules]
        levels = [row.was != row.would for row in self.levels]
        months = [row.was != row.would for row in self.months]
        return bool(self.by_member or self.by_event) or any([*rules, *levels, *months])


@dataclass
class Tally:
    """Compares groups, one after the other, and adds up.

    Args:
        since: what came before is on neither side; None: nothing is.
        zone: of months.
        rank: how many levels are below one of the tried programme.
        start: the level of who never rose: (was, would).
    """

    since: datetime | None
    zone: tzinfo
    rank: Callable[[str], int]
    start: tuple[str, str]
    events: int = 0
    members: int = 0
    up: int = 0
    down: int = 0
    approvals: int = 0
    by_member: list[MemberRow] = field(default_factory=list)
    by_event: list[EventRow] = field(default_factory=list)
    rules: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0, 0]))
    months: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    wallets: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    levels: tuple[Counter[str], Counter[str]] = field(default_factory=lambda: (Counter(), Counter()))
    moves: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    short: Counter[str] = field(default_factory=Counter)
    short_points: Counter[str] = field(default_factory=Counter)

    def add(self, group: Group, lived: Lived) -> None:
        """Compare what a group was with what it would have been."""
        living = [who for who in group.members if who not in group.merged]
        self.members += len(living)
        self.events += lived.events
        by_event = (self._given(group.given, 0), self._given(lived.given, 1))
        self._events(group, lived, *by_event)
        changed = self._levels(group, lived, living)
        self._balances(group, lived, changed)
        for kind, points in lived.short:
            self.short[kind] += 1
            self.short_points[kind] += points
        self.approvals += len(lived.proposed)

    def _given(self, given: Iterable[Given], side: int) -> dict[str, int]:
        """Add up one side; return the points of each event that earned."""
        events: dict[str, int] = {}
        counted: set[tuple[str, str, str]] = set()
        for each in given:
            if self.since is not None and each.at < self.since:
                continue
            at = self.rules[each.rule, each.wallet]
            at[side] += each.points
            self.months[f"{each.at.astimezone(self.zone):%Y-%m}"][side] += each.points
            if each.kind == "earn" and each.event:
                events[each.event] = events.get(each.event, 0) + each.points
                if (once := (each.event, each.rule, each.wallet)) not in counted:
                    counted.add(once)
                    at[2 + side] += 1
        return events

    def _events(self, group: Group, lived: Lived, was: dict[str, int], would: dict[str, int]) -> None:
        """Note the events that are silent on one side only."""
        differing = was.keys() ^ would.keys()
        if not differing:
            return
        for told in group.items:
            if isinstance(told, Told) and told.id in differing:
                why = lived.silent.get(told.id, "") if told.id in was else told.reason
                self.by_event.append(
                    EventRow(
                        event=told.id,
                        name=told.name,
                        member=told.member,
                        occurred_at=told.occurred_at,
                        was=was.get(told.id, 0),
                        would=would.get(told.id, 0),
                        why=why,
                    )
                )

    def _levels(self, group: Group, lived: Lived, living: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Count levels; return those of members whose level would be another."""
        changed = {}
        for who in living:
            was, would = group.levels.get(who) or self.start[0], lived.levels.get(who) or self.start[1]
            self.levels[0][was] += 1
            self.levels[1][would] += 1
            if was != would:
                changed[who] = (was, would)
                self.moves[was][would] += 1
                self.up += self.rank(would) > self.rank(was)
                self.down += self.rank(would) < self.rank(was)
        return changed

    def _balances(self, group: Group, lived: Lived, changed: dict[str, tuple[str, str]]) -> None:
        told = set()
        for at in sorted({*group.balances, *lived.balances}):
            was, would = group.balances.get(at, 0), lived.balances.get(at, 0)
            who, wallet = at
            both = self.wallets[wallet]
            both[0] += was
            both[1] += would
            if was != would:
                told.add(who)
                self._member(at, (was, would), group, lived)
        for who in changed.keys() - told:
            self._member((who, ""), (0, 0), group, lived)

    def _member(self, at: tuple[str, str], points: tuple[int, int], group: Group, lived: Lived) -> None:
        who, wallet = at
        was, would = points
        self.by_member.append(
            MemberRow(
                member=who,
                wallet=wallet,
                was=was,
                would=would,
                difference=would - was,
                level_was=group.levels.get(who) or self.start[0],
                level_would=lived.levels.get(who) or self.start[1],
            )
        )


ROWS = {
    "members": MemberRow,
    "rules": RuleRow,
    "levels": LevelRow,
    "wallets": WalletRow,
    "months": MonthRow,
    "events": EventRow,
}
"""What a result is made of, by name."""
