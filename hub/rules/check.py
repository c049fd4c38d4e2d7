"""Checks what one part of program.yaml must know of another, and compiles its rules. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from hub.expressions import Environment, Expression, ExpressionError
from hub.rules.amounts import PAYS
from hub.rules.compiled import EARNED, Compiled, Spending, environment
from hub.rules.counters import ALL, CAPS, Key, Limit
from hub.rules.schema import ProgramFile, Rule
from hub.sdk.errors import Problem
from hub.sdk.events import CATALOGUE, CustomEvent, PurchasePaid, model_of
from hub.yamlfile import Document, Keys, did_you_mean

_ALONE = {
    "rate", "points", "basis", "lines", "round", "credit", "streak", "milestone", "badge", "pending", "refund",
    "same_fact_as",
}  # fmt: skip
"""Keys that mean nothing where a rule multiplies: it does as the rules do that it multiplies."""


class Checker:
    """Gathers the problems of one file."""

    def __init__(self, document: Document, file: ProgramFile) -> None:
        self.document = document
        self.file = file
        self.problems: list[Problem] = []

    def complain(self, keys: Keys, message: str, fix: str = "", *, of_key: bool = False) -> None:
        """Note a problem at a value, or at its key."""
        self.problems.append(self.document.problem(keys, message, fix, of_key=of_key))

    def name(self, at: Keys, name: str, known: Iterable[str], what: str) -> None:
        """Complain about a name that is not known."""
        if name not in known:
            self.complain(at, f"no {what} is named {name!r}", did_you_mean(name, known))

    def expression(self, env: Environment, at: Keys, text: str, kind: str, wanted: str) -> Expression | None:
        """Return an expression of the file, compiled; None when it has a problem.

        Args:
            env: what it may read.
            at: where it is.
            text: the expression.
            kind: what it has to give, as `Expression.kind` says it.
            wanted: the same in words.
        """
        try:
            compiled = env.compile(text)
        except ExpressionError as error:
            place = self.document.inside(at, text, error.line, error.column)
            self.problems.append(Problem(self.document.path, *place, str(error), error.fix))
            return None
        if compiled.kind not in (kind, "any"):
            self.complain(at, f"gives {compiled.kind}, and {wanted} is wanted")
        return compiled

    def file_as_a_whole(self) -> None:
        """Check what belongs to no rule."""
        if not any(wallet.spendable for wallet in self.file.wallets.values()):
            self.complain(("wallets",), "no wallet is spendable", of_key=True)
        for name, campaign in self.file.campaigns.items():
            if campaign.window and (why := campaign.window.never(self.file.program.timezone)):
                self.complain(("campaigns", name, "window"), f"it never opens: {why}")

    def rules(self) -> list[Compiled]:
        """Return the rules of the file, in its order, each with what multiplies it."""
        compiled = [self._rule(index, rule) for index, rule in enumerate(self.file.earning)]
        factors = self._factors(compiled)
        return [replace(each, factors=tuple(factors.get(each.rule.id, ()))) for each in compiled]

    # --- one rule ------------------------------------------------------------------------------------------

    def _rule(self, index: int, rule: Rule) -> Compiled:
        at: Keys = ("earning", index)
        if rule.id in [earlier.id for earlier in self.file.earning[:index]]:
            self.complain(
                (*at, "id"), f"another rule is named {rule.id!r}", "postings name rules: give it its own"
            )
        for n, wallet in enumerate(rule.credit):
            self.name((*at, "credit", n), wallet, self.file.wallets, "wallet")
        if rule.campaign:
            self.name((*at, "campaign"), rule.campaign, self.file.campaigns, "campaign")
        if rule.window and (why := rule.window.never(self.file.program.timezone)):
            self.complain((*at, "window"), f"it never opens: {why}")
        for n, other in enumerate(rule.same_fact_as):
            if not earns(other):
                self.complain((*at, "same_fact_as", n), *unknown_trigger(other))
        worth = [rule.rate is not None, rule.points is not None, rule.multiplies].count(True)
        if worth != 1 and not (worth == 0 and rule.milestone):
            self.complain(at, f"rule {rule.id!r} needs either `rate` or `points`, or `multiply_pct`")
        if rule.stack == "multiply" and not rule.multiplies:
            self.complain((*at, "stack"), "only a rule with `multiply_pct` multiplies")
        if rule.multiplies:
            for key in sorted(_ALONE & {_alias(name) for name in rule.model_fields_set}):
                fix = "the rules it multiplies say that"
                self.complain((*at, key), f"{key!r} means nothing beside `multiply_pct`", fix, of_key=True)
        elif rule.of:
            self.complain((*at, "of"), "`of` goes with `multiply_pct`", of_key=True)
        wallets = tuple(dict.fromkeys(rule.credit)) or (next(iter(self.file.wallets)),)
        if not earns(rule.trigger) and not (rule.trigger == EARNED and rule.milestone):
            self.complain((*at, "trigger"), *unknown_trigger(rule.trigger))
            return Compiled(rule, wallets)
        self._amounts(at, rule)
        return self._compiled(at, rule, wallets)

    def _amounts(self, at: Keys, rule: Rule) -> None:
        if rule.rate is not None and rule.trigger not in PAYS:
            fix = f"use `points`; a rate can price {', '.join(sorted(PAYS))}"
            self.complain((*at, "rate"), f"{rule.trigger} has no amount of money", fix, of_key=True)
        has_lines = rule.trigger == PurchasePaid.name and rule.rate is not None
        if rule.basis == "lines" and not has_lines:
            self.complain((*at, "basis"), "lines are counted by a `rate` on purchase.paid")
        if rule.lines and rule.basis != "lines":
            self.complain((*at, "lines"), "`lines` goes with `basis: lines`", of_key=True)
        milestone = rule.milestone
        if milestone and bool(milestone.of) == bool(milestone.earned):
            self.complain((*at, "milestone"), "needs either `of` or `earned`")
        elif milestone and bool(milestone.earned) != (rule.trigger == EARNED):
            self.complain((*at, "trigger"), f"`earned` goes with trigger {EARNED}, `of` with any other")
        if milestone and milestone.earned:
            self.name((*at, "milestone", "earned"), milestone.earned, self.file.wallets, "wallet")

    def _compiled(self, at: Keys, rule: Rule, wallets: tuple[str, ...]) -> Compiled:
        env = environment(rule.trigger)
        milestone = rule.milestone
        limits, spending = self._limits(rule)
        campaign = self.file.campaigns.get(rule.campaign)
        windows = tuple(w for w in (rule.window, campaign.window if campaign else None) if w)

        def compiled(text: str | None, kind: str, wanted: str, *place: str) -> Expression | None:
            return self.expression(env, (*at, *place), text, kind, wanted) if text is not None else None

        lines = None
        if rule.lines and self.expression(
            environment(rule.trigger, line=True), (*at, "lines"), rule.lines, "bool", "true or false"
        ):
            lines = env.compile(f"order.lines.map(line, (\n{rule.lines}\n))")
        return Compiled(
            rule,
            wallets,
            condition=compiled(rule.if_ or None, "bool", "true or false", "if"),
            points=compiled(rule.points, "int", "a whole number", "points"),
            percent=compiled(rule.multiply_pct, "int", "a whole number of percent", "multiply_pct"),
            milestone=compiled(milestone.of or None, "int", "a whole number", "milestone", "of")
            if milestone
            else None,
            lines=lines,
            windows=windows,
            limits=tuple(limits),
            spending=tuple(spending),
            keys=tuple(_keys(rule, limits)),
        )

    def _limits(self, rule: Rule) -> tuple[list[Limit], list[Spending]]:
        limits = [
            Limit(key, rule.id, period, what, most)
            for key, (period, what) in CAPS.items()
            if (most := getattr(rule.caps, key)) is not None
        ]
        spending = []
        if rule.budget:
            spending.append(Spending(rule.id, rule.id, rule.budget))
        campaign = self.file.campaigns.get(rule.campaign)
        if campaign and campaign.budget:
            spending.append(Spending(rule.campaign, f"campaign/{rule.campaign}", campaign.budget))
        limits += [Limit("budget", each.counter, ALL, "points", each.budget.points) for each in spending]
        return limits, spending

    # --- rules among each other ----------------------------------------------------------------------------

    def _factors(self, compiled: list[Compiled]) -> dict[str, list[Compiled]]:
        """Return what multiplies each rule: group after group as they begin in the file, in it the file's order."""
        by_id = {each.rule.id: each for each in compiled if not each.rule.multiplies}
        factors: dict[str, list[Compiled]] = {}
        for index, each in enumerate(compiled):
            if not each.rule.multiplies:
                continue
            bases = self._multiplied(("earning", index), each.rule, by_id)
            for base in bases:
                factors.setdefault(base.rule.id, []).append(each)
        for several in factors.values():
            groups = list(dict.fromkeys((each.rule.stacks, each.rule.group) for each in several))
            several.sort(key=lambda each: groups.index((each.rule.stacks, each.rule.group)))
        return factors

    def _multiplied(self, at: Keys, rule: Rule, by_id: dict[str, Compiled]) -> list[Compiled]:
        for n, name in enumerate(rule.of):
            self.name((*at, "of", n), name, by_id, "rule that gives points")
            if name in by_id and by_id[name].rule.trigger != rule.trigger:
                self.complain(
                    (*at, "of", n),
                    f"rule {name!r} is on {by_id[name].rule.trigger}, this one on {rule.trigger}",
                )
        bases = [
            each
            for name, each in by_id.items()
            if each.rule.trigger == rule.trigger
            and (name in rule.of if rule.of else each.rule.rate is not None)
        ]
        if not bases and not rule.of and earns(rule.trigger):
            fix = (
                "name in `of` the rules it multiplies"
                if rule.trigger not in PAYS
                else "add one, or name others in `of`"
            )
            self.complain(
                (*at, "multiply_pct"),
                f"it has nothing to multiply: no rule on {rule.trigger} has a rate",
                fix,
                of_key=True,
            )
        if len({(each.rule.refund, each.rule.basis == "gross") for each in bases}) > 1:
            self.complain(
                at,
                f"rule {rule.id!r} multiplies rules that treat refunds differently",
                "give them the same `refund` and `basis`, or each a multiplier of its own by `of`",
            )
        return bases


def earns(trigger: str) -> bool:
    """Return whether it is an event, and tells something new instead of changing what another one told."""
    model = model_of(trigger)
    return model is not None and trigger != CustomEvent.name and "of" not in model.__struct_fields__


def unknown_trigger(trigger: str) -> tuple[str, str]:
    """Return the problem and the fix of a trigger on which nothing can be earned."""
    earning = [name for name in CATALOGUE if earns(name)]
    return f"nothing can be earned on {trigger!r}", did_you_mean(trigger, earning)


def _keys(rule: Rule, limits: list[Limit]) -> Iterator[Key]:
    """Return (counter, period) of all that a rule may count."""
    yield from dict.fromkeys((limit.name, limit.period) for limit in limits if limit.period)
    if rule.streak:
        yield f"streak/{rule.id}", "ever"
    if rule.milestone:
        yield f"milestone/{rule.id}", "ever"


def _alias(name: str) -> str:
    return Rule.model_fields[name].alias or name
