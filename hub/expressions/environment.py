"""What expressions may read and call; compiling and evaluating them. Alone in importing the CEL library.

Expressions and environments may be shared by threads; an activation belongs to the thread that made it.

The library bounds hostile input itself: 32 levels of nesting, 100,000 characters, 10,000 iterations of a
comprehension, regular expressions by RE2 (cel-expr-python 0.1.3, measured 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_optional, ext_strings

from hub.expressions import mended
from hub.expressions.errors import ABSENT, MAYBE_ABSENT, ExpressionError, clean
from hub.expressions.functions import FUNCTIONS, Function
from hub.expressions.reads import ITEM, LITERAL, PURE_PATH, Shape, note, paths, pruned
from hub.yamlfile import did_you_mean

if TYPE_CHECKING:
    from hub.expressions.translated import Quick

mended.keep_none()

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
        for path in paths(text, self.names):
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
        for path in (path for text in texts for path in paths(text, self.names)):
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
            if (path := text.strip().replace("?", "")) and PURE_PATH.fullmatch(path):
                names[name] = path
            else:
                texts.append(text)
        shape: dict[str, Shape] = {}
        for text in texts:
            bare = LITERAL.sub("''", text)
            items = dict.fromkeys(ITEM.findall(bare))
            if items.keys() & {*self.names, *names}:
                return None  # an item hides a name: whose keys are whose cannot be told
            if not note(shape, bare, names, variable):
                return None
        return shape

    def bundle(self, expressions: Mapping[str, Expression]) -> Bundle:
        """Return expressions of this environment to be evaluated together."""
        return Bundle(self, expressions)

    def activation(self, values: Mapping[str, Any], shapes: Mapping[str, Shape] | None = None) -> Activation:
        """Return the values of all variables for one event: plain dicts, lists and scalars, no datetimes.

        Args:
            shapes: variable -> the parts of it that are read, as `shape_read` says. For the library every value has to be
                made ready, and most of a payload is read by nobody.
        """
        return Activation(self._cel, values, shapes)

    def quick(self, program: Any) -> Quick | None:
        """Return a program as a function of Python; None where it is for the library alone."""
        # A hub that waits for its first event has no use for it.
        from hub.expressions.translated import translator

        return translator(self.functions).translate(program.serialize())

    def _program(self, source: str, text: str) -> Any:
        opening = "".join(f"cel.bind({name}, (\n{bound}\n)," for name, bound in self._bindings)
        try:
            return self._cel.compile(f"{opening}{source}{')' * len(self._bindings)}")
        except RuntimeError as error:
            raise self._explained(str(error), text, opening.count("\n") + 1) from error

    def _explained(self, said: str, text: str, lines_before: int) -> ExpressionError:
        first = re.search(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)", said)
        if first is None:
            return ExpressionError(clean(said.removesuffix("]").rpartition(" [")[0]))
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
    """The variables for one event. Stays in its thread.

    Attributes:
        values: by name.
    """

    __slots__ = ("_cel", "_env", "_shapes", "values")

    def __init__(
        self, env: Any, values: Mapping[str, Any], shapes: Mapping[str, Shape] | None = None
    ) -> None:
        self.values = values
        self._env = env
        self._shapes = shapes or {}
        self._cel: Any = None  # the same for the library, made when it is asked, once for all expressions

    def run(self, program: Any) -> Any:
        """Return what a program gives, as plain values.

        Raises:
            ExpressionError: `absent` says only what shows in the message.
        """
        result = self.result(program)
        if isinstance(result, str):
            raise ExpressionError(clean(result), absent=ABSENT.search(result) is not None)
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
            self._cel = self._env.Activation(_small_integers(self._read()))
            result = self._evaluated(program)
        return result

    def _read(self) -> Mapping[str, Any]:
        if not self._shapes:
            return self.values
        return {name: pruned(value, self._shapes.get(name)) for name, value in self.values.items()}

    def _evaluated(self, program: Any) -> Any:
        if self._cel is None:
            self._cel = self._env.Activation(self._read())
        # At run time errors come back as values of type ERROR, except for a few that are raised.
        try:
            result = program.eval(activation=self._cel)
            return str(result.value()) if result.type() == _ERROR else result
        except RuntimeError as error:
            return str(error)
        except (TypeError, SystemError):
            return "gives a value that is neither text, number, time, list nor map"
        finally:
            mended.give_back()


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
        if self._quick is not None:
            try:
                return self._quick(activation.values)
            except Exception:  # noqa: BLE001, S110 - then the library says what is right, or what is wrong
                pass
        try:
            return activation.run(self._compiled())
        except ExpressionError as error:
            if not error.absent and MAYBE_ABSENT.search(str(error)):
                held = (self._followed(path, activation)[1] for path in self.paths)
                error.absent = any(value is None or value.type() == _NULL for value in held)
            raise

    @cached_property
    def _quick(self) -> Quick | None:
        return self._env.quick(self._compiled())

    def _compiled(self) -> Any:
        if self._program is None:
            self._program = self._env._program(self.source, self.text)  # noqa: SLF001
        return self._program

    def rest(self) -> None:
        """Give back what is compiled, until it is evaluated by itself; a program takes 15 KB."""
        self._program = None

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The names it reads, such as "payload.customer.id"; none of a comprehension's own."""
        return paths(self.text, self._env.names)

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
        self._env = env
        self._names = tuple(expressions)
        joined = ",".join(expression.source for expression in expressions.values())
        try:
            self._program = env._program(f"[{joined}]", joined)  # noqa: SLF001
        except ExpressionError:  # together they are nested or long beyond the library's bounds
            self._program = None
        else:
            for expression in expressions.values():
                expression.rest()

    @cached_property
    def _quick(self) -> Quick | None:
        return None if self._program is None else self._env.quick(self._program)

    def evaluate(self, activation: Activation) -> tuple[dict[str, Any], dict[str, ExpressionError]]:
        """Return the values by name, and the errors of those that have none."""
        if self._quick is not None:
            try:
                return dict(zip(self._names, self._quick(activation.values), strict=True)), {}
            except Exception:  # noqa: BLE001, S110 - which of them it was shows below
                pass
        elif self._program is not None:
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
                errors[name] = error.with_traceback(None)  # its frames would hold `errors`, and so itself
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
                impl=mended.wrapped(function.call),
            )
        )
    return [cel.FunctionDecl(name, several) for name, several in overloads.items()]


def _signatures(functions: Sequence[Function], name: str) -> str:
    return " or ".join(f"({', '.join(f.parameters)})" for f in functions if f.name == name)


_BUILT_IN = ("size", "has", "string", "int", "timestamp", "duration", "matches", "contains", "startsWith", "endsWith",
             "map", "filter", "exists", "all", "orValue", "split", "join", "replace", "trim", "substring", "dyn")  # fmt: skip


def _place(text: str, name: str) -> tuple[int, int]:
    match = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)
    at = match.start() if match else 0
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _small_integers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _small_integers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_small_integers(inner) for inner in value]
    if isinstance(value, Decimal) or (isinstance(value, int) and not -(1 << 63) <= value < 1 << 63):
        return str(value)
    return value


def _try(call: Callable[[str], Any]) -> None:
    env = Environment({}, (Function("probe", ("string",), "string", call),))
    env.activation({}).run(env._program("probe('x')", "probe('x')"))  # noqa: SLF001


mended.learn(_try)
