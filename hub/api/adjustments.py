"""Adjustments: points given or taken by hand, at once or when a second person allowed it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from hub import approvals, desk, ledger
from hub.api.calling import actor, claim_key, in_ledger, known
from hub.api.fields import Asked, ByKey, Maybe, Text, dump
from hub.api.problems import Problem
from hub.api.routing import Route
from hub.ledger import adjust_key
from hub.values import Posted

if TYPE_CHECKING:
    from hub.hub import Hub


def _some(points: int) -> int:
    if not points:
        raise ValueError("an adjustment of no points is none")
    return points


class Adjust(Asked):
    member: UUID
    points: Annotated[int, AfterValidator(_some)] = Field(
        ge=-(10**12),
        le=10**12,
        description="not 0; less than 0 takes",
        json_schema_extra={"not": {"const": 0}},
    )
    reason: Text = Field(description="one of program.yaml's `adjustments: reasons:`")
    wallet: Maybe = Field("", description="another than the first spendable one")


class Adjustment(BaseModel):
    state: str = Field(
        description="posted; or requested (somebody has to allow it), rejected, lapsed (not possible any more)"
    )
    key: str
    posting: str | None
    points: dict[str, int] = Field(description="what was posted, by wallet; empty before")
    approval: str | None = Field(description="what it waits for, or waited for: see /approvals/{id}")
    reason: str = Field(description="why, or why not")


class Adjustments:
    """What is given or taken by hand."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def routes(self) -> Iterable[Route]:
        yield Route("post", "/adjustments", self.adjust, "adjustments:write", Adjustment)
        yield Route("get", "/adjustments", self.adjustment, "adjustments:write", Adjustment)

    def adjust(self, body: Adjust) -> dict[str, Any]:
        """Give or take points, or ask for it where the programme wants a second person."""
        with self.hub.database.read() as tx:
            who = known(tx, body.member)
        key = claim_key(self.hub)
        done = desk.adjust(
            self.hub,
            who,
            body.points,
            reason=body.reason,
            actor=actor(),
            wallet=body.wallet,
            key=in_ledger(key),
        )
        if isinstance(done, Posted):
            return self._show(key)
        return dump(_asked(done, key))

    def adjustment(self, query: ByKey) -> dict[str, Any]:
        """Show what became of an adjustment that was asked for under a key."""
        return self._show(query.key)

    def _show(self, key: str) -> dict[str, Any]:
        name = adjust_key(in_ledger(key))
        with self.hub.database.read() as tx:
            posted = ledger.posting_by(tx, name)
            asked = approvals.by_key(tx, name)
        if posted is not None:
            return dump(
                Adjustment(
                    state="posted",
                    key=key,
                    posting=posted.id,
                    points=posted.points,
                    approval=asked.id if asked else None,
                    reason=posted.reason,
                )
            )
        if asked is not None:
            return dump(_asked(asked, key))
        raise Problem("not_found", f"no adjustment was asked for under the key {key}")


def _asked(approval: approvals.Approval, key: str) -> Adjustment:
    reason = approval.reason or f"a {approval.role} has to allow it"
    return Adjustment(
        state=approval.state, key=key, posting=None, points={}, approval=approval.id, reason=reason
    )
