"""Levels: those of the programme, and how far a member is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from hub import tiers
from hub.api.calling import known
from hub.api.fields import ById
from hub.api.problems import Problem
from hub.api.routing import Route

if TYPE_CHECKING:
    from hub.hub import Hub
    from hub.rules.tiers import Ladder


class Level(BaseModel):
    tier: str
    from_: int = Field(serialization_alias="from", description="what reaches it, exactly or more")
    currency: str = Field(description="of spend, whose minor units are counted; empty for others")
    benefits: list[str]


class Levels(BaseModel):
    metric: str = Field(description="earned, balance, spend or orders")
    wallet: str = Field(description="of points; empty for spend and orders")
    items: list[Level] = Field(description="lowest first")


class Next(BaseModel):
    tier: str
    from_: int = Field(serialization_alias="from")
    missing: int


class Standing(BaseModel):
    member: str
    tier: str
    since: datetime | None = Field(description="null: the level everybody begins with")
    benefits: list[str]
    measured: int = Field(description="what counts for levels, now")
    next: Next | None = Field(description="null: there is none above")
    checked_at: datetime | None = Field(
        description="when it is looked whether the level is kept; null: never"
    )
    grace_until: datetime | None = Field(
        description="until when a level that is not reached any more is kept"
    )


class TierRoutes:
    """What is asked about levels."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def routes(self) -> Iterable[Route]:
        yield Route("get", "/tiers", self.list_tiers, "catalogue:read", Levels)
        yield Route("get", "/members/<id>/tier", self.member_tier, "members:read", Standing)

    def list_tiers(self) -> dict[str, Any]:
        """List the levels of the programme, lowest first."""
        ladder = self._ladder()
        levels = [
            Level(tier=each.id, from_=each.from_[0], currency=each.from_[1], benefits=each.benefits)
            for each in ladder.tiers.levels
        ]
        basis = ladder.basis
        return _dump(Levels(metric=basis.metric, wallet=basis.wallet, items=levels))

    def member_tier(self, path: ById) -> dict[str, Any]:
        """Show a member's level, and what is missing for the next one."""
        ladder, now = self._ladder(), self.hub.clock()
        with self.hub.database.read() as tx:
            who = known(tx, path.id)
            found = tiers.standing(tx, ladder, who, now, self.hub.programs.current.currency)
        above = ladder.above(found.level)
        following = None
        if above is not None:
            least = above.from_[0]
            following = Next(tier=above.id, from_=least, missing=max(least - found.measured, 0))
        return _dump(
            Standing(
                member=who,
                tier=found.level,
                since=found.since,
                benefits=ladder.benefits(found.level),
                measured=found.measured,
                next=following,
                checked_at=found.check_at,
                grace_until=found.grace_until,
            )
        )

    def _ladder(self) -> Ladder:
        ladder = self.hub.programs.current.ladder
        if ladder is None:
            raise Problem("not_found", "the programme has no levels: program.yaml has no `tiers`")
        return ladder


def _dump(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True)
