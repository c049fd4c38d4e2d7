"""What rewards are made of while a unit of work has them in its hands, and the ways from state to state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, TypeVar

from hub.codes import normal
from hub.rules.rewards import Reward
from hub.sdk.errors import HubError


class Refused(HubError):
    """What was asked of a reward cannot be done; the message says why and what can be done instead."""


REDEMPTION: Mapping[str, frozenset[str]] = {
    "": frozenset({"requested"}),
    "requested": frozenset({"held", "confirmed", "refused"}),
    "held": frozenset({"confirmed", "released", "expired"}),
    "confirmed": frozenset({"confirmed", "fulfilled", "returned"}),
    "fulfilled": frozenset({"fulfilled", "returned"}),
    "released": frozenset(),
    "expired": frozenset(),
    "returned": frozenset(),
    "refused": frozenset(),
}
"""Redemption: state -> states that may follow. One that stays as it is had a part of its points given back.

requested   asked for, and nothing else yet: no redemption rests here
held        points and stock are reserved until the deadline
confirmed   the points are spent; something is still to be handed over
fulfilled   the voucher is issued, or the parcel sent
released    given up before it was confirmed, or not agreed to
expired     nobody confirmed it in time
returned    all its points were given back
refused     it could not be had; `reason` says why
"""

LIVE = ("held", "confirmed", "fulfilled")
"""What counts for how often a member had a reward."""

VOUCHER: Mapping[str, tuple[frozenset[str], str]] = {
    "deliver": (frozenset({"issued", "rolled_back"}), "delivered"),
    "view": (frozenset({"issued", "delivered", "rolled_back"}), "viewed"),
    "redeem": (frozenset({"issued", "delivered", "viewed", "rolled_back"}), "redeemed"),
    "roll_back": (frozenset({"redeemed"}), "rolled_back"),
    "expire": (frozenset({"issued", "delivered", "viewed", "rolled_back"}), "expired"),
    "void": (frozenset({"issued", "delivered", "viewed", "rolled_back"}), "void"),
}
"""Voucher: what is done -> (states from which it can be, the state then). A rolled back one can be used again."""

USABLE = VOUCHER["redeem"][0]


@dataclass(slots=True, eq=False)
class Redemption:
    """A reward somebody asked for: a row of `redemption`.

    Attributes:
        reward: what was asked for; `item` is what is handed over, which differs for a choice.
        points: what it costs, of `wallet`; `returned` is how many of them were given back.
        order_fact: the fact key of the order it belongs to, or empty.
        role: who has to agree before it is confirmed, or empty.
        origin: the member it was first of, before any merge.
        stock: reserved, delivered, freed; empty where none is kept.
        vouchers: those this unit of work has issued for it or has read.
    """

    id: str
    key: str
    request_hash: bytes
    member: str
    reward: str
    item: str
    wallet: str
    points: int
    channel: str
    program_version: str
    created_at: datetime
    changed_at: datetime
    state: str = ""
    returned: int = 0
    order_fact: str = ""
    reason: str = ""
    role: str = ""
    origin: str = ""
    stock: str = ""
    hold: str | None = None
    deadline: datetime | None = None
    posting: str | None = None
    event: str | None = None
    actor: str = ""
    steps: int = 0
    vouchers: list[Voucher] = field(default_factory=list)
    task: Task | None = None


@dataclass(slots=True, eq=False)
class Voucher:
    """A code and what it is worth: a row of `voucher`. Amounts are minor units of `currency`, for gift cards."""

    id: str
    code: str
    member: str
    bound: bool
    redemption: str
    reward: str
    kind: str
    value: str
    single_use: bool
    issued_at: datetime
    expires_at: datetime | None
    changed_at: datetime
    state: str = ""
    currency: str = ""
    initial_minor: int = 0
    balance_minor: int = 0
    steps: list[Use] = field(default_factory=list)

    @property
    def code_key(self) -> str:
        """The code as it is compared."""
        return normal(self.code)


@dataclass(slots=True, frozen=True)
class Use:
    """Something done with a voucher: a row of `voucher_step`. `amount_minor` is the change of a gift card's balance."""

    voucher: str
    n: int
    what: str
    at: datetime
    key: str | None = None
    request_hash: bytes | None = None
    undoes: int | None = None
    amount_minor: int = 0
    channel: str = ""
    order_fact: str = ""
    member: str | None = None
    actor: str = ""
    reason: str = ""
    event: str | None = None


@dataclass(slots=True, eq=False)
class Task:
    """Work for a person: a row of `task`.

    Attributes:
        checklist: of {item, by, at}; `by` is empty until it is done.
    """

    id: str
    key: str
    queue: str
    title: str
    checklist: list[dict[str, Any]]
    created_at: datetime
    state: str = "open"
    tracking: str = ""
    member: str | None = None
    redemption: str | None = None
    event: str | None = None
    actor: str = ""
    reason: str = ""
    ended_at: datetime | None = None

    @property
    def left(self) -> list[str]:
        """What of the checklist is still to be done."""
        return [entry["item"] for entry in self.checklist if not entry["by"]]


@dataclass(slots=True, eq=False)
class Stock:
    """How many of a reward there are and were taken: a row of `stock`."""

    reward: str
    stock: int
    reserved: int
    delivered: int


R = TypeVar("R", Redemption, Voucher, Task, Stock, Use)


def record(kind: type[R], row: Any) -> R:
    """Return a row as a record."""
    columns = row._asdict()
    return kind(**{f.name: columns[f.name] for f in fields(kind) if f.name in columns})


def no_voucher(code: str, rewards: Iterable[Reward]) -> Refused:
    """Return why there is no voucher of a code; says so when it is a typo."""
    patterns = {reward.codes for reward in rewards if reward.codes}
    if any(pattern.mistyped(code) for pattern in patterns):
        return Refused(f"the code {code} is mistyped: its check character does not fit")
    return Refused(f"no voucher has the code {code}")


@dataclass(frozen=True, slots=True)
class Scope:
    """What one transaction is about; all that a unit of work may touch has to be named here.

    Attributes:
        requests: (member, reward, key) of rewards to be asked for.
        redemptions: ids.
        codes: of vouchers, as somebody typed them.
        tasks: ids.
        keys: idempotency keys under which points are given back or vouchers used.
        orders: fact key of an order that points may have been spent on -> facts of its refunds.
    """

    requests: frozenset[tuple[str, str, str]] = frozenset()
    redemptions: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    orders: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.requests or self.redemptions or self.codes or self.tasks or self.orders)

    def apart(self) -> Iterator[Scope]:
        """Return a scope for each redemption and each code."""
        yield from (Scope(redemptions=frozenset({each})) for each in sorted(self.redemptions))
        yield from (Scope(codes=frozenset({each})) for each in sorted(self.codes))


@dataclass(frozen=True, slots=True)
class Needs:
    """What the ledger's book has to be open for."""

    members: frozenset[str] = frozenset()
    holds: frozenset[str] = frozenset()
    spent: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.members)


def hold_key(key: str) -> str:
    """Return the posting key under which a request reserves points; `key` is the request's."""
    return f"hold:{key}"


def redeem_key(key: str) -> str:
    """Return the posting key under which a request spends points."""
    return f"redeem:{key}"


def release_key(key: str) -> str:
    """Return the posting key under which a request's points are let go."""
    return f"release:{key}"


def return_key(key: str) -> str:
    """Return the posting key under which points are given back; `key` is that of giving back."""
    return f"give_back:{key}"


def order_return(fact: str, redemption: str) -> str:
    """Return the key under which a refund gives back points that one redemption had spent on the order."""
    return f"{fact}/{redemption}"
