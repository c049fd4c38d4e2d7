"""CEL expressions: compiled once when a file is loaded, evaluated for every event.

    env = Environment({"payload": "dyn", "points": "int"})
    net = env.compile("money(payload.total, payload.currency)")   # ExpressionError: message, line, column
    net.evaluate(env.activation({"payload": {...}, "points": 3})) # ExpressionError: a sentence; absent?

environment   what an expression may read and call; compiling and evaluating it. Alone in importing the CEL library.
functions     what it may call
reads         what it reads, seen from its text
checked       what the library makes of it, as a tree
translated    the tree as a function of Python, for what goes well; for everything else the library is asked
mended        what the library does wrong with references
"""

from hub.expressions.environment import (
    NOTHING,
    Activation,
    Bundle,
    Environment,
    Expression,
    Kind,
)
from hub.expressions.errors import ExpressionError
from hub.expressions.functions import FUNCTIONS, Function
from hub.expressions.reads import Shape, pruned, united

__all__ = [
    "FUNCTIONS", "NOTHING", "Activation", "Bundle", "Environment", "Expression", "ExpressionError", "Function", "Kind", "Shape",
    "pruned", "united",
]  # fmt: skip
