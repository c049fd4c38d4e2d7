"""Rules ready to run, and what their expressions may read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from hub.expressions import Environment, Expression
from hub.rules.amounts import Left, reduce_to
from hub.rules.counters import Key, Limit
from hub.rules.schema import Budget, Rule
from hub.rules.windows import Window
from hub.sdk.events import Event, Line, model_of
from hub.values import MEMBER_FACTS

EARNED = "points.earned"
"""The trigger of milestones that look at what a wallet earned: after every event that gives points."""

_OF_EVENT: Mapping[str, Callable[[Event], Any]] = {
    "name": lambda event: event.name,
    "fact": lambda event: event.fact,
    "occurred_at": lambda event: event.occurred_at.isoformat(),
    "test": lambda event: event.test,
}
"""What expressions read as `event`; the event's own body has names of its own (order, deal, data ...)."""


@dataclass(frozen=True, slots=True)
class Spending:
    """A budget, and the counter of what was spent of it."""

    name: str
    counter: str
    budget: Budget


@dataclass(frozen=True, slots=True)
class Compiled:
    """A rule ready to run; what the file does not have is None or empty.

    Attributes:
        lines: gives for each line of the order whether it counts.
        milestone: gives what is held against the thresholds.
        factors: what multiplies it, in the order in which they do.
        limits: its caps and budgets.
        keys: (counter, period) of all it may count.
    """

    rule: Rule
    wallets: tuple[str, ...] = ()
    condition: Expression | None = None
    points: Expression | None = None
    percent: Expression | None = None
    lines: Expression | None = None
    milestone: Expression | None = None
    windows: tuple[Window, ...] = ()
    limits: tuple[Limit, ...] = ()
    spending: tuple[Spending, ...] = ()
    factors: tuple[Compiled, ...] = ()
    keys: tuple[Key, ...] = ()

    @property
    def expressions(self) -> list[Expression]:
        """All of its own."""
        own = (self.condition, self.points, self.percent, self.lines, self.milestone)
        return [expression for expression in own if expression is not None]


def environment(trigger: str, *, line: bool = False) -> Environment:
    """Return what expressions of rules on `trigger` may read: `event`, `member`, the event's own body; `line`."""
    body = {} if trigger == EARNED else body_of(trigger)
    shapes = {name: fields(shape) for name, shape in body.items()}
    extra = {"line": Line.__struct_fields__} if line else {}
    return Environment(
        dict.fromkeys(("event", "member", *body, *extra), "dyn"),
        keys={
            "event": tuple(_OF_EVENT),
            "member": tuple(MEMBER_FACTS),
            **extra,
            **{name: keys for name, keys in shapes.items() if keys},
        },
    )


def variables(
    event: Event, member: Mapping[str, Any], left: Left | None, reads: Mapping[str, frozenset[str] | None]
) -> dict[str, Any]:
    """Return what expressions read of an event.

    Args:
        event: the event.
        member: plain values.
        left: show what refunds have left of it.
        reads: variable -> the keys that anybody reads of it; None: all.
    """
    values = {name: _plain(getattr(event, name), reads[name]) for name in body_of(event.name)}
    values["member"] = dict(member)
    keys = reads.get("event")
    values["event"] = {
        name: about(event) for name, about in _OF_EVENT.items() if keys is None or name in keys
    }
    if left is not None:
        reduce_to(left, event, values)
    return values


@cache
def body_of(trigger: str) -> dict[str, Any]:
    """Return the fields an event has of its own, with their types."""
    model = model_of(trigger)
    assert model is not None
    own = [field for field in msgspec.structs.fields(model) if field.name not in Event.__struct_fields__]
    return {field.name: field.type for field in own}


def fields(shape: Any) -> tuple[str, ...]:
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
    scalars, others = _shown(type(value), keys)
    plain = {name: getattr(value, name) for name in scalars}
    for name in others:
        plain[name] = _plain(getattr(value, name))
    return plain


@cache
def _shown(
    shape: type[msgspec.Struct], keys: frozenset[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the fields of these keys: those that hold a scalar, and those that may hold more."""
    fields = [f for f in msgspec.structs.fields(shape) if keys is None or f.name in keys]
    scalars = tuple(f.name for f in fields if f.type in (str, int, bool, int | None))
    return scalars, tuple(f.name for f in fields if f.name not in scalars)
