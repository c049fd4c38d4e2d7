"""CEL expressions: compiled once when a file is loaded, evaluated for every event. Alone in importing the CEL library.

    env = Environment({"payload": "dyn", "points": "int"})
    net = env.compile("money(payload.total, payload.currency)")   # ExpressionError: message, line, column
    net.evaluate(env.activation({"payload": {...}, "points": 3})) # ExpressionError: a sentence; absent?

Expressions and environments may be shared by threads; an activation belongs to the thread that made it.

The library bounds hostile input itself: 32 levels of nesting, 100,000 characters, 10,000 iterations of a
comprehension, regular expressions by RE2 (cel-expr-python 0.1.3, measured 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any, Literal

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_optional, ext_strings

from hub import cel_mended
from hub.money import to_minor, to_minor_rounded
from hub.sdk.errors import HubError
from hub.yamlfile import did_you_mean

cel_mended.keep_none()

Kind = Literal["any", "bool", "int", "text", "time", "list", "map", "null", "other"]
"""What an expression gives, as far as it shows before any event is there."""

_KINDS: dict[str, Kind] = {
    "DYN": "any",
    "BOOL": "bool",
    "INT": "int",
    "UINT": "int",
    "STRING": "text",
    "TIMESTAMP": "time",
    "LIST": "list",
    "MAP": "map",
    "NULL": "null",
}
_ERROR = cel.Type.ERROR
_NULL = cel.Type.NULL
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ExpressionError(HubError):
    """An expression could not be compiled, or not be evaluated.

    Attributes:
        line, column: in the expression, from 1; 0 where the fault has no place (at evaluation).
        fix: the next step; empty when the message says it.
        absent: what the expression reads is not there: a missing key, null, or an index beyond the end.
    """

    def __init__(
        self, message: str, line: int = 0, column: int = 0, *, fix: str = "", absent: bool = False
    ) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.fix = fix
        self.absent = absent


@dataclass(frozen=True, slots=True)
class Function:
    """A function for expressions; several of one name are its overloads.

    Attributes:
        parameters: CEL types: "string", "int", "bool", "timestamp", "list<int>", "map<string, dyn>". Never "dyn" itself:
            a function with it is not found for a string at run time (seen 2026-11).
        returns: a CEL type; None may not be returned.
        call: pure and quick. What a ValueError or TypeError says is shown to the admin.
    """

    name: str
    parameters: Sequence[str]
    returns: str
    call: Callable[..., Any]


class _Nothing:
    """Stands in `Expression.reads` for what is not there."""

    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()


class Environment:
    """The names and functions that expressions of one kind of file may use.

    Args:
        variables: name to CEL type ("dyn" for payloads).
        functions: on top of FUNCTIONS.
        keys: the keys of variables that have a fixed set of them: any other is refused when compiling.
    """

    def __init__(
        self,
        variables: Mapping[str, str],
        functions: Sequence[Function] = (),
        keys: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.functions = (*FUNCTIONS, *functions)
        self.keys = keys or {}
        self.names = frozenset(variables)
        self._bindings: tuple[tuple[str, str], ...] = ()
        self._cel = cel.NewEnv(
            variables={name: _type(kind) for name, kind in variables.items()},
            extensions=[ext_optional.ExtOptional(), ext_strings.ExtStrings(), ext_bindings.ExtBindings()],
            functions=_declarations(self.functions),
        )

    def let(self, name: str, text: str) -> Environment:
        """Return an environment in which `name` stands for an expression, evaluated when it is first used.

        Raises:
            ExpressionError: in `text`, or the name cannot be used.
        """
        if not re.fullmatch(r"[a-z]\w*", name, re.ASCII) or name in self.names:
            raise ExpressionError(
                f"{name!r} cannot be a name here: lower-case letters and digits, not yet taken"
            )
        self.compile(text)
        inner = object.__new__(Environment)
        inner.__dict__.update(self.__dict__)
        inner._bindings = (*self._bindings, (name, text))
        inner.names = self.names | {name}
        return inner

    def compile(self, text: str) -> Expression:
        """Return a compiled expression. One that gives an optional gives its value, or null for none.

        Raises:
            ExpressionError: with line and column in `text`.
        """
        source = f"\n{text}\n"
        program = self._program(source, text)
        kind = program.return_type().name()
        if kind.startswith("optional_type"):
            source = f"(\n{text}\n).orValue(dyn(null))"
            program = self._program(source, text)
            kind = "DYN"
        for path in _paths(text, self.names):
            name, _, key = path.partition(".")
            fixed = self.keys.get(name)
            key = key.partition(".")[0]
            if fixed and key and key not in fixed:
                place = _place(text, f"{name}.{key}")
                raise ExpressionError(f"{name} has no {key!r}", *place, fix=did_you_mean(key, fixed))
        return Expression(text, _KINDS.get(kind.partition("<")[0], "other"), self, source, program)

    def keys_read(self, variable: str, expressions: Iterable[Expression]) -> frozenset[str] | None:
        """Return the first keys below a variable that these expressions may read; None: it may be any."""
        whole = {variable}  # and the names that stand for it
        texts = [expression.text for expression in expressions]
        for name, text in self._bindings:
            if text.strip() in whole:
                whole.add(name)
            else:
                texts.append(text)
        keys: set[str] = set()
        for path in (path for text in texts for path in _paths(text, self.names)):
            root, _, rest = path.partition(".")
            if root in whole and not rest:
                return None
            if root in whole:
                keys.add(rest.partition(".")[0])
        return frozenset(keys)

    def shape_read(self, variable: str, expressions: Iterable[Expression]) -> Shape:
        """Return the parts below a variable that these expressions may read, through lists and names for it too.

        It is read off the text and rather says too much: where a list itself is handed on, all of it is read.
        """
        texts = [expression.text for expression in expressions]
        names = {variable: variable}
        for name, text in self._bindings:
            if (path := text.strip().replace("?", "")) and _PURE_PATH.fullmatch(path):
                names[name] = path
            else:
                texts.append(text)
        shape: dict[str, Shape] = {}
        for text in texts:
            bare = _LITERAL.sub("''", text)
            items = dict.fromkeys(_ITEM.findall(bare))
            if items.keys() & {*self.names, *names}:
                return None  # an item hides a name: whose keys are whose cannot be told
            if not _note(shape, bare, names, variable):
                return None
        return shape

    def bundle(self, expressions: Mapping[str, Expression]) -> Bundle:
        """Return expressions of this environment to be evaluated together."""
        return Bundle(self, expressions)

    def activation(self, values: Mapping[str, Any]) -> Activation:
        """Return the values of all variables for one event: plain dicts, lists and scalars, no datetimes."""
        return Activation(self._cel, values)

    def _program(self, source: str, text: str) -> Any:
        opening = "".join(f"cel.bind({name}, (\n{bound}\n)," for name, bound in self._bindings)
        try:
            return self._cel.compile(f"{opening}{source}{')' * len(self._bindings)}")
        except RuntimeError as error:
            raise self._explained(str(error), text, opening.count("\n") + 1) from error

    def _explained(self, said: str, text: str, lines_before: int) -> ExpressionError:
        first = re.search(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)", said)
        if first is None:
            return ExpressionError(_clean(said.removesuffix("]").rpartition(" [")[0]))
        line, column, message = int(first[1]) - lines_before, int(first[2]), first[3]
        lines = text.count("\n") + 1
        if line > lines:  # what is missing at the end shows only behind it
            line, column = lines, len(text.splitlines()[-1]) + 1 if text.strip() else 1
        place = (line, column) if line > 0 else (0, 0)
        if undeclared := re.match(r"undeclared reference to '([^'.]+)", message):
            name = undeclared[1]
            place = _place(text, name) if name in text else place
            takes = _signatures(self.functions, name)
            if takes:
                return ExpressionError(f"{name} takes {takes}", *place)
            known = {*self.names, *_BUILT_IN, *(function.name for function in self.functions)}
            return ExpressionError(f"unknown name {name!r}", *place, fix=did_you_mean(name, known))
        if misfit := re.match(r"found no matching overload for '([^']+)' applied to '(.*)'", message):
            name, given = misfit[1].strip("_").replace("_", " "), misfit[2]
            takes = _signatures(self.functions, misfit[1])
            hint = f": it takes {takes}" if takes else ""
            return ExpressionError(f"cannot apply {name} to {given}{hint}", *place)
        message = message.partition(" expecting ")[0].replace("'<EOF>'", "the end")
        return ExpressionError(message[:1].lower() + message[1:], *place)


class Activation:
    """The variables for one event, converted once however many expressions read them. Stays in its thread."""

    __slots__ = ("_cel", "_env", "_values")

    def __init__(self, env: Any, values: Mapping[str, Any]) -> None:
        self._env = env
        self._values = values
        self._cel = env.Activation(values)

    def run(self, program: Any) -> Any:
        """Return what a program gives, as plain values.

        Raises:
            ExpressionError: `absent` says only what shows in the message.
        """
        result = self.result(program)
        if isinstance(result, str):
            raise ExpressionError(_clean(result), absent=_ABSENT.search(result) is not None)
        try:
            return result.plain_value()
        except (TypeError, SystemError) as error:
            raise ExpressionError(
                "gives an optional inside a list or map: end it with orValue(...)"
            ) from error

    def result(self, program: Any) -> Any:
        """Return what a program gives as the library's value, or the error as text."""
        result = self._evaluated(program)
        if isinstance(result, str) and result.startswith("INVALID_ARGUMENT: Integer value"):
            # One integer beyond 64 bits anywhere makes the whole payload unreadable: such go as text.
            self._values = _small_integers(self._values)
            self._cel = self._env.Activation(self._values)
            result = self._evaluated(program)
        return result

    def _evaluated(self, program: Any) -> Any:
        # At run time errors come back as values of type ERROR, except for a few that are raised.
        try:
            result = program.eval(activation=self._cel)
            return str(result.value()) if result.type() == _ERROR else result
        except RuntimeError as error:
            return str(error)
        except (TypeError, SystemError):
            return "gives a value that is neither text, number, time, list nor map"
        finally:
            cel_mended.give_back()


class Expression:
    """One compiled expression.

    Attributes:
        text: as the file has it.
        kind: what it gives.
    """

    def __init__(self, text: str, kind: Kind, env: Environment, source: str, program: Any) -> None:
        self.text = text
        self.kind = kind
        self.source = source
        self._env = env
        self._program: Any | None = program
        self._readers: dict[str, Any] = {}

    def evaluate(self, activation: Activation) -> Any:
        """Return the value as plain Python; times are aware UTC.

        Raises:
            ExpressionError: with `absent`.
        """
        if self._program is None:
            self._program = self._env._program(self.source, self.text)  # noqa: SLF001
        try:
            return activation.run(self._program)
        except ExpressionError as error:
            if not error.absent and _MAYBE_ABSENT.search(str(error)):
                held = (self._followed(path, activation)[1] for path in self.paths)
                error.absent = any(value is None or value.type() == _NULL for value in held)
            raise

    def rest(self) -> None:
        """Give back what is compiled, until it is evaluated by itself; a program takes 15 KB."""
        self._program = None

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The names it reads, such as "payload.customer.id"; none of a comprehension's own."""
        return _paths(self.text, self._env.names)

    def reads(self, activation: Activation) -> dict[str, Any]:
        """Return what its names hold, for messages; each path ends where it meets nothing (NOTHING), null or a scalar."""
        followed = (self._followed(path, activation) for path in self.paths)
        return {reached: NOTHING if value is None else value.plain_value() for reached, value in followed}

    def _followed(self, path: str, activation: Activation) -> tuple[str, Any]:
        """Return how far a path leads, and the library's value there; None where there is nothing."""
        reached, held = "", None
        for step in path.split("."):
            inner = f"{reached}.{step}" if reached else step
            value = activation.result(self._reader(inner))
            if isinstance(value, str):
                # What holds no keys tells the reader more than that it has not this one.
                return (
                    (reached, held)
                    if held is not None and not held.type().name().startswith("MAP")
                    else (inner, None)
                )
            reached, held = inner, value
            if value.type() == _NULL:
                break
        return reached, held

    def _reader(self, path: str) -> Any:
        if path not in self._readers:
            self._readers[path] = self._env._program(f"\n{path}\n", path)  # noqa: SLF001
        return self._readers[path]


class Bundle:
    """Named expressions compiled as one list, which costs a fraction of evaluating them one by one."""

    def __init__(self, env: Environment, expressions: Mapping[str, Expression]) -> None:
        self.expressions = dict(expressions)
        self._names = tuple(expressions)
        joined = ",".join(expression.source for expression in expressions.values())
        try:
            self._program = env._program(f"[{joined}]", joined)  # noqa: SLF001
        except ExpressionError:  # together they are nested or long beyond the library's bounds
            self._program = None
        else:
            for expression in expressions.values():
                expression.rest()

    def evaluate(self, activation: Activation) -> tuple[dict[str, Any], dict[str, ExpressionError]]:
        """Return the values by name, and the errors of those that have none."""
        if self._program is not None:
            try:
                return dict(zip(self._names, activation.run(self._program), strict=True)), {}
            except ExpressionError:
                pass  # which of them it was shows below
        values: dict[str, Any] = {}
        errors: dict[str, ExpressionError] = {}
        for name, expression in self.expressions.items():
            try:
                values[name] = expression.evaluate(activation)
            except ExpressionError as error:
                errors[name] = error
        return values, errors


_TYPE_WORDS = {"bool", "int", "string", "timestamp", "list", "map", "dyn"}


def _type(name: str) -> Any:
    """Return a CEL type. The library takes any unknown word for a new abstract type, so words are checked here."""
    if unknown := set(re.findall(r"[^<>, ]+", name)) - _TYPE_WORDS:
        raise ValueError(f"{unknown.pop()!r} is not a CEL type; valid: {', '.join(sorted(_TYPE_WORDS))}")
    return cel.Type(name)


def _declarations(functions: Sequence[Function]) -> list[Any]:
    overloads: dict[str, list[Any]] = {}
    for function in functions:
        known = overloads.setdefault(function.name, [])
        known.append(
            cel.Overload(
                f"{function.name}_{len(known)}",
                return_type=_type(function.returns),
                parameters=[_type(kind) for kind in function.parameters],
                impl=cel_mended.wrapped(function.call),
            )
        )
    return [cel.FunctionDecl(name, several) for name, several in overloads.items()]


def _signatures(functions: Sequence[Function], name: str) -> str:
    return " or ".join(f"({', '.join(f.parameters)})" for f in functions if f.name == name)


_BUILT_IN = ("size", "has", "string", "int", "timestamp", "duration", "matches", "contains", "startsWith", "endsWith",
             "map", "filter", "exists", "all", "orValue", "split", "join", "replace", "trim", "substring", "dyn")  # fmt: skip
_LITERAL = re.compile(
    r"""[rR](?:'{3}.*?'{3}|"{3}.*?"{3}|'[^'\n]*'|"[^"\n]*")"""
    r"""|'{3}(?:\\.|[^\\])*?'{3}|"{3}(?:\\.|[^\\])*?"{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|//[^\n]*""",
    re.DOTALL,
)
_PATH = re.compile(r"(?<![\w.])([A-Za-z_]\w*+(?!\s*\()(?:\.\??[A-Za-z_]\w*+(?!\s*\())*)")


def _paths(text: str, names: frozenset[str]) -> tuple[str, ...]:
    found = (match[1].replace("?", "") for match in _PATH.finditer(_LITERAL.sub("''", text)))
    return tuple(dict.fromkeys(path for path in found if path.partition(".")[0] in names))


def _place(text: str, name: str) -> tuple[int, int]:
    match = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)
    at = match.start() if match else 0
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


Shape = Mapping[str, Any] | None
"""Keys below a value -> the shape of each; None: all of it. Of a list it is the shape of each item."""

_PURE_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_READ = re.compile(
    r"(?<![\w.])(?P<path>[A-Za-z_]\w*+(?!\s*\()(?:\.\??[A-Za-z_]\w*+(?!\s*\())*)"
    r"(?:\s*\.\s*(?P<macro>map|all|exists|exists_one|existsOne)\s*\(\s*(?P<item>[A-Za-z_]\w*)\s*,)?"
)
_ITEM = re.compile(r"\.\s*[A-Za-z_]+\s*\(\s*([A-Za-z_]\w*)\s*,")
"""The name a macro gives to each item. `filter` hands the items on, so its list is read whole."""


def _note(shape: dict[str, Any], text: str, names: Mapping[str, str], variable: str) -> bool:
    """Add what a text reads below a variable to its shape; return False where it reads all of it."""
    known = dict(names)
    for read in _READ.finditer(text):  # a list is named before its items are
        root, _, rest = read["path"].replace("?", "").partition(".")
        if root not in known:
            continue
        path = f"{known[root]}.{rest}" if rest else known[root]
        if read["item"]:
            known[read["item"]] = path
        first, _, below = path.partition(".")
        if first != variable:
            continue
        if not below:
            if read["item"]:
                continue
            return False
        _widen(shape, below.split("."), whole=not read["item"])
    return True


def _widen(shape: dict[str, Any], steps: Sequence[str], *, whole: bool) -> None:
    for step in steps[:-1]:
        inner = shape.setdefault(step, {})
        if inner is None:
            return
        shape = inner
    last = steps[-1]
    shape[last] = None if whole else shape.get(last, {})


def united(shapes: Iterable[Shape]) -> Shape:
    """Return the shape of everything that any of several shapes has."""
    union: dict[str, Any] = {}
    for shape in shapes:
        if shape is None:
            return None
        for key, inner in shape.items():
            union[key] = united([union[key], inner]) if key in union else inner
    return union


def pruned(value: Any, shape: Shape) -> Any:
    """Return a value without what its shape does not have."""
    if shape is None:
        return value
    if isinstance(value, dict):
        return {key: pruned(value[key], inner) for key, inner in shape.items() if key in value}
    if isinstance(value, list):
        return [pruned(item, shape) for item in value]
    return value


_ABSENT = re.compile(r"Key not found in map|Index error: index=|null_type")
_MAYBE_ABSENT = re.compile(r"something that is not|cannot apply [^ (]+$")
_WORDS = (
    (re.compile(r"^(?:[A-Z_]+: )+"), ""),
    (re.compile(r"Key not found in map : (\".*\")"), r"no key \1"),
    (re.compile(r"Index error: index=(\d+) size=(\d+)"), r"no item \1 in a list of \2"),
    (re.compile(r"Applying SELECT to non-message type"), "reads a key of something that is not an object"),
    (re.compile(r"No matching overloads found : <iter_range>"), "goes through something that is not a list"),
    (
        re.compile(r"No matching overloads found : <jump_condition>"),
        "asks something that is not true or false",
    ),
    (re.compile(r"No matching overloads found : _\[\?_\]"), "reads a key of something that is not an object"),
    (re.compile(r"No matching overloads found : "), "cannot apply "),
    (re.compile(r"\b_(\W+)_\b"), r"\1"),
    (re.compile(r"null_type"), "null"),
    (re.compile(r"\bint64\b"), "int"),
    (re.compile(r" \[[A-Z_]+\]$"), ""),
)


@lru_cache(512)
def _clean(said: str) -> str:
    for pattern, words in _WORDS:
        said = pattern.sub(words, said)
    return said


def _small_integers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _small_integers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_small_integers(inner) for inner in value]
    if isinstance(value, Decimal) or (isinstance(value, int) and not -(1 << 63) <= value < 1 << 63):
        return str(value)
    return value


def _unix(seconds: int | str) -> datetime:
    return _after_epoch(seconds, 1_000_000)


def _unix_ms(milliseconds: int | str) -> datetime:
    return _after_epoch(milliseconds, 1_000)


def _after_epoch(number: int | str, microseconds: int) -> datetime:
    if not re.fullmatch(r"-?[0-9]{1,17}(\.[0-9]{1,9})?", str(number)):
        raise ValueError(f"{str(number)[:40]!r} is not a Unix time")
    try:
        return _EPOCH + timedelta(microseconds=int(Decimal(number) * microseconds))
    except OverflowError:
        raise ValueError(f"the Unix time {number} is beyond the year 9999") from None


def _sum(numbers: list[int]) -> int:
    for number in numbers:
        if type(number) is not int:
            raise ValueError(f"sum takes whole numbers, not {number!r}")
    return sum(numbers)


FUNCTIONS = (
    Function("money", ("string", "string"), "int", to_minor),
    Function("money", ("int", "string"), "int", to_minor),
    Function("rounded", ("string", "string"), "int", to_minor_rounded),
    Function("rounded", ("int", "string"), "int", to_minor_rounded),
    Function("unix", ("int",), "timestamp", _unix),
    Function("unix", ("string",), "timestamp", _unix),
    Function("unix_ms", ("int",), "timestamp", _unix_ms),
    Function("unix_ms", ("string",), "timestamp", _unix_ms),
    Function("upper", ("string",), "string", str.upper),
    Function("lower", ("string",), "string", str.lower),
    Function("sum", ("list<int>",), "int", _sum),
)
"""What every expression may call: money and rounded (amount, currency) to minor units, unix and unix_ms to a time, ..."""


def _try(call: Callable[[str], Any]) -> None:
    env = Environment({}, (Function("probe", ("string",), "string", call),))
    env.compile("probe('x')").evaluate(env.activation({}))


cel_mended.learn(_try)
