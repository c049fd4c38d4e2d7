"""Which part of a condition did not hold, and on what values. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hub.expressions import NOTHING, Activation, Environment, Expression, ExpressionError

_TOKEN = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|&&|\|\||[()\[\]{}?]|.""", re.DOTALL)
_LONG = 60


def clauses(text: str) -> list[str]:
    """Return the parts of `a && b && c`; a condition that is no such chain is its only part."""
    parts, depth = [""], 0
    for piece in _TOKEN.findall(text):
        depth += (piece in "([{") - (piece in ")]}")
        if depth == 0 and piece in ("||", "?"):
            return [text.strip()]
        if depth == 0 and piece == "&&":
            parts.append("")
        else:
            parts[-1] += piece
    return [" ".join(part.split()) for part in parts]


def first_false(env: Environment, condition: Expression, activation: Activation) -> tuple[str, str]:
    """Return the first part of a condition that does not hold, and what it reads: `order.net_minor = 250`."""
    for text in clauses(condition.text):
        try:
            clause = env.compile(text)
            if clause.evaluate(activation) is not True:
                return text, ", ".join(_values(clause, activation))
        except ExpressionError:
            continue
    return " ".join(condition.text.split()), ", ".join(_values(condition, activation))


def _values(clause: Expression, activation: Activation) -> Iterator[str]:
    for path, value in clause.reads(activation).items():
        said = "not there" if value is NOTHING else repr(value)
        yield f"{path} = {said if len(said) <= _LONG else said[:_LONG] + '...'}"
