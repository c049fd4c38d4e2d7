"""A posting being put together: the small moves that every operation is made of."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from hub.ids import new_id
from hub.ledger import chain
from hub.ledger.records import OWNED, Account, Cause, Earning, Lot


class Given(NamedTuple):
    """Points that a posting gives, or takes back when negative, by one rule."""

    origin: str
    rule: str
    lot: Lot
    wanted: int
    points: int


class Draft:
    """A posting of one member that is not sealed yet. What it moves shows at once in the account and its lots.

    Args:
        key: idempotency key.
        request: hash of what was asked for; scheduled work is asked for by its key alone.
        reverses: the earning this takes from or gives back to.
    """

    __slots__ = (
        "account", "actor", "awards", "cause", "id", "key", "kind", "legs", "moves", "occurred_at", "opened",
        "program_version", "reason", "request", "reverses",
    )  # fmt: skip

    def __init__(
        self,
        account: Account,
        kind: str,
        key: str,
        *,
        occurred_at: datetime,
        program_version: str,
        request: bytes = b"",
        cause: Cause | None = None,
        reverses: Earning | None = None,
        actor: str = "",
        reason: str = "",
    ) -> None:
        self.id = new_id()
        self.account = account
        self.kind = kind
        self.key = key
        self.request = request or chain.request_hash([key])
        self.occurred_at = occurred_at
        self.program_version = program_version
        self.cause = cause
        self.reverses = reverses
        self.actor = actor
        self.reason = reason
        self.legs: dict[tuple[str, str], int] = {}
        """Change by (wallet, bucket)."""
        self.moves: list[tuple[Lot, str, int]] = []
        self.awards: list[Given] = []
        self.opened: list[Lot] = []

    def add(self, wallet: str, bucket: str, delta: int) -> None:
        """Change one bucket: the member's, or the programme's."""
        at = (wallet, bucket)
        self.legs[at] = self.legs.get(at, 0) + delta
        if bucket in OWNED:
            self.account.balance(wallet)[bucket] += delta

    def shift(self, lot: Lot, bucket: str, delta: int) -> None:
        """Change what a lot has in one bucket, and the bucket with it."""
        if delta:
            setattr(lot, bucket, getattr(lot, bucket) + delta)
            self.moves.append((lot, bucket, delta))
            self.add(lot.wallet, bucket, delta)

    def take(self, sources: list[tuple[Lot, str]], points: int) -> int:
        """Take up to `points` from (lot, bucket) pairs, in order; return what they did not have."""
        for lot, bucket in sources:
            taken = min(points, getattr(lot, bucket))
            self.shift(lot, bucket, -taken)
            points -= taken
        return points

    def fill(self, lot: Lot, points: int) -> None:
        """Make points of a lot active, after repaying what the member owes in that wallet."""
        repaid = min(points, -self.account.balance(lot.wallet)["debt"])
        if repaid:
            self.add(lot.wallet, "debt", repaid)
        self.shift(lot, "active", points - repaid)

    def open_lot(
        self, wallet: str, points: int, available_at: datetime, expires_at: datetime | None, *, active: bool
    ) -> Lot:
        """Credit a new lot, active or pending. The award that explains it is to be the posting's next."""
        lot = Lot(
            id=new_id(),
            member=self.account.member,
            wallet=wallet,
            posting=self.id,
            amount=points,
            available_at=available_at,
            expires_at=expires_at,
            name=f"{self.key}#{len(self.awards)}",
        )
        self.opened.append(lot)
        self.account.lots[lot.id] = lot
        if active:
            self.fill(lot, points)
        else:
            self.shift(lot, "pending", points)
        return lot
