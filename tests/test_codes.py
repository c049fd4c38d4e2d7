"""Codes that people type: nobody guesses one, and nobody mistypes one unnoticed."""

from __future__ import annotations

import itertools
import re

import pytest

from hub.codes import CHARSETS, CodePattern, normal

SHORT = CodePattern("BREW-########")
LONG = CodePattern("####-####-####")
NUMBERS = CodePattern("#############", "digits")
WRAPPED = CodePattern("20-########-XL")


def codes(pattern: CodePattern, count: int = 20) -> list[str]:
    return [pattern.new() for _ in range(count)]


@pytest.mark.parametrize(
    ("pattern", "looks"),
    [
        (SHORT, r"BREW-[0-9A-HJKMNP-TV-Z]{9}"),
        (LONG, r"[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{5}"),
        (NUMBERS, r"[0-9]{15}"),
        (WRAPPED, r"20-[0-9A-HJKMNP-TV-Z]{9}-XL"),
    ],
)
def test_a_code_is_its_pattern_with_check_characters_behind_the_last_random_one(pattern, looks):
    made = codes(pattern)
    assert all(re.fullmatch(looks, code) for code in made)
    assert not any(pattern.mistyped(code) for code in made)
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("pattern", [SHORT, LONG, NUMBERS, WRAPPED])
def test_every_typo_of_one_character_is_caught(pattern):
    alphabet = CHARSETS[pattern.charset].alphabet
    code = normal(pattern.new())
    start, end = (4, 13) if pattern is SHORT else (2, 11) if pattern is WRAPPED else (0, len(code))
    typed = [
        code[:at] + other + code[at + 1 :]
        for at in range(start, end)
        for other in alphabet
        if other != code[at]
    ]
    assert len(typed) == (end - start) * (len(alphabet) - 1)
    assert all(pattern.mistyped(text) for text in typed)


@pytest.mark.parametrize("pattern", [SHORT, LONG, NUMBERS, WRAPPED])
def test_every_swap_of_two_characters_is_caught_wherever_they_stand(pattern):
    for code in map(normal, codes(pattern)):
        start, end = (4, 13) if pattern is SHORT else (2, 11) if pattern is WRAPPED else (0, len(code))
        for one, two in itertools.combinations(range(start, end), 2):
            swapped = list(code)
            swapped[one], swapped[two] = code[two], code[one]
            assert "".join(swapped) == code or pattern.mistyped("".join(swapped))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("brew-7k3m9qxz0", "BREW7K3M9QXZ0"),
        (" BREW 7K3M 9QXZ O ", "BREW7K3M9QXZ0"),
        ("BREW_7K3M.9QXZo", "BREW7K3M9QXZ0"),
        ("l1iI", "1111"),
        ("ß…é", "SS"),
    ],
)
def test_however_it_is_typed_it_is_the_same_code(typed, meant):
    assert normal(typed) == meant


def test_a_text_of_another_shape_is_no_typo_of_this_code():
    assert not SHORT.mistyped("CAFE-000000000")
    assert not SHORT.mistyped("BREW-0000")
    assert not SHORT.mistyped("")


@pytest.mark.parametrize(
    ("pattern", "charset", "why"),
    [
        ("BREW-#######", "crockford32",
         "7 random characters of 32 make 34,359,738,368 codes, and at least 2^40 = 1,099,511,627,776 are wanted"),
        ("BREW-#######", "crockford32", "so that nobody guesses one: write 8 # or more"),
        ("############", "digits",
         "12 random characters of 10 make 1,000,000,000,000 codes, and at least 2^40 = 1,099,511,627,776 are wanted"),
        ("############", "digits", "write 13 # or more"),
        ("BREW", "crockford32", "0 random characters of 32 make 1 codes"),
        ("brew-########", "crockford32", "'brew-########' is not a code pattern: write capitals, digits, - and #"),
        ("#" * 31, "crockford32", "31 random characters: nobody types more than 30"),
        ("#" * 31, "digits", "31 random characters"),
        ("########", "base64", "'base64' is not a charset: crockford32 or digits"),
    ],
)  # fmt: skip
def test_a_pattern_whose_codes_could_be_guessed_is_refused_with_the_arithmetic(pattern, charset, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        CodePattern(pattern, charset)


def test_the_smallest_spaces_allowed():
    assert SHORT.space == 32**8 == 2**40
    assert NUMBERS.space == 10**13 > 2**40


def test_many_codes_do_not_collide():  # D8
    assert len({LONG.new() for _ in range(20_000)}) == 20_000


@pytest.mark.slow
def test_a_million_codes_do_not_collide():  # D8
    # Of 2^60 codes, a million have 10^12 / 2 pairs: one run in two million sees two alike, and the index the rest.
    assert len({LONG.new() for _ in range(1_000_000)}) == 1_000_000
