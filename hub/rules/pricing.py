"""What one event gives, by every rule of its trigger. Pure.

A rate times its amount, or a rule's own `points`, is an exact fraction. Of rules that exclude each other the one
that gives most counts. Factors multiply the fraction one after the other; what it comes to so far is rounded each
time, so that the share of every rule is a whole number and all shares add up to the fraction rounded once. Caps and
budgets cut a share to what they have left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from hub.expressions import Activation, Expression, ExpressionError
from hub.rules.amounts import Left, amounts_of, half_up
from hub.rules.compiled import EARNED, Compiled
from hub.rules.counters import ALL, Counters, Key, Used
from hub.rules.schema import Rule
from hub.sdk.errors import PricingError
from hub.sdk.events import Event, PurchasePaid
from hub.values import Award

if TYPE_CHECKING:
    from hub.rules.program import Program

MOST_POINTS = 10**12
"""More than this for one event is a mistake in the file, and is parked rather than given."""
MOST_PERCENT = 100_000

ROUND: Mapping[str, Callable[[Fraction], int]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "half_up": half_up,
    "half_even": round,
}


class Reached(NamedTuple):
    """Something that came about by an event's points: `trigger` and `data` are those of a happening."""

    trigger: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tried:
    """One rule, as it was tried on one event: for the question why it gave what it gave.

    Attributes:
        gave: points, after caps; None: it did not count.
        said: why, in words.
        clause: the part of its `if` that did not hold; empty where that was not the reason.
    """

    rule: str
    gave: int | None
    said: str
    clause: str = ""


@dataclass(slots=True)
class Priced:
    """What an event gives.

    Attributes:
        awards: one for each rule and wallet, none of zero points.
        counts: what to add to the counters.
        reached: milestones, streaks and shares of budgets.
        trace: every rule of the trigger, where it was asked for.
    """

    awards: list[Award] = field(default_factory=list)
    counts: dict[Key, Used] = field(default_factory=dict)
    reached: list[Reached] = field(default_factory=list)
    trace: list[Tried] = field(default_factory=list)


class Quantity(NamedTuple):
    """What a rule gives before rounding.

    Attributes:
        exact: points.
        lines: the lines that count, with their amounts; empty where lines do not matter.
        said: how it came about.
    """

    exact: Fraction
    lines: tuple[tuple[str, int], ...] = ()
    said: str = ""


class Pricing:
    """The pricing of one event. Make one, call `run`."""

    __slots__ = (
        "_activate", "_activation", "_counters", "_event", "_factors", "_gave", "_left", "_program", "_reached", "_trace", "_trigger",
    )  # fmt: skip

    def __init__(
        self,
        program: Program,
        event: Event,
        activation: Callable[[str], Activation],
        *,
        counters: Counters,
        left: Left | None,
        trace: list[Tried] | None,
    ) -> None:
        self._program = program
        self._trigger = event.name
        self._event = event
        self._activate = activation
        self._activation: Activation | None = None
        self._counters = counters
        self._left = left
        self._trace = trace
        self._factors: dict[str, Fraction | None] = {}
        self._gave: list[Award] = []
        self._reached: list[Reached] = []

    def run(self, rules: Sequence[Compiled], late: Sequence[Compiled]) -> Priced:
        """Return what the rules of a trigger give; `late` are the milestones that look at what was earned by it."""
        wanted: dict[str, Quantity] = {}
        for each in rules:
            if not each.rule.multiplies and (quantity := self._quantity(each)) is not None:
                wanted[each.rule.id] = quantity
        best = self._best(rules, wanted)
        for each in rules:
            if (
                each.rule.id in wanted
                and best.get(each.rule.group if each.rule.stacks == "best_of" else None, each) is each
            ):
                self._give(each, wanted[each.rule.id])
        if self._gave and late:
            self._look_back(late)
        return Priced(self._gave, self._counters.added, self._reached, self._trace or [])

    def _look_back(self, late: Sequence[Compiled]) -> None:
        """Give what milestones give that look at what was earned, this event included."""
        self._total()
        self._trigger, self._activation = EARNED, None
        for each in late:
            if (quantity := self._quantity(each)) is not None:
                before = len(self._gave)
                self._give(each, quantity)
                self._total(before)

    # --- does it count -------------------------------------------------------------------------------------

    def _counts(self, each: Compiled) -> bool:
        """Return whether a rule's windows are open and its condition holds."""
        for window in each.windows:
            if why := window.closed(self._event.occurred_at, self._program.zone):
                self._say(each, None, why)
                return False
        if each.condition is None:
            return True
        holds = self._evaluate(each, "if", each.condition)
        if not isinstance(holds, bool):
            raise PricingError(f"rule {each.rule.id}: `if` gives {holds!r}, and true or false is wanted")
        if not holds and self._trace is not None:
            clause, values = self._program.false_clause(each, self._read())
            self._say(each, None, f"{clause} does not hold" + (f" ({values})" if values else ""), clause)
        return holds is True

    def _quantity(self, each: Compiled) -> Quantity | None:
        """Return what a rule gives before it is rounded; None when it does not count."""
        if not self._counts(each):
            return None
        rule = each.rule
        if rule.streak and not self._streak(each):
            return None
        times = self._milestone(each) if rule.milestone else 1
        if not times:
            return None
        if rule.rate is not None:
            return self._rated(each)
        if each.points is None:
            return Quantity(Fraction(0))
        points = self._evaluate(each, "points", each.points)
        self._whole(rule, points)
        return Quantity(Fraction(points * times))

    def _rated(self, each: Compiled) -> Quantity:
        rule, rate = each.rule, each.rule.rate
        amounts = amounts_of(self._event)
        assert amounts is not None, "checked when the file was loaded"
        assert rate is not None, "the caller has seen it"
        if amounts.currency != rate.currency:
            raise PricingError(
                f"rule {rule.id}: the rate is in {rate.currency}, the {self._event.name} in {amounts.currency}; "
                f"add a rule for {amounts.currency}, and an `if` on the currency to both"
            )
        left = self._left or Left.all_of(amounts)
        if rule.basis != "lines":
            return Quantity(rate.per_minor * left.of(rule.basis))
        lines = self._lines(each)
        counted = Fraction(sum(amount for _, amount in lines))
        # A discount on the whole order, and what was refunded, is spread over the lines in proportion.
        assert isinstance(self._event, PurchasePaid), "checked when the file was loaded"
        whole = max(sum(line.net_minor for line in self._event.order.lines), amounts.net_minor)
        exact = rate.per_minor * counted * left.net / whole if whole else Fraction(0)
        return Quantity(exact, lines)

    def _lines(self, each: Compiled) -> tuple[tuple[str, int], ...]:
        """Return the lines that count, with their amounts; gift cards are money, and earn when they are spent."""
        assert isinstance(self._event, PurchasePaid), "checked when the file was loaded"
        lines = self._event.order.lines
        chosen = self._evaluate(each, "lines", each.lines) if each.lines else [True] * len(lines)
        return tuple(
            (line.id, line.net_minor)
            for line, counts in zip(lines, chosen, strict=True)
            if counts is True and not line.gift_card
        )

    def _streak(self, each: Compiled) -> bool:
        streak = each.rule.streak
        assert streak is not None, "the caller has seen it"
        key = self._counters.key(f"streak/{each.rule.id}", "ever")
        marks, length, complete = streak.step(
            self._counters.used(key).marks, self._event.occurred_at, self._program.zone
        )
        self._counters.add(key, Used(marks=marks))
        if complete:
            self._reach(each, streak.length)
        else:
            self._say(each, None, f"{length} of {streak.length} {streak.unit} in a row")
        return complete

    def _milestone(self, each: Compiled) -> int:
        """Return how many thresholds are crossed that never were before."""
        milestone = each.rule.milestone
        assert milestone is not None, "the caller has seen it"
        if each.milestone is not None:
            value = self._evaluate(each, "of", each.milestone)
            if isinstance(value, bool) or not isinstance(value, int):
                raise PricingError(f"rule {each.rule.id}: `of` gives {value!r}, and a whole number is wanted")
        else:
            value = self._counters.used(self._counters.key(f"wallet/{milestone.earned}", "ever")).points
        key = self._counters.key(f"milestone/{each.rule.id}", "ever")
        before = self._counters.used(key).points
        crossed = sorted(at for at in set(milestone.at) if before < at <= value)
        for at in crossed:
            self._reach(each, at)
        if crossed:
            self._counters.add(key, Used(crossed[-1] - before, len(crossed)))
        else:
            self._say(each, None, f"{value} crosses no threshold that was not crossed before")
        return len(crossed)

    # --- how it goes together ------------------------------------------------------------------------------

    def _best(self, rules: Iterable[Compiled], wanted: Mapping[str, Quantity]) -> dict[str | None, Compiled]:
        """Return of each group the rule that counts; what has no room left steps aside."""
        best: dict[str | None, Compiled] = {}
        rivals = [each for each in rules if each.rule.id in wanted and each.rule.stacks == "best_of"]
        for each in rivals:
            held = best.get(each.rule.group)
            if held is None or self._worth(each, wanted) > self._worth(held, wanted):
                best[each.rule.group] = each
        for each in rivals:
            if best[each.rule.group] is not each:
                self._say(
                    each, None, f"{best[each.rule.group].rule.id} gives more, or as much and comes first"
                )
        return best

    def _worth(self, each: Compiled, wanted: Mapping[str, Quantity]) -> Fraction:
        room, _ = self._counters.room(each.limits)
        return wanted[each.rule.id].exact if room != 0 else Fraction(-1)

    def _multipliers(self, base: Compiled) -> list[tuple[Compiled, Fraction]]:
        """Return what multiplies a rule now, with its factor."""
        found: list[tuple[Compiled, Fraction]] = []
        best: dict[str, int] = {}
        for each in base.factors:
            factor = self._factor(each)
            if factor is None:
                continue
            if each.rule.stacks == "best_of":
                if self._counters.room(each.limits)[0] == 0:
                    self._say(each, None, "its caps or budget have nothing left")
                    continue
                place = best.setdefault(each.rule.group, len(found))
                if place < len(found):
                    held, most = found[place]
                    loser, winner = (each, held) if factor <= most else (held, each)
                    self._say(
                        loser, None, f"{winner.rule.id} multiplies by more, or by as much and comes first"
                    )
                    if winner is each:
                        found[place] = each, factor
                    continue
            found.append((each, factor))
        return found

    def _factor(self, each: Compiled) -> Fraction | None:
        """Return what a rule multiplies by; None when it does not count. Asked for once an event."""
        rule = each.rule
        if rule.id not in self._factors:
            self._factors[rule.id] = None
            if self._counts(each):
                assert each.percent is not None, "checked when the file was loaded"
                percent = self._evaluate(each, "multiply_pct", each.percent)
                least = 100 if rule.stacks == "sum" else 0
                if (
                    isinstance(percent, bool)
                    or not isinstance(percent, int)
                    or not least <= percent <= MOST_PERCENT
                ):
                    raise PricingError(
                        f"rule {rule.id}: `multiply_pct` gives {percent!r}, and {least} to {MOST_PERCENT:,} percent is wanted"
                    )
                self._factors[rule.id] = Fraction(percent, 100)
        return self._factors[rule.id]

    # --- giving --------------------------------------------------------------------------------------------

    def _give(self, base: Compiled, quantity: Quantity) -> None:
        """Give what a rule gives, and what others make of it."""
        exact, rounded = quantity.exact, ROUND[base.rule.round]
        factors = self._multipliers(base) if base.factors else []
        for each, factor in factors:
            if factor < 1:  # what lowers comes first, and shows in the rule that it lowers
                exact *= factor
                self._say(each, 0, f"{base.rule.id} x {_percent(factor)}")
        points = self._award(base, base, rounded(exact), quantity)
        if points < rounded(exact):
            exact = Fraction(points)  # what is cut is not multiplied
        total, start, group = points, exact, None
        for each, factor in factors:
            if factor < 1:
                continue
            if (each.rule.stacks, each.rule.group) != group:
                group, start = (each.rule.stacks, each.rule.group), exact
            more = start * (factor - 1) if each.rule.stacks == "sum" else exact * (factor - 1)
            wanted = rounded(exact + more) - total
            points = self._award(each, base, wanted, quantity)
            total += points
            exact = exact + more if points == wanted else Fraction(total)

    def _award(self, each: Compiled, base: Compiled, wanted: int, quantity: Quantity) -> int:
        """Give a rule's share, as far as its limits let it; return the points."""
        rule = each.rule
        self._whole(rule, wanted)
        points, held_by = wanted, ""
        if each.limits:
            room, nearest = self._counters.room(each.limits)
            if room is not None and room < wanted:
                points, held_by = room, nearest
        if self._trace is not None:
            said = self._account(each, base, wanted, quantity)
            self._say(each, points, said + (f"; {held_by} leaves {points}" if held_by else ""))
        if not points:
            return 0
        if each.keys:
            self._count(each, points)
        lines = _spread(points, quantity.lines) if quantity.lines else ()
        occurred_at, zone = self._event.occurred_at, self._program.zone
        for wallet in base.wallets:
            expiry = self._program.wallets[wallet].expiry
            self._gave.append(
                Award(
                    rule=rule.id,
                    wallet=wallet,
                    wanted=wanted,
                    points=points,
                    available_at=occurred_at + base.rule.pending,
                    expires_at=expiry.after(occurred_at, zone) if expiry else None,
                    lines=lines,
                )
            )
        return points

    def _count(self, each: Compiled, points: int) -> None:
        """Add an award to the counters of its rule, and tell which shares of a budget it passes."""
        for spending in each.spending:
            before = self._counters.used(self._counters.key(spending.counter, ALL)).points
            for pct in sorted(set(spending.budget.alert_pct)):
                edge = pct * spending.budget.points
                if before * 100 < edge <= (before + points) * 100:
                    data = {
                        "campaign": spending.name,
                        "pct": pct,
                        "spent": before + points,
                        "budget": spending.budget.points,
                    }
                    self._reached.append(Reached("budget.reached", data))
        for name, period in each.keys:
            if "/" not in name or name.startswith("campaign/"):
                self._counters.add(self._counters.key(name, period), Used(points, 1))

    def _total(self, since: int = 0) -> None:
        """Count what the wallets earned that milestones look at."""
        for award in self._gave[since:]:
            if award.wallet in self._program.totalled:
                key = self._counters.key(f"wallet/{award.wallet}", "ever")
                self._counters.add(key, Used(award.points, 1))

    # --- words ---------------------------------------------------------------------------------------------

    def _reach(self, each: Compiled, reached: int) -> None:
        rule = each.rule
        self._reached.append(
            Reached("milestone.reached", {"rule": rule.id, "reached": reached, "badge": rule.badge})
        )

    def _say(self, each: Compiled, gave: int | None, said: str, clause: str = "") -> None:
        if self._trace is not None:
            self._trace.append(Tried(each.rule.id, gave, said, clause))

    def _account(self, each: Compiled, base: Compiled, wanted: int, quantity: Quantity) -> str:
        if each is not base:
            factor = self._factors[each.rule.id]
            return f"{wanted} more by {_percent(factor or Fraction(0))} of {base.rule.id}"
        if base.rule.rate is not None:
            return f"{_decimal(quantity.exact)} by the rate, {wanted} by {base.rule.round}"
        return f"{wanted} by `points`" if base.points is not None else "no points of its own"

    def _evaluate(self, each: Compiled, key: str, expression: Expression) -> Any:
        try:
            return expression.evaluate(self._read())
        except ExpressionError as error:
            raise PricingError(f"rule {each.rule.id}: `{key}`: {error}") from error

    def _read(self) -> Activation:
        """Return what expressions read; made when the first one asks, since that takes longer than all else."""
        if self._activation is None:
            self._activation = self._activate(self._trigger)
        return self._activation

    @staticmethod
    def _whole(rule: Rule, points: Any) -> None:
        if isinstance(points, bool) or not isinstance(points, int) or not 0 <= points <= MOST_POINTS:
            raise PricingError(
                f"rule {rule.id}: {points!r} points; a whole number from 0 to {MOST_POINTS:,} is wanted"
            )


def _spread(points: int, weights: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Return points by line, in proportion to their amounts: the largest remainders get what is over."""
    total = sum(weight for _, weight in weights)
    if not total:
        return ()
    shares = [divmod(points * weight, total) for _, weight in weights]
    over = points - sum(whole for whole, _ in shares)
    favoured = set(sorted(range(len(shares)), key=lambda n: (-shares[n][1], n))[:over])
    return tuple(
        (line, whole + (n in favoured))
        for n, ((line, _), (whole, _)) in enumerate(zip(weights, shares, strict=True))
    )


def _percent(factor: Fraction) -> str:
    return f"{_decimal(factor * 100)} %"


def _decimal(value: Fraction) -> str:
    """Return a fraction for people: exact where four digits tell it, else cut there."""
    whole, rest = divmod(abs(value), 1)
    digits = f"{rest.numerator * 10_000 // rest.denominator:04}".rstrip("0")
    exact = (rest * 10_000).denominator == 1
    sign = "-" if value < 0 else ""
    return f"{sign}{whole}" + (f".{digits}" if digits else "") + ("" if exact else "...")
