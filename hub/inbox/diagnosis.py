"""Why a webhook was refused: the wrong turns people take, each tried with the connector's own check."""

from __future__ import annotations

import json
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from urllib.parse import urlsplit

from hub.connections import Connection
from hub.sdk import Headers, Webhook
from hub.sdk.signatures import Encoding, decode, encode

MOST_SECONDS = 1.0
MOST_BODY = 256 << 10
"""Bytes of a body that is worth rewriting."""
MOST_CANDIDATES = 8
"""Times and signatures looked at in one request's headers."""

_HOST = re.compile(r"[A-Za-z0-9.\-:\[\]]{1,253}")
_UNIX_TIME = re.compile(r"(?<![0-9])(1[0-9]{9}|1[0-9]{12})(?![0-9])")
_DIGEST: dict[Encoding, re.Pattern[str]] = {
    "hex": re.compile(r"(?<![0-9A-Fa-f])[0-9a-f]{40,128}(?![0-9A-Fa-f])"),
    "base64": re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{26,86}={0,2}(?![A-Za-z0-9+/=])"),
}

Try = tuple[str, Webhook, Sequence[bytes]]
"""A sentence, and the webhook and secrets that would make it true."""


def diagnose(connection: Connection, webhook: Webhook, others: Iterable[Connection]) -> str:
    """Return one sentence that names what would have matched, or "" when nothing tried does.

    It names connections, addresses and seconds, never a secret or a header's value. The work is bounded in
    time, in candidates and in the size of bodies it rewrites.
    """
    if not connection.secrets:
        return "hub.yaml lists no secret for this connection"
    secrets = connection.live_secrets(webhook.received_at)
    deadline = time.monotonic() + MOST_SECONDS
    for wrong_turn in (_secrets, _clock, _address, _signature_form, _body):
        for sentence, tried, keys in wrong_turn(connection, webhook, secrets, others):
            if _verifies(connection, tried, keys):
                return sentence
            if time.monotonic() > deadline:
                return ""
    return ""


def _verifies(connection: Connection, webhook: Webhook, secrets: Sequence[bytes]) -> bool:
    try:
        connection.connector.verify(webhook, secrets)
    except Exception:  # noqa: BLE001 - refused, or a connector that trips over it: not what was meant either way
        return False
    return True


def _secrets(
    connection: Connection, webhook: Webhook, _live: Sequence[bytes], others: Iterable[Connection]
) -> Iterator[Try]:
    for secret in connection.secrets:
        if secret.until is not None and secret.until <= webhook.received_at:
            day = secret.until.astimezone(UTC).date().isoformat()
            yield f"signed with this connection's old secret, which ended on {day}", webhook, [secret.value]
    for other in others:
        if other.name != connection.name and other.secrets:
            kind = "test connection" if connection.live and not other.live else "connection"
            keys = [secret.value for secret in other.secrets]
            yield f"signed with the secret of {kind} {other.name!r}", webhook, keys


def _clock(
    _connection: Connection, webhook: Webhook, secrets: Sequence[bytes], _others: Iterable[Connection]
) -> Iterator[Try]:
    for at in _times(webhook.headers):
        seconds = round((webhook.received_at - at).total_seconds())
        where = "behind" if seconds > 0 else "ahead of"
        sentence = (
            f"the signature is right for its own time, which is {abs(seconds)} seconds {where} ours: "
            "a clock is wrong, or the webhook was held up or replayed"
        )
        yield sentence, replace(webhook, received_at=at), secrets


def _times(headers: Headers) -> list[datetime]:
    """Return what the headers hold that can be read as a time."""
    found: list[datetime] = []
    for name, value in headers.items():
        if name == "date":
            continue
        found += [_unix(int(text)) for text in _UNIX_TIME.findall(value[:500])]
        if 19 <= len(value) <= 40 and value[:2] == "20":
            try:
                at = datetime.fromisoformat(value)
            except ValueError:
                continue
            found.append(at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC))
    return found[:MOST_CANDIDATES]


def _unix(number: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        milliseconds=number if number > 10**12 else number * 1000
    )


def _address(
    connection: Connection, webhook: Webhook, secrets: Sequence[bytes], _others: Iterable[Connection]
) -> Iterator[Try]:
    ours = urlsplit(connection.url)
    asked = webhook.headers.get("Host", "")
    hosts = dict.fromkeys([ours.netloc, *([asked] if _HOST.fullmatch(asked) else [])])
    path = ours.path.rstrip("/")
    query = urlsplit(webhook.url).query
    for scheme, host, slash, ending in product(
        ("https", "http"), hosts, ("", "/"), (f"?{query}", "") if query else ("",)
    ):
        address = f"{scheme}://{host}{path}{slash}"
        with_query = " with the query" if ending else " without the query" if query else ""
        sentence = f"signed for the address {address}{with_query}"
        if address != connection.url:
            sentence += f", and hub.yaml says {connection.url}"
        if f"{address}{ending}" != webhook.url:
            yield sentence, replace(webhook, url=f"{address}{ending}"), secrets


def _signature_form(
    _connection: Connection, webhook: Webhook, secrets: Sequence[bytes], _others: Iterable[Connection]
) -> Iterator[Try]:
    forms: tuple[tuple[Encoding, Encoding], ...] = (("hex", "base64"), ("base64", "hex"))
    tries = 0
    for (name, value), (written, wanted) in product(webhook.headers.items(), forms):
        found = _DIGEST[written].search(value[:1000])
        digest = decode(found[0], written) if found else None
        if found is None or digest is None or tries == MOST_CANDIDATES:
            continue
        tries += 1
        rewritten = value.replace(found[0], encode(digest, wanted))
        headers = Headers({**webhook.headers, name: rewritten})
        sentence = f"the signature in {name} is written as {written}, and this platform's is {wanted}"
        yield sentence, replace(webhook, headers=headers), secrets


def _body(
    _connection: Connection, webhook: Webhook, secrets: Sequence[bytes], _others: Iterable[Connection]
) -> Iterator[Try]:
    body = webhook.body
    if len(body) > MOST_BODY:
        return
    for how, rewrite in _REWRITES:
        try:
            rewritten = rewrite(body)
        except (ValueError, RecursionError, zlib.error):
            continue
        if rewritten != body:
            sentence = f"signed for the same body {how}: something on the way to the hub rewrites bodies"
            yield sentence, replace(webhook, body=rewritten), secrets


def _json(*, spaced: bool, ascii_only: bool) -> Callable[[bytes], bytes]:
    separators = (", ", ": ") if spaced else (",", ":")

    def rewrite(body: bytes) -> bytes:
        return json.dumps(json.loads(body), separators=separators, ensure_ascii=ascii_only).encode()

    return rewrite


def _inflated(body: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(body, 4 * MOST_BODY)


_REWRITES: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    ("without the newline at its end", lambda body: body.rstrip(b"\r\n")),
    ("with a newline at its end", lambda body: body + b"\n"),
    ("before it was compressed", _inflated),
    ("as compact JSON", _json(spaced=False, ascii_only=False)),
    ("as compact JSON with escapes", _json(spaced=False, ascii_only=True)),
    ("as JSON with spaces", _json(spaced=True, ascii_only=False)),
    ("as JSON with spaces and escapes", _json(spaced=True, ascii_only=True)),
)
