"""Plain REST, for vendors without a library of use: an address for each account, Basic credentials, refusals in the vendor's words.

class DeskSettings(Settings):
    domain: str = Field(pattern=SUBDOMAIN)
    api_base: str = Field(default_factory=hosted("domain", "desk.example"))

response = client.request("GET", f"/users/{number(user)}", headers=basic(email, key), accept=tuple(ADVICE))
if response.status in ADVICE:
    raise refusal("Desk", response, ADVICE, lambda answer: [text_at(answer, "message")])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hub.sdk.errors import Malformed, Rejected
from hub.sdk.http import Response
from hub.sdk.signatures import encode

SUBDOMAIN = r"^[a-z0-9][a-z0-9-]*$"
"""What an account may be called that has an address of its own."""
LONGEST_NUMBER = 18
"""Digits that every vendor's database holds."""


def hosted(setting: str, host: str) -> Callable[[Mapping[str, Any]], str]:
    """Return what makes an account's address below `host` from a setting: a factory of pydantic's."""

    def home(known: Mapping[str, Any]) -> str:
        return f"https://{known.get(setting)}.{host}"

    return home


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header of HTTP Basic."""
    return {"Authorization": f"Basic {encode(f'{user}:{password}'.encode(), 'base64')}"}


def number(text: str) -> int:
    """Return a record's number, which may stand in a path.

    Raises:
        Rejected: it is none; nothing is called with it.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER):
        raise Rejected(f"the platform's records have numbers, not {text[:40]!r}: correct the mapping")
    return int(text)


def refusal(
    label: str, response: Response, advice: Mapping[int, str], words: Callable[[Any], Iterable[str]]
) -> Rejected:
    """Return what a refusal means, and the next step.

    Args:
        label: the vendor.
        response: its status is one of `advice`.
        advice: status -> the next step.
        words: finds in an answer what the vendor says; what is empty is left out.
    """
    return Rejected(f"{label}: {said_in(response, words)} ({advice[response.status]})", response.status)


def said_in(response: Response, words: Callable[[Any], Iterable[str]]) -> str:
    """Return why a call was refused: the vendor's words, else the answer's beginning, else its status."""
    try:
        answer = response.json()
    except Malformed:
        return response.body[:200].decode(errors="replace").strip() or str(response.status)
    return ": ".join(filter(None, words(answer))) or str(response.status)
