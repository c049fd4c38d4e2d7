"""Referrals in program.yaml: a member's code, told by a friend, earns for both when the friend first buys. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from hub.codes import normal
from hub.expressions import Environment, Expression, ExpressionError
from hub.rules.compiled import body_of, environment, variables
from hub.rules.schema import ReferralEntry, Side
from hub.sdk.errors import PricingError
from hub.sdk.events import Event
from hub.values import MEMBER_FACTS, Award

if TYPE_CHECKING:
    from hub.rules.check import Checker
    from hub.rules.program import Program

REF_FACTS: Mapping[str, str] = {
    "same_email": "both have one e-mail address; what follows a + does not count",
    "same_phone": "both have one phone number",
    "same_name": "both have one name",
    "converted_30d": "friends of the referrer that were rewarded in the last 30 days, this one left out",
    "converted_total": "the same, ever",
    "days_since_claimed": "whole days since the friend told the code",
}
"""What `block_if` reads as `ref.*`."""

FRIEND, REFERRER = "/referral", "/referrer"
"""What the facts of both earnings add to the fact that converted."""


@dataclass(frozen=True, slots=True)
class Referral:
    """Referrals, ready to run.

    Attributes:
        claims: trigger -> what gives the code that its events tell.
        condition: whether an event converts; None: each on the trigger.
        blocked: whether nothing is given for it; None: never.
    """

    entry: ReferralEntry
    claims: Mapping[str, Expression]
    condition: Expression | None
    blocked: Expression | None

    def code_in(self, event: Event) -> str:
        """Return the code that an event tells, as it is looked up; empty where it tells none."""
        claim = self.claims.get(event.name)
        if claim is None:
            return ""
        told = _evaluate(_environment(event.name), claim, event, {}, {})
        if not isinstance(told, str):
            raise PricingError(f"referral: `code` gives {told!r}, and text is wanted")
        return normal(told)

    def converts(self, event: Event, member: Mapping[str, Any], claimed_at: datetime) -> bool:
        """Return whether an event is what both are rewarded for."""
        converts = self.entry.converts
        late = self.entry.within is not None and event.occurred_at - claimed_at > self.entry.within
        if event.name != converts.trigger or event.test or late:
            return False
        return self.condition is None or (
            _evaluate(_environment(event.name), self.condition, event, member, {}) is True
        )

    def refused(self, event: Event, member: Mapping[str, Any], ref: Mapping[str, Any]) -> str:
        """Return why nothing is given, with the values that say so; empty where nothing speaks against it."""
        if self.blocked is None:
            return ""
        env = block_environment(event.name)
        if _evaluate(env, self.blocked, event, member, {"ref": dict(ref)}) is False:
            return ""
        said = ", ".join(f"{name} = {value!r}" for name, value in ref.items() if value)
        return f"`block_if` holds ({said})" if said else "`block_if` holds"

    def awards(self, side: Side, rule: str, program: Program, at: datetime) -> list[Award]:
        """Return what one side gets."""
        wallet = side.wallet or next(iter(program.wallets))
        expiry = program.wallets[wallet].expiry
        return [
            Award(
                rule=rule,
                wallet=wallet,
                wanted=side.points,
                points=side.points,
                available_at=at + side.pending,
                expires_at=expiry.after(at, program.zone) if expiry else None,
            )
        ]


@cache
def _environment(trigger: str) -> Environment:
    return environment(trigger)


@cache
def block_environment(trigger: str) -> Environment:
    """Return what `block_if` may read."""
    body = body_of(trigger)
    return Environment(
        dict.fromkeys(("event", "member", "ref", *body), "dyn"),
        keys={"member": tuple(MEMBER_FACTS), "ref": tuple(REF_FACTS)},
    )


def referral(checker: Checker) -> Referral | None:
    """Return the referrals of a file, checked and compiled; None where it has none."""
    from hub.rules.check import earns, unknown_trigger

    entry = checker.file.referral
    if entry is None:
        return None
    claims = {}
    for n, claim in enumerate(entry.claim):
        at = ("referral", "claim", n)
        if not earns(claim.trigger):
            checker.complain((*at, "trigger"), *unknown_trigger(claim.trigger))
        elif found := checker.expression(
            _environment(claim.trigger), (*at, "code"), claim.code, "text", "text"
        ):
            claims[claim.trigger] = found
    for side in ("referrer", "friend"):
        given = getattr(entry, side)
        if given and given.wallet:
            checker.name(("referral", side, "wallet"), given.wallet, checker.file.wallets, "wallet")
        if any(rule.id == f"referral_{side}" for rule in checker.file.earning):
            checker.complain(("referral", side), f"the rule name referral_{side} is taken")
    converts = entry.converts
    if not earns(converts.trigger):
        checker.complain(("referral", "converts", "trigger"), *unknown_trigger(converts.trigger))
        return None
    condition = blocked = None
    if converts.if_:
        place = ("referral", "converts", "if")
        condition = checker.expression(
            _environment(converts.trigger), place, converts.if_, "bool", "true or false"
        )
    if entry.block_if:
        env = block_environment(converts.trigger)
        blocked = checker.expression(env, ("referral", "block_if"), entry.block_if, "bool", "true or false")
    return Referral(entry, claims, condition, blocked)


def _evaluate(
    env: Environment,
    expression: Expression,
    event: Event,
    member: Mapping[str, Any],
    more: Mapping[str, Any],
) -> Any:
    reads = {name: env.keys_read(name, [expression]) for name in body_of(event.name)}
    try:
        return expression.evaluate(env.activation({**variables(event, member, None, reads), **more}))
    except ExpressionError as error:
        raise PricingError(f"referral: {error}") from error
