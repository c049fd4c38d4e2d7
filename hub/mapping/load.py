"""Reads a mapping file and checks all of it: every problem at once, with file, line and column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from hub import yamlfile
from hub.expressions import Environment, Expression, ExpressionError, Function
from hub.mapping.model import TRIGGERS, Condition, InboundRule, Mapping, OutboundRule
from hub.mapping.shape import ACCEPTS, WORDS, Field, fields_of, fitting
from hub.mapping.template import Slot, Template
from hub.sdk.connector import Connector, Params
from hub.sdk.errors import ConfigError, Problem
from hub.sdk.events import CATALOGUE, CustomEvent, Event, model_of
from hub.yamlfile import Document, Keys, did_you_mean, in_file_order

S = TypeVar("S", bound=msgspec.Struct)

INBOUND = {"payload": "dyn", "event": "dyn", "connection": "dyn"}
OUTBOUND = {"member": "dyn", "points": "int", "posting": "dyn", "event": "dyn", "connection": "dyn"}
_CONNECTION = ("name",)
INBOUND_KEYS = {"event": ("id", "type", "at", "account", "test"), "connection": _CONNECTION}
OUTBOUND_KEYS = {
    "member": ("id", "id_here", "ids", "email", "phone", "name", "balance", "pending", "tier"),
    "posting": ("id", "kind", "key"),
    "connection": _CONNECTION,
}
_INBOUND_WORDS = ("emit", "if", "let", "optional")
_OUTBOUND_WORDS = ("trigger", "if", "let", "params", "optional")


def load(path: Path | str, connector: type[Connector], functions: Sequence[Function] = ()) -> Mapping:
    """Return the mapping in a file.

    Args:
        connector: the one it must be written for.
        functions: CEL functions of plugins.

    Raises:
        ConfigError: with every problem found.
    """
    return _Loader(yamlfile.read(path), connector, functions).mapping()


def loads(raw: bytes, file: str, connector: type[Connector], functions: Sequence[Function] = ()) -> Mapping:
    """Return the mapping in these bytes, such as a stored older version; `file` is the name its problems carry.

    Raises:
        ConfigError: with every problem found.
    """
    return _Loader(yamlfile.parse(raw, file), connector, functions).mapping()


class _Loader:
    def __init__(self, document: Document, connector: type[Connector], functions: Sequence[Function]) -> None:
        self.document = document
        self.connector = connector
        self.inbound_env = Environment(INBOUND, functions, INBOUND_KEYS)
        self.outbound_env = Environment(OUTBOUND, functions, OUTBOUND_KEYS)
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def mapping(self) -> Mapping:
        top = self.table((), self.document.value, ("connector", "inbound", "outbound"))
        name = top.get("connector")
        if name != self.connector.name:
            told = f"it is for {name!r}" if name else "'connector' is missing"
            self.complain(("connector",), f"{told}; the connection it is used for is {self.connector.name!r}")
        inbound = {type_: self.inbound(type_, value) for type_, value in self.section(top, "inbound")}
        by_trigger: dict[str, tuple[OutboundRule, ...]] = {}
        for action, value in self.section(top, "outbound"):
            for rule in self.outbound(action, value):
                by_trigger[rule.trigger] = (*by_trigger.get(rule.trigger, ()), rule)
        if self.problems:
            raise ConfigError(in_file_order(self.problems))
        return Mapping(
            file=self.document.path,
            version=self.document.sha256,
            connector=self.connector.name,
            inbound=inbound,
            outbounds=by_trigger,
            env=self.inbound_env,
            warnings=tuple(in_file_order(self.warnings)),
        )

    # The two halves of the file.

    def inbound(self, type_: str, value: Any) -> tuple[InboundRule, ...] | str:
        keys: Keys = ("inbound", type_)
        if self.connector.events and type_ not in self.connector.events:
            fix = did_you_mean(type_, self.connector.events)
            message = f"{self.connector.label} is not known to send {type_!r}"
            self.warnings.append(self.document.problem(keys, message, fix, of_key=True))
        if value == "ignore":
            return f"{self.document.path} ignores {type_!r}"
        if isinstance(value, dict) and set(value) == {"ignore"}:
            return str(value["ignore"])
        found = [self.inbound_rule(type_, one, at) for one, at in self.several(value, keys)]
        return tuple(rule for rule in found if rule)

    def inbound_rule(self, type_: str, value: Any, keys: Keys) -> InboundRule | None:
        if not isinstance(value, dict):
            self.complain(keys, "a rule is a table with `emit`, or the word `ignore`")
            return None
        emit = value.get("emit")
        model = model_of(emit) if isinstance(emit, str) else None
        if emit is None or model is None:
            fix = did_you_mean(str(emit), CATALOGUE) if emit else "such as emit: purchase.paid"
            self.complain(
                (*keys, "emit"), f"{emit!r} is not a canonical event" if emit else "`emit` is missing", fix
            )
            return None
        if model is CustomEvent:
            model = _custom(emit)
        fields = fields_of(model)
        env = self.let(value, keys, self.inbound_env)
        given = {name: one for name, one in value.items() if name not in _INBOUND_WORDS}
        template = self.template(type_, emit, model, fields, given, value, keys, keys, env)
        return InboundRule(type_, emit, keys, self.condition(type_, value, keys, env), template)

    def outbound(self, action: str, value: Any) -> Iterator[OutboundRule]:
        keys: Keys = ("outbound", action)
        spec = self.connector.actions.get(action)
        if spec is None:
            message = f"{self.connector.label} has no action {action!r}"
            self.complain(keys, message, did_you_mean(action, self.connector.actions), of_key=True)
            return
        for one, at in self.several(value, keys):
            rule = self.outbound_rule(action, spec.params, one, at)
            if rule:
                yield rule

    def outbound_rule(self, action: str, model: type[Params], value: Any, keys: Keys) -> OutboundRule | None:
        rule = self.table(keys, value, _OUTBOUND_WORDS)
        trigger = str(rule.get("trigger") or "")
        if trigger not in TRIGGERS and model_of(trigger) is None:
            told = f"{trigger!r} is not a trigger" if trigger else "`trigger` is missing"
            self.complain((*keys, "trigger"), told, did_you_mean(trigger, (*TRIGGERS, *CATALOGUE)))
            return None
        env = self.let(rule, keys, self.outbound_env)
        at: Keys = (*keys, "params")
        given = rule.get("params") or {}
        if not isinstance(given, dict):
            self.complain(at, "params is a table of parameter: expression")
            return None
        template = self.template(action, action, model, fields_of(model), given, rule, keys, at, env)
        return OutboundRule(action, trigger, keys, self.condition(action, rule, keys, env), template, env)

    # Parts both halves share.

    def template(
        self,
        name: str,
        owner: str,
        model: type[S],
        fields: dict[str, Field],
        given: dict[str, Any],
        rule: dict[str, Any],
        rule_keys: Keys,
        keys: Keys,
        env: Environment,
    ) -> Template[S]:
        optional = self.optional(rule, rule_keys, owner, fields, given)
        slots = list(self.slots(owner, fields, given, keys, "", optional, env))
        return Template(name, model, self.document, env, slots, optional)

    def slots(
        self,
        owner: str,
        fields: dict[str, Field],
        given: dict[str, Any],
        keys: Keys,
        prefix: str,
        optional: Set[str],
        env: Environment,
    ) -> Iterator[Slot]:
        for name, field in fields.items():
            if field.required and name not in given:
                self.complain(keys, f"{owner} needs {prefix}{name}", of_key=True)
        for name, value in given.items():
            at: Keys = (*keys, name)
            path = f"{prefix}{name}"
            wanted = fields.get(name)
            if wanted is None:
                self.complain(at, f"{owner} has no {path!r}", did_you_mean(name, fields), of_key=True)
            elif isinstance(value, dict) and wanted.fields is not None:
                yield from self.slots(owner, wanted.fields, value, at, f"{path}.", optional, env)
            elif isinstance(value, dict) and wanted.kind in {"map", "any"}:
                inner = dict.fromkeys(value, _free(wanted))
                yield from self.slots(owner, inner, value, at, f"{path}.", optional, env)
            else:
                expression = self.expression(value, at, path, env, wanted)
                if expression:
                    steps = tuple(str(step) for step in at[len(keys) - prefix.count(".") :])
                    fit = fitting(wanted.type, optional, path)
                    yield Slot(path, steps, at, expression, fit, path in optional)

    def expression(
        self, value: Any, keys: Keys, path: str, env: Environment, wanted: Field | None
    ) -> Expression | None:
        if isinstance(value, list):
            items = [
                self.expression(one, (*keys, i), f"{path}[{i}]", env, None) for i, one in enumerate(value)
            ]
            if None in items:
                return None
            text = f"[{', '.join(item.text for item in items if item)}]"
        elif isinstance(value, str) and value.strip():
            text = value.rstrip()
        elif isinstance(value, int):  # true, false and whole numbers are expressions too
            text = str(value).lower()
        else:
            told = {Decimal: "decimals are not exact here", dict: "one expression is wanted, not a table"}
            self.complain(keys, f"{path}: {told.get(type(value), 'an expression is missing')}")
            return None
        try:
            compiled = env.compile(text)
        except ExpressionError as error:
            place = self.document.inside(keys, text, error.line, error.column)
            self.problems.append(Problem(self.document.path, *place, f"{path}: {error}", error.fix))
            return None
        if wanted and compiled.kind not in ACCEPTS[wanted.kind]:
            fix = "money(amount, currency) gives minor units" if path.endswith("_minor") else ""
            self.complain(keys, f"{path} takes {WORDS[wanted.kind]}, this gives {WORDS[compiled.kind]}", fix)
        return compiled

    def condition(self, name: str, rule: dict[str, Any], keys: Keys, env: Environment) -> Condition | None:
        if "if" not in rule:
            return None
        at: Keys = (*keys, "if")
        expression = self.expression(rule["if"], at, "if", env, _BOOL)
        return Condition(name, self.document, at, expression) if expression else None

    def let(self, rule: dict[str, Any], keys: Keys, env: Environment) -> Environment:
        """Return the environment with the rule's shorthands, each usable in those after it."""
        at: Keys = (*keys, "let")
        lets = rule.get("let") or {}
        if not isinstance(lets, dict):
            self.complain(at, "let is a table of name: expression")
            return env
        for name, value in lets.items():
            text = str(value).rstrip()
            try:
                env = env.let(name, text)
            except ExpressionError as error:
                place = self.document.inside((*at, name), text, error.line, error.column)
                self.problems.append(Problem(self.document.path, *place, f"let {name}: {error}", error.fix))
        return env

    def optional(
        self, rule: dict[str, Any], keys: Keys, owner: str, fields: dict[str, Field], given: dict[str, Any]
    ) -> frozenset[str]:
        at: Keys = (*keys, "optional")
        paths = rule.get("optional") or []
        if not isinstance(paths, list):
            self.complain(at, "optional is a list of fields: [member, order.number]")
            return frozenset()
        mapped = set(_mapped(fields, given, ""))
        for index, path in enumerate(paths):
            if path not in mapped:
                self.complain(
                    (*at, index), f"optional: this rule has no {path!r}", did_you_mean(str(path), mapped)
                )
            elif _is_required(fields, path.split(".")):
                self.complain((*at, index), f"optional: {owner} needs {path}", "take it out of `optional`")
        return frozenset(map(str, paths))

    def section(self, top: dict[str, Any], name: str) -> list[tuple[str, Any]]:
        value = top.get(name)
        if value is not None and not isinstance(value, dict):
            self.complain((name,), f"`{name}` is a table")
        return list(value.items()) if isinstance(value, dict) else []

    def several(self, value: Any, keys: Keys) -> list[tuple[Any, Keys]]:
        return (
            [(one, (*keys, i)) for i, one in enumerate(value)]
            if isinstance(value, list) and value
            else [(value, keys)]
        )

    def table(self, keys: Keys, value: Any, valid: Sequence[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.complain(keys, f"a table is wanted here, with {', '.join(valid)}")
            return {}
        for key in value:
            if key not in valid:
                self.complain((*keys, key), f"unknown key {key!r}", did_you_mean(key, valid), of_key=True)
        return value

    def complain(self, keys: Keys, message: str, fix: str = "", *, of_key: bool = False) -> None:
        self.problems.append(self.document.problem(keys, message, fix, of_key=of_key))


_BOOL = Field("bool", required=False, fields=None, item=None, type=msgspec.inspect.BoolType())


def _free(wanted: Field) -> Field:
    """Return what a value under a free key takes: the dict's value type, or anything."""
    inner = (
        wanted.type.value_type
        if isinstance(wanted.type, msgspec.inspect.DictType)
        else msgspec.inspect.AnyType()
    )
    kind = "text" if isinstance(inner, msgspec.inspect.StrType) else "any"
    return Field(kind, required=False, fields=None, item=None, type=inner)


def _mapped(fields: dict[str, Field], given: dict[str, Any], prefix: str) -> Iterator[str]:
    """List what `optional` may name: the paths of a rule, and the fields of objects in its lists."""
    for name, value in given.items():
        path = f"{prefix}{name}"
        yield path
        field = fields.get(name)
        if isinstance(value, dict):
            yield from _mapped((field and field.fields) or {}, value, f"{path}.")
        elif field and field.item:
            yield from (f"{path}.{inner}" for inner in field.item)


def _is_required(fields: dict[str, Field], steps: list[str]) -> bool:
    field = fields.get(steps[0])
    if field is None:
        return False
    inner = field.fields or field.item
    return _is_required(inner, steps[1:]) if len(steps) > 1 and inner else field.required and len(steps) == 1


@cache
def _custom(emit: str) -> type[Event]:
    """Return CustomEvent under its own name, so that `event.name` says what the mapping says."""
    made: type[Event] = type(CustomEvent)(
        "CustomEvent", (CustomEvent,), {"name": emit}, frozen=True, kw_only=True
    )
    return made
