"""A mapping, loaded: what each event of a platform means, and what is told to the platform."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import msgspec

from hub.expressions import Activation, Environment, Expression, ExpressionError, Shape, united
from hub.mapping.template import Template, read_by
from hub.sdk.connector import Params
from hub.sdk.errors import MappingError, Problem
from hub.sdk.events import Event
from hub.sdk.webhook import SourceEvent
from hub.yamlfile import Document, Keys


@dataclass(frozen=True, slots=True)
class Ignored:
    """The event means nothing here; it is kept and counted.

    Attributes:
        kind: "unknown": the file has no rule for its type. "rule": the file says `ignore`. "condition": no `if` holds.
        reason: a sentence for the admin.
    """

    kind: Literal["unknown", "rule", "condition"]
    reason: str


@dataclass(frozen=True, slots=True)
class Condition:
    """An `if`, which gives true or false."""

    name: str
    document: Document
    keys: Keys
    expression: Expression

    def holds(self, activation: Activation) -> bool:
        """Evaluate it.

        Raises:
            MappingError: it gives neither true nor false.
        """
        try:
            value = self.expression.evaluate(activation)
        except ExpressionError as error:
            raise self._failure(str(error), activation) from error
        if value is True or value is False:
            return value
        raise self._failure(f"gives {value!r}, neither true nor false", activation)

    def why_not(self, activation: Activation) -> str:
        """Return why it did not hold: its text and what it read."""
        line, _ = self.document.place(self.keys)
        return f"`{self.expression.text}` (line {line}) does not hold{read_by(self.expression, activation)}"

    def _failure(self, message: str, activation: Activation) -> MappingError:
        message = f"{self.name}: if: {message}{read_by(self.expression, activation)}"
        return MappingError(Problem(self.document.path, *self.document.place(self.keys), message))


@dataclass(frozen=True, slots=True)
class InboundRule:
    """One way to read one type of event.

    Attributes:
        type: the vendor's word.
        emit: the canonical name.
        condition: None: always.
        reads: the parts of the payload that it may read.
    """

    type: str
    emit: str
    keys: Keys
    condition: Condition | None
    template: Template[Event]
    reads: Shape = None


@dataclass(frozen=True, slots=True)
class OutboundRule:
    """One thing to do at the platform when something happened here.

    Attributes:
        action: of the connector.
        trigger: a name of TRIGGERS, or a canonical event's.
        purpose: what the member must have agreed to; None: it needs nobody's consent.
        channel: by which it reaches them; set where `purpose` is.
    """

    action: str
    trigger: str
    keys: Keys
    condition: Condition | None
    template: Template[Params]
    env: Environment
    purpose: str | None = None
    channel: str | None = None

    def params(self, variables: abc.Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the action's parameters as JSON values, defaults included; None when `if` does not hold.

        Args:
            variables: member, points, posting, event and connection, as plain values.

        Raises:
            MappingError: names file, line, field and what its expression read.
        """
        activation = self.env.activation(variables)
        if self.condition is not None and not self.condition.holds(activation):
            return None
        plain: dict[str, Any] = msgspec.to_builtins(self.template.fill(activation))
        return plain


@dataclass(frozen=True)
class Mapping:
    """A mapping file, whole and sound. Threads may share it.

    Attributes:
        file: its path, as the admin knows it.
        version: SHA-256 of its bytes, hex.
        connector: the name it is written for.
        inbound: vendor type -> its rules, or why it is ignored.
        warnings: what looks wrong but does not stop it.
    """

    file: str
    version: str
    connector: str
    inbound: abc.Mapping[str, tuple[InboundRule, ...] | str]
    outbounds: abc.Mapping[str, tuple[OutboundRule, ...]]
    env: Environment
    warnings: tuple[Problem, ...] = field(default=())

    def apply(self, event: SourceEvent, connection: str) -> list[Event] | Ignored:
        """Return the canonical events a source event means: one for each rule whose `if` holds, in file order.

        Raises:
            MappingError: names file, line, field and what its expression read. Nothing is returned then.
        """
        rules = self.inbound.get(event.type)
        if rules is None:
            return Ignored("unknown", f"{self.file} has no rule for {event.type!r}")
        if isinstance(rules, str):
            return Ignored("rule", rules)
        activation = self.activation(event, connection)
        holding = [rule for rule in rules if rule.condition is None or rule.condition.holds(activation)]
        if not holding:
            reasons = (rule.condition.why_not(activation) for rule in rules if rule.condition)
            return Ignored("condition", "; ".join(reasons))
        extra = {"test": True} if event.test else None
        return [rule.template.fill(activation, extra) for rule in holding]

    @cached_property
    def reads(self) -> abc.Mapping[str, Shape]:
        """The parts of a payload that the rules of each type may read."""
        return {
            type_: united(rule.reads for rule in rules)
            for type_, rules in self.inbound.items()
            if not isinstance(rules, str)
        }

    def outbound(self, trigger: str) -> tuple[OutboundRule, ...]:
        """Return the rules for one trigger, in file order."""
        return self.outbounds.get(trigger, ())

    def activation(self, event: SourceEvent, connection: str) -> Activation:
        """Return what the expressions of inbound rules see of an event. Stays in its thread."""
        return self.env.activation(
            {
                "payload": event.payload,
                "event": {
                    "id": event.id,
                    "type": event.type,
                    "at": event.at.isoformat(),
                    "account": event.account,
                    "test": event.test,
                },
                "connection": {"name": connection},
            },
            {"payload": self.reads.get(event.type)},
        )
