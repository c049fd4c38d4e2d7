"""A person's own words (addresses, platform ids), found again in what others wrote: bodies, answers, sentences. Pure."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import quote, quote_plus

Key = tuple[str, str]
"""(source, value): a connection's name, email or phone; and what somebody is known by there."""

SHORTEST = 6
"""Characters of an id or address that is looked for: a shorter one is in every second body, and means nothing there."""
_GZIP = b"\x1f\x8b"
_MOST_INFLATED = 64 << 20


class Needles:
    """What one person is looked for by.

    A platform's id is only looked for in what came from that platform or went to it, and never inside a longer word.
    Names are not looked for: others have the same.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = sorted(set(keys))
        long_enough = [(source, value) for source, value in self.keys if len(value) >= SHORTEST]
        self._everywhere = {value for source, value in long_enough if source in ("email", "phone")}
        self._at: dict[str, set[str]] = {}
        for source, value in long_enough:
            if source not in ("email", "phone"):
                self._at.setdefault(source, set()).add(value)
        self._patterns: dict[str, re.Pattern[str] | None] = {}

    def __bool__(self) -> bool:
        return bool(self.keys)

    def texts(self) -> list[str]:
        """Return what is looked for everywhere."""
        return sorted(self._everywhere | {value for values in self._at.values() for value in values})

    def found_in(self, text: str, connection: str = "") -> bool:
        """Return whether a text of a connection speaks of the person."""
        pattern = self._pattern(connection)
        return pattern is not None and pattern.search(text) is not None

    def in_body(self, body: bytes, connection: str) -> bool:
        """Return whether a body does, compressed or not."""
        return self.found_in(readable(body), connection)

    def struck(self, value: Any, connection: str = "") -> Any:
        """Return a JSON value with the person's words struck out of its texts."""
        match value:
            case str():
                pattern = self._pattern(connection)
                return pattern.sub("(erased)", value) if pattern else value
            case dict():
                return {key: self.struck(inner, connection) for key, inner in value.items()}
            case list():
                return [self.struck(inner, connection) for inner in value]
            case int() if not isinstance(value, bool) and str(value) in self._at.get(connection, ()):
                return 0
        return value

    def struck_from_body(self, body: bytes, connection: str) -> bytes:
        """Return a body with the person's words struck out, as long as it was: letters as x, digits as 1."""
        pattern = self._pattern(connection)
        if pattern is None:
            return body
        struck = pattern.sub(_masked, readable(body)).encode(errors="surrogateescape")
        return zlib.compress(struck, wbits=31) if body.startswith(_GZIP) else struck

    def _pattern(self, connection: str) -> re.Pattern[str] | None:
        if connection not in self._patterns:
            free = [re.escape(v) for text in self._everywhere for v in _variants(text)]
            whole = [
                rf"(?<![^\W_]){re.escape(v)}(?![^\W_])"
                for text in self._at.get(connection, ())
                for v in _variants(text)
            ]
            either = "|".join(sorted([*free, *whole], key=len, reverse=True))
            self._patterns[connection] = re.compile(either, re.IGNORECASE) if either else None
        return self._patterns[connection]


def _masked(found: re.Match[str]) -> str:
    # No zeros: a number that begins with one is no JSON.
    return re.sub(r"[^\W\d_]", "x", re.sub(r"\d", "1", found[0]))


def readable(body: bytes) -> str:
    """Return a body as text, inflated if it is compressed."""
    if body.startswith(_GZIP):
        with suppress(zlib.error):  # what is not what it says it is, is looked through as it stands
            body = zlib.decompressobj(wbits=31).decompress(body, _MOST_INFLATED)
    return body.decode(errors="surrogateescape")


def _variants(text: str) -> set[str]:
    """Return a text as it stands in JSON and in forms."""
    return {text, json.dumps(text)[1:-1], quote(text, safe=""), quote_plus(text, safe="@"), quote_plus(text)}
