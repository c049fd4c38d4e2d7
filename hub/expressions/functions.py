"""What every expression may call, on top of what CEL brings."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hub.money import to_minor, to_minor_rounded

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))


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
