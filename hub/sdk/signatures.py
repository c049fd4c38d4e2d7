"""Signature schemes, each once: constant time, several live secrets, a tolerance on time.

Every function here reads hostile input: it returns, or raises NotVerified, and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Literal

from hub.sdk.errors import NotVerified

Encoding = Literal["hex", "base64"]

TOLERANCE_S = 300
"""How far a signed time may lie from ours, in seconds: the vendors' common choice."""


def hmac_digest(secret: bytes, message: bytes, algorithm: str = "sha256") -> bytes:
    """Return the HMAC of `message`. `algorithm` is a `hashlib` name."""
    return hmac.digest(secret, message, algorithm)


def encode(digest: bytes, encoding: Encoding) -> str:
    """Write a digest the way the platform does: lower-case hex, or base64 with padding."""
    return digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()


def check_hmac(
    message: bytes,
    signature: str | None,
    secrets: Sequence[bytes],
    *,
    algorithm: str = "sha256",
    encoding: Encoding = "hex",
) -> None:
    """Check one signature over `message` against every live secret.

    Raises:
        NotVerified: missing_signature, malformed_signature or bad_signature.
    """
    check_any(
        [signature] if signature else [],
        lambda secret: hmac_digest(secret, message, algorithm),
        secrets,
        encoding=encoding,
    )


def check_any(
    signatures: Iterable[str],
    digest: Callable[[bytes], bytes],
    secrets: Sequence[bytes],
    *,
    encoding: Encoding,
) -> None:
    """Check that any of `signatures` equals the digest made with any of `secrets`.

    Several signatures come while a platform rolls its secret, several secrets while we do.

    Raises:
        NotVerified: missing_signature, malformed_signature or bad_signature.
    """
    given = [text for text in signatures if text]
    if not given:
        raise NotVerified("missing_signature")
    decoded = [raw for text in given if (raw := decode(text, encoding)) is not None]
    if not decoded:
        raise NotVerified("malformed_signature")
    expected = [digest(secret) for secret in secrets if secret]
    # A list, not a generator: which pair matched must not show in the time it took.
    if not any([hmac.compare_digest(mine, theirs) for mine in expected for theirs in decoded]):  # noqa: C419
        raise NotVerified("bad_signature")


def decode(text: str, encoding: Encoding) -> bytes | None:
    """Return the digest behind `text`, or None when it is not the canonical form of any.

    Only the canonical form counts: base64 decoders forgive odd characters and stray bits, so several
    texts would pass for one signature.
    """
    try:
        raw = bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    canonical = encode(raw, encoding)
    return raw if raw and hmac.compare_digest(canonical.encode(), text.encode(errors="replace")) else None


def check_secret(given: str | None, secrets: Sequence[bytes]) -> None:
    """Check a secret that the platform sends along as it is, in a header or in the address: all it can do.

    Raises:
        NotVerified: missing_signature or bad_signature.
    """
    if not given:
        raise NotVerified("missing_signature")
    # Their lengths must not show either, so digests are compared.
    theirs = body_digest(given.encode(errors="replace"))
    if not any([hmac.compare_digest(body_digest(secret), theirs) for secret in secrets if secret]):  # noqa: C419
        raise NotVerified("bad_signature")


def check_timestamp(
    text: str | None,
    now: datetime,
    *,
    tolerance_s: int = TOLERANCE_S,
    unit: Literal["s", "ms"] = "s",
    allow_future: bool = False,
) -> None:
    """Check that a signed Unix time lies within the tolerance; exactly `tolerance_s` old passes.

    Raises:
        NotVerified: missing_timestamp, malformed_timestamp, stale_timestamp or future_timestamp.
    """
    if not text:
        raise NotVerified("missing_timestamp")
    if not (text.isascii() and text.isdigit() and len(text) <= 16):  # 16 digits: the year 318857 in ms
        raise NotVerified("malformed_timestamp")
    per_second = 1 if unit == "s" else 1000
    ours = int(now.timestamp() * per_second)
    age = ours - int(text)
    if age > tolerance_s * per_second:
        raise NotVerified("stale_timestamp")
    if not allow_future and -age > tolerance_s * per_second:
        raise NotVerified("future_timestamp")


def body_digest(body: bytes) -> bytes:
    """Return the SHA-256 of a body: its identity where the platform sends no delivery id."""
    return hashlib.sha256(body).digest()
