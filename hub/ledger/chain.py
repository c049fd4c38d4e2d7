"""The hash chain: one per member, each posting sealing the one before it.

What is sealed has to be found again by a replay of the same events on another machine, so nothing random is
in it: an earning is named by its key instead of its id, an event by its source. The rows that carry those ids
are still covered, because verification resolves them (docs/decisions/0005-hash-chain.md).
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from hub.storage.tables import PROGRAMME, to_us

START = b""
"""What stands before a member's first posting."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class Sealed(msgspec.Struct, array_like=True, kw_only=True):
    """A posting as it is hashed: a JSON array of these fields, in this order; times in microseconds since 1970.

    Attributes:
        reverses: the key of the posting it takes from, gives back to or ends.
        cause: the source event, as `cause_name` gives it.
        legs: (n, side, wallet, bucket, delta) in order of n.
        lots: (name, wallet, amount, available_at, expires_at) of the lots it opened, sorted.
        awards: (n, rule, wallet, wanted, points) in order of n.
        moves: (n, the lot's name, bucket, delta) in order of n.
        deadline: of the hold it made.
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
    lots: list[tuple[str, str, int, int, int]]
    awards: list[tuple[int, str, str, int, int]]
    moves: list[tuple[int, str, str, int]]
    deadline: int | None = None

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
    name: str, wallet: str, amount: int, available_at: datetime, expires_at: datetime | None
) -> tuple[str, str, int, int, int]:
    """Return what a posting seals of a lot it opens; -1 stands for no expiry."""
    return name, wallet, amount, to_us(available_at), -1 if expires_at is None else to_us(expires_at)


class Asked(NamedTuple):
    """What was asked for, under an idempotency key.

    Attributes:
        content: plain values by name, no member id (a replay makes new ones) and no person.
        hash: of all of it.
    """

    key: str
    content: dict[str, Any]
    hash: bytes


def ask(key: str, **content: Any) -> Asked:
    """Return a request; scheduled work is asked for by its key alone."""
    content["key"] = key
    return Asked(key, content, request_hash(content))


def request_hash(content: Any) -> bytes:
    """Return the hash of plain values; the order of a dict's keys does not count."""
    return sha256(_encode(content)).digest()
