"""What the ledger keeps in its hands during one unit of work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol
from uuid import NAMESPACE_URL, uuid5

from hub.values import DebtPolicy

OWNED = ("pending", "active", "held", "debt")
"""The buckets of a member. All others are the programme's: issued, redeemed, expired, reversed, waived, adjusted,
transferred, merged, migrated."""

CANCELLED = "cancelled"
"""The refund id under which a cancellation is kept: it takes back all that is left."""

_NEVER = datetime.max.replace(tzinfo=UTC)


class Cause(Protocol):
    """The source event behind a posting: a row of `event`, or what will be one when the transaction ends.

    The chain seals it by connection, source id and part, which a replay finds again; `id` is only a pointer.
    """

    @property
    def id(self) -> str: ...
    @property
    def connection(self) -> str: ...
    @property
    def source_id(self) -> str: ...
    @property
    def part(self) -> int: ...


class Amounts(Protocol):
    """What a purchase was worth, in minor units; an `Order` is one."""

    @property
    def net_minor(self) -> int: ...
    @property
    def gross_minor(self) -> int: ...
    @property
    def currency(self) -> str: ...


class Policy(Protocol):
    """What the ledger asks of the current programme."""

    @property
    def hash(self) -> str:
        """Pinned on every posting that no older version has priced."""

    def spends(self, wallet: str) -> bool:
        """Return whether points of a wallet can be held, redeemed and transferred."""

    def debt_policy(self, wallet: str) -> DebtPolicy:
        """Return what happens when a reversal finds the points spent."""


class Origin(Protocol):
    """A posting that another one takes from, gives back to or ends; the chain seals its key."""

    @property
    def posting(self) -> str: ...
    @property
    def key(self) -> str: ...


class Ref(NamedTuple):
    """Names a posting: an `Origin`."""

    posting: str
    key: str


@dataclass(slots=True)
class Merge:
    """A member that became another.

    Attributes:
        at: when. Of two merges of somebody the later one has the later time, also where the clock stood or went back.
        gone, since: the numbers of the member's and the survivor's last postings by then.
        undone_by: the key by which it was taken back; None while it counts.
    """

    key: str
    member: str
    survivor: str
    at: datetime
    gone: int
    since: int
    actor: str
    reason: str
    undone_by: str | None = None


@dataclass(slots=True, eq=False)
class Lot:
    """The points of one credit, with their dates.

    Attributes:
        member: whose it is now: of the posting that moved it last.
        posting: that opened it.
        amount: as credited; what repaid debt at once never reaches a bucket.
        expired, waived: what the programme took or bore; known only of lots that may be reversed.
        name: the posting that made it and its place there, in words that a replay finds again.
    """

    id: str
    member: str
    wallet: str
    posting: str
    amount: int
    available_at: datetime
    expires_at: datetime | None
    pending: int = 0
    active: int = 0
    held: int = 0
    expired: int = 0
    waived: int = 0
    name: str = ""

    def due(self, now: datetime) -> bool:
        """Return whether its dates ask for something until `now`."""
        begins = self.pending > 0 and self.available_at <= now
        return begins or (self.expires_at is not None and self.expires_at <= now)

    @property
    def consumed_in(self) -> tuple[datetime, datetime, str]:
        """Sort key of consumption: earliest expiry first, never last, then available from, then id."""
        return self.expires_at or _NEVER, self.available_at, self.id


@dataclass(slots=True, eq=False)
class Hold:
    """Points of named lots that are reserved for a redemption.

    Attributes:
        member: whose they are now.
        state: held, confirmed or released.
        deadline: the first instant at which it cannot be confirmed any more.
        posting, key: of the posting that made it.
        lots: which points, in the order in which they were taken.
        held_at: when.
    """

    id: str
    member: str
    wallet: str
    points: int
    state: str
    deadline: datetime
    posting: str
    key: str
    held_at: datetime
    channel: str = ""
    lots: list[tuple[Lot, int]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Spent:
    """A redemption: what was taken, and what of it was given back.

    Attributes:
        posting, key: of the posting that redeemed.
        taken_at: when the points were taken out of what can be spent.
        lots: which points, in the order in which they were taken.
    """

    posting: str
    key: str
    member: str
    wallet: str
    points: int
    taken_at: datetime
    channel: str = ""
    returned: int = 0
    lots: list[tuple[Lot, int]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Account:
    """One member: the chain's head, balances by wallet and bucket, and lots.

    Attributes:
        holds: those whose deadline is over, and those made now; all open ones once `complete`.
        lots: those that are due and those opened now; all open ones once `complete`.
        up_to_date: what the dates ask for has been posted.
        posted_before: `posted_at` as it was before this unit of work.
    """

    member: str
    seq: int
    head: bytes
    posted_at: datetime | None
    balances: dict[str, dict[str, int]] = field(default_factory=dict)
    lots: dict[str, Lot] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    complete: bool = False
    up_to_date: bool = False
    posted_before: datetime | None = None

    def __post_init__(self) -> None:
        self.posted_before = self.posted_at

    def balance(self, wallet: str) -> dict[str, int]:
        """Return a wallet's balance by bucket."""
        found = self.balances.get(wallet)
        if found is None:
            found = self.balances[wallet] = dict.fromkeys(OWNED, 0)
        return found


@dataclass(slots=True)
class Line:
    """What one rule gave into one wallet for one fact.

    Attributes:
        taken: what reversals took back, less what was reinstated.
        lots: the first is the earning's, the others are reinstatements.
    """

    rule: str
    wallet: str
    given: int
    taken: int = 0
    lots: list[Lot] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """What of it the member was left with."""
        return self.given - self.taken


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that went back, as one source tells it: a row of `refund`."""

    fact: str
    source: str
    refund_id: str
    gross_minor: int
    net_minor: int | None
    total: bool
    event: str

    @property
    def cancelled(self) -> bool:
        """Whether the source called the whole purchase off."""
        return self.refund_id == CANCELLED


@dataclass(slots=True)
class Earning:
    """A fact that earned points, and all that was taken back since.

    Attributes:
        program_version: priced it, and prices its refunds.
        data: the canonical event without the person; None when it was pruned.
        lines: by (rule, wallet).
        refunds: by (source, refund id).
    """

    fact: str
    posting: str
    member: str
    event: str
    program_version: str
    occurred_at: datetime
    net_minor: int
    gross_minor: int
    currency: str
    data: Mapping[str, Any] | None
    lines: dict[tuple[str, str], Line] = field(default_factory=dict)
    refunds: dict[tuple[str, str], Refund] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The key under which it was posted."""
        return earn_key(self.fact)

    @property
    def given(self) -> dict[tuple[str, str], int]:
        """The points it gave, by (rule, wallet)."""
        return {at: line.given for at, line in self.lines.items()}


def earn_key(fact: str) -> str:
    """Return the idempotency key under which a fact earns."""
    return f"earn:{fact}"


def settle_key(fact: str) -> str:
    """Return the idempotency key under which a refund's own fact settles."""
    return f"settle:{fact}"


def adjust_key(name: str) -> str:
    """Return the idempotency key of an adjustment that whoever asks for it has named."""
    return f"adjust:{name}"


def hold_id(key: str) -> str:
    """Return the id of the hold that is made under a key: the same on every machine, for the chain seals it."""
    return str(uuid5(NAMESPACE_URL, f"hold:{key}"))


def release_key(hold: str) -> str:
    """Return the idempotency key under which a hold is released when its deadline is over."""
    return f"release:{hold}"
