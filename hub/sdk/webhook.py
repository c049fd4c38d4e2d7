"""What a connector is shown of an HTTP request, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, overload
from urllib.parse import parse_qs

import msgspec

from hub.sdk.errors import Malformed

T = TypeVar("T")


class Headers(Mapping[str, str]):
    """Request headers by case-insensitive name. A header sent twice reads as 'a, b', as RFC 9110 has it."""

    __slots__ = ("_by_name",)

    def __init__(self, pairs: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self._by_name: dict[str, str] = {}
        for name, value in pairs.items() if isinstance(pairs, Mapping) else pairs:
            key = name.lower()
            self._by_name[key] = f"{self._by_name[key]}, {value}" if key in self._by_name else value

    @classmethod
    def from_environ(cls, environ: Mapping[str, Any]) -> Headers:
        """Read the headers of a WSGI environ."""
        headers = cls()
        by_name = headers._by_name
        for key, value in environ.items():
            if key.startswith("HTTP_"):
                by_name[key[5:].lower().replace("_", "-")] = value
        for key, name in (("CONTENT_TYPE", "content-type"), ("CONTENT_LENGTH", "content-length")):
            if environ.get(key):
                by_name[name] = environ[key]
        return headers

    def __getitem__(self, name: str) -> str:
        return self._by_name[name.lower()]

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | T) -> str | T: ...
    def get(self, name: str, /, default: Any = None) -> Any:
        # As Mapping has it, without an exception for each header that is not there.
        return self._by_name.get(name.lower(), default)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def only(self, names: Iterable[str]) -> dict[str, str]:
        """Return the named headers that are present, lower-cased: what the inbox keeps."""
        return {n.lower(): self._by_name[n.lower()] for n in names if n.lower() in self._by_name}


# JSON decimals reach connectors and mappings as the text the platform sent ("12.90"), so no amount is
# ever a float. Integers stay exact at any size.
_json = msgspec.json.Decoder(float_hook=str)


@dataclass(frozen=True, slots=True)
class Webhook:
    """One HTTP request, as the platform sent it.

    Attributes:
        method: upper case.
        url: the public URL the platform called, query included: what URL-signing platforms signed. It is
            built from the configured public URL, never from the Host header.
        headers: as received; after the inbox, only those the connector keeps.
        body: the raw bytes.
        received_at: our clock, aware UTC.
    """

    method: str
    url: str
    headers: Headers
    body: bytes
    received_at: datetime

    def json(self) -> Any:
        """Return the parsed body; decimals are text.

        Raises:
            Malformed: not JSON, not UTF-8, NaN, or nested beyond any honest payload.
        """
        return parse_json(self.body)

    def query(self) -> dict[str, str]:
        """Return the first value of each field of the address's query; never raises."""
        text = self.url.partition("?")[2]
        return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}

    def form(self) -> dict[str, str]:
        """Return the first value of each form field.

        Raises:
            Malformed: not UTF-8.
        """
        try:
            text = self.body.decode()
            return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}
        except ValueError as error:
            raise Malformed(f"the body is not a form: {error}") from error


def parse_json(text: bytes | str) -> Any:
    """Parse JSON; decimals come back as text, integers exact.

    Raises:
        Malformed: not JSON, not UTF-8, NaN, or nested too deeply.
    """
    try:
        return _json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise Malformed(f"the body is not JSON: {error}") from error
    except RecursionError:
        raise Malformed("the body is nested too deeply") from None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a platform wants to read back, where an empty 200 is not enough.

    Attributes:
        store: False for a handshake that means nothing later (a challenge): it is answered, not stored.
    """

    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    store: bool = True

    @classmethod
    def json(cls, value: Any, *, store: bool = True) -> Answer:
        """Answer with a JSON document."""
        return cls(msgspec.json.encode(value), "application/json", store=store)


class SourceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened at a platform, read from the envelope of a webhook.

    Attributes:
        id: unique within the connection for this happening, the same when it is delivered again.
        type: the vendor's own word, a key of `Connector.events` where we know it.
        at: when it happened, by the platform's clock; aware.
        account: the merchant's account at the platform (shop, portal, realm); empty where there is none.
        payload: what the mapping file reads. Decimals are text.
        test: made in the platform's test mode: never earns in a live programme.
        notification: the payload only names a record: `fetch` must read it first.
        echo: caused by our own update; stored, counted, not mapped.
        bell: says only that there is something new: the connection is polled (`Connector.poll`) at once.
    """

    id: str
    type: str
    at: datetime
    account: str = ""
    payload: Any = msgspec.field(default_factory=dict)
    test: bool = False
    notification: bool = False
    echo: bool = False
    bell: bool = False
