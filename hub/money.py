"""Money: decimal text to integer minor units and back, by ISO 4217."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cache

MOST_DIGITS = 20
"""Of an amount, before the point and behind it."""
_PLAIN = re.compile(rf"(-?)([0-9]{{1,{MOST_DIGITS}}})(?:\.([0-9]{{1,{MOST_DIGITS}}}))?")


def to_minor(amount: str | int | Decimal, currency: str) -> int:
    """Return an amount in minor units: ("12.90", "EUR") is 1290, ("500", "JPY") is 500.

    Args:
        amount: major units, as plain text ("-12.90"), a whole number or a Decimal. Zeros beyond the currency's
            decimals are fine ("12.900"), other digits there are not: money is never rounded here.
        currency: an ISO 4217 code, upper case.

    Raises:
        TypeError: a float or another type that cannot hold money exactly.
        ValueError: not plain decimal text, too many decimals, or no such currency; says which.
    """
    if type(amount) is str:
        whole, _, fraction = amount.partition(".")
        if (
            len(fraction) == _exponents().get(currency)
            and whole.isdigit()
            and fraction.isdigit()
            and amount.isascii()
            and len(whole) <= MOST_DIGITS
        ):
            return int(whole + fraction)  # as nearly all amounts are written
        text = amount
    elif isinstance(amount, bool) or not isinstance(amount, str | int | Decimal):
        raise TypeError(f"an amount is text or a whole number, not {type(amount).__name__}")
    else:
        text = format(amount, "f") if isinstance(amount, Decimal) else str(amount)
    match = _PLAIN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not an amount such as '12.90'")
    sign, whole, fraction = match.groups(default="")
    places = exponent(currency)
    if len(fraction) == places:
        return int(sign + whole + fraction)
    if fraction[places:].strip("0"):
        raise ValueError(f"{text[:40]!r} has more decimals than {currency} ({places})")
    return int(sign + whole + fraction[:places].ljust(places, "0"))


def to_minor_rounded(amount: str | int | Decimal, currency: str) -> int:
    """Return an amount in minor units, half a cent rounded away from zero: ("2.73572", "EUR") is 274.

    Tills tell tax and weighed goods with more decimals than anybody pays. Arguments and errors as `to_minor`, digits
    beyond the currency's apart.
    """
    if isinstance(amount, str) and _PLAIN.fullmatch(amount):
        amount = Decimal(amount)
    if isinstance(amount, Decimal) and amount.is_finite():
        amount = amount.quantize(Decimal(1).scaleb(-exponent(currency)), ROUND_HALF_UP, Context(prec=60))
    return to_minor(amount, currency)


def format_minor(minor: int, currency: str) -> str:
    """Return the amount in major units, without the code: (1290, "EUR") is "12.90", (-5, "EUR") is "-0.05".

    Raises:
        ValueError: no such currency.
    """
    places = exponent(currency)
    digits = str(abs(minor)).rjust(places + 1, "0")
    cut = len(digits) - places
    return ("-" if minor < 0 else "") + digits[:cut] + ("." + digits[cut:] if places else "")


def exponent(currency: str) -> int:
    """Return how many decimals a currency has: EUR 2, JPY 0, KWD 3.

    Raises:
        ValueError: not a code of ISO 4217, or one without a minor unit (gold, test codes).
    """
    try:
        return _exponents()[currency]
    except (KeyError, TypeError):
        raise ValueError(f"{currency!r} is not a currency of ISO 4217 (such as 'EUR')") from None


@cache
def _exponents() -> dict[str, int]:
    import iso4217

    return {c.code: c.exponent for c in iso4217.Currency if c.exponent is not None}
