"""Signature schemes, each once: constant time, several live secrets, a tolerance on time.

Every function here reads hostile input: it returns, or raises NotVerified, and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, quote, unquote_plus, urlsplit

from hub.sdk.errors import NotVerified

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

    from hub.sdk.webhook import Webhook

Encoding = Literal["hex", "base64"]

_IN_ADDRESS = re.compile(r"([?&]secret=)[^&]*")

SCRIPT_TIME, SCRIPT_SIGNATURE = "X-Hub-Timestamp", "X-Hub-Signature"
"""What scripts send that merchants copy from our documentation."""
_VERSION = "v1="

TOLERANCE_S = 300
"""How far a signed time may lie from ours, in seconds: the vendors' common choice."""


_PIECE = 2047
"""Python lets go of its lock to hash more bytes than these in one go. For a webhook's body that takes longer than the
hash: the thread that gets the lock has to give it back. A seventh more is accepted without (measured 2026-11)."""
_MANY = 2**16
"""Bytes for which it is worth it."""


def hmac_digest(secret: bytes, message: bytes, algorithm: str = "sha256") -> bytes:
    """Return the HMAC of `message`. `algorithm` is a `hashlib` name."""
    return _digest(hmac.new(secret, digestmod=algorithm), message)


def _digest(made: Any, message: bytes) -> bytes:
    """Return the digest of `message` by a new `hmac` or `hashlib` object."""
    piece = _PIECE if len(message) <= _MANY else len(message)
    for start in range(0, len(message), piece):
        made.update(message[start : start + piece])
    digest: bytes = made.digest()
    return digest


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


def secret_address(url: str, secret: bytes) -> str:
    """Return the address with the secret in its query: for platforms that can send along nothing else."""
    return f"{url}{'&' if urlsplit(url).query else '?'}secret={quote(secret, safe='')}"


def without_secret(url: str, also: Sequence[str] = ()) -> str:
    """Return an address as it may be kept and shown: what `secret_address` added is struck out.

    Args:
        url: as it was called.
        also: more fields of its query that are secrets.
    """
    if also and "?" in url:
        address, _, query = url.partition("?")
        fields = (each.partition("=") for each in query.split("&"))
        told = [
            f"{name}=***" if is_ and unquote_plus(name) in also else name + is_ + value
            for name, is_, value in fields
        ]
        url = "?".join([address, "&".join(told)])
    return _IN_ADDRESS.sub(r"\1***", url) if "secret=" in url else url


def check_address(url: str, secrets: Sequence[bytes]) -> None:
    """Check the secret in an address that `secret_address` made.

    Raises:
        NotVerified: missing_signature or bad_signature.
    """
    try:
        given = parse_qs(url.partition("?")[2]).get("secret", [])
    except ValueError:
        raise NotVerified("malformed_signature") from None
    check_secret(given[0] if len(given) == 1 else None, secrets)


def check_ecdsa(message: bytes, signature: str | None, keys: Sequence[bytes]) -> None:
    """Check a base64 ECDSA signature (DER, SHA-256) over `message` against every live key.

    Args:
        message: what was signed.
        signature: as the header has it.
        keys: public keys, in base64 or PEM; a private one, with which `sign_ecdsa` rehearses, stands for its public one.

    Raises:
        NotVerified: missing_signature, malformed_signature or bad_signature.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    if not signature:
        raise NotVerified("missing_signature")
    raw = decode(signature, "base64")
    if raw is None:
        raise NotVerified("malformed_signature")
    for key in keys:
        _, public = _key_pair(key)
        if public is not None:
            with suppress(InvalidSignature, ValueError):
                return public.verify(raw, message, ECDSA(SHA256()))
    raise NotVerified("bad_signature")


def sign_ecdsa(message: bytes, key: bytes) -> str:
    """Return a base64 ECDSA signature (DER, SHA-256); empty where `key` is no private key, which only its owner has."""
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    private, _ = _key_pair(key)
    return encode(private.sign(message, ECDSA(SHA256())), "base64") if private else ""


@lru_cache(maxsize=64)
def _key_pair(key: bytes) -> tuple[EllipticCurvePrivateKey | None, EllipticCurvePublicKey | None]:
    """Return the private and the public key in a text: both, the latter alone, or neither."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

    unreadable = (ValueError, TypeError, UnsupportedAlgorithm)
    try:
        raw = base64.b64decode(re.sub(rb"-----[A-Z ]+-----|\s", b"", key), validate=True)
    except ValueError:
        return None, None
    with suppress(*unreadable):
        public = load_der_public_key(raw)
        return None, public if isinstance(public, ec.EllipticCurvePublicKey) else None
    with suppress(*unreadable):
        private = load_der_private_key(raw, None)
        if isinstance(private, ec.EllipticCurvePrivateKey):
            return private, private.public_key()
    return None, None


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


def check_script(webhook: Webhook, secrets: Sequence[bytes]) -> None:
    """Check what the scripts of our documentation send: `v1=` and the hex HMAC-SHA256 of "time.body", five minutes either way.

    Raises:
        NotVerified: as `check_timestamp` and `check_hmac`.
    """
    timestamp, signature = webhook.headers.get(SCRIPT_TIME, ""), webhook.headers.get(SCRIPT_SIGNATURE, "")
    check_timestamp(timestamp, webhook.received_at)
    if signature and not signature.startswith(_VERSION):
        raise NotVerified("malformed_signature")
    check_hmac(_timed(timestamp, webhook.body), signature.removeprefix(_VERSION), secrets)


def sign_script(webhook: Webhook, secret: bytes) -> dict[str, str]:
    """Return the headers that `check_script` reads."""
    timestamp = str(int(webhook.received_at.timestamp()))
    signature = hmac_digest(secret, _timed(timestamp, webhook.body)).hex()
    return {SCRIPT_TIME: timestamp, SCRIPT_SIGNATURE: _VERSION + signature}


def _timed(timestamp: str, body: bytes) -> bytes:
    return timestamp.encode(errors="replace") + b"." + body


def body_digest(body: bytes) -> bytes:
    """Return the SHA-256 of a body: its identity where the platform sends no delivery id."""
    return _digest(hashlib.sha256(), body)
