"""A roastery's year with everything in it: what a programme tried on it has to reckon with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from hub import desk, housekeeping, redeeming
from hub import people as person_work
from hub.calendar import come_round
from hub.ledger import verify
from hub.referrals import code_of
from hub.rewards import Scope, redemptions
from hub.rules import Program, parse_program
from hub.storage.tables import HUB, INBOX, identity, redemption
from tests.helpers import Bench, Clock, make_hub

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
SHIPPED = Path(__file__).parents[2] / "mappings" / "standard_webhooks.yaml"
TELLS = """
  member.merged:
    emit: member.merged
    fact: "connection.name + ':merge/' + string(payload.data.gone) + '/' + string(payload.data.kept)"
    occurred_at: payload.timestamp
    member: {id: payload.data.kept}
    merged: {id: payload.data.gone}

  consent.changed:
    emit: consent.changed
    fact: "connection.name + ':consent/' + string(payload.data.id)"
    occurred_at: payload.timestamp
    member: {id: payload.data.member.id}
    consent: {purpose: "'marketing'", channel: payload.data.channel, granted: payload.data.granted}

outbound:
"""
APP = """
  app:
    connector: standard_webhooks
    secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]
    mapping: told.yaml
    outbound: false
"""
PROGRAM = """
version: 1
program: {id: brewline, timezone: Europe/Berlin, currency: EUR, cost_per_point: "0.01", unit: {one: bean, other: beans}}
identity: {match: [external_id], enrol: automatic}
wallets:
  beans: {expiry: {rolling: 3 months}, hold_ttl: 15 minutes, reinstate: 30 days}
  status: {expiry: never, spendable: false}
campaigns:
  spring: {window: {from: 2026-03-01, to: 2026-05-31}, budget: {points: 60}}
earning:
  - id: base
    trigger: purchase.paid
    if: order.net_minor >= 300 && !('wholesale' in order.tags)
    rate: {points: 1, per: "1.00 EUR"}
    pending: 14 days
    credit: [beans, status]
  - id: level
    trigger: purchase.paid
    multiply_pct: "member.tier == 'gold' ? 150 : member.tier == 'silver' ? 125 : 100"
  - {id: often, trigger: purchase.paid, if: member.orders_90d >= 3, points: 5, caps: {per_member_month: 10}}
  - {id: agreed, trigger: purchase.paid, if: "member.?consents.?email.orValue(false) == true", points: 1}
  - {id: spring, trigger: purchase.paid, campaign: spring, points: 10}
  - {id: week, trigger: purchase.paid, streak: {days: 3}, points: 30, badge: daily}
  - {id: regular, trigger: purchase.paid, milestone: {of: member.order_count, at: [4, 8]}, points: 20}
  - {id: hundred, trigger: points.earned, milestone: {earned: beans, at: [100, 300]}, points: 15}
  - {id: review, trigger: custom.review_published, points: "data.stars >= 4 ? 20 : 5", caps: {times_per_month: 1}}
  - {id: birthday, trigger: schedule.birthday, points: 100}
referral:
  code: {pattern: "BREW-########"}
  claim: [{trigger: member.created, code: "attributes.?referral.orValue('')"}]
  converts: {trigger: purchase.paid, if: order.net_minor >= 1000}
  referrer: {points: 200, pending: 30 days}
  friend: {points: 50}
tiers:
  basis: {wallet: status, metric: earned, period: {rolling: 3 months}}
  levels:
    - {id: bronze, from: 0}
    - {id: silver, from: 100}
    - {id: gold, from: 300}
  downgrade: {check: monthly, grace: 30 days, step: one_level}
  approval: {if: "tier.to == 'gold'", role: loyalty_manager}
adjustments: {approval: {if: abs_points > 500, role: loyalty_manager}}
rewards:
  - {id: coffee, kind: voucher, cost: 40, value: "free:espresso", valid: 60 days}
"""


class Roastery:
    """A hub whose days go by.

    Attributes:
        done: what was done when: send, play (send and work), sweep.
    """

    def __init__(self, folder: Path, database: str, program: str = PROGRAM) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "told.yaml").write_text(SHIPPED.read_text().replace("\noutbound:\n", TELLS))
        self.bench: Bench = make_hub(
            folder, database, APP, program=program, clock=Clock(START),
            extra="roles: {loyalty_manager: ['staff:ida', 'staff:bo']}\n",
        )  # fmt: skip
        self.hub = self.bench.hub
        self.clock = self.bench.clock
        self.database = self.hub.database
        self._told = 0
        self.done: list[tuple[str, datetime]] = []

    def go(self, days: float = 1.0) -> None:
        """Let time pass, with everything that comes by itself."""
        until = self.clock.now + timedelta(days=days)
        step = timedelta(days=max(1, days // 5))
        while self.clock.now < until:
            self.clock.now = min(until, self.clock.now + step)
            self.sweep()

    def sweep(self) -> None:
        self.done.append(("sweep", self.clock()))
        while come_round(self.hub):
            pass
        while housekeeping.end_rewards(self.hub):
            pass
        self.bench.work()

    def tell(
        self, type_: str, data: dict[str, Any], *, work: bool = True, at: datetime | None = None
    ) -> None:
        values = {"type": type_, "timestamp": (at or self.clock()).isoformat(), "data": data}
        self.done.append(("play" if work else "send", self.clock()))
        (self.bench.play if work else self.bench.send)("app", "member.created", values)

    def join(self, who: str, **attributes: str) -> str:
        self.tell("member.created", {"member": {"id": who}, "attributes": attributes})
        return self.member(who)

    def buys(self, who: str, number: str, euros: float, *, tags: tuple[str, ...] = (), **more: Any) -> None:
        minor = round(euros * 100)
        order = {
            "id": number,
            "currency": "EUR",
            "net_minor": minor,
            "gross_minor": minor,
            "tags": list(tags),
            "lines": [],
        }
        self.tell("purchase.paid", {"order": order, "member": {"id": who}}, **more)

    def returns(self, number: str, of: str, euros: float, **more: Any) -> None:
        minor = round(euros * 100)
        refund = {"id": number, "currency": "EUR", "gross_minor": minor, "net_minor": minor}
        self.tell("purchase.refunded", {"refund": refund, "order": {"id": of}}, **more)

    def reviews(self, who: str, number: str, stars: int) -> None:
        self.tell("review.published", {"review": {"id": number, "stars": stars}, "member": {"id": who}})

    def agrees(self, who: str, *, granted: bool) -> None:
        self._told += 1
        told = {"id": self._told, "channel": "email", "granted": granted, "member": {"id": who}}
        self.tell("consent.changed", told)

    def wishes(self, who: str, number: str, *, order: str = "") -> None:
        """Ask for a coffee, by an event."""
        wish = {"id": number, "reward": "coffee", "channel": "app", "order": order}
        self.tell("redemption.requested", {"redemption": wish, "member": {"id": who}})

    def reserves(self, who: str, key: str) -> str:
        """Hold the points of a coffee, by the API."""
        member = self.member(who)
        scope = Scope(requests=frozenset({(member, "coffee", key)}))
        done = redeeming.act(
            self.hub, scope,
            lambda work: redemptions.request(work, member, "coffee", key=key, channel="web", hold=True),
        )  # fmt: skip
        return done.id

    def adjust(self, who: str, points: int, key: str) -> None:
        desk.adjust(self.hub, self.member(who), points, reason="goodwill", actor="staff:ida", key=key)

    def approve_all(self) -> None:
        from hub.approvals import listed

        with self.database.read() as tx:
            waiting = [each.id for each in listed(tx)]
        for each in waiting:
            desk.decide(self.hub, each, approved=True, actor="staff:bo")
        self.bench.work()

    def merge(self, gone: str, kept: str) -> None:
        person_work.merge(
            self.hub, self.member(gone), self.member(kept), actor="staff:ida", reason="one person"
        )

    def code(self, who: str) -> str:
        rules = self.hub.programs.current.referral
        assert rules is not None
        with self.database.write() as tx:
            return code_of(tx, self.member(who), rules, self.clock())

    def member(self, who: str) -> str:
        with self.database.read() as tx:
            query = sa.select(identity.c.member).where(identity.c.source == "app", identity.c.value == who)
            return str(tx.scalar(query))

    def redemption(self, key: str) -> str:
        with self.database.read() as tx:
            return str(tx.scalar(sa.select(redemption.c.id).where(redemption.c.key == key)))

    def counts(self) -> dict[str, int]:
        """Rows of every table."""
        found = {}
        for tables, opened in ((INBOX, self.database.read_inbox), (HUB, self.database.read)):
            with opened() as tx:
                found |= {
                    name: tx.scalar(sa.select(sa.func.count()).select_from(table)) or 0
                    for name, table in tables.tables.items()
                }
        return found

    def sound(self) -> None:
        assert verify(self.database, self.clock()).findings == []


def tried(text: str, path: str = "new-program.yaml") -> Program:
    """Return a programme to be tried."""
    return parse_program(text.encode(), path)


def live_a_year(shop: Roastery) -> None:
    """Let everything happen that can."""
    mara = "mara"
    shop.join(mara, birthday="1990-04-02")
    shop.join("ole", referral=shop.code(mara))
    shop.join("twin")
    shop.join("kim", birthday="05-20")
    for day in range(3):  # a streak
        shop.buys(mara, f"M{day}", 25.5)
        shop.go(1)
    shop.buys("ole", "O1", 42.99)  # a friend's first purchase
    shop.buys("ole", "O2", 2.5)  # too small
    shop.buys("ole", "O3", 80, tags=("wholesale",))
    shop.go(16)  # what was pending is there
    shop.returns("R1", "M1", 10.25)
    shop.returns("R2", "O2", 1)
    shop.wishes(mara, "W1")
    shop.agrees(mara, granted=True)
    shop.returns("R0", "T1", 5)  # before its purchase
    shop.go(1)
    shop.buys("twin", "T1", 33)
    shop.go(1)
    shop.adjust("ole", 30, "goodwill-1")
    shop.adjust("ole", -12, "correction-1")
    shop.reviews("kim", "V1", 5)
    shop.reviews("kim", "V2", 5)  # one a month
    shop.go(20)
    shop.buys(mara, "M3", 50, at=shop.clock() - timedelta(hours=7))
    for n in range(4):  # caps and the spring's budget
        shop.buys("kim", f"K{n}", 40)
        shop.buys(mara, f"S{n}", 61)
        shop.go(5)
    shop.approve_all()  # gold for somebody
    shop.buys(mara, "G1", 20)
    shop.reserves("kim", "hold-1")
    shop.clock.move(minutes=20)
    shop.sweep()  # nobody confirmed it
    of = shop.reserves("kim", "hold-2")
    redeeming.act(
        shop.hub,
        Scope(redemptions=frozenset({of})),
        lambda work: redemptions.confirm(work, of, actor="staff:ida"),
    )
    shop.wishes(mara, "W2", order="G1")
    shop.go(2)
    shop.returns("R3", "G1", 20)  # and the points spent on it come back
    shop.merge("twin", mara)
    shop.buys("twin", "T2", 12)
    shop.tell("purchase.cancelled", {"order": {"id": "K3"}, "reason": "lost"})
    shop.go(30)
    shop.returns("R4", "O1", 42.99)  # both sides of the referral lose
    shop.agrees(mara, granted=False)
    shop.buys(mara, "M9", 15)
    shop.go(75)  # points expire
    shop.buys("ole", "O9", 5)
    shop.wishes("kim", "W3")
    shop.go(60)  # and levels are lost
    shop.buys("kim", "K9", 9.9)
    shop.go(1)
