"""Codes that people type: unguessable, forgiving of how they are typed, and telling a typo from a forgery.

    code = CodePattern("BREW-####-####")
    code.new()                         # 'BREW-7K3M-9QXZC'
    normal("brew 7k3m 9qxzc")          # 'BREW7K3M9QXZC': what is stored and looked up
    code.mistyped("BREW-7K3M-9QXZD")   # True

Each `#` is a random character; the check characters follow the last one.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

CROCKFORD32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without I, L, O and U: nothing that looks like something else."""
DIGITS = "0123456789"

MIN_SPACE_BITS = 40
"""Codes of one pattern: at least 2 to the power of this. A million of them issued, a guess hits one in a million."""
MOST_RANDOM = 30
"""Beyond this the check character would no longer find every swap."""

_LOOKALIKES = str.maketrans({"O": "0", "I": "1", "L": "1"})


def normal(text: str) -> str:
    """Return a code as it is stored and compared: capitals and digits alone, O as 0, I and L as 1."""
    return re.sub("[^0-9A-Z]", "", text.upper()).translate(_LOOKALIKES)


def _check_crockford32(body: str) -> str:
    """Return the check character: a sum over GF(32), each place with a weight of its own.

    One changed character changes the sum, and so does a swap of any two that differ, next to each other or not:
    no two places of up to 31 have the same weight.
    """
    total = 0
    for character in body:
        total ^= CROCKFORD32.index(character)
        total <<= 1  # times x, modulo x^5 + x^2 + 1
        if total & 0b100000:
            total ^= 0b100101
    return CROCKFORD32[total]


def _check_digits(body: str) -> str:
    """Return two check digits by ISO/IEC 7064 MOD 97-10, as in an IBAN: every typo of one digit, every swap of two."""
    return f"{98 - int(body) * 100 % 97:02}"


class Charset(NamedTuple):
    """What random characters are drawn from, and what is appended to them."""

    alphabet: str
    check: Callable[[str], str]
    check_length: int


CHARSETS: Mapping[str, Charset] = {
    "crockford32": Charset(CROCKFORD32, _check_crockford32, 1),
    "digits": Charset(DIGITS, _check_digits, 2),
}


@dataclass(frozen=True, slots=True)
class CodePattern:
    """How codes look: letters and digits as they are, `#` for a random character, `-` to make reading easier.

    Raises:
        ValueError: it is no such pattern, or has too few codes to be unguessable; says the arithmetic.
    """

    pattern: str
    charset: str = "crockford32"

    def __post_init__(self) -> None:
        if self.charset not in CHARSETS:
            raise ValueError(f"{self.charset!r} is not a charset: {' or '.join(CHARSETS)}")
        if not re.fullmatch(r"[A-Z0-9#-]{1,60}", self.pattern):
            raise ValueError(
                f"{self.pattern[:60]!r} is not a code pattern: write capitals, digits, - and #, as BREW-####-####"
            )
        size, wanted = len(CHARSETS[self.charset].alphabet), 1 << MIN_SPACE_BITS
        needed = next(n for n in range(1, MOST_RANDOM) if size**n >= wanted)
        if self.space < wanted:
            raise ValueError(
                f"{self.random} random characters of {size} make {self.space:,} codes, and at least "
                f"2^{MIN_SPACE_BITS} = {wanted:,} are wanted so that nobody guesses one: write {needed} # or more"
            )
        if self.random > MOST_RANDOM:
            raise ValueError(f"{self.random} random characters: nobody types more than {MOST_RANDOM}")

    @property
    def random(self) -> int:
        """How many characters of a code are random."""
        return self.pattern.count("#")

    @property
    def space(self) -> int:
        """How many codes there are."""
        return int(len(CHARSETS[self.charset].alphabet) ** self.random)

    def new(self) -> str:
        """Return a code from the system's secure randomness."""
        chosen = CHARSETS[self.charset]
        number, size = secrets.randbelow(self.space), len(chosen.alphabet)
        body = ""
        for _ in range(self.random):
            number, place = divmod(number, size)
            body += chosen.alphabet[place]
        characters = iter(body)
        head, tail = self.pattern[: self._end], self.pattern[self._end :]
        return "".join(next(characters) if c == "#" else c for c in head) + chosen.check(body) + tail

    def mistyped(self, text: str) -> bool:
        """Return whether a text has the shape of these codes, and its check characters say that it is none."""
        chosen = CHARSETS[self.charset]
        code = normal(text)
        shape = normal(self.pattern[: self._end].replace("#", "X")), normal(self.pattern[self._end :])
        if len(code) != len(shape[0]) + chosen.check_length + len(shape[1]):
            return False
        literal = [n for n, c in enumerate(self.pattern[: self._end].replace("-", "")) if c != "#"]
        if any(code[n] != shape[0][n] for n in literal) or not code.endswith(shape[1]):
            return False
        random = "".join(c for n, c in enumerate(code[: len(shape[0])]) if n not in literal)
        check = code[len(shape[0]) : len(shape[0]) + chosen.check_length]
        return not set(random) <= set(chosen.alphabet) or chosen.check(random) != check

    @property
    def _end(self) -> int:
        """Where the check characters go."""
        return self.pattern.rindex("#") + 1
