"""Expressions as functions of Python, which take a quarter of the library's time.

The library decides what an expression is (its tree is what is translated) and what it gives whenever there is any
doubt: a function gives the very value that the library would, or `Unsure`, or any other exception, and then the library
is asked. So only what goes well has to be known here, and no message is ever made here. Each operation says what it is
sure of; whatever is not in the tables below is not translated at all. Tests hold both against each other over every
mapping file and over expressions and values made up at random.

    quick = translator(FUNCTIONS).translate(program.serialize())     # None: this one is for the library
    quick({"payload": {"id": 7}})                                    # the value; any exception: ask the library
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from hub.expressions.checked import (
    Call,
    Constant,
    ListOf,
    Loop,
    MapOf,
    Name,
    Node,
    NotRead,
    Select,
    tree_of,
)
from hub.expressions.functions import Function

Quick = Callable[[Mapping[str, Any]], Any]

_SCALARS = (bool, int, str, datetime, None)
LEAST, MOST = -(1 << 63), (1 << 63) - 1
"""The library's integers."""
MOST_ITEMS = 10_000
"""All loops of one evaluation go through no more; the library bounds them too, and says so."""
MOST_MATCHED = 200
"""Characters of a text held against a pattern; RE2 does longer ones in less time."""
_SIMPLE_PATTERN = re.compile(
    r"\^?(?:\((?:[\w-]+\|)*[\w-]+\)|(?:[\w-]|\[(?:\w-\w|[\w-])+\])(?:[*+?]|\{[0-9]{1,2}(?:,[0-9]{1,2})?\})?)*\$?",
    re.ASCII,
)


class Unsure(Exception):
    """Here it is not known what the library gives."""


class Absent:
    """Stands for an optional without a value."""


ABSENT = Absent()


class Translator:
    """Translates the expressions that may call certain functions."""

    def __init__(self, functions: Sequence[Function]) -> None:
        self._scope: dict[str, Any] = dict(_SCOPE)
        self._own: dict[tuple[str, int], tuple[str, Any]] = {}
        overloads: dict[tuple[str, int], list[Function]] = {}
        for function in functions:
            overloads.setdefault((function.name, len(function.parameters)), []).append(function)
        for (name, count), several in overloads.items():
            (returned, *others) = {function.returns for function in several}
            if not others and returned in _RETURNS:
                made, (kind, sure) = f"call_{name}_{count}", _RETURNS[returned]
                self._scope[made] = _dispatcher(several, kind)
                self._own[name, count] = made, sure

    def translate(self, serialized: bytes) -> Quick | None:
        """Return a function of the variables that gives what an expression does; None where it cannot be had.

        The function raises whatever it likes where it is not sure.
        """
        made: dict[str, Callable[[Sequence[Any]], Quick]] = {}
        try:
            writer = _Writer(self._own)
            body = writer.function(tree_of(serialized))
            # Every word in it is written below; the admin's names and texts stand in it by their repr.
            exec(compile(body, "<expression>", "exec"), self._scope, made)  # noqa: S102
        except (NotRead, SyntaxError, RecursionError, MemoryError):
            return None
        return made["quick"](writer.patterns)


@lru_cache(16)
def translator(functions: tuple[Function, ...]) -> Translator:
    """Return the translator for these functions."""
    return Translator(functions)


class _Code(NamedTuple):
    """Python for a value, and its type as far as it is sure; None for null, `Absent` for an optional."""

    text: str
    type: Any = object


class _Writer:
    """Writes one expression."""

    def __init__(self, own: Mapping[tuple[str, int], tuple[str, Any]]) -> None:
        self.patterns: list[Callable[[Any], bool]] = []
        self._own = own
        self._loops = False
        self._names: dict[str, str] = {}  # of the expression -> of Python
        self._made = 0
        self._free: dict[str, str] = {}

    def function(self, tree: Node) -> str:
        lines: list[str] = []
        while (bound := _binding(tree)) is not None:  # each is evaluated once, and first
            name, value, inner = bound
            if _reads(inner, name):
                code = self._of(value)
                self._names[name] = self._new()
                lines.append(f"{self._names[name]} = {code.text}")
            tree = inner
        lines.append(f"return {self._result(tree)}")
        first = [f"{made} = values[{name!r}]" for name, made in self._free.items()]
        if self._loops:
            first.append("seen = [0]")
        body = "\n  ".join([*first, *lines])
        return f"def quick(patterns):\n def evaluate(values):\n  {body}\n return evaluate"

    def _new(self) -> str:
        self._made += 1
        return f"v{self._made}"

    # --- results: new, and nothing in them but what JSON has, and times ----------------------------------------

    def _result(self, node: Node) -> str:
        match node:
            case ListOf(items):
                return f"[{', '.join(map(self._result, items))}]"
            case MapOf(entries):
                return self._map(entries, self._result)
            case Call("_?_:_", None, (condition, one, other)):
                return f"({self._result(one)} if {self._truth(condition)} else {self._result(other)})"
        if isinstance(node, Loop) and (each := _mapping(node)) is not None:
            return self._each(node, self._result, each)
        code = self._of(node)
        if code.type is Absent:
            raise NotRead("an optional as a result")
        return code.text if code.type in _SCALARS else f"plain({code.text})"

    # --- values ------------------------------------------------------------------------------------------------

    def _of(self, node: Node) -> _Code:
        match node:
            case Constant(value):
                return _Code(repr(value), None if value is None else type(value))
            case Name(name):
                if name not in self._names:
                    self._names[name] = self._free[name] = self._new()
                return _Code(self._names[name])
            case Select(operand, field, True):
                return _Code(f"has({self._value(operand).text}, {field!r})", bool)
            case Select(operand, field, False):
                held = self._of(operand)
                if held.type is Absent:
                    return _Code(f"optional({held.text}, {field!r})", Absent)
                return _Code(f"{held.text}[{field!r}]")
            case ListOf(items):
                return _Code(f"[{', '.join(self._value(item).text for item in items)}]", list)
            case MapOf(entries):
                return _Code(self._map(entries, lambda item: self._value(item).text), dict)
            case Loop():
                return self._loop(node)
            case Call(function, target, args):
                return self._call(function, (target, *args) if target is not None else args)
        raise NotRead(f"{node}")

    def _value(self, node: Node) -> _Code:
        code = self._of(node)
        if code.type is Absent:
            raise NotRead("an optional where a value is wanted")
        return code

    def _truth(self, node: Node) -> str:
        code = self._value(node)
        return code.text if code.type is bool else f"true({code.text})"

    def _map(self, entries: Sequence[tuple[Node, Node]], write: Callable[[Node], str]) -> str:
        keys = [key.value for key, _ in entries if isinstance(key, Constant) and isinstance(key.value, str)]
        if len(set(keys)) < len(entries):
            raise NotRead("keys that are worked out, or are no text, or come twice")
        return f"{{{', '.join(f'{key!r}: {write(item)}' for key, (_, item) in zip(keys, entries, strict=True))}}}"

    # --- loops: what the macros write, read back -----------------------------------------------------------------

    def _loop(self, node: Loop) -> _Code:
        self._loops = True
        if (bound := _binding(node)) is not None:
            name, value, inner = bound
            given = self._of(value)
            text = self._inner(name, lambda made: f"(lambda {made}: {self._value(inner).text})")
            return _Code(f"{text}({given.text})")
        if (each := _mapping(node)) is not None:
            return _Code(self._each(node, lambda item: self._value(item).text, each), list)
        match node.start, node.step:
            case Constant(True), Call("_&&_", None, (Name(name), test)) if name == node.accumulator:
                word = "all"
            case Constant(False), Call("_||_", None, (Name(name), test)) if name == node.accumulator:
                word = "any"
            case _:
                raise NotRead("a macro of another kind")
        if node.result != Name(node.accumulator):
            raise NotRead("a macro of another kind")
        over = self._value(node.over).text
        inner_text = self._inner(
            node.item, lambda made: f"{self._truth(test)} for {made} in items({over}, seen)"
        )
        return _Code(f"{word}({inner_text})", bool)

    def _each(self, node: Loop, write: Callable[[Node], str], each: tuple[Node, Node | None]) -> str:
        self._loops = True
        item, test = each
        over = self._value(node.over).text

        def inner(made: str) -> str:
            condition = f" if {self._truth(test)}" if test is not None else ""
            return f"[{write(item)} for {made} in items({over}, seen){condition}]"

        return self._inner(node.item, inner)

    def _inner(self, name: str, write: Callable[[str], str]) -> str:
        """Write what has a variable of its own."""
        hidden = self._names.get(name)
        made = self._names[name] = self._new()
        text = write(made)
        if hidden is None:
            del self._names[name]
        else:
            self._names[name] = hidden
        return text

    # --- calls ---------------------------------------------------------------------------------------------------

    def _call(self, function: str, args: Sequence[Node]) -> _Code:
        match function, args:
            case "_&&_", (one, other):
                return _Code(f"({self._truth(one)} and {self._truth(other)})", bool)
            case "_||_", (one, other):
                return _Code(f"({self._truth(one)} or {self._truth(other)})", bool)
            case "!_", (one,):
                return _Code(f"(not {self._truth(one)})", bool)
            case "_?_:_", (condition, one, other):
                then, otherwise = self._value(one), self._value(other)
                kind = then.type if then.type is otherwise.type else object
                return _Code(f"({then.text} if {self._truth(condition)} else {otherwise.text})", kind)
            case "_==_", (one, other):
                return _Code(self._equal(one, other), bool)
            case "_!=_", (one, other):
                return _Code(f"(not {self._equal(one, other)})", bool)
            case "_?._", (operand, Constant(str(field))):
                return _Code(f"optional({self._of(operand).text}, {field!r})", Absent)
            case "orValue", (operand, otherwise_):
                return _Code(self._value_or(operand, self._value(otherwise_).text))
            case "hasValue", (operand,):
                held = self._of(operand)
                if held.type is Absent:
                    return _Code(f"({held.text} is not ABSENT)", bool)
            case "dyn", (operand,):
                return self._of(operand)
            case "matches", (one, Constant(str(pattern))):
                self.patterns.append(_matcher(pattern))
                return _Code(f"patterns[{len(self.patterns) - 1}]({self._value(one).text})", bool)
            case "@in", (one, ListOf(items)) if items and all(_plain_text(item) for item in items):
                words = ", ".join(self._of(item).text for item in items)
                return _Code(f"among({self._value(one).text}, ({words},))", bool)
        codes = [self._value(arg) for arg in args]
        given = ", ".join(code.text for code in codes)
        types = tuple(code.type for code in codes)
        if function == "_+_" and types == (str, str):
            return _Code(f"({codes[0].text} + {codes[1].text})", str)
        if function in _ORDER:
            name, operator, swapped = _ORDER[function]
            if types == (int, int):
                return _Code(f"({codes[0].text} {operator} {codes[1].text})", bool)
            ordered = ", ".join(code.text for code in (reversed(codes) if swapped else codes))
            return _Code(f"{name}({ordered})", bool)
        if (known := _CALLS.get((function, len(args))) or self._own.get((function, len(args)))) is not None:
            name, kind = known
            return _Code(f"{name}({given})", int if kind is object and types == (int, int) else kind)
        raise NotRead(function)

    def _value_or(self, operand: Node, otherwise: str) -> str:
        match operand:
            case Call("_?._", None, (inner, Constant(str(field)))):
                held = self._of(inner)
                if held.type is not Absent:  # of all that a payload can hold only maps have a `get`
                    return f"{held.text}.get({field!r}, {otherwise})"
                return f"value_or(optional({held.text}, {field!r}), {otherwise})"
        held = self._of(operand)
        if held.type is not Absent:
            raise NotRead("orValue of another kind")
        return f"value_or({held.text}, {otherwise})"

    def _equal(self, one: Node, other: Node) -> str:
        if isinstance(one, Constant) and isinstance(other, Constant):
            raise NotRead("literals against each other")
        left, right = self._value(one).text, self._value(other).text
        for node, text, against in ((one, left, right), (other, right, left)):
            match node:
                case Constant(None) | Constant(bool()):
                    return f"({against} is {text})"
                case _ if _plain_text(node):
                    return f"({against} == {text})"
                case MapOf(()) | ListOf(()):
                    return f"({against} == {text})"
        return f"equal({left}, {right})"


def _binding(node: Node) -> tuple[str, Node, Node] | None:
    """Return what `cel.bind(name, value, inner)` became: a loop through nothing, which never runs."""
    match node:
        case Loop("#unused", ListOf(()), name, value, Constant(False), Name(again), inner) if again == name:
            return name, value, inner
    return None


def _mapping(node: Loop) -> tuple[Node, Node | None] | None:
    """Return (item, condition) of what `map` and `filter` became."""
    if node.start != ListOf(()) or node.result != Name(node.accumulator) or node.condition != Constant(True):
        return None
    match node.step:
        case Call("_+_", None, (Name(name), ListOf((item,)))) if name == node.accumulator:
            return item, None
        case Call("_?_:_", None, (test, Call("_+_", None, (Name(name), ListOf((item,)))), Name(same))):
            return (item, test) if name == same == node.accumulator else None
    return None


def _reads(node: object, name: str) -> bool:
    """Return whether a name is read anywhere below; a variable of the same name further in counts too."""
    if isinstance(node, Name):
        return node.name == name
    if isinstance(node, tuple):
        return any(_reads(inner, name) for inner in node)
    if isinstance(node, Select | Call | ListOf | MapOf | Loop):
        return any(_reads(getattr(node, slot), name) for slot in node.__slots__)
    return False


def _plain_text(node: Node) -> bool:
    """Return whether it is a text that equals itself alone: an integer beyond 64 bits is a text to the library."""
    return (
        isinstance(node, Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"-?[0-9]{19,}", node.value) is None
    )


# --- what the functions call: each is sure, or raises ------------------------------------------------------------


def _true(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise Unsure


def _has(held: Any, key: str) -> bool:
    if type(held) is dict:
        return key in held
    raise Unsure


def _optional(held: Any, key: str) -> Any:
    if type(held) is dict:
        return held.get(key, ABSENT)
    if held is ABSENT:
        return held
    raise Unsure


def _value_or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is ABSENT else value


def _equal(one: Any, other: Any) -> bool:
    kind = type(one)
    if kind is str or kind is bool or one is None:
        if type(other) is int:
            _small(other)
        return kind is type(other) and bool(one == other)
    if kind is int:
        _small(one)
        if type(other) is int:
            return bool(one == _small(other))
        if other is None or type(other) in (str, bool, list, dict):
            return False
    raise Unsure


def _among(value: Any, words: tuple[str, ...]) -> bool:
    return type(value) is str and value in words


def _in(value: Any, many: Any) -> bool:
    if type(many) is dict and type(value) is str:
        return value in many
    if type(many) is list:
        return any(_equal(value, one) for one in many)
    raise Unsure


def _index(held: Any, key: Any) -> Any:
    if type(held) is dict and type(key) is str:
        return held[key]
    if type(held) is list and type(key) is int and key >= 0:
        return held[key]
    raise Unsure


def _items(many: Any, seen: list[int]) -> list[Any]:
    if type(many) is not list:
        raise Unsure
    seen[0] += len(many)
    if seen[0] > MOST_ITEMS:
        raise Unsure
    return many


def _small(number: int) -> int:
    if LEAST <= number <= MOST:
        return number
    raise Unsure


def _alike(one: Any, other: Any) -> type:
    """Return the type of two values, which are both whole numbers that the library can have, or both text."""
    kind = type(one)
    if kind is not type(other):
        raise Unsure
    if kind is int:
        _small(one), _small(other)
        return kind
    if kind is str:
        return kind
    raise Unsure


def _add(one: Any, other: Any) -> Any:
    if type(one) is list and type(other) is list:
        return one + other
    return _small(one + other) if _alike(one, other) is int else one + other


def _subtract(one: Any, other: Any) -> int:
    return _small(_whole(one) - _whole(other))


def _multiply(one: Any, other: Any) -> int:
    return _small(_whole(one) * _whole(other))


def _divide(one: Any, other: Any) -> int:
    if _whole(one) < 0 or _whole(other) <= 0:  # the library rounds towards zero
        raise Unsure
    return int(one // other)


def _remainder(one: Any, other: Any) -> int:
    if _whole(one) < 0 or _whole(other) <= 0:
        raise Unsure
    return int(one % other)


def _negative(one: Any) -> int:
    return _small(-_whole(one))


def _whole(value: Any) -> int:
    if type(value) is int:
        return _small(value)
    raise Unsure


def _less(one: Any, other: Any) -> bool:
    _alike(one, other)
    return bool(one < other)


def _less_or_equal(one: Any, other: Any) -> bool:
    _alike(one, other)
    return bool(one <= other)


def _size(value: Any) -> int:
    if type(value) in (str, list, dict):
        return len(value)
    raise Unsure


def _string(value: Any) -> str:
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    if type(value) is bool:
        return "true" if value else "false"
    raise Unsure


def _int(value: Any) -> int:
    if type(value) is str and re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII):
        return int(value)
    return _whole(value)


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    raise Unsure


def _starts_with(value: Any, start: Any) -> bool:
    return _text(value).startswith(_text(start))


def _ends_with(value: Any, end: Any) -> bool:
    return _text(value).endswith(_text(end))


def _contains(value: Any, part: Any) -> bool:
    return _text(part) in _text(value)


def _split(value: Any, by: Any) -> list[str]:
    return _text(value).split(_text(by))


def _join(words: Any, between: Any = "") -> str:
    if type(words) is not list:
        raise Unsure
    return _text(between).join([_text(word) for word in words])


def _replace(value: Any, old: Any, new: Any) -> str:
    if not _text(old):
        raise Unsure
    return _text(value).replace(old, _text(new))


def _trim(value: Any) -> str:
    if not _text(value).isascii():  # what counts as white space differs beyond
        raise Unsure
    return str(value.strip(" \t\n\v\f\r"))


def _matcher(pattern: str) -> Callable[[Any], bool]:
    """Return what `matches` does for a pattern that means the same to RE2 and here, and takes little time in both."""
    if not _SIMPLE_PATTERN.fullmatch(pattern):
        raise NotRead("a pattern of another kind")
    found = re.compile(pattern.replace("$", r"\Z"))

    def matches(value: Any) -> bool:
        if len(_text(value)) > MOST_MATCHED or not value.isascii():
            raise Unsure
        return found.search(value) is not None

    return matches


def _encodable(text: str) -> str:
    if not text.isascii():
        text.encode()  # half a surrogate pair is no text to the library
    return text


def _in_utc(at: datetime) -> datetime:
    if at.tzinfo is UTC and MINYEAR < at.year < MAXYEAR:
        return at
    raise Unsure


def _plain(value: Any) -> Any:
    """Return a value as a result: new lists and maps, and nothing in them that the library would read otherwise."""
    kind = type(value)
    if kind is str:
        return _encodable(value)
    if kind is bool or value is None:
        return value
    if kind is int:
        return _small(value)
    if kind is list:
        return [_plain(inner) for inner in value]
    if kind is dict:
        return {_text(key): _plain(inner) for key, inner in value.items()}
    raise Unsure


def _dispatcher(overloads: Sequence[Function], result: type) -> Callable[..., Any]:
    """Return a function that calls the overload which fits its arguments."""
    sure = _SURE[result]
    table = {tuple(map(_parameter, function.parameters)): function.call for function in overloads}

    def call(*given: Any) -> Any:
        types = tuple(map(type, given))
        found = table[types]
        if int in types:
            for one in given:
                if type(one) is int:
                    _small(one)
        returned: Any = found(*given)
        if type(returned) is not result:
            raise Unsure
        return sure(returned)

    def call_with_one(one: Any) -> Any:
        kind = type(one)
        found = alone[kind]
        returned: Any = found(_small(one) if kind is int else one)
        if type(returned) is not result:
            raise Unsure
        return sure(returned)

    def call_with_two(one: Any, other: Any) -> Any:
        kinds = kind, kind_of_other = type(one), type(other)
        found = table[kinds]
        if kind is int:
            _small(one)
        if kind_of_other is int:
            _small(other)
        returned: Any = found(one, other)
        if type(returned) is not result:
            raise Unsure
        return sure(returned)

    alone = {types[0]: function for types, function in table.items() if len(types) == 1}
    by_count: dict[int, Callable[..., Any]] = {1: call_with_one, 2: call_with_two}
    return by_count.get(len(next(iter(table))), call)


def _parameter(kind: str) -> type:
    return _PARAMETERS.get(kind.partition("<")[0], Unsure)  # which no argument is


_PARAMETERS: dict[str, type] = {"string": str, "int": int, "bool": bool, "list": list, "map": dict}
_SURE: dict[type, Callable[[Any], Any]] = {
    str: _encodable,
    int: _small,
    bool: bool,
    datetime: _in_utc,
}
_RETURNS: dict[str, tuple[type, Any]] = {
    "string": (str, str),
    "int": (int, int),
    "bool": (bool, bool),
    "timestamp": (datetime, datetime),
}
"""What a function returns -> the type of what Python calls, and what is sure of it then."""

_ORDER = {
    "_<_": ("less", "<", False),
    "_<=_": ("less_or_equal", "<=", False),
    "_>_": ("less", ">", True),
    "_>=_": ("less_or_equal", ">=", True),
}
"""Operator -> its function, Python's own, and whether the function takes them the other way round."""
_CALLS: dict[tuple[str, int], tuple[str, Any]] = {
    ("_+_", 2): ("add", object),
    ("_-_", 2): ("subtract", int),
    ("_*_", 2): ("multiply", int),
    ("_/_", 2): ("divide", int),
    ("_%_", 2): ("remainder", int),
    ("-_", 1): ("negative", int),
    ("@in", 2): ("within", bool),
    ("_[_]", 2): ("index", object),
    ("size", 1): ("size", int),
    ("string", 1): ("string", str),
    ("int", 1): ("whole_of", int),
    ("startsWith", 2): ("starts_with", bool),
    ("endsWith", 2): ("ends_with", bool),
    ("contains", 2): ("contains", bool),
    ("split", 2): ("split", list),
    ("join", 1): ("join", str),
    ("join", 2): ("join", str),
    ("trim", 1): ("trim", str),
    ("replace", 3): ("replace", str),
}
"""(function, number of arguments, a method's target among them) -> what is called, and what is sure of the result."""
_SCOPE: dict[str, Any] = {
    "ABSENT": ABSENT,
    "true": _true,
    "has": _has,
    "optional": _optional,
    "value_or": _value_or,
    "equal": _equal,
    "among": _among,
    "within": _in,
    "index": _index,
    "items": _items,
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "remainder": _remainder,
    "negative": _negative,
    "less": _less,
    "less_or_equal": _less_or_equal,
    "size": _size,
    "string": _string,
    "whole_of": _int,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "contains": _contains,
    "split": _split,
    "join": _join,
    "replace": _replace,
    "trim": _trim,
    "plain": _plain,
}
