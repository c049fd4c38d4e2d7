"""What is told of people, as it is compared."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping


def normal_email(text: str) -> str:
    """Return an address as it is compared: case does not tell people apart."""
    return text.strip().casefold()


def normal_phone(text: str) -> str:
    """Return a number as it is compared: digits, and the plus of an international one."""
    digits = "".join(c for c in text if c.isdigit())
    return f"+{digits}" if text.strip().startswith("+") else digits


def normal_name(text: str) -> str:
    """Return a name as it is compared: "Schmidt, Ánna" and "anna  schmidt" are alike.

    Case, accents, punctuation and the order of its words do not tell people apart.
    """
    plain = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(c if c.isalnum() else " " for c in plain if not unicodedata.combining(c))
    return " ".join(sorted(letters.split()))


NORMAL: Mapping[str, Callable[[str], str]] = {
    "email": normal_email,
    "phone": normal_phone,
    "name": normal_name,
}


def normal(kind: str, text: str) -> str:
    """Return a contact as it is compared."""
    return NORMAL.get(kind, str.strip)(text)
