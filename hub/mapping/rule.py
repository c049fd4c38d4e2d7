"""Reads one rule of a mapping file: its shorthands, its condition and its table of fields."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from hub.expressions import Environment, Expression, ExpressionError
from hub.mapping.model import Condition
from hub.mapping.shape import ACCEPTS, WORDS, Field, fields_of, fitting, value_of
from hub.mapping.template import Slot, Template
from hub.sdk.errors import Problem
from hub.yamlfile import Document, Keys, did_you_mean

S = TypeVar("S", bound=msgspec.Struct)

_BOOL = Field("bool", required=False, fields=None, item=None, type=msgspec.inspect.BoolType())


class Complaints:
    """The problems found in one file."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def add(self, keys: Keys, message: str, fix: str = "", *, of_key: bool = False) -> None:
        self.problems.append(self.document.problem(keys, message, fix, of_key=of_key))

    def add_error(self, keys: Keys, path: str, text: str, error: ExpressionError) -> None:
        """Note what is wrong with an expression, at its line and column inside the text."""
        place = self.document.inside(keys, text, error.line, error.column)
        self.problems.append(Problem(self.document.path, *place, f"{path}: {error}", error.fix))


class RuleReader:
    """Reads one rule.

    Args:
        faults: takes the problems.
        rule: its table.
        keys: where it stands.
        owner: what its fields belong to, for messages: "purchase.paid".
        env: the names its expressions may use; the rule's own `let` is added.
    """

    def __init__(
        self, faults: Complaints, rule: dict[str, Any], keys: Keys, owner: str, env: Environment
    ) -> None:
        self.faults = faults
        self.rule = rule
        self.keys = keys
        self.owner = owner
        self.env = self._let(env)
        self.optional: frozenset[str] = frozenset()

    def condition(self, name: str) -> Condition | None:
        """Return its `if`; None when it has none (or a wrong one, which is noted)."""
        at: Keys = (*self.keys, "if")
        expression = self._expression(self.rule["if"], at, "if", _BOOL) if "if" in self.rule else None
        return Condition(name, self.faults.document, at, expression) if expression else None

    def template(self, name: str, model: type[S], given: dict[str, Any], keys: Keys) -> Template[S]:
        """Return the table of fields `given` at `keys`, compiled for `model`."""
        fields = fields_of(model)
        self.optional = self._optional(fields, given)
        slots = list(self._slots(fields, given, keys, ()))
        return Template(name, model, slots, self.optional, document=self.faults.document, env=self.env)

    def _let(self, env: Environment) -> Environment:
        """Return the environment with the rule's shorthands, each usable in those after it."""
        at: Keys = (*self.keys, "let")
        lets = self.rule.get("let") or {}
        if not isinstance(lets, dict):
            self.faults.add(at, "let is a table of name: expression")
            return env
        for name, value in lets.items():
            text = str(value).rstrip()
            try:
                env = env.let(name, text)
            except ExpressionError as error:
                self.faults.add_error((*at, name), f"let {name}", text, error)
        return env

    def _optional(self, fields: dict[str, Field], given: dict[str, Any]) -> frozenset[str]:
        at: Keys = (*self.keys, "optional")
        paths = self.rule.get("optional") or []
        if not isinstance(paths, list):
            self.faults.add(at, "optional is a list of fields: [member, order.number]")
            return frozenset()
        mapped = set(_mapped(fields, given, ""))
        for index, path in enumerate(paths):
            if path not in mapped:
                self.faults.add(
                    (*at, index), f"optional: this rule has no {path!r}", did_you_mean(str(path), mapped)
                )
            elif _is_required(fields, path.split(".")):
                self.faults.add(
                    (*at, index), f"optional: {self.owner} needs {path}", "take it out of `optional`"
                )
        return frozenset(map(str, paths))

    def _slots(
        self, fields: dict[str, Field], given: dict[str, Any], keys: Keys, above: tuple[str, ...]
    ) -> Iterator[Slot]:
        for name, field in fields.items():
            if field.required and name not in given:
                self.faults.add(keys, f"{self.owner} needs {'.'.join((*above, name))}", of_key=True)
        for name, value in given.items():
            at: Keys = (*keys, name)
            steps = (*above, name)
            path = ".".join(steps)
            wanted = fields.get(name)
            if wanted is None:
                self.faults.add(at, f"{self.owner} has no {path!r}", did_you_mean(name, fields), of_key=True)
            elif isinstance(value, dict) and wanted.kind in {"map", "any"}:
                inner = dict.fromkeys(value, value_of(wanted)) if wanted.fields is None else wanted.fields
                yield from self._slots(inner, value, at, steps)
            elif expression := self._expression(value, at, path, wanted):
                fit = fitting(wanted.type, self.optional, path)
                yield Slot(path, steps, at, expression, fit, path in self.optional)

    def _expression(self, value: Any, keys: Keys, path: str, wanted: Field | None) -> Expression | None:
        text = self._text(value, keys, path)
        if text is None:
            return None
        try:
            compiled = self.env.compile(text)
        except ExpressionError as error:
            self.faults.add_error(keys, path, text, error)
            return None
        if wanted and compiled.kind not in ACCEPTS[wanted.kind]:
            fix = "money(amount, currency) gives minor units" if path.endswith("_minor") else ""
            self.faults.add(
                keys, f"{path} takes {WORDS[wanted.kind]}, this gives {WORDS[compiled.kind]}", fix
            )
        return compiled

    def _text(self, value: Any, keys: Keys, path: str) -> str | None:
        """Return the expression in a YAML value; a YAML list is a list of expressions."""
        if isinstance(value, list):
            items = [
                self._expression(one, (*keys, index), f"{path}[{index}]", None)
                for index, one in enumerate(value)
            ]
            return None if None in items else f"[{', '.join(item.text for item in items if item)}]"
        if isinstance(value, str) and value.strip():
            return value.rstrip()
        if isinstance(value, int):  # true, false and whole numbers are expressions too
            return str(value).lower()
        told = {Decimal: "decimals are not exact here", dict: "one expression is wanted, not a table"}
        self.faults.add(keys, f"{path}: {told.get(type(value), 'the expression is missing')}")
        return None


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
    if field is None or len(steps) == 1:
        return field is not None and field.required
    return _is_required(field.fields or field.item or {}, steps[1:])
