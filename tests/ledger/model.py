"""The ledger once more, as simple as can be: members in a dict, one wallet, no legs, no SQL. What it says is compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf


class Refused(Exception):
    """The ledger has to refuse this too, and nothing has happened."""


@dataclass(eq=False)
class Lot:
    owner: str
    origin: str  # whose doing it is: to them it returns when a merge is taken back
    available: datetime
    expires: datetime | None
    order: str = ""
    pending: int = 0
    active: int = 0
    held: int = 0
    expired: int = 0

    def over(self, at: datetime) -> bool:
        return self.expires is not None and self.expires <= at


@dataclass
class Order:
    origin: str
    points: int
    kept: int
    gross: int
    waived: int = 0
    refunds: dict[tuple[str, str], int] = field(default_factory=dict)
    cancelled_by: set[str] = field(default_factory=set)

    def should_keep(self) -> int:
        """One point for each whole euro net; net is 5/6 of gross; the source that says most is believed."""
        sums = [sum(g for (s, _), g in self.refunds.items() if s == source) for source, _ in self.refunds]
        left = max(self.gross - max(sums, default=0), 0)
        return 0 if self.cancelled_by else min(self.points, left * 5 // 600)


@dataclass(eq=False)
class Hold:
    id: str
    owner: str
    origin: str
    deadline: datetime
    taken_at: datetime
    parts: list[tuple[Lot, int]]
    state: str = "held"


@dataclass(eq=False)
class Spent:
    owner: str
    origin: str
    taken_at: datetime
    parts: list[tuple[Lot, int]]
    returned: int = 0


@dataclass
class Member:
    debt: int = 0
    posted_at: datetime | None = None
    into: str = ""
    due: int = 0  # of a merged one: what it would have by now


class Model:
    def __init__(self, now: datetime, members: list[str], policy: str) -> None:
        self.now, self.policy = now, policy
        self.members = {name: Member() for name in members}
        self.lots: list[Lot] = []
        self.orders: dict[str, Order] = {}
        self.holds: list[Hold] = []
        self.spent: list[Spent] = []

    # --- what everything is made of ------------------------------------------------------------------------

    def path(self, name: str) -> list[str]:
        """Who somebody became, one after the other; the last is who they are now."""
        path = [name]
        while into := self.members[path[-1]].into:
            path.append(into)
        return path

    def who(self, name: str) -> str:
        return self.path(name)[-1]

    def total(self, name: str) -> int:
        mine = [lot for lot in self.lots if lot.owner == name]
        return sum(lot.pending + lot.active + lot.held for lot in mine) - self.members[name].debt

    def post(self, name: str, origin: str = "", change: int = 0) -> None:
        this = self.members[name]
        this.posted_at = max(self.now, this.posted_at or self.now)
        for each in self.path(origin)[:-1] if origin else ():
            self.members[each].due += change

    def present(self, name: str) -> datetime:
        return max(self.now, self.members[name].posted_at or self.now)

    def credit(self, lot: Lot, points: int, bucket: str = "active") -> None:
        member = self.members[lot.owner]
        repaid = min(points, member.debt)
        member.debt -= repaid
        setattr(lot, bucket, getattr(lot, bucket) + points - repaid)

    def put_back(self, name: str, lot: Lot, points: int, at: datetime) -> None:
        lot.owner = name
        self.credit(lot, points, "expired" if lot.over(at) else "active")

    def open(self, lot: Lot, points: int, *, active: bool) -> Lot:
        self.lots.append(lot)
        if active:
            self.credit(lot, points)
        else:
            lot.pending = points
        return lot

    def in_order(self, name: str, lots: list[Lot] | None = None) -> list[Lot]:
        found = [lot for lot in self.lots if lot.owner == name] if lots is None else lots
        rank = {id(lot): n for n, lot in enumerate(self.lots)}
        return sorted(
            found, key=lambda x: (x.expires.timestamp() if x.expires else inf, x.available, rank[id(x)])
        )

    def take(self, name: str, points: int) -> list[tuple[Lot, int]]:
        if points <= 0 or sum(lot.active for lot in self.in_order(name)) < points:
            raise Refused
        return self.take_from([(lot, "active") for lot in self.in_order(name)], points)

    def take_from(self, sources: list[tuple[Lot, str]], points: int) -> list[tuple[Lot, int]]:
        parts = []
        for lot, bucket in sources:
            if part := min(points, getattr(lot, bucket)):
                setattr(lot, bucket, getattr(lot, bucket) - part)
                parts.append((lot, part))
                points -= part
        return parts

    def catch_up(self, name: str) -> str:
        name = self.who(name)
        before = self.members[name].posted_at
        mine = [(n, lot) for n, lot in enumerate(self.lots) if lot.owner == name]
        due = [(lot.expires, 0, f"{n:9}", lot) for n, lot in mine if lot.over(self.now)]
        due += [
            (lot.available, 2, f"{n:9}", lot) for n, lot in mine if lot.pending and lot.available <= self.now
        ]
        due += [(h.deadline, 1, h.id, h) for h in self.holds if h.owner == name and h.deadline <= self.now]
        for at, what, _, thing in sorted(due, key=lambda each: each[:3]):
            if what == 1 and thing.state == "held":
                self._release(name, thing, max(at, before or at))
            elif what == 0 and thing.pending + thing.active:
                gone, thing.expired = (
                    thing.pending + thing.active,
                    thing.expired + thing.pending + thing.active,
                )
                thing.pending = thing.active = 0
                self.post(name, thing.origin, -gone)
            elif what == 2 and thing.pending:
                points, thing.pending = thing.pending, 0
                self.credit(thing, points)
                self.post(name)
        return name

    # --- what is asked for ---------------------------------------------------------------------------------

    def earn(self, name: str, order: str, points: int, *, gross: int, available: datetime, expires) -> None:
        if not points:
            return
        name = self.catch_up(name)
        self.orders[order] = Order(name, points, points, gross)
        lot, over = Lot(name, name, available, expires, order), expires and expires <= self.now
        self.open(lot, points, active=available <= self.now and not over)
        self.post(name)
        if over:
            lot.pending, lot.expired = 0, points

    def settle(self, order: str) -> None:
        this = self.orders[order]
        name = self.catch_up(this.origin)
        before = self.total(name)
        own = self.in_order(name, [lot for lot in self.lots if lot.order == order])
        change = this.should_keep() - this.kept
        if change > 0:
            this.kept += change
            borne = min(change, this.waived)
            this.waived -= borne
            if change > borne:
                first = next(lot for lot in self.lots if lot.order == order)
                lot = Lot(name, this.origin, first.available, first.expires, order)
                self.open(lot, change - borne, active=lot.available <= self.now)
            self.post(name, this.origin, self.total(name) - before)
            self.catch_up(name)
        elif change < 0:
            others = [lot for lot in self.in_order(name) if lot.order != order]
            sources = [(lot, bucket) for bucket in ("pending", "active", "expired") for lot in own]
            sources += [(lot, "active") for lot in others] if self.policy != "own_lot_only" else []
            missing = -change - sum(part for _, part in self.take_from(sources, -change))
            self.members[name].debt += missing if self.policy == "allow" else 0
            this.waived += missing if self.policy == "waive" else 0
            taken = -change if self.policy in ("allow", "waive") else -change - missing
            this.kept -= taken
            if taken:
                self.post(name, this.origin, self.total(name) - before)

    def adjust(self, name: str, points: int) -> None:
        name = self.catch_up(name)
        if points < 0:
            self.take(name, -points)
        else:
            self.open(Lot(name, name, self.now, None), points, active=True)
        self.post(name)

    def migrate(self, name: str, points: int, expires: datetime | None) -> None:
        name = self.catch_up(name)
        self.open(Lot(name, name, self.now, expires), points, active=True)
        self.post(name)

    def hold(self, name: str, points: int, deadline: datetime) -> Hold:
        name = self.catch_up(name)
        parts = self.take(name, points)
        for lot, part in parts:
            lot.held += part
        self.post(name)
        made = Hold("", name, name, deadline, self.members[name].posted_at, parts)
        self.holds.append(made)
        return made

    def confirm(self, hold: Hold) -> None:
        name = self._still_held(hold)
        hold.state = "confirmed"
        for lot, part in hold.parts:
            lot.held -= part
        self.post(name, hold.origin, -sum(part for _, part in hold.parts))
        self.spent.append(Spent(name, hold.origin, hold.taken_at, hold.parts))

    def release(self, hold: Hold) -> None:
        name = self._still_held(hold)
        self._release(name, hold, self.present(name))

    def _still_held(self, hold: Hold) -> str:
        name = self.catch_up(hold.owner)
        if hold.state != "held":
            raise Refused
        return name

    def _release(self, name: str, hold: Hold, at: datetime) -> None:
        hold.state = "released"
        before = self.total(name)
        for lot, part in hold.parts:
            lot.held -= part
            self.put_back(name, lot, part, at)
        self.post(name, hold.origin, self.total(name) - before)

    def redeem(self, name: str, points: int) -> None:
        name = self.catch_up(name)
        present = self.present(name)
        parts = self.take(name, points)
        self.post(name)
        self.spent.append(Spent(name, name, present, parts))

    def give_back(self, spent: Spent, points: int, days: int) -> None:
        name = self.catch_up(spent.owner)
        if points > sum(part for _, part in spent.parts) - spent.returned:
            raise Refused
        before, now = self.total(name), self.present(name)
        single = [
            lot for lot, part in reversed(spent.parts) for _ in range(part)
        ]  # one by one: slow and plain
        back = single[spent.returned : spent.returned + points]
        spent.returned += points
        opened = []
        for lot in dict.fromkeys(back):
            if lot.over(now) and now <= lot.expires + timedelta(days):
                left = max(lot.expires - spent.taken_at, timedelta())
                new = Lot(name, spent.origin, now, now + left)
                opened.append(self.open(new, back.count(lot), active=True))
            else:
                self.put_back(name, lot, back.count(lot), now)
        self.post(name, spent.origin, self.total(name) - before)
        for lot in opened:
            if lot.active and lot.over(now):
                self.post(name, lot.origin, -lot.active)
                lot.active, lot.expired = 0, lot.active

    def transfer(self, name: str, to: str, points: int) -> None:
        if self.who(name) == self.who(to):
            raise Refused
        name, to = self.catch_up(name), self.catch_up(to)
        for lot, part in self.take(name, points):
            self.open(Lot(to, to, lot.available, lot.expires), part, active=True)
        self.post(name)
        self.post(to)

    def merge(self, name: str, into: str) -> None:
        if self.members[name].into or self.who(into) == name:
            raise Refused
        name, into = self.catch_up(name), self.catch_up(into)
        loser, winner = self.members[name], self.members[into]
        loser.due = self.total(name)
        moving = [x for x in self.in_order(name) if x.pending + x.active + x.held]
        if moving or loser.debt:
            self.post(name)
            self.post(into)
        paid = self.take_from([(lot, "active") for lot in self.in_order(into)], loser.debt)
        winner.debt += loser.debt - sum(part for _, part in paid)
        loser.debt = 0
        for lot in moving:
            lot.owner, active, lot.active = into, lot.active, 0
            self.credit(lot, active)
        for hold in self.holds:
            hold.owner = into if hold.owner == name and hold.state == "held" else hold.owner
        loser.into = into

    def unmerge(self, name: str) -> None:
        this = self.members[name]
        if not this.into or self.members[this.into].into:
            raise Refused
        winner = self.catch_up(name)
        mine = [lot for lot in self.lots if lot.owner == winner and name in self.path(lot.origin)]
        holds = [
            h for h in self.holds if h.owner == winner and h.state == "held" and name in self.path(h.origin)
        ]
        reserved = [(lot, part) for hold in holds for lot, part in hold.parts]
        if any(lot.held != sum(part for held, part in reserved if held is lot) for lot in mine):
            raise Refused
        if any(lot.pending + lot.active + lot.held for lot in mine):
            self.post(winner)
            self.post(name)
        for thing in (*mine, *holds):
            thing.owner = name
        this.into, missing = "", this.due - self.total(name)
        who = name if missing > 0 else winner
        if missing:
            self.open(Lot(who, who, self.now, None), abs(missing), active=True)
            self.post(who)
