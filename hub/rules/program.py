"""The programme: what events are worth. Loaded and checked whole, then applied to many events from any thread. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from hub.expressions import Activation, Environment, Expression, ExpressionError
from hub.rules.amounts import PAYS, Left, amounts_of, half_up, reduce_to
from hub.rules.rewards import Catalogue, catalogue
from hub.rules.schema import ProgramFile, Rule
from hub.rules.tiers import Adjusting, Ladder, adjusting, ladder
from hub.sdk.errors import ConfigError, PricingError, Problem
from hub.sdk.events import CATALOGUE, CustomEvent, Event, model_of
from hub.values import MEMBER_FACTS, Award, DebtPolicy
from hub.yamlfile import Document, Keys, did_you_mean, in_file_order, parse, read, validate

SAMPLE_PROGRAM = Path(__file__).with_name("program.yaml")
"""The programme a merchant starts from."""

MOST_POINTS = 10**12
"""More than this for one event is a mistake in the file, and is parked rather than given."""

ROUND: Mapping[str, Callable[[Fraction], int]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "half_up": half_up,
    "half_even": round,
}

_ABOUT_EVENT = ("name", "fact", "occurred_at", "test")
"""What expressions read as `event`; the event's own body has names of its own (order, deal, data ...)."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A rule ready to run; `condition` and `points` are None where the file has none."""

    rule: Rule
    wallets: tuple[str, ...]
    condition: Expression | None
    points: Expression | None


class Program:
    """One version of program.yaml.

    Attributes:
        hash: SHA-256 of the file, hex; pinned on what it prices.
        text: the file, for storing the version.
        triggers: canonical names of the events that may earn.
        spendable: the wallet whose balance is meant when none is named.
        rules: by id.
        member_reads: the keys of MEMBER_FACTS that any expression may read; None: any.
        rewards: what points buy.
        ladder: the levels members rise to; None: there are none.
        adjusting: what people may do by hand.
    """

    def __init__(
        self,
        document: Document,
        file: ProgramFile,
        compiled: list[Compiled],
        *,
        rewards: Catalogue,
        ladder: Ladder | None,
        adjusting: Adjusting,
    ) -> None:
        self.path = document.path
        self.text = document.text
        self.hash = document.sha256
        self.version = file.version
        self.id = file.program.id
        self.zone = file.program.timezone
        self.currency = file.program.currency
        self.unit = file.program.unit
        self.identity = file.identity
        self.wallets = file.wallets
        self.spendable = next(name for name, wallet in file.wallets.items() if wallet.spendable)
        self.rules = {each.rule.id: each.rule for each in compiled}
        self.rewards = rewards
        self._by_trigger: dict[str, list[Compiled]] = defaultdict(list)
        for each in compiled:
            self._by_trigger[each.rule.trigger].append(each)
        self.triggers = frozenset(self._by_trigger)
        self._environments = {trigger: environment(trigger) for trigger in self.triggers}
        self._reads = {trigger: self._read_by(trigger) for trigger in self.triggers}
        self.ladder = ladder
        self.adjusting = adjusting
        conditions = (ladder.condition if ladder else None, adjusting.condition)
        self.member_reads = _together(
            [
                *(reads["member"] for reads in self._reads.values()),
                *(condition.reads() for condition in conditions if condition),
                rewards.reads,
            ]
        )

    @property
    def roles(self) -> frozenset[str]:
        """The roles that decide something here."""
        asked = (
            self.ladder.tiers.approval if self.ladder else None,
            self.adjusting.rules.approval,
            *(reward.entry.approval for reward in self.rewards),
        )
        return frozenset(approval.role for approval in asked if approval)

    def level(self, written: str) -> str:
        """Return the level of a member of whom this one is written down; who never rose has the first."""
        return written or (self.ladder.start if self.ladder else "")

    def spends(self, wallet: str) -> bool:
        """Return whether points of a wallet can be spent; those of one it does not know cannot."""
        return wallet in self.wallets and self.wallets[wallet].spendable

    def debt_policy(self, wallet: str) -> DebtPolicy:
        """Return what happens when a reversal finds the points spent; in a wallet it does not know they are owed."""
        return self.wallets[wallet].debt if wallet in self.wallets else "allow"

    def member_then(self, trigger: str, member: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a trigger's rules may read of a member that can change: refunds are priced with the same."""
        reads = self._reads[trigger]["member"] if trigger in self._reads else frozenset[str]()
        return {
            key: member[key] for key in (member.keys() if reads is None else reads & member.keys()) - {"id"}
        }

    def price(self, event: Event, member: Mapping[str, Any], left: Left | None = None) -> list[Award]:
        """Return the points an event gives: one award for each rule and wallet, none of zero points.

        Args:
            event: one from a platform's test mode earns nothing.
            member: what expressions may read as `member`, plain values.
            left: price what refunds have left of the event, instead of all of it.

        Raises:
            PricingError: a rule cannot be evaluated, or its rate is in another currency than the event.
        """
        if event.test or event.name not in self.triggers:
            return []
        variables = _variables(event, member, left, self._reads[event.name])
        activation = self._environments[event.name].activation(variables)
        return [
            award
            for each in self._by_trigger[event.name]
            if _holds(each, activation)
            for award in self._awards(each, event, _points(each, event, activation, left))
        ]

    def _read_by(self, trigger: str) -> dict[str, frozenset[str] | None]:
        """Return what a trigger's rules may read: variable -> its keys; None: any."""
        rules = self._by_trigger[trigger]
        expressions = [found for each in rules for found in (each.condition, each.points) if found]
        names = ("event", "member", *_body(trigger))
        return {name: self._environments[trigger].keys_read(name, expressions) for name in names}

    def _awards(self, each: Compiled, event: Event, points: int) -> Iterator[Award]:
        for wallet in each.wallets if points else ():
            expiry = self.wallets[wallet].expiry
            yield Award(
                rule=each.rule.id,
                wallet=wallet,
                wanted=points,
                points=points,
                available_at=event.occurred_at + each.rule.pending,
                expires_at=expiry.after(event.occurred_at, self.zone) if expiry else None,
            )


def load_program(path: Path | str) -> Program:
    """Read program.yaml.

    Raises:
        ConfigError: with every problem found, each with its line and column.
    """
    return _program(read(path))


def parse_program(raw: bytes, path: str) -> Program:
    """Read a programme from the bytes of its file; `path` is the name problems carry. Otherwise as `load_program`."""
    return _program(parse(raw, path))


def environment(trigger: str) -> Environment:
    """Return what expressions of rules on `trigger` may read: `event`, `member`, and the event's own body."""
    body = _body(trigger)
    shapes = {name: _fields(shape) for name, shape in body.items()}
    return Environment(
        dict.fromkeys(("event", "member", *body), "dyn"),
        keys={
            "event": _ABOUT_EVENT,
            "member": tuple(MEMBER_FACTS),
            **{name: fields for name, fields in shapes.items() if fields},
        },
    )


def _program(document: Document) -> Program:
    file = validate(document, ProgramFile)
    checker = Checker(document, file)
    compiled = [checker.rule(index, rule) for index, rule in enumerate(file.earning)]
    rewards = catalogue(checker, file)
    levels, by_hand = ladder(checker, file), adjusting(checker, file)
    checker.check_file()
    if checker.problems:
        raise ConfigError(in_file_order(checker.problems))
    return Program(document, file, compiled, rewards=rewards, ladder=levels, adjusting=by_hand)


class Checker:
    """Checks what one part of the file must know of another, and compiles the expressions."""

    def __init__(self, document: Document, file: ProgramFile) -> None:
        self.document = document
        self.file = file
        self.problems: list[Problem] = []

    def complain(self, keys: Keys, message: str, fix: str = "", *, of_key: bool = False) -> None:
        self.problems.append(self.document.problem(keys, message, fix, of_key=of_key))

    def check_file(self) -> None:
        if not any(wallet.spendable for wallet in self.file.wallets.values()):
            self.complain(("wallets",), "no wallet is spendable", of_key=True)

    def rule(self, index: int, rule: Rule) -> Compiled:
        at: Keys = ("earning", index)
        if rule.id in [earlier.id for earlier in self.file.earning[:index]]:
            self.complain(
                (*at, "id"), f"another rule is named {rule.id!r}", "postings name rules: give it its own"
            )
        if (rule.rate is None) == (rule.points is None):
            self.complain(at, f"rule {rule.id!r} needs either `rate` or `points`")
        if rule.rate is not None and self.earns(rule.trigger) and rule.trigger not in PAYS:
            fix = f"use `points`; a rate can price {', '.join(sorted(PAYS))}"
            self.complain((*at, "rate"), f"{rule.trigger} has no amount of money", fix, of_key=True)
        for n, wallet in enumerate(rule.credit):
            if wallet not in self.file.wallets:
                fix = did_you_mean(wallet, self.file.wallets)
                self.complain((*at, "credit", n), f"no wallet is named {wallet!r}", fix)
        wallets = tuple(dict.fromkeys(rule.credit)) or (next(iter(self.file.wallets)),)
        if not self.earns(rule.trigger):
            earning = [name for name in CATALOGUE if self.earns(name)]
            self.complain(
                (*at, "trigger"),
                f"nothing can be earned on {rule.trigger!r}",
                did_you_mean(rule.trigger, earning),
            )
            return Compiled(rule, wallets, None, None)
        env = environment(rule.trigger)
        return Compiled(
            rule,
            wallets,
            self.expression(env, (*at, "if"), rule.if_, "bool", "true or false") if rule.if_ else None,
            self.expression(env, (*at, "points"), rule.points, "int", "a whole number")
            if rule.points is not None
            else None,
        )

    @staticmethod
    def earns(trigger: str) -> bool:
        """Return whether it is an event, and tells something new instead of changing what another one told."""
        model = model_of(trigger)
        return model is not None and trigger != CustomEvent.name and "of" not in model.__struct_fields__

    def expression(self, env: Environment, at: Keys, text: str, kind: str, wanted: str) -> Expression | None:
        try:
            compiled = env.compile(text)
        except ExpressionError as error:
            place = self.document.inside(at, text, error.line, error.column)
            self.problems.append(Problem(self.document.path, *place, str(error), error.fix))
            return None
        if compiled.kind not in (kind, "any"):
            self.complain(at, f"gives {compiled.kind}, and {wanted} is wanted")
        return compiled


def _holds(each: Compiled, activation: Activation) -> bool:
    if each.condition is None:
        return True
    holds = _evaluate(each, "if", each.condition, activation)
    if not isinstance(holds, bool):
        raise PricingError(f"rule {each.rule.id}: `if` gives {holds!r}, and true or false is wanted")
    return holds


def _points(each: Compiled, event: Event, activation: Activation, left: Left | None) -> int:
    rule = each.rule
    if each.points is not None:
        points = _evaluate(each, "points", each.points, activation)
    else:
        points = ROUND[rule.round](_quantity(rule, event, left))
    if isinstance(points, bool) or not isinstance(points, int) or not 0 <= points <= MOST_POINTS:
        raise PricingError(
            f"rule {rule.id}: {points!r} points; a whole number from 0 to {MOST_POINTS:,} is wanted"
        )
    return points


def _quantity(rule: Rule, event: Event, left: Left | None) -> Fraction:
    """Return what a rate gives, before the one rounding."""
    amounts, rate = amounts_of(event), rule.rate
    assert amounts is not None, "checked when the file was loaded"
    assert rate is not None, "checked when the file was loaded"
    if amounts.currency != rate.currency:
        raise PricingError(
            f"rule {rule.id}: the rate is in {rate.currency}, the {event.name} in {amounts.currency}; "
            f"add a rule for {amounts.currency}, and an `if` on the currency to both"
        )
    return rate.per_minor * (left or Left.all_of(amounts)).of(rule.basis)


def _evaluate(each: Compiled, key: str, expression: Expression, activation: Activation) -> Any:
    try:
        return expression.evaluate(activation)
    except ExpressionError as error:
        raise PricingError(f"rule {each.rule.id}: `{key}`: {error}") from error


def _variables(
    event: Event, member: Mapping[str, Any], left: Left | None, reads: Mapping[str, frozenset[str] | None]
) -> dict[str, Any]:
    variables = {name: _plain(getattr(event, name), reads[name]) for name in _body(event.name)}
    variables["member"] = dict(member)
    variables["event"] = {
        "name": event.name,
        "fact": event.fact,
        "occurred_at": event.occurred_at.isoformat(),
        "test": event.test,
    }
    if left is not None:
        reduce_to(left, event, variables)
    return variables


def _together(reads: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    """Return all keys that are read; None: any."""
    together: set[str] = set()
    for keys in reads:
        if keys is None:
            return None
        together |= keys
    return frozenset(together)


@cache
def _body(trigger: str) -> dict[str, Any]:
    """Return the fields an event has of its own, with their types."""
    model = model_of(trigger)
    assert model is not None
    own = [field for field in msgspec.structs.fields(model) if field.name not in Event.__struct_fields__]
    return {field.name: field.type for field in own}


def _fields(shape: Any) -> tuple[str, ...]:
    """Return the names of a struct's fields; of anything else none are fixed."""
    return getattr(shape, "__struct_fields__", ())


def _plain(value: Any, keys: frozenset[str] | None = None) -> Any:
    """Return a value as plain dicts, lists and scalars, with what is left at its default too.

    Args:
        keys: those that anybody reads of it; None: all. To make a whole order readable takes longer than to price it.
    """
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if not isinstance(value, msgspec.Struct):
        return value
    plain = msgspec.structs.asdict(value)
    if keys is not None:
        plain = {name: plain[name] for name in keys & plain.keys()}
    for name in _nested(type(value)) & plain.keys():
        plain[name] = _plain(plain[name])
    return plain


@cache
def _nested(shape: type[msgspec.Struct]) -> frozenset[str]:
    """Return the fields that may hold more than a scalar."""
    scalars = (str, int, bool, int | None)
    return frozenset(field.name for field in msgspec.structs.fields(shape) if field.type not in scalars)
