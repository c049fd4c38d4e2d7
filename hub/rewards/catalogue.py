"""What a member can have, the most likely first. Reads only, in three queries, however long the catalogue is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.rewards.records import LIVE
from hub.rules import Program
from hub.rules.rewards import Reward
from hub.storage.tables import balance, redemption, stock


@dataclass(frozen=True, slots=True)
class Offer:
    """A reward as a member sees it.

    Attributes:
        cost: in points of `wallet`; of a choice without a price of its own that of its cheapest option.
        options: of a choice, those that are in stock.
        left: how many there are; None: no stock is kept.
        missing: points the member would have to earn first.
        problem: why the member cannot have it, points apart; empty when nothing stands in the way.
    """

    reward: str
    name: str
    kind: str
    category: str
    value: str
    supplier: str
    countries: list[str]
    wallet: str
    cost: int
    options: list[str]
    left: int | None
    missing: int
    problem: str

    @property
    def affordable(self) -> bool:
        """Whether the member can have it now."""
        return not self.missing and not self.problem


def affordable(
    tx: sa.Connection, program: Program, member: Mapping[str, Any], at: datetime, **only: str
) -> list[Offer]:
    """Return exactly the rewards a member can have now; as `offers`."""
    return [offer for offer in offers(tx, program, member, at, **only) if offer.affordable]


def offers(
    tx: sa.Connection,
    program: Program,
    member: Mapping[str, Any],
    at: datetime,
    *,
    country: str = "",
    currency: str = "",
) -> list[Offer]:
    """Return every reward, with what stands between it and the member.

    First what can be had now; in it the member's favourite category, then those they chose from before; then the
    dearest they can have; then the file's order.

    Args:
        tx: of the database.
        program: whose catalogue.
        member: their facts, with `id`; `favourite_category` ranks, `tier` opens early access.
        at: the present.
        country: leave out what is for other countries (ISO 3166, as DE).
        currency: leave out what is worth money of another.
    """
    chosen = [
        reward
        for reward in program.rewards
        if (not country or not reward.entry.countries or country in reward.entry.countries)
        and (not currency or _currency(reward) in ("", currency))
    ]
    shelf = _Shelf(tx, program, member, at)
    favourite = member.get("favourite_category") or None
    return sorted(
        map(shelf.offer, chosen),
        key=lambda offer: (
            not offer.affordable,
            offer.category != favourite,
            -shelf.chosen[offer.category],
            -offer.cost if offer.affordable else offer.missing,
        ),
    )


ANYBODY: Mapping[str, Any] = {"id": str(UUID(int=0))}
"""A member whom nobody is: what the catalogue is to whoever looks at it."""


class _Shelf:
    """What there is, as one member sees it.

    Attributes:
        chosen: how often they chose from a category.
    """

    def __init__(self, tx: sa.Connection, program: Program, member: Mapping[str, Any], at: datetime) -> None:
        self._catalogue, self._member, self._at = program.rewards, member, at
        owner = str(member["id"])
        mine = sa.select(balance.c.wallet, balance.c.active).where(balance.c.member == owner)
        self._points = {row.wallet: row.active for row in tx.execute(mine)}
        self._taken = {row.reward: row.reserved + row.delivered for row in tx.execute(sa.select(stock))}
        self._had: Counter[str] = Counter()
        self.chosen: Counter[str] = Counter()
        for row in tx.execute(_HAD, {"owner": owner}):
            for each in {row.reward, row.item}:
                self._had[each] += row.times
            if (item := self._catalogue.get(row.item)) is not None and item.entry.category:
                self.chosen[item.entry.category] += row.times

    def offer(self, reward: Reward) -> Offer:
        catalogue, entry = self._catalogue, reward.entry
        items = [catalogue.rewards[item] for item in catalogue.items(reward.id)]
        left = {item.id: self._left(item) for item in items}
        there = [item for item in items if left[item.id] != 0 and not self._problem(item)]
        cost = min((catalogue.cost(reward, item) for item in there or items), default=0)
        problem = self._problem(reward)
        if not problem and not there:
            out = all(left[item.id] == 0 for item in items)
            problem = f"{reward.name} is out of stock" if out else f"nothing of {reward.name} can be had"
        return Offer(
            reward=reward.id,
            name=reward.name,
            kind=entry.kind,
            category=entry.category,
            value=entry.value.text if entry.value else "",
            supplier=entry.supplier,
            countries=list(entry.countries),
            wallet=reward.wallet,
            cost=cost,
            options=[item.id for item in there] if entry.kind == "choice" else [],
            left=left.get(reward.id),
            missing=max(cost - self._points.get(reward.wallet, 0), 0),
            problem=problem,
        )

    def _problem(self, reward: Reward) -> str:
        limit = reward.entry.per_member
        if limit is not None and self._had[reward.id] >= limit:
            return reward.had_enough
        return self._catalogue.why_not(reward, self._member, self._at)

    def _left(self, item: Reward) -> int | None:
        return None if item.entry.stock is None else max(item.entry.stock - self._taken.get(item.id, 0), 0)


def _currency(reward: Reward) -> str:
    value = reward.entry.value
    return reward.entry.currency or (value.currency if value else "")


_HAD = (
    sa.select(redemption.c.reward, redemption.c.item, sa.func.count().label("times"))
    .where(redemption.c.member == sa.bindparam("owner"), redemption.c.state.in_(LIVE))
    .group_by(redemption.c.reward, redemption.c.item)
)
