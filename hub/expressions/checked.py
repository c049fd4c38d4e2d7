"""What the library makes of an expression, as a tree: parsed, its macros written out, its calls resolved.

The library hands its tree out as the bytes of a message (CheckedExpr, in google/api/expr's checked.proto and
syntax.proto). They are read here by the rules of that format alone, for a reader made from those files would take
more memory than an idle hub has to spare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal: None, bool, int or str."""

    value: bool | int | str | None


@dataclass(frozen=True, slots=True)
class Name:
    """A variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`; of `has(operand.field)` only whether it is there."""

    operand: Node
    field: str
    test_only: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operator; what stands before the dot of a method is its `target`."""

    function: str
    target: Node | None
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`"""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    """`{'a': b}`"""

    entries: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """What macros become: `result`, after `accumulator` went through `step` for each `item` of `over`."""

    item: str
    over: Node
    accumulator: str
    start: Node
    condition: Node
    step: Node
    result: Node


Node: TypeAlias = Constant | Name | Select | Call | ListOf | MapOf | Loop


class NotRead(Exception):
    """The tree holds something that is not read here."""


def tree_of(serialized: bytes) -> Node:
    """Return the tree of a serialized expression: the bytes of an Any that holds a CheckedExpr.

    Raises:
        NotRead: it has a kind of node or literal of which nothing is known here.
    """
    return _node(_one(_message(_one(_message(serialized), 2)), 4))


Fields = Mapping[int, Sequence[Any]]
"""Field number -> its values in order: whole numbers, or bytes."""


def _node(raw: bytes) -> Node:
    fields = _message(raw)
    kinds = fields.keys() & _NODES.keys()
    if len(kinds) != 1:
        raise NotRead(f"a node with fields {sorted(fields)}")
    kind = kinds.pop()
    return _NODES[kind](_message(_one(fields, kind)))


def _constant(fields: Fields) -> Node:
    ((kind, values),) = fields.items() if fields else ((1, [0]),)
    value: Any = values[-1]
    match kind:
        case 1:
            return Constant(None)
        case 2:
            return Constant(bool(value))
        case 3:
            return Constant(value - (1 << 64) if value >= 1 << 63 else value)
        case 6:
            return Constant(value.decode())
    raise NotRead(f"a literal of kind {kind}")


def _name(fields: Fields) -> Node:
    return Name(_text(fields, 1))


def _select(fields: Fields) -> Node:
    return Select(_node(_one(fields, 1)), _text(fields, 2), bool(fields.get(3, [0])[-1]))


def _call(fields: Fields) -> Node:
    target = _node(fields[1][-1]) if 1 in fields else None
    return Call(_text(fields, 2), target, tuple(map(_node, fields.get(3, ()))))


def _list(fields: Fields) -> Node:
    if 2 in fields:
        raise NotRead("optional items")
    return ListOf(tuple(map(_node, fields.get(1, ()))))


def _map(fields: Fields) -> Node:
    entries = [_message(entry) for entry in fields.get(2, ())]
    if 1 in fields or any(5 in entry or 3 not in entry for entry in entries):
        raise NotRead("an object of a type of its own, or optional entries")
    return MapOf(tuple((_node(_one(entry, 3)), _node(_one(entry, 4))) for entry in entries))


def _loop(fields: Fields) -> Node:
    if 8 in fields:
        raise NotRead("a loop with two variables")
    over, start, condition, step, result = (_node(_one(fields, number)) for number in (2, 4, 5, 6, 7))
    return Loop(_text(fields, 1), over, _text(fields, 3), start, condition, step, result)


_NODES = {3: _constant, 4: _name, 5: _select, 6: _call, 7: _list, 8: _map, 9: _loop}


def _message(raw: bytes) -> Fields:
    fields: dict[int, list[Any]] = {}
    for number, value in _fields(raw):
        fields.setdefault(number, []).append(value)
    return fields


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Yield field number and value of each field of a message, by the rules of protocol buffers."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(raw, at)
            yield number, value
        elif wire in (1, 2):
            length, at = _varint(raw, at) if wire == 2 else (8, at)
            yield number, raw[at : at + length]
            at += length
        else:
            raise NotRead(f"wire type {wire}")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _one(fields: Fields, number: int) -> bytes:
    """Return a part that has to be there; an empty message may be left out."""
    value = fields.get(number, [b""])[-1]
    if not isinstance(value, bytes):
        raise NotRead(f"field {number} is no message")
    return value


def _text(fields: Fields, number: int) -> str:
    return _one(fields, number).decode()
