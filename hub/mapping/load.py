"""Reads a mapping file and checks all of it: every problem at once, with file, line and column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import new_class
from typing import Any

from hub import yamlfile
from hub.expressions import Environment, Function
from hub.mapping.model import InboundRule, Mapping, OutboundRule
from hub.mapping.rule import Complaints, RuleReader
from hub.sdk.connector import Connector, Params
from hub.sdk.errors import ConfigError
from hub.sdk.events import CATALOGUE, CustomEvent, Event, model_of
from hub.values import CHANNELS, MARKETING, TOLD, TRANSACTIONAL, TRIGGERS
from hub.yamlfile import Document, Keys, did_you_mean, in_file_order

INBOUND = {"payload": "dyn", "event": "dyn", "connection": "dyn"}
OUTBOUND = {
    "member": "dyn",
    "points": "int",
    "posting": "dyn",
    "event": "dyn",
    "connection": "dyn",
    **dict.fromkeys(TOLD, "dyn"),
}
_CONNECTION = ("name",)
_INBOUND_KEYS = {"event": ("id", "type", "at", "account", "test"), "connection": _CONNECTION}
_OUTBOUND_KEYS = {
    "member": (
        *("id", "id_here", "ids", "email", "phone", "name", "locale"),
        *("balance", "pending", "tier", "consents"),
    ),
    "posting": ("id", "kind", "key"),
    "connection": _CONNECTION,
    **TOLD,
}
_INBOUND_WORDS = ("emit", "if", "let", "optional")
_OUTBOUND_WORDS = ("trigger", "if", "let", "params", "optional", "purpose", "channel")
_OUTBOUND_PURPOSES = (TRANSACTIONAL, MARKETING)


def load(path: Path | str, connector: type[Connector], functions: Sequence[Function] = ()) -> Mapping:
    """Return the mapping in a file.

    Args:
        path: of the file.
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
        self.inbound_env = Environment(INBOUND, functions, _INBOUND_KEYS)
        self.outbound_env = Environment(OUTBOUND, functions, _OUTBOUND_KEYS)
        self.faults = Complaints(document)
        self.warnings = Complaints(document)

    def mapping(self) -> Mapping:
        top = self.table((), self.document.value, ("connector", "inbound", "outbound"))
        name = top.get("connector")
        if name != self.connector.name:
            told = f"it is for {name!r}" if name else "`connector` is missing"
            self.faults.add(
                ("connector",), f"{told}; the connection it is used for is {self.connector.name!r}"
            )
        inbound = {type_: self.inbound(type_, value) for type_, value in self.section(top, "inbound")}
        by_trigger: dict[str, tuple[OutboundRule, ...]] = {}
        for action, value in self.section(top, "outbound"):
            for rule in self.outbound(action, value):
                by_trigger[rule.trigger] = (*by_trigger.get(rule.trigger, ()), rule)
        if self.faults.problems:
            raise ConfigError(in_file_order(self.faults.problems))
        return Mapping(
            file=self.document.path,
            version=self.document.sha256,
            connector=self.connector.name,
            inbound=inbound,
            outbounds=by_trigger,
            env=self.inbound_env,
            warnings=tuple(in_file_order(self.warnings.problems)),
        )

    def inbound(self, type_: str, value: Any) -> tuple[InboundRule, ...] | str:
        keys: Keys = ("inbound", type_)
        if value == "ignore":
            return f"{self.document.path} ignores {type_!r}"
        if isinstance(value, dict) and "ignore" in value:
            if len(value) > 1:
                fix = "quote a reason that has a comma in it"
                self.faults.add(keys, "`ignore` stands alone", fix, of_key=True)
            return str(value["ignore"])
        if self.connector.events and type_ not in self.connector.events:
            told = f"{self.connector.label} is not known to send {type_!r}"
            self.warnings.add(keys, told, did_you_mean(type_, self.connector.events), of_key=True)
        found = [self.inbound_rule(type_, one, at) for one, at in _several(value, keys)]
        return tuple(rule for rule in found if rule)

    def inbound_rule(self, type_: str, value: Any, keys: Keys) -> InboundRule | None:
        if not isinstance(value, dict):
            self.faults.add(keys, "a rule is a table with `emit`, or the word `ignore`")
            return None
        emit = str(value.get("emit") or "")
        model = model_of(emit)
        if model is None:
            told = f"{emit!r} is not a canonical event" if emit else "`emit` is missing"
            self.faults.add((*keys, "emit"), told, did_you_mean(emit, CATALOGUE))
            return None
        if model is CustomEvent:
            model = _custom(emit)
        reader = RuleReader(self.faults, value, keys, emit, self.inbound_env)
        given = {name: one for name, one in value.items() if name not in _INBOUND_WORDS}
        condition, template = reader.condition(type_), reader.template(type_, model, given, keys)
        expressions = [slot.expression for slot in template.slots]
        expressions += [condition.expression] if condition else []
        reads = reader.env.shape_read("payload", expressions)
        return InboundRule(type_, emit, keys, condition, template, reads)

    def outbound(self, action: str, value: Any) -> Iterator[OutboundRule]:
        keys: Keys = ("outbound", action)
        spec = self.connector.actions.get(action)
        if spec is None:
            told = f"{self.connector.label} has no action {action!r}"
            self.faults.add(keys, told, did_you_mean(action, self.connector.actions), of_key=True)
            return
        for one, at in _several(value, keys):
            rule = self.outbound_rule(action, spec.params, one, at)
            if rule:
                yield rule

    def outbound_rule(self, action: str, model: type[Params], value: Any, keys: Keys) -> OutboundRule | None:
        rule = self.table(keys, value, _OUTBOUND_WORDS)
        trigger = str(rule.get("trigger") or "")
        if trigger not in TRIGGERS and model_of(trigger) is None:
            told = f"{trigger!r} is not a trigger" if trigger else "`trigger` is missing"
            self.faults.add((*keys, "trigger"), told, did_you_mean(trigger, (*TRIGGERS, *CATALOGUE)))
            return None
        at: Keys = (*keys, "params")
        given = rule.get("params") or {}
        if not isinstance(given, dict):
            self.faults.add(at, "params is a table of parameter: expression")
            return None
        reader = RuleReader(self.faults, rule, keys, action, self.outbound_env)
        template = reader.template(action, model, given, at)
        purpose, channel = self.purpose(action, rule, keys)
        return OutboundRule(
            action, trigger, keys, reader.condition(action), template, self.outbound_env, purpose, channel
        )

    def purpose(self, action: str, rule: dict[str, Any], keys: Keys) -> tuple[str | None, str | None]:
        """Return what a rule needs the member's consent to, and on which channel; (None, None): to nothing."""
        purpose = str(rule.get("purpose") or TRANSACTIONAL)
        channel = str(rule.get("channel") or self.connector.actions[action].channel or "")
        if purpose not in _OUTBOUND_PURPOSES:
            told = f"nothing is sent for the purpose {purpose!r}"
            self.faults.add((*keys, "purpose"), told, did_you_mean(purpose, _OUTBOUND_PURPOSES))
        if "channel" in rule and channel not in CHANNELS:
            told = f"{channel!r} is no channel that consents are about"
            self.faults.add((*keys, "channel"), told, did_you_mean(channel, CHANNELS))
        if purpose == TRANSACTIONAL:
            return None, None
        if not channel:
            told = f"{action} does not say by which channel it reaches people, and consents are for each"
            self.faults.add((*keys, "purpose"), told, "add `channel: email`, or sms, push ...", of_key=True)
        return purpose, channel

    def section(self, top: dict[str, Any], name: str) -> list[tuple[str, Any]]:
        value = top.get(name)
        if value is not None and not isinstance(value, dict):
            self.faults.add((name,), f"`{name}` is a table")
        return list(value.items()) if isinstance(value, dict) else []

    def table(self, keys: Keys, value: Any, valid: Sequence[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.faults.add(keys, f"a table is wanted here, with {', '.join(valid)}")
            return {}
        for key in value:
            if key not in valid:
                self.faults.add((*keys, key), f"unknown key {key!r}", did_you_mean(key, valid), of_key=True)
        return value


def _several(value: Any, keys: Keys) -> list[tuple[Any, Keys]]:
    """Return one rule, or each of a list, with its place."""
    if isinstance(value, list) and value:
        return [(one, (*keys, index)) for index, one in enumerate(value)]
    return [(value, keys)]


@cache
def _custom(emit: str) -> type[Event]:
    """Return CustomEvent under its own name, so that `event.name` says what the mapping says."""
    return new_class("CustomEvent", (CustomEvent,), {"kw_only": True}, lambda body: body.update(name=emit))
