"""Vouchers and gift cards: checked, used, and used no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import BaseModel, Field

from hub import redeeming
from hub.api.calling import actor, claim_key, in_ledger
from hub.api.fields import Asked, Because, Currency, Maybe, Minor, Text, dump
from hub.api.problems import Problem
from hub.api.routing import Route
from hub.rewards import Scope, Voucher, cards, reading, vouchers

if TYPE_CHECKING:
    from hub.hub import Hub


class ByCode(BaseModel):
    code: Text = Field(description="however it is typed")


class Validate(BaseModel):
    member: UUID | None = None
    order_minor: int | None = Field(None, ge=0, le=10**12, description="what the order costs")
    currency: Currency | None = Field(None, description="of the order")


class Use(Asked):
    channel: Text = "api"
    member: UUID | None = Field(None, description="who uses it; needed where it is bound to its member")
    order: Maybe = ""


class RollBack(Because):
    of_key: Maybe = Field("", description="the Idempotency-Key of the use; empty: the last one")


class Charge(Use):
    amount_minor: Minor
    currency: Currency


class VoucherBody(BaseModel):
    code: str
    reward: str
    kind: str
    value: str
    state: str
    expires_at: datetime | None
    currency: str = Field(description="of gift cards")
    balance_minor: int = Field(description="of gift cards, in minor units")


class Verdict(BaseModel):
    valid: bool
    problem: str
    off_minor: int | None = Field(description="what it takes off the order, in minor units")
    voucher: VoucherBody | None


class Vouchers:
    """What is asked about codes, and done with them."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def routes(self) -> Iterable[Route]:
        scope = "vouchers:write"
        yield Route("get", "/vouchers/<code>", self.validate_voucher, scope, Verdict)
        yield Route("post", "/vouchers/<code>/redeem", self.redeem_voucher, scope, VoucherBody)
        yield Route("post", "/vouchers/<code>/roll-back", self.roll_back_voucher, scope, VoucherBody)
        yield Route("post", "/vouchers/<code>/charge", self.charge_voucher, scope, VoucherBody)

    def validate_voucher(self, path: ByCode, query: Validate) -> dict[str, Any]:
        """Say what a code is good for. Changes nothing."""
        with self.hub.database.read() as tx:
            said = reading.verdict(
                tx,
                path.code,
                self.hub.programs.current.rewards,
                self.hub.clock(),
                member=str(query.member) if query.member else None,
                order_minor=query.order_minor,
                currency=query.currency or "",
            )
        of = _shown(said.voucher) if said.voucher else None
        return dump(Verdict(valid=said.valid, problem=said.problem, off_minor=said.off_minor, voucher=of))

    def redeem_voucher(self, path: ByCode, body: Use) -> dict[str, Any]:
        """Use a voucher."""
        return self._use(vouchers.redeem, path.code, **_using(body))

    def roll_back_voucher(self, path: ByCode, body: RollBack) -> dict[str, Any]:
        """Take a use of a voucher back."""
        of_key = in_ledger(body.of_key) if body.of_key else ""
        return self._use(vouchers.roll_back, path.code, of_key=of_key, reason=body.reason)

    def charge_voucher(self, path: ByCode, body: Charge) -> dict[str, Any]:
        """Pay with a gift card."""
        more = _using(body) | {"amount_minor": body.amount_minor, "currency": body.currency}
        return self._use(cards.charge, path.code, **more)

    def _use(self, do: Callable[..., Voucher], code: str, **more: Any) -> dict[str, Any]:
        with self.hub.database.read() as tx:
            if reading.voucher_by(tx, code) is None:
                raise Problem("not_found", f"no voucher has the code {code}")
        key = in_ledger(claim_key(self.hub))
        scope = Scope(codes=frozenset({code}), keys=frozenset({key}))
        more |= {"key": key, "actor": actor()}
        return dump(_shown(redeeming.act(self.hub, scope, lambda work: do(work, code, **more))))


def _using(body: Use) -> dict[str, Any]:
    """Return what the voucher functions want to know of a use."""
    who = str(body.member) if body.member else None
    return {"channel": body.channel, "order": body.order, "member": who}


def _shown(of: Voucher) -> VoucherBody:
    return VoucherBody.model_validate(of, from_attributes=True)
