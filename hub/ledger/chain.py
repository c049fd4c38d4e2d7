"""The hash chain: one per member, each posting sealing the one before it.

What is sealed has to be found again by a replay of the same events on another machine, so nothing random is
in it: an earning is named by its key instead of its id, an event by its source. The rows that carry those ids
are still covered, because verification resolves them (docs/decisions/0005-hash-chain.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from hub.storage.tables import PROGRAMME, to_us

START = b""
"""What stands before a member's first posting."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class Sealed(msgspec.Struct, array_like=True, kw_only=True):
    """A posting as it is hashed: a JSON array of these fields, in this order; times in microseconds since 1970.

    Attributes:
        reverses: the key of the earning.
        cause: the source event, as `cause_name` gives it.
        legs: (n, side, wallet, bucket, delta) in order of n.
        lots: (wallet, amount, available_at, expires_at) of the lots it opened, sorted.
        awards: (n, rule, wallet, wanted, points) in order of n.
    """

    seq: int
    key: str
    request_hash: str
    kind: str
    occurred_at: int
    posted_at: int
    reverses: str | None
    cause: str | None
    program_version: str
    actor: str
    reason: str
    legs: list[tuple[int, str, str, str, int]]
    lots: list[tuple[str, int, int, int]]
    awards: list[tuple[int, str, str, int, int]]

    def hash(self, previous: bytes) -> bytes:
        """Return this posting's hash, given the hash of the member's previous one."""
        return sha256(_encode(self) + previous).digest()


def side(owner: str, member: str) -> str:
    """Return whose account a leg is on; another owner than these two is named, and breaks the seal."""
    return "member" if owner == member else "programme" if owner == PROGRAMME else owner


def cause_name(connection: str, source_id: str, part: int) -> str:
    """Return the name of a source event that every machine gives it."""
    return f"{connection}/{source_id}/{part}"


def lot_seal(
    wallet: str, amount: int, available_at: datetime, expires_at: datetime | None
) -> tuple[str, int, int, int]:
    """Return what a posting seals of a lot it opens; -1 stands for no expiry."""
    return wallet, amount, to_us(available_at), -1 if expires_at is None else to_us(expires_at)


def request_hash(request: Iterable[Any]) -> bytes:
    """Return the hash of what was asked for: plain values, no member id (a replay makes new ones) and no person."""
    return sha256(_encode(tuple(request))).digest()
