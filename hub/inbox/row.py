"""A verified webhook as the inbox keeps it, and as it gives it back."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import structlog
import zstandard

from hub.connections import Connection
from hub.sdk import Webhook
from hub.sdk.signatures import body_digest, without_secret
from hub.storage.tables import to_us
from hub.tracing import TRACEPARENT, Trace, valid

LONGEST_ID = 200
"""Characters of a delivery id; platforms use 15 to 64. A longer one is kept as its hash."""

Delivery = tuple[str, str]
"""A connection's name and a delivery id: what makes one delivery the same as another."""

log = structlog.get_logger()
_local = threading.local()


class Row(NamedTuple):
    """What one accepted webhook writes, in the order of the inbox's columns; the body goes to its own table.

    Attributes:
        received_at: microseconds since 1970.
        headers: JSON object of those the connector keeps, and of a `traceparent`.
        size: bytes of the raw body.
        verdict: verified, or waived.
        body: raw, as it was sent: a gzip body stays gzip, since that is what was signed. It is stored as a
            zstandard frame.
    """

    connection: str
    delivery_id: str
    received_at: int
    method: str
    url: str
    headers: str
    size: int
    verdict: str
    body: bytes

    @classmethod
    def of(cls, connection: Connection, webhook: Webhook) -> Row:
        """Return the row of a webhook that was verified or waived. Never fails on what the webhook holds."""
        headers = webhook.headers.only(connection.connector.keep_headers)
        if traceparent := valid(webhook.headers.get(TRACEPARENT, "")):
            headers[TRACEPARENT] = traceparent
        return cls(
            connection.name,
            _delivery_id(connection, webhook) or body_digest(webhook.body).hex(),
            to_us(webhook.received_at),
            webhook.method,
            without_secret(webhook.url, connection.connector.hidden_query),
            msgspec.json.encode(headers).decode() if headers else "{}",
            len(webhook.body),
            "waived" if connection.waiver else "verified",
            webhook.body,
        )

    @property
    def trace(self) -> Trace:
        return Trace.of(
            self.connection, self.delivery_id, msgspec.json.decode(self.headers).get(TRACEPARENT, "")
        )


BODY = Row._fields.index("body")


@dataclass(frozen=True, slots=True)
class StoredRow:
    """An accepted webhook, read back. `webhook` is None once its body is pruned."""

    id: int
    connection: str
    delivery_id: str
    received_at: datetime
    webhook: Webhook | None
    verdict: str
    traceparent: str = ""

    @property
    def trace(self) -> Trace:
        return Trace.of(self.connection, self.delivery_id, self.traceparent)


def trace_of(connection: Connection, webhook: Webhook) -> Trace:
    """Return the trace of a webhook before it has a row."""
    return Row.of(connection, webhook).trace


def _delivery_id(connection: Connection, webhook: Webhook) -> str | None:
    """Return the platform's id of this delivery in a form every database takes, or None."""
    try:
        given = connection.connector.delivery_id(webhook)
    except Exception:
        # The webhook is genuine: what a connector trips over must not cost the event.
        log.exception(
            "the connector could not read the delivery's id; the body's hash stands in",
            action="delivery_id_error",
            connection=connection.name,
        )
        return None
    if given and (len(given) > LONGEST_ID or not given.isprintable()):
        return body_digest(given.encode(errors="surrogatepass")).hex()
    return given


def compress(bodies: Sequence[bytes]) -> list[bytes]:
    """Return a zstandard frame of each body: level 1 takes 12 us for 6 KB of JSON and leaves a quarter of it.

    One call for a batch: each call lets go of the interpreter's lock, and has to wait to get it back.
    """
    try:
        compressor = _local.compressor
    except AttributeError:
        compressor = _local.compressor = zstandard.ZstdCompressor(level=1)
    if not any(bodies):  # the library takes no batch of nothing
        return [compressor.compress(body) for body in bodies]
    return [frame.tobytes() for frame in compressor.multi_compress_to_buffer(list(bodies))]


def decompress(frame: bytes) -> bytes:
    """Return what `compress` was given."""
    body: bytes = _decompressor().decompress(frame)
    return body


def decompress_all(frames: Sequence[bytes]) -> list[bytes]:
    """Return what `compress` was given; one call for a batch, as there."""
    # A batch with nothing in it makes zstandard 0.25 write beyond its memory (seen 2026-11).
    together: list[Any] = [frame for frame in frames if zstandard.frame_content_size(frame) > 0]
    if len(together) < 2:
        return [decompress(frame) for frame in frames]
    bodies = iter(_decompressor().multi_decompress_to_buffer(together))
    return [
        next(bodies).tobytes() if zstandard.frame_content_size(frame) > 0 else decompress(frame)
        for frame in frames
    ]


def _decompressor() -> zstandard.ZstdDecompressor:
    """Return this thread's."""
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    made: zstandard.ZstdDecompressor = _local.decompressor
    return made
