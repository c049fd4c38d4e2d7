"""What an earning may keep of its points after refunds. Pure.

Several platforms may report the same refund of the same order: the shop, the payment provider, the books. What
each of them says is added up by itself, and the source that says most is believed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from types import new_class
from typing import Any, Protocol

import msgspec

from hub.rules.amounts import Amounts, Left, half_up
from hub.rules.counters import NOTHING, Key, Usage, Used
from hub.rules.program import Program
from hub.sdk.errors import PricingError
from hub.sdk.events import CustomEvent, Event, model_of

Points = Mapping[tuple[str, str], int]
"""Points by (rule, wallet)."""

_NO_USAGE: Usage = {}


class Told(Protocol):
    """What a source says went back of a purchase."""

    @property
    def source(self) -> str: ...
    @property
    def gross_minor(self) -> int: ...
    @property
    def net_minor(self) -> int | None:
        """None where the source does not say: then it is in proportion to gross."""

    @property
    def total(self) -> bool:
        """Whether this is a running total of the source, not this refund alone."""

    @property
    def cancelled(self) -> bool:
        """Whether the source calls the whole purchase off."""


class Earned(Amounts, Protocol):
    """What a fact earned, and what became of it."""

    @property
    def fact(self) -> str: ...
    @property
    def given(self) -> Points: ...
    @property
    def refunds(self) -> Mapping[Any, Told]: ...
    @property
    def data(self) -> Mapping[str, Any] | None:
        """The canonical event as plain values, with its name and without the person."""


def keep(
    program: Program, earned: Earned, member: Mapping[str, Any], usage: Usage = _NO_USAGE
) -> dict[tuple[str, str], int]:
    """Return the points each (rule, wallet) of an earning may keep, never more than it gave.

    Args:
        program: the version that priced it.
        earned: as the ledger has it, with all that its sources tell about refunds.
        member: as for `Program.price`, as they were when it was priced.
        usage: the counters as they stood then.

    Raises:
        PricingError: the remaining order cannot be priced.
    """
    left = left_of(earned, earned.refunds.values())
    whole = Left.all_of(earned)
    if left == whole:
        return dict(earned.given)
    priced: dict[tuple[str, str], int] = {}
    if any(program.measured(rule)[0] == "recompute" for rule, _ in earned.given) and not left.cancelled:
        for award in program.price(restored(earned.data, earned.fact), member, usage, left).awards:
            at = award.rule, award.wallet
            priced[at] = priced.get(at, 0) + award.points
    kept = {}
    for (rule_id, wallet), given in earned.given.items():
        mode, basis = program.measured(rule_id)
        before, after = whole.of(basis), left.of(basis)
        gone = left.cancelled or (not after and bool(before))
        decide = _NOTHING_LEFT if gone else _SOME_LEFT
        kept[rule_id, wallet] = decide[mode](given, before, after, priced.get((rule_id, wallet), 0))
    return kept


def within(
    program: Program, before: Points, keep: Points, usage: Usage, at: datetime
) -> tuple[dict[tuple[str, str], int], dict[Key, Used]]:
    """Return what may be kept under the caps and budgets as they are now, and what that changes in the counters.

    What goes back makes room. What comes back (a cancellation is taken back) needs room: others may have used it.

    Args:
        program: the version that priced the earning.
        before: points each (rule, wallet) keeps now.
        keep: points each may keep.
        usage: the counters now.
        at: when the purchase occurred.
    """
    may = {pair: keep.get(pair, 0) for pair in before}
    used, changes = dict(usage), dict[Key, Used]()
    for rule in dict.fromkeys(rule for rule, _ in before):
        pairs = [pair for pair in before if pair[0] == rule]
        had, has = (max(points[pair] for pair in pairs) for points in (before, may))
        if has > had:
            room = program.room(rule, used, at, again=had > 0)
            for pair in pairs if room is not None else ():
                may[pair] = min(may[pair], before[pair] + (room or 0))
            has = max(may[pair] for pair in pairs)
        wallets = {wallet: may[rule, wallet] - before[rule, wallet] for _, wallet in pairs}
        if not any(wallets.values()):
            continue
        times = (has > 0) - (had > 0)
        for key, more in program.counted(rule, wallets, at, times).items():
            used[key] = used.get(key, NOTHING).plus(more)
            changes[key] = changes.get(key, NOTHING).plus(more)
    return may, changes


Decide = Callable[[int, Fraction, Fraction, int], int]
"""(points given, amount before, amount after, the remaining order's price) -> points kept."""

_SOME_LEFT: Mapping[str, Decide] = {
    "recompute": lambda given, _before, _after, priced: min(given, priced),
    "proportional": lambda given, before, after, _: half_up(given * after / before) if before else given,
    "all": lambda given, *_: given,
    "none": lambda given, *_: given,
}
_NOTHING_LEFT: Mapping[str, Decide] = {
    "recompute": lambda *_: 0,  # also of fixed points, which would price the empty order like the full one
    "proportional": lambda *_: 0,
    "all": lambda *_: 0,
    "none": lambda given, *_: given,
}


def left_of(order: Amounts, told: Iterable[Told]) -> Left:
    """Return what is left of an order after what its sources tell: exact, between nothing and all of it."""
    by_source: dict[str, list[Told]] = defaultdict(list)
    for each in told:
        if each.cancelled:
            return Left(Fraction(0), Fraction(0), cancelled=True)
        by_source[each.source].append(each)
    returned = [_returned(order, several) for several in by_source.values()]
    return Left(
        net=max(order.net_minor - max((each.net for each in returned), default=Fraction(0)), Fraction(0)),
        gross=max(
            order.gross_minor - max((each.gross for each in returned), default=Fraction(0)), Fraction(0)
        ),
    )


def _returned(order: Amounts, told: list[Told]) -> Left:
    """Return what one source says went back: the highest of its running totals, else the sum of its refunds."""
    totals = [each for each in told if each.total]
    counted = [max(totals, key=lambda each: each.gross_minor)] if totals else told
    gross = Fraction(sum(each.gross_minor for each in counted))
    nets = [each.net_minor for each in counted if each.net_minor is not None]
    if len(nets) == len(counted):
        net = Fraction(sum(nets))
    else:
        net = gross * order.net_minor / order.gross_minor if order.gross_minor else Fraction(0)
    return Left(net=net, gross=gross)


def restored(data: Mapping[str, Any] | None, fact: str) -> Event:
    """Return a canonical event from what the journal keeps of it.

    Raises:
        PricingError: it is no longer stored, or no canonical event has its name.
    """
    if data is None:
        raise PricingError(f"the event that earned {fact} is no longer stored, so it cannot be priced again")
    fields = dict(data)
    name = str(fields.pop("name", ""))
    model = model_of(name)
    if model is None:
        raise PricingError(f"{name!r}, by which {fact} earned, is not a canonical event")
    return msgspec.convert(fields, _named(name) if model is CustomEvent else model)


@lru_cache(256)
def _named(name: str) -> type[Event]:
    """Return the model of an event of the merchant's own, under its own name."""
    return new_class("CustomEvent", (CustomEvent,), {"kw_only": True}, lambda body: body.update(name=name))
