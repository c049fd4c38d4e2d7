"""The ledger once more, as simple as can be: one member, one wallet, no legs, no SQL. What it says is compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from math import inf


@dataclass
class Lot:
    order: str
    available: datetime
    expires: datetime | None
    pending: int = 0
    active: int = 0
    expired: int = 0

    def __post_init__(self):
        self.rank = (self.expires.timestamp() if self.expires else inf, self.available)


@dataclass
class Order:
    points: int
    kept: int
    gross: int
    refunds: dict[tuple[str, str], int] = field(default_factory=dict)
    cancelled_by: set[str] = field(default_factory=set)

    def should_keep(self) -> int:
        """One point for each whole euro net; net is 5/6 of gross; the source that says most is believed."""
        if self.cancelled_by:
            return 0
        sources = {source for source, _ in self.refunds}
        back = max(
            (sum(g for (s, _), g in self.refunds.items() if s == source) for source in sources), default=0
        )
        left = max(self.gross - back, 0)
        return min(self.points, left * 5 // 600)


@dataclass
class Model:
    now: datetime
    lots: list[Lot] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    debt: int = 0

    def catch_up(self):
        due = [(lot.available, 1, n) for n, lot in enumerate(self.lots) if lot.pending]
        due += [(lot.expires, 0, n) for n, lot in enumerate(self.lots) if lot.expires]
        for at, activates, n in sorted(due):
            lot = self.lots[n]
            if at > self.now:
                continue
            if activates:
                points, lot.pending = lot.pending, 0
                self.credit(lot, points)
            else:
                lot.expired += lot.pending + lot.active
                lot.pending = lot.active = 0

    def credit(self, lot: Lot, points: int):
        repaid = min(points, self.debt)
        self.debt -= repaid
        lot.active += points - repaid

    def open(self, lot: Lot, points: int):
        self.lots.append(lot)
        if lot.available <= self.now:
            self.credit(lot, points)
        else:
            lot.pending = points

    def earn(self, order: str, points: int, gross: int, available: datetime, expires: datetime | None):
        if order in self.orders or not points:
            return
        self.catch_up()
        self.orders[order] = Order(points, points, gross)
        lot = Lot(order, available, expires)
        if expires and expires <= self.now:
            lot.expired = points
            self.lots.append(lot)
        else:
            self.open(lot, points)

    def settle(self, order: str):
        self.catch_up()
        this = self.orders[order]
        own = [lot for lot in self.lots if lot.order == order]
        change, this.kept = this.should_keep() - this.kept, this.should_keep()
        if change > 0:
            self.open(Lot(order, own[0].available, own[0].expires), change)
            self.catch_up()
        elif change < 0:
            others = [lot for lot in self.lots if lot.order != order]
            missing = take(own, "pending", take_order(own), -change)
            missing = take(own, "active", take_order(own), missing)
            missing = take(own, "expired", take_order(own), missing)
            self.debt += take(others, "active", take_order(others), missing)

    def adjust(self, points: int):
        self.catch_up()
        if points > 0:
            self.open(Lot("", self.now, None), points)
        elif self.active >= -points:
            take(self.lots, "active", take_order(self.lots), -points)

    @property
    def active(self) -> int:
        return sum(lot.active for lot in self.lots)


def take_order(lots: list[Lot]) -> list[int]:
    return sorted(range(len(lots)), key=lambda n: (*lots[n].rank, n))


def take(lots: list[Lot], bucket: str, order: list[int], points: int) -> int:
    for n in order:
        taken = min(points, getattr(lots[n], bucket))
        setattr(lots[n], bucket, getattr(lots[n], bucket) - taken)
        points -= taken
    return points
