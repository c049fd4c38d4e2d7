"""How many segments a text message has on the air, and how to make do with one.

    segments("You have 120 points.")        # 1
    shortest("You have 120 points…")        # as it is; a longer one gets "..." and has room for 160 characters, not 70

A message is carried in the GSM alphabet (3GPP TS 23.038: 160 characters, those of its extension count twice) or, when a
single character is not in it, whole in UCS-2 (70 UTF-16 units). Longer ones are cut into segments of 153 or 67, each paid for.
"""

from __future__ import annotations

import unicodedata

GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = frozenset("\f^{}\\[~]|€")
TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′`´", "'"),  # noqa: RUF001 - the look-alikes are the point
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("‐‑‒–—―−•·", "-"),  # noqa: RUF001
        **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2009\u200a\u202f\t", " "),
        **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff", ""),
        "…": "...",
    }
)
"""What word processors put in, and what it is in GSM."""
LETTERS = str.maketrans(
    {"ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i", "œ": "oe", "Œ": "OE", "ð": "d", "þ": "th"}  # noqa: RUF001
)
"""Latin letters that are not a letter with an accent."""


def is_gsm(text: str) -> bool:
    """Tell whether a text can be carried in the GSM alphabet."""
    return all(c in GSM or c in EXTENSION for c in text)


def segments(text: str) -> int:
    """Return how many messages a text is on the air, at least 1."""
    gsm = is_gsm(text)
    units = [1 + (c in EXTENSION if gsm else ord(c) > 0xFFFF) for c in text]
    alone, each = (160, 153) if gsm else (70, 67)
    if sum(units) <= alone:
        return 1
    count, room = 1, each
    for unit in units:  # no character is torn in two
        if unit > room:
            count, room = count + 1, each
        room -= unit
    return count


def shortest(text: str) -> str:
    """Return the text in the spelling that has the fewest segments, as near to the original as that allows.

    Nothing is cut: typographic signs become plain ones, and if that is not enough, accents that GSM lacks go.
    """
    plain = text.translate(TYPOGRAPHY)
    return min(text, plain, unaccented(plain), key=segments)


def unaccented(text: str) -> str:
    """Return the text with each letter that GSM lacks as the letter without its accent, where that is in GSM."""
    return "".join(c if is_gsm(c) else _bare(c) for c in text)


def _bare(letter: str) -> str:
    parts = unicodedata.normalize("NFKD", letter.translate(LETTERS))
    bare = "".join(c for c in parts if not unicodedata.combining(c))
    return bare if is_gsm(bare) else letter
