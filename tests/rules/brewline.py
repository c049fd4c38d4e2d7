"""Programmes and purchases of a coffee roaster."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from textwrap import indent
from typing import Any

from hub.rules import Program, Used, parse_program
from hub.sdk.events import MemberRef, Order, PurchasePaid

NOON = datetime(2026, 3, 10, 11, 0, tzinfo=UTC)
NOBODY = {"tier": "", "balance": 0}

TOP = """\
version: 1
program: {{id: brewline, timezone: {zone}, currency: EUR, unit: {{one: bean, other: beans}}}}
identity: {{match: [external_id], enrol: automatic}}
wallets:
  beans: {wallet}
  status: {{expiry: never, spendable: false}}
earning:
"""
BASE = '{id: base, trigger: purchase.paid, rate: {points: 1, per: "1.00 EUR"}}'


def program(*rules: str, wallet: str = "{expiry: never}", zone: str = "Europe/Berlin") -> Program:
    """A programme with these rules, each in one line of YAML."""
    return parse_program(text(*rules, wallet=wallet, zone=zone).encode(), "program.yaml")


def text(*rules: str, wallet: str = "{expiry: never}", zone: str = "Europe/Berlin") -> str:
    return (
        TOP.format(wallet=wallet, zone=zone) + indent("\n".join(f"- {rule}" for rule in rules), "  ") + "\n"
    )


def purchase(
    net: int = 4299, gross: int = 5116, at: datetime = NOON, currency: str = "EUR", **fields: Any
) -> PurchasePaid:
    event = {name: fields.pop(name) for name in ("test", "fact", "same_as") if name in fields}
    order = Order(id="5551", currency=currency, net_minor=net, gross_minor=gross, **fields)
    return PurchasePaid(
        **{"fact": "shop:order/5551", **event}, occurred_at=at, member=MemberRef(id="c1"), order=order
    )


def points(of: Program, event: Any, member: dict[str, Any] = NOBODY, **left: Any) -> dict[str, int]:
    """The points by rule; every wallet of a rule has the same."""
    return {award.rule: award.points for award in of.price(event, member, **left).awards}


@dataclass
class Told:
    """What a source says went back."""

    source: str
    gross_minor: int
    net_minor: int | None = None
    total: bool = False
    cancelled: bool = False


@dataclass
class Earned:
    """A purchase that earned, as the ledger has it."""

    given: dict[tuple[str, str], int]
    refunds: dict[Any, Told] = field(default_factory=dict)
    net_minor: int = 10000
    gross_minor: int = 12000
    fact: str = "shop:order/5551"
    data: dict[str, Any] | None = None


@dataclass
class Till:
    """A programme with a memory: what `hub.usage` does in the database, in a dict. One member."""

    of: Program
    used: dict[tuple[str, str], Used] = field(default_factory=dict)

    def buy(self, net: int = 10000, at: datetime = NOON, member: Any = NOBODY) -> dict[str, tuple[int, int]]:
        """Return (wanted, given) by rule."""
        priced = self.of.price(purchase(net, net, at=at), member, self.used)
        self.add(priced.counts)
        self.reached = [(each.trigger, each.data) for each in priced.reached]
        return {award.rule: (award.wanted, award.points) for award in priced.awards}

    def add(self, counts):
        for key, more in counts.items():
            assert key in self.of.keys(purchase()) or key[1] != "ever", "a counter that nobody read"
            self.used[key] = self.used.get(key, Used()).plus(more)


def till(*rules: str, campaigns: str = "") -> Till:
    source = text(*rules).replace("earning:", f"campaigns: {campaigns or '{}'}\nearning:")
    return Till(parse_program(source.encode(), "program.yaml"))


def berlin(stamp: str) -> datetime:
    """A time in Berlin's winter."""
    return datetime.fromisoformat(f"{stamp}+01:00").astimezone(UTC)
