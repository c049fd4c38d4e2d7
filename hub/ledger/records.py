"""What the ledger keeps in its hands during one unit of work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

OWNED = ("pending", "active", "held", "debt")
"""The buckets of a member. All others are the programme's: issued, expired, reversed, waived, adjusted."""

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

    def waives_debt(self, wallet: str) -> bool:
        """Return whether the programme bears what a reversal cannot find, instead of the member owing it."""


@dataclass(slots=True, eq=False)
class Lot:
    """The points of one credit, with their dates.

    Attributes:
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


@dataclass(slots=True)
class Account:
    """One member: the chain's head, balances by wallet and bucket, and lots.

    Attributes:
        lots: those that are due and those opened now; all open ones once `complete`.
        up_to_date: what the lots' dates ask for has been posted.
    """

    member: str
    seq: int
    head: bytes
    posted_at: datetime | None
    balances: dict[str, dict[str, int]] = field(default_factory=dict)
    lots: dict[str, Lot] = field(default_factory=dict)
    complete: bool = False
    up_to_date: bool = False

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
