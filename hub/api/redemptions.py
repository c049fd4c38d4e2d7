"""Redemptions: points become rewards, at once or by a hold, and come back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import BaseModel, Field

from hub import ledger, redeeming
from hub.api.calling import actor, claim_key, in_ledger, known
from hub.api.fields import Asked, Because, ById, Maybe, Points, Text, dump
from hub.api.problems import Problem
from hub.api.routing import Route
from hub.api.vouchers import VoucherBody
from hub.rewards import Redemption, Rewards, Scope, reading, redemptions

if TYPE_CHECKING:
    from hub.hub import Hub

MOST_LOTS = 1000


class Wish(Asked):
    member: UUID
    reward: Text = Field(description="an id of the catalogue; pick/coffee is the option coffee of a choice")
    hold: bool = Field(False, description="reserve only: confirm it before the deadline")
    channel: Text = Field("api", description="where it is asked for: web, app, staff, sms, api, pos")
    order: Maybe = Field("", description="fact key of the order it belongs to: shop:order/5551")
    reason: Maybe = ""


class GiveBack(Because):
    points: Points | None = Field(None, description="null: all that are left")


class RedemptionBody(BaseModel):
    id: str
    member: str
    reward: str
    item: str = Field(description="what is handed over: of a choice the option")
    state: str = Field(description="held, confirmed, fulfilled, released, expired or returned")
    role: str = Field(description="who has to agree first: see /approvals; empty: nobody")
    wallet: str
    points: int
    returned: int
    channel: str
    actor: str
    reason: str
    deadline: datetime | None
    vouchers: list[VoucherBody]


class Redemptions:
    """What is asked about redemptions, and done with them."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def routes(self) -> Iterable[Route]:
        scope, answer = "redemptions:write", RedemptionBody
        yield Route("post", "/redemptions", self.redeem, scope, answer)
        yield Route("get", "/redemptions/<id>", self.redemption, "members:read", answer)
        yield Route("post", "/redemptions/<id>/confirm", self.confirm, scope, answer)
        yield Route("post", "/redemptions/<id>/release", self.release, scope, answer)
        yield Route("post", "/redemptions/<id>/return", self.give_back, scope, answer)

    def redemption(self, path: ById) -> dict[str, Any]:
        """Show a redemption, with its vouchers."""
        return _told(self._there(path.id))

    def redeem(self, body: Wish) -> dict[str, Any]:
        """Redeem points for a reward, at once or by a hold."""
        with self.hub.database.read() as tx:
            who = known(tx, body.member)
        key = in_ledger(claim_key(self.hub))
        more = body.model_dump(include={"channel", "order", "hold", "reason"})
        done = redeeming.act(
            self.hub,
            Scope(requests=frozenset({(who, body.reward, key)})),
            lambda work: redemptions.request(work, who, body.reward, key=key, actor=actor(), **more),
        )
        if done.state == "refused":
            raise self._why(done)
        return _told(done)

    def confirm(self, path: ById, body: Because) -> dict[str, Any]:
        """Spend what is held, and hand over the reward."""
        found = self._there(path.id)
        if found.role and found.state == "held":
            raise Problem("approval_needed", f"redemption {found.id} waits for a {found.role}")
        return self._write(
            found, lambda work: redemptions.confirm(work, found.id, actor=actor(), reason=body.reason)
        )

    def release(self, path: ById, body: Because) -> dict[str, Any]:
        """Let go of what is held."""
        found = self._there(path.id)
        return self._write(
            found, lambda work: redemptions.release(work, found.id, actor=actor(), reason=body.reason)
        )

    def give_back(self, path: ById, body: GiveBack) -> dict[str, Any]:
        """Give points of a redemption back."""
        found = self._there(path.id)
        key = in_ledger(claim_key(self.hub))
        more: dict[str, Any] = {"key": key, "actor": actor(), "reason": body.reason}
        return self._act(
            found, {key}, lambda work: redemptions.give_back(work, found.id, body.points, **more)
        )

    def _there(self, id_: UUID) -> Redemption:
        with self.hub.database.read() as tx:
            found = reading.redemption_of(tx, str(id_))
        if found is None:
            raise Problem("not_found", f"no redemption has the id {id_}")
        return found

    def _write(self, of: Redemption, do: Callable[[Rewards], Redemption]) -> dict[str, Any]:
        claim_key(self.hub)
        return self._act(of, set(), do)

    def _act(self, of: Redemption, keys: set[str], do: Callable[[Rewards], Redemption]) -> dict[str, Any]:
        scope = Scope(redemptions=frozenset({of.id}), keys=frozenset(keys))
        return _told(redeeming.act(self.hub, scope, do))

    def _why(self, of: Redemption) -> Problem:
        """Return why a redemption was refused; for want of points, with how many there are."""
        now = self.hub.clock()
        with self.hub.database.read() as tx:
            lots = [x for x in ledger.open_lots(tx, of.member, limit=MOST_LOTS) if x.wallet == of.wallet]
        live = [lot for lot in lots if lot.active and (lot.expires_at is None or lot.expires_at > now)]
        available = sum(lot.active for lot in live)
        if not of.wallet or available >= of.points:
            return Problem("refused", of.reason)
        more: dict[str, Any] = {"available": available, "wanted": of.points}
        if (soonest := min((lot.expires_at for lot in live if lot.expires_at), default=None)) is not None:
            more["expiring"] = sum(lot.active for lot in live if lot.expires_at == soonest)
            more["expires_at"] = soonest.isoformat()
        return Problem("insufficient_points", of.reason, **more)


def _told(of: Redemption) -> dict[str, Any]:
    return dump(RedemptionBody.model_validate(of, from_attributes=True))
