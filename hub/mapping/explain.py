"""Shows how a mapping reads one event: every field, its expression, its line, its value or error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hub.expressions import Activation, Expression, ExpressionError
from hub.mapping.model import Condition, InboundRule, Mapping
from hub.mapping.template import read_by
from hub.sdk.errors import MappingError
from hub.sdk.events import Event
from hub.sdk.webhook import SourceEvent


@dataclass(frozen=True, slots=True)
class FieldReport:
    """One expression and what it gave.

    Attributes:
        path: "order.net_minor", or "if".
        line, column: where it stands in the file.
        value: what it gave before it was fitted to the field; None where it gave nothing.
        error: why it has no value, with what it read; empty when it has one.
        optional: its absence is fine.
    """

    path: str
    expression: str
    line: int
    column: int
    value: Any
    error: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule and what it made of the event.

    Attributes:
        condition: its `if`; None: it has none.
        fields: in file order, whether or not the condition holds.
        event: what it emits; None where the condition does not hold or a field fails.
        error: the MappingError the hub would park the event with.
    """

    emit: str
    line: int
    condition: FieldReport | None
    fields: list[FieldReport]
    event: Event | None
    error: str


def explain(mapping: Mapping, event: SourceEvent, connection: str) -> list[RuleReport]:
    """Return what each rule for the event's type does; empty where there is none (`apply` says why)."""
    rules = mapping.inbound.get(event.type, ())
    if isinstance(rules, str):
        return []
    activation = mapping.activation(event, connection)
    return [_rule(rule, activation, {"test": True} if event.test else None) for rule in rules]


def _rule(rule: InboundRule, activation: Activation, extra: dict[str, Any] | None) -> RuleReport:
    template = rule.template
    fields = [
        _field(
            slot.path, slot.expression, template.document.place(slot.keys), activation, optional=slot.optional
        )
        for slot in template.slots
    ]
    emitted, error = None, ""
    try:
        if rule.condition is None or rule.condition.holds(activation):
            emitted = template.fill(activation, extra)
    except MappingError as failure:
        error = str(failure)
    line, _ = template.document.place(rule.keys, of_key=True)
    return RuleReport(rule.emit, line, _condition(rule.condition, activation), fields, emitted, error)


def _condition(condition: Condition | None, activation: Activation) -> FieldReport | None:
    if condition is None:
        return None
    return _field("if", condition.expression, condition.document.place(condition.keys), activation)


def _field(
    path: str,
    expression: Expression,
    place: tuple[int, int],
    activation: Activation,
    *,
    optional: bool = False,
) -> FieldReport:
    value, error = None, ""
    try:
        value = expression.evaluate(activation)
    except ExpressionError as failure:
        error = f"{failure}{read_by(expression, activation)}"
    return FieldReport(path, expression.text, *place, value, error, optional)
