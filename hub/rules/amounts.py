"""Where the money is in a canonical event, and what is left of it. Pure."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple, Protocol

from hub.sdk.events import CATALOGUE, DealWon, Event, InvoicePaid, PurchasePaid


class Amounts(Protocol):
    """What something was worth, in minor units; an `Order` is one."""

    @property
    def net_minor(self) -> int: ...
    @property
    def gross_minor(self) -> int: ...


class Money(NamedTuple):
    """What an event is worth, in minor units of one currency."""

    net_minor: int
    gross_minor: int
    currency: str


class Left(NamedTuple):
    """What is left of an event's worth after refunds: minor units, exact, perhaps not whole.

    Attributes:
        cancelled: it was called off, which also ends what was worth nothing.
    """

    net: Fraction
    gross: Fraction
    cancelled: bool = False

    @classmethod
    def all_of(cls, amounts: Amounts) -> Left:
        """Return the whole worth."""
        return cls(Fraction(amounts.net_minor), Fraction(amounts.gross_minor))

    def of(self, basis: str) -> Fraction:
        """Return the amount by which a rule measures refunds: gross where it counts that, else net."""
        return self.gross if basis == "gross" else self.net


class _Place(NamedTuple):
    """The part of an event's body that has the money, and the names of its fields."""

    body: str
    net: str
    gross: str


_PLACES: dict[type[Event], _Place] = {
    PurchasePaid: _Place("order", "net_minor", "gross_minor"),
    DealWon: _Place("deal", "amount_minor", "amount_minor"),
    InvoicePaid: _Place("invoice", "total_minor", "total_minor"),
}
PAYS = frozenset(name for name, model in CATALOGUE.items() if model in _PLACES)
"""Names of the events that have an amount, so that a rate can price them."""


def amounts_of(event: Event) -> Money | None:
    """Return what an event is worth; None where no money is in it. One amount counts as net and gross."""
    place = _PLACES.get(type(event))
    if place is None:
        return None
    body = getattr(event, place.body)
    return Money(getattr(body, place.net), getattr(body, place.gross), body.currency)


def reduce_to(left: Left, event: Event, variables: dict[str, Any]) -> None:
    """Let the variables of an event show what is left, rounded half up to whole minor units.

    The lines of an order stay as they were sold: most platforms do not say which of them went back.
    """
    place = _PLACES.get(type(event))
    if place is not None:
        variables[place.body] |= {place.net: half_up(left.net), place.gross: half_up(left.gross)}


def half_up(value: Fraction) -> int:
    """Round to the nearest whole number, halves up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)
