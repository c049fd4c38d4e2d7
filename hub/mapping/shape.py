"""What a canonical event or an action's parameters are made of, and how plain values are fitted to it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from hub.expressions import Kind

Fit = Callable[[Any], Any]

_KINDS: dict[type[inspect.Type], Kind] = {
    inspect.StrType: "text",
    inspect.IntType: "int",
    inspect.BoolType: "bool",
    inspect.DateTimeType: "time",
    inspect.ListType: "list",
    inspect.DictType: "map",
    inspect.StructType: "map",
}
ACCEPTS: dict[Kind, frozenset[Kind]] = {
    "text": frozenset({"text", "int", "any"}),
    "int": frozenset({"int", "any"}),
    "bool": frozenset({"bool", "any"}),
    "time": frozenset({"time", "text", "any"}),
    "list": frozenset({"list", "any"}),
    "map": frozenset({"map", "any"}),
    "any": frozenset({"bool", "int", "text", "time", "list", "map", "any"}),
}
"""What a field takes -> what an expression for it may give. Whole numbers become text where text is wanted."""
WORDS: dict[Kind, str] = {
    "any": "anything",
    "bool": "true or false",
    "int": "a whole number",
    "text": "text",
    "time": "a time",
    "list": "a list",
    "map": "an object",
    "null": "null",
    "other": "a decimal number, bytes, duration or type",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a model.

    Attributes:
        kind: what it takes.
        required: the model has no default for it.
        fields: by name, where it is an object with fixed keys.
        item: of each item, where it is a list of such objects.
        type: msgspec's description.
    """

    kind: Kind
    required: bool
    fields: dict[str, Field] | None
    item: dict[str, Field] | None
    type: inspect.Type


@cache
def fields_of(model: type[msgspec.Struct]) -> dict[str, Field]:
    """Return the fields of a model by name."""
    described = inspect.type_info(model)
    assert isinstance(described, inspect.StructType)
    return _fields(described)


def value_of(wanted: Field) -> Field:
    """Return what a value under a free key takes: the type of a dict's values, or anything."""
    inner = wanted.type.value_type if isinstance(wanted.type, inspect.DictType) else inspect.AnyType()
    return Field(_KINDS.get(type(inner), "any"), required=False, fields=None, item=None, type=inner)


def fitting(wanted: inspect.Type, optional: AbstractSet[str], path: str) -> Fit | None:
    """Return what turns a value into what msgspec takes for this type, or None where nothing is to be done.

    Whole numbers become text, ISO text becomes an aware time, and null is left out of objects in lists where
    `optional` has the path ("order.lines.sku").
    """
    wanted = _not_null(wanted)
    match wanted:
        case inspect.StrType():
            return _text
        case inspect.DateTimeType():
            return _time
        case inspect.ListType():
            item = fitting(wanted.item_type, optional, path)
            return item and (lambda value: [item(one) for one in value] if isinstance(value, list) else value)
        case inspect.DictType():
            inner = fitting(wanted.value_type, optional, path)
            return inner and (lambda value: _each(value, inner) if isinstance(value, dict) else value)
        case inspect.StructType():
            inners = {
                f.encode_name: fitting(f.type, optional, f"{path}.{f.encode_name}") for f in wanted.fields
            }
            droppable = frozenset(name for name in inners if f"{path}.{name}" in optional)
            return lambda value: _struct(value, inners, droppable) if isinstance(value, dict) else value
    return None


def _fields(described: inspect.StructType) -> dict[str, Field]:
    return {field.encode_name: _field(field) for field in described.fields}


def _field(field: inspect.Field) -> Field:
    wanted = _not_null(field.type)
    item = wanted.item_type if isinstance(wanted, inspect.ListType) else None
    return Field(
        kind=_KINDS.get(type(wanted), "any"),
        required=field.required,
        fields=_fields(wanted) if isinstance(wanted, inspect.StructType) else None,
        item=_fields(item) if isinstance(item, inspect.StructType) else None,
        type=wanted,
    )


def _not_null(wanted: inspect.Type) -> inspect.Type:
    """Return the type inside `X | None`: null is absence here, and absence is not written."""
    if isinstance(wanted, inspect.UnionType):
        rest = [one for one in wanted.types if not isinstance(one, inspect.NoneType)]
        if len(rest) == 1:
            return rest[0]
    return wanted


def _text(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _time(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(
                f"{value[:40]!r} is not ISO 8601; Unix times need unix(...) or unix_ms(...)"
            ) from None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()!r} has no offset from UTC (such as Z or +02:00)")
    elif type(value) is int:
        raise ValueError("a number is no time: use unix(...) for seconds, unix_ms(...) for milliseconds")
    try:
        return value.astimezone(UTC) if isinstance(value, datetime) else value
    except OverflowError:
        raise ValueError(f"{value.isoformat()!r} is beyond the years 1 to 9999") from None


def _each(value: dict[str, Any], inner: Fit) -> dict[str, Any]:
    return {key: inner(one) for key, one in value.items()}


def _struct(
    value: dict[str, Any], inners: dict[str, Fit | None], droppable: frozenset[str]
) -> dict[str, Any]:
    fitted = {}
    for key, one in value.items():
        if one is None and key in droppable:
            continue
        fit = inners.get(key)
        fitted[key] = fit(one) if fit and one is not None else one
    return fitted
