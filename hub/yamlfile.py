"""YAML files that people edit: plain values, each with its line and column, and all problems at once.

Scalars are read as in YAML 1.2: only `true` and `false` are booleans, so `on`, `yes` and `no` stay text;
`12:30`, `2026-11-01` and `007` stay text too. Numbers with a point become `Decimal`. Duplicate keys are refused.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from hub.sdk.errors import ConfigError, Problem

Keys = tuple[str | int, ...]
"""The way to a value from the top of a file: ("connections", "shop", "secrets", 0)."""
Place = tuple[int, int]
"""Line and column, from 1."""
Model = TypeVar("Model", bound=BaseModel)

MAX_DEPTH = 50
MAX_VALUES = 100_000
"""Beyond these a file is a mistake or an attack (an alias of aliases grows without end)."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, Any] = {}


_TAG = "tag:yaml.org,2002:"
for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"~|null|", ["~", "n", ""]),
    ("int", r"-?(0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?(0|[1-9][0-9]*)\.[0-9]+", "-0123456789"),
):
    _Loader.add_implicit_resolver(_TAG + _tag, re.compile(f"(?:{_pattern})$"), list(_first))

_SCALARS: dict[str, Callable[[str], Any]] = {
    _TAG + "str": str,
    _TAG + "bool": lambda text: text == "true",
    _TAG + "null": lambda _: None,
    _TAG + "int": int,
    _TAG + "float": Decimal,
}
_QUOTES = "text that begins with a quote, ! or &, or holds ': ' or ' #', needs quotes around all of it"
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Document:
    """One file, read.

    Attributes:
        path: as the admin knows it.
        text: what it says.
        sha256: hex, of its bytes: the file's version.
        value: plain dicts, lists and scalars. Not in the repr: variables may have put secrets there.
    """

    path: str
    text: str = field(repr=False)
    sha256: str
    value: Any = field(repr=False)
    _values: dict[Keys, Place] = field(repr=False)
    _keys: dict[Keys, Place] = field(repr=False)

    def place(self, keys: Iterable[str | int], *, of_key: bool = False) -> Place:
        """Return line and column, from 1, of a value (or of its key).

        Steps that the file does not have are passed over, so a missing value is placed at its parent.
        """
        at: Keys = ()
        for step in keys:
            if (*at, step) in self._values:
                at = (*at, step)
        return (self._keys if of_key and at in self._keys else self._values)[at]

    def part(self, keys: Iterable[str | int]) -> Document:
        """Return what lies below `keys` as a document of its own, its places those of the file."""
        top = tuple(keys)
        depth = len(top)

        def below(places: dict[Keys, tuple[int, int]]) -> dict[Keys, tuple[int, int]]:
            return {at[depth:]: place for at, place in places.items() if at[:depth] == top}

        value = self.value
        for step in top:
            value = value.get(step) if isinstance(value, dict) else None
        values = {(): self.place(top), **below(self._values)}
        return Document(self.path, self.text, self.sha256, value, values, below(self._keys))

    def inside(self, keys: Iterable[str | int], text: str, line: int, column: int) -> Place:
        """Return the place in the file of a place in a text value; the value's own where it was folded or escaped."""
        start, start_column = self.place(keys)
        wanted = text.splitlines()[line - 1] if 0 < line <= len(text.splitlines()) else ""
        if wanted.strip():
            for number, source in enumerate(self.text.splitlines()[start - 1 :], start):
                found = source.find(wanted, start_column - 1 if number == start else 0)
                if found >= 0:
                    return number, found + column
                if number > start + text.count("\n") + 1:
                    break
        return start, start_column

    def problem(
        self, keys: Iterable[str | int], message: str, fix: str = "", *, of_key: bool = False
    ) -> Problem:
        """Return a Problem at a value (or its key)."""
        return Problem(self.path, *self.place(keys, of_key=of_key), message, fix)


def read(path: Path | str, env: Mapping[str, str] | None = None) -> Document:
    """Read a YAML file. With `env`, `${NAME}` in text becomes that variable.

    Raises:
        ConfigError: with every problem found.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, 0, f"cannot be read: {error.strerror}")]) from error
    return parse(raw, str(path), env)


def parse(raw: bytes, path: str, env: Mapping[str, str] | None = None) -> Document:
    """Read YAML from bytes; `path` is the name problems carry. Otherwise as `read`.

    Raises:
        ConfigError: with every problem found.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(path, line, 1, "the file is not UTF-8 text")]) from error
    root = _compose(text, path)
    builder = _Builder(path, env)
    try:
        value = builder.build(root, ()) if root is not None else None
    except RecursionError:
        raise ConfigError([Problem(path, 0, 0, "a table merges itself (<<)")]) from None
    if builder.problems:
        raise ConfigError(in_file_order(builder.problems))
    return Document(path, text, hashlib.sha256(raw).hexdigest(), value, builder.values, builder.keys)


def validate(document: Document, model: type[Model]) -> Model:
    """Return the file as a model.

    Raises:
        ConfigError: every fault with file, line and column; unknown keys with the nearest valid name.
    """
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        raise ConfigError(problems_of(error, document, model)) from error


def problems_of(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """Return what pydantic found, in file order."""
    found = []
    for fault in error.errors(include_url=False, include_context=False):
        keys = fault["loc"]
        name = str(keys[-1]) if keys else ""
        match fault["type"]:
            case "extra_forbidden":
                fix = did_you_mean(name, _valid_keys(model, keys[:-1]))
                found.append(document.problem(keys, f"unknown key {name!r}", fix, of_key=True))
            case "default_factory_not_called":
                continue  # the default is made of a setting that is faulty itself
            case "missing":
                found.append(document.problem(keys, f"{name!r} is missing", of_key=True))
            case _:
                message = fault["msg"].removeprefix("Value error, ")
                found.append(document.problem(keys, f"{_dotted(keys)}: {message}" if keys else message))
    return in_file_order(found)


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return a hint with the nearest valid name, or all of them when none is near and they are few."""
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"valid: {', '.join(names)}" if 0 < len(names) <= 12 else ""


def in_file_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sort problems as a reader of the file meets them."""
    return sorted(problems, key=lambda p: (p.file, p.line, p.column))


def _dotted(keys: Keys) -> str:
    return ".".join(map(str, keys))


def _compose(text: str, path: str) -> yaml.Node | None:
    try:
        _refuse_depth(text, path)
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        message = " ".join(filter(None, (error.problem, error.context)))
        raise ConfigError([Problem(path, *place, f"not YAML: {message}", _QUOTES)]) from error
    except yaml.YAMLError as error:
        raise ConfigError([Problem(path, 0, 0, f"not YAML: {error}")]) from error


def _refuse_depth(text: str, path: str) -> None:
    """Count the events first: libyaml's composer recurses in C, and 200,000 open brackets end the process."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ConfigError([Problem(path, *_start(event), "nested too deeply")])
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Builder:
    """Turns YAML nodes into values, noting places and problems."""

    def __init__(self, path: str, env: Mapping[str, str] | None) -> None:
        self.path = path
        self.env = env
        self.values: dict[Keys, Place] = {(): (1, 1)}
        self.keys: dict[Keys, Place] = {}
        self.problems: list[Problem] = []

    def build(self, node: yaml.Node, keys: Keys) -> Any:
        self.values[keys] = _start(node)
        if len(keys) > MAX_DEPTH or len(self.values) > MAX_VALUES:
            raise ConfigError([Problem(self.path, *_start(node), "aliases (*name) make this too large")])
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*keys, index)) for index, item in enumerate(node.value)]
        return self.mapping(node, keys)

    def mapping(self, node: yaml.Node, keys: Keys) -> dict[str, Any]:
        value: dict[str, Any] = {}
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            # Keys are names: `404:` and `true:` are the text they show.
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                self.complain(key_node, "a key must be text")
            elif key == "<<" and not key_node.style:
                value |= self.merged(value_node, keys)
            elif key in own:
                self.complain(key_node, f"{key!r} is here twice", f"first on line {_start(own[key][0])[0]}")
            else:
                own[key] = key_node, value_node
        for key, (key_node, value_node) in own.items():
            self.keys[(*keys, key)] = _start(key_node)
            value[key] = self.build(value_node, (*keys, key))
        return value

    def merged(self, node: yaml.Node, keys: Keys) -> dict[str, Any]:
        """Return what `<<: *name` brings; the table's own keys win over it."""
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, keys)
        self.complain(node, "<< takes one table, by its anchor (*name)")
        return {}

    def scalar(self, node: yaml.ScalarNode) -> Any:
        convert = _SCALARS.get(node.tag)
        if convert is None:
            self.complain(node, f"{node.tag.removeprefix(_TAG)!r} is read as a YAML tag", _QUOTES)
            return None
        try:
            value = convert(node.value)
        except (ValueError, ArithmeticError):
            self.complain(node, f"{node.value[:40]!r} is not a number")
            return None
        return self.substitute(node, value) if isinstance(value, str) and self.env is not None else value

    def substitute(self, node: yaml.ScalarNode, text: str) -> str:
        variables = self.env or {}

        def replaced(match: re.Match[str]) -> str:
            name = match[1]
            if not _VARIABLE_NAME.fullmatch(name):
                self.complain(node, f"{match[0]!r} does not name an environment variable")
            elif name not in variables:
                self.complain(
                    node, f"the environment variable {name} is not set", f"set {name} and start again"
                )
            return variables.get(name, "")

        return _VARIABLE.sub(replaced, text)

    def complain(self, node: yaml.Node, message: str, fix: str = "") -> None:
        self.problems.append(Problem(self.path, *_start(node), message, fix))


def _start(node: Any) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _valid_keys(model: type[BaseModel], keys: Keys) -> set[str]:
    """Return the keys a model takes at a place. List indexes, dict keys and union tags name no field: passed over."""
    models = [model]
    for step in keys:
        inner = [
            found
            for owner in models
            for name, info in owner.model_fields.items()
            if step in (name, info.alias)
            for found in _models_in(info.annotation)
        ]
        models = inner or models
    return {info.alias or name for owner in models for name, info in owner.model_fields.items()}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
