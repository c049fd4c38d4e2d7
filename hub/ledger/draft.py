"""A posting being put together: the small moves that every operation is made of."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from hub.ids import new_id
from hub.ledger.chain import Asked
from hub.ledger.records import OWNED, Account, Cause, Lot, Origin


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
        asked: what was asked for, with its idempotency key.
        reverses: what this takes from, gives back to or ends: an earning, a hold, a redemption.
        deadline: of the hold it makes.
    """

    __slots__ = (
        "account", "actor", "awards", "cause", "deadline", "id", "key", "kind", "legs", "moves", "occurred_at",
        "opened", "program_version", "reason", "request", "reverses",
    )  # fmt: skip

    def __init__(
        self,
        account: Account,
        kind: str,
        asked: Asked,
        *,
        occurred_at: datetime,
        program_version: str,
        cause: Cause | None = None,
        reverses: Origin | None = None,
        actor: str = "",
        reason: str = "",
        deadline: datetime | None = None,
    ) -> None:
        self.id = new_id()
        self.account = account
        self.kind = kind
        self.key = asked.key
        self.request = asked.hash
        self.occurred_at = occurred_at
        self.program_version = program_version
        self.cause = cause
        self.reverses = reverses
        self.actor = actor
        self.reason = reason
        self.deadline = deadline
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
        """Change what a lot has in one bucket, and the bucket with it. The lot is the member's from then on."""
        if delta:
            lot.member = self.account.member
            self.account.lots[lot.id] = lot
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

    def fill(self, lot: Lot, points: int, bucket: str = "active") -> None:
        """Make points of a lot active, after repaying what the member owes in that wallet."""
        repaid = min(points, -self.account.balance(lot.wallet)["debt"])
        if repaid:
            self.add(lot.wallet, "debt", repaid)
        self.shift(lot, bucket, points - repaid)

    def put_back(self, lot: Lot, points: int, at: datetime) -> None:
        """Give a lot points back that were taken from it. What was over by `at` repays debt too, and is over again."""
        over = lot.expires_at is not None and lot.expires_at <= at
        self.fill(lot, points, "expired" if over else "active")

    def open_lot(
        self, wallet: str, points: int, available_at: datetime, expires_at: datetime | None, *, active: bool
    ) -> Lot:
        """Credit a new lot, active or pending."""
        lot = Lot(
            id=new_id(),
            member=self.account.member,
            wallet=wallet,
            posting=self.id,
            amount=points,
            available_at=available_at,
            expires_at=expires_at,
            name=f"{self.key}#{len(self.opened)}",
        )
        self.opened.append(lot)
        self.account.lots[lot.id] = lot
        if active:
            self.fill(lot, points)
        else:
            self.shift(lot, "pending", points)
        return lot
