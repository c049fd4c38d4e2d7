"""Amounts arrive as text and leave as integer minor units; nothing is rounded unless asked for."""

import sys
from decimal import Decimal
from subprocess import run

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.money import exponent, format_minor, to_minor, to_minor_rounded


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.90", "EUR", 1290),
        ("12.9", "EUR", 1290),
        ("12.900", "EUR", 1290),  # zeros beyond the cents lose nothing
        ("0.05", "EUR", 5),
        ("-12.90", "EUR", -1290),
        ("-0.05", "EUR", -5),
        (12, "EUR", 1200),
        (Decimal("12.90"), "EUR", 1290),
        (Decimal("1E+2"), "EUR", 10000),
        ("500", "JPY", 500),
        ("500.00", "JPY", 500),
        ("1.234", "KWD", 1234),
        ("99999999999999999999", "JPY", 99999999999999999999),
    ],
)
def test_major_units_become_minor_units(amount, currency, minor):
    assert to_minor(amount, currency) == minor


@pytest.mark.parametrize(
    "amount",
    [
        "",
        " 12.90",
        "12,90",
        "1 000",
        "1_000",
        "1e3",
        "NaN",
        "Infinity",
        "+1",
        ".5",
        "5.",
        "0x10",
        "١٢",
        "--1",
        "1" * 21,
    ],
)
def test_text_that_is_not_a_plain_amount_is_refused(amount):
    with pytest.raises(ValueError, match="is not an amount"):
        to_minor(amount, "EUR")


@pytest.mark.parametrize("amount", [Decimal("NaN"), Decimal("Infinity"), Decimal("-Infinity")])
def test_a_decimal_that_is_no_number_is_refused(amount):
    with pytest.raises(ValueError, match="is not an amount"):
        to_minor(amount, "EUR")


@pytest.mark.parametrize("amount", [12.9, True, None, b"12", ["12"]])
def test_floats_and_other_types_are_refused(amount):
    with pytest.raises(TypeError, match="text or a whole number"):
        to_minor(amount, "EUR")


@pytest.mark.parametrize(("amount", "currency"), [("12.999", "EUR"), ("0.5", "JPY"), ("1.2345", "KWD")])
def test_more_decimals_than_the_currency_has_are_refused(amount, currency):
    with pytest.raises(ValueError, match=f"more decimals than {currency}"):
        to_minor(amount, currency)


@pytest.mark.parametrize("currency", ["eur", "EU", "ZZZ", "", "XAU", "XXX", None])
def test_what_is_no_currency_is_refused(currency):
    with pytest.raises(ValueError, match="not a currency"):
        to_minor("1", currency)


@pytest.mark.parametrize(("currency", "places"), [("EUR", 2), ("JPY", 0), ("ISK", 0), ("KWD", 3), ("CLF", 4)])
def test_exponents_are_those_of_iso_4217(currency, places):
    assert exponent(currency) == places


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (1290, "EUR", "12.90"),
        (5, "EUR", "0.05"),
        (-5, "EUR", "-0.05"),
        (0, "EUR", "0.00"),
        (500, "JPY", "500"),
        (1, "KWD", "0.001"),
    ],
)
def test_minor_units_are_written_in_major_units(minor, currency, text):
    assert format_minor(minor, currency) == text


@given(st.integers(-(10**15), 10**15), st.sampled_from(["EUR", "JPY", "KWD", "CLF"]))
def test_writing_and_reading_gives_the_same_amount(minor, currency):
    assert to_minor(format_minor(minor, currency), currency) == minor


def test_the_currency_table_is_read_only_when_money_is_at_hand():
    code = "import sys, hub.money; assert 'iso4217' not in sys.modules"
    run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("2.73572", "EUR", 274),
        ("2.734999", "EUR", 273),
        ("0.005", "EUR", 1),  # half a cent goes away from zero
        ("-0.005", "EUR", -1),
        ("0.5", "JPY", 1),
        ("1.2345", "KWD", 1235),
        ("12.90", "EUR", 1290),
        (12, "EUR", 1200),
        (Decimal("0.125"), "EUR", 13),
        ("9999999999999999999.99999999999999999999", "EUR", 1_000_000_000_000_000_000_000),
    ],
)
def test_what_a_till_tells_too_exactly_can_be_rounded(amount, currency, minor):
    assert to_minor_rounded(amount, currency) == minor


@pytest.mark.parametrize("amount", ["", "12,90", "NaN", Decimal("NaN"), Decimal("Infinity")])
def test_what_is_no_amount_is_not_rounded_to_one(amount):
    with pytest.raises(ValueError, match="is not an amount"):
        to_minor_rounded(amount, "EUR")
