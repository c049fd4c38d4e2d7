"""A coffee roaster's counter: members with points, and a catalogue they spend them on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from hub import housekeeping, redeeming
from hub.hub import Hub
from hub.ids import new_id
from hub.ledger import Book, verify
from hub.rewards import (
    Redemption,
    Scope,
    Task,
    Voucher,
    cards,
    catalogue,
    reading,
    redemptions,
    tasks,
    vouchers,
)
from hub.storage.tables import balance, member, outbox, redemption_step, stock, task, voucher, voucher_step
from tests.helpers import Bench

REWARDS = """
rewards:
  - {id: coffee, kind: voucher, name: A coffee, category: drinks, cost: 150, value: "free:espresso", valid: 60 days}
  - {id: five_off, kind: voucher, category: goods, cost: 400, value: "5.00 EUR", valid: 30 days, bound_to: anyone}
  - {id: tenth, kind: voucher, category: goods, cost: 0, value: "10%", single_use: false, valid: 30 days}
  - {id: card25, kind: gift_card, category: cards, cost: 2500, value: "25.00 EUR", valid: 12 months}
  - id: mug
    kind: physical
    category: things
    cost: 800
    stock: 3
    per_member: 1
    task: {queue: warehouse, title: Send a mug, checklist: [picked, packed, dispatched]}
  - {id: sticker, kind: physical, category: things, cost: 50, stock: 2}
  - {id: treat, kind: choice, cost: 200, options: [coffee, sticker, mug]}
  - id: tasting
    kind: voucher
    category: events
    cost: 300
    value: "free:tasting"
    approval: {if: "redemption.count_30d >= 1", role: loyalty_manager, sla: 2 days}
  - {id: gold_only, kind: voucher, cost: 10, value: "10%", if: "member.tier == 'gold'"}
  - {id: advent, kind: voucher, cost: 10, value: "10%", available: {from: 2026-12-01, to: 2026-12-24, early: {gold: 7 days}}}
"""
PROGRAM = (
    """
version: 1
program: {id: brewline, timezone: Europe/Berlin, currency: EUR, unit: {one: bean, other: beans}}
identity: {match: [external_id, verified_email, verified_phone], enrol: automatic}
wallets:
  beans: {expiry: never, hold_ttl: 15 minutes}
earning:
  - {id: base, trigger: purchase.paid, rate: {points: 1, per: "1.00 EUR"}, if: "order.net_minor >= 1000"}
"""
    + REWARDS
)


NUMBERS = itertools.count(1)
"""Of idempotency keys: counters may share a hub."""


@dataclass
class Counter:
    """One member by default; each call is one transaction, as the API would make it."""

    bench: Bench
    _numbers: Any = field(default_factory=lambda: NUMBERS)
    member: str = ""

    def __post_init__(self) -> None:
        self.member = self.enrol(10_000)

    @property
    def hub(self) -> Hub:
        return self.bench.hub

    @property
    def now(self):
        return self.bench.clock()

    def key(self) -> str:
        return f"test:{next(self._numbers)}"

    def enrol(self, points: int = 0) -> str:
        new = new_id()
        with self.hub.database.write() as tx:
            tx.execute(member.insert(), {"id": new, "created_at": self.now, "state": "active", "head": b""})
        if points:
            self.gift(points, new)
        return new

    def gift(self, points: int, to: str = "") -> None:
        key, to = self.key(), to or self.member
        with self.hub.database.write() as tx:
            book = Book.open(tx, {to}, now=self.now, program=self.hub.programs.current, keys=[key])
            book.adjust(to, "beans", points, key=key, actor="staff:ida", reason="goodwill")
            book.flush(tx)

    def ask(
        self, reward: str, *, by: str = "", key: str = "", channel: str = "web", **more: Any
    ) -> Redemption:
        key, by = key or self.key(), by or self.member
        scope = Scope(requests=frozenset({(by, reward, key)}))
        return redeeming.act(
            self.hub,
            scope,
            lambda work: redemptions.request(work, by, reward, key=key, channel=channel, **more),
        )

    def confirm(self, of: Redemption, **more: Any) -> Redemption:
        scope = Scope(redemptions=frozenset({of.id}))
        return redeeming.act(self.hub, scope, lambda work: redemptions.confirm(work, of.id, **more))

    def release(self, of: Redemption, **more: Any) -> Redemption:
        scope = Scope(redemptions=frozenset({of.id}))
        return redeeming.act(self.hub, scope, lambda work: redemptions.release(work, of.id, **more))

    def give_back(
        self, of: Redemption, points: int | None = None, *, key: str = "", **more: Any
    ) -> Redemption:
        key = key or self.key()
        scope = Scope(redemptions=frozenset({of.id}), keys=frozenset({key}))
        return redeeming.act(
            self.hub, scope, lambda work: redemptions.give_back(work, of.id, points, key=key, **more)
        )

    def check(self, code: str, **more: Any) -> vouchers.Verdict:
        with self.hub.database.read() as tx:
            return reading.verdict(tx, code, self.hub.programs.current.rewards, self.now, **more)

    def use(
        self, code: str, *, key: str = "", channel: str = "web", by: str | None = "", **more: Any
    ) -> Voucher:
        key, by = key or self.key(), self.member if by == "" else by
        scope = Scope(codes=frozenset({code}), keys=frozenset({key}))
        return redeeming.act(
            self.hub,
            scope,
            lambda work: vouchers.redeem(work, code, key=key, channel=channel, member=by, **more),
        )

    def roll_back(self, code: str, *, key: str = "", **more: Any) -> Voucher:
        key = key or self.key()
        scope = Scope(codes=frozenset({code}), keys=frozenset({key}))
        return redeeming.act(self.hub, scope, lambda work: vouchers.roll_back(work, code, key=key, **more))

    def seen(self, code: str, how: str) -> Voucher:
        verb = {"deliver": vouchers.deliver, "view": vouchers.view}[how]
        return redeeming.act(
            self.hub, Scope(codes=frozenset({code})), lambda work: verb(work, code, channel="app")
        )

    def charge(self, code: str, minor: int, currency: str = "EUR", *, key: str = "", **more: Any) -> Voucher:
        key = key or self.key()
        scope = Scope(codes=frozenset({code}), keys=frozenset({key}))
        return redeeming.act(
            self.hub,
            scope,
            lambda work: cards.charge(work, code, minor, currency, key=key, channel="pos", **more),
        )

    def refund(self, code: str, minor: int, of: str, *, key: str = "", currency: str = "EUR") -> Voucher:
        key = key or self.key()
        scope = Scope(codes=frozenset({code}), keys=frozenset({key}))
        return redeeming.act(
            self.hub, scope, lambda work: cards.refund(work, code, minor, currency, key=key, of_key=of)
        )

    def tick(self, of: Task, *items: str, actor: str = "staff:ida") -> Task:
        scope = Scope(tasks=frozenset({of.id}))
        return redeeming.act(self.hub, scope, lambda work: tasks.check(work, of.id, items, actor=actor))

    def done(self, of: Task, *, actor: str = "staff:ida", **more: Any) -> Task:
        scope = Scope(tasks=frozenset({of.id}))
        return redeeming.act(self.hub, scope, lambda work: tasks.done(work, of.id, actor=actor, **more))

    def offers(self, **facts: Any) -> list[catalogue.Offer]:
        about = {"id": self.member, "tier": "", **facts}
        with self.hub.database.read() as tx:
            return catalogue.offers(tx, self.hub.programs.current, about, self.now)

    def later(self, **delta: float) -> None:
        """Let time pass, and the sweep run."""
        self.bench.clock.move(**delta)
        self.bench.work()

    def points(self, of: str = "") -> tuple[int, int]:
        """(active, held) points of a member."""
        query = sa.select(balance.c.active, balance.c.held).where(balance.c.member == (of or self.member))
        return tuple(self.rows(query)[0])

    def stock(self, item: str) -> tuple[int, int]:
        """(reserved, delivered) of a reward."""
        return tuple(
            self.rows(sa.select(stock.c.reserved, stock.c.delivered).where(stock.c.reward == item))[0]
        )

    def history(self, of: Redemption) -> list[str]:
        steps = sa.select(redemption_step.c.state).where(redemption_step.c.redemption == of.id)
        return [row.state for row in self.rows(steps.order_by(redemption_step.c.n))]

    def uses(self, of: Voucher) -> list[str]:
        steps = sa.select(voucher_step.c.what).where(voucher_step.c.voucher == of.id)
        return [row.what for row in self.rows(steps.order_by(voucher_step.c.n))]

    def state(self, of: Voucher) -> str:
        return self.rows(sa.select(voucher.c.state).where(voucher.c.id == of.id))[0].state

    def tasks(self) -> list[tuple[str, str]]:
        return [tuple(row) for row in self.rows(sa.select(task.c.queue, task.c.state).order_by(task.c.id))]

    def told(self) -> list[dict[str, Any]]:
        return [row.params for row in self.rows(sa.select(outbox.c.params).order_by(outbox.c.id))]

    def rows(self, query: sa.Select[Any]) -> list[Any]:
        with self.hub.database.read() as tx:
            return list(tx.execute(query))

    def sweep(self) -> None:
        while housekeeping.end_rewards(self.hub):
            pass

    def adds_up(self) -> None:
        assert verify(self.hub.database, self.now - timedelta(minutes=1)).findings == []
