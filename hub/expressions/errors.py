"""What can go wrong with an expression, in words for the admin."""

from __future__ import annotations

import re
from functools import lru_cache

from hub.sdk.errors import HubError


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


ABSENT = re.compile(r"Key not found in map|Index error: index=|null_type")
MAYBE_ABSENT = re.compile(r"something that is not|cannot apply [^ (]+$")
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
def clean(said: str) -> str:
    """Return what the library says in the words of the file."""
    for pattern, words in _WORDS:
        said = pattern.sub(words, said)
    return said
