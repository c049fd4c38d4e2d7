"""A member's account, as people look at it. Reads only, and locks nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.ledger.records import OWNED
from hub.storage import Lookup
from hub.storage.tables import balance, leg, lot, posting


@dataclass(frozen=True, slots=True)
class WalletBalance:
    """Points of one wallet; `debt` is zero or less."""

    wallet: str
    active: int
    pending: int
    held: int
    debt: int


@dataclass(frozen=True, slots=True)
class OpenLot:
    """Points of one credit that are not used up. `expires_at` None: never."""

    id: str
    wallet: str
    amount: int
    active: int
    pending: int
    held: int
    available_at: datetime
    expires_at: datetime | None
    posting: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A posting. `points` is the change of what the member owns, by wallet."""

    id: str
    seq: int
    kind: str
    key: str
    occurred_at: datetime
    posted_at: datetime
    event: str | None
    actor: str
    reason: str
    points: dict[str, int]


def balances(connection: sa.Connection, member: str) -> list[WalletBalance]:
    """Return a member's balance of every wallet they ever had points in."""
    return [WalletBalance(*row) for row in _WALLETS(connection, [member])]


def balances_of(
    connection: sa.Connection, members: Collection[str], wallet: str
) -> dict[str, dict[str, int]]:
    """Return one wallet's balance by bucket for each of these members, in one query, without locking them."""
    found = {member: dict.fromkeys(OWNED, 0) for member in members}
    for row in _OF_WALLET(connection, members):
        if row.wallet == wallet:
            found[row.member] = {bucket: getattr(row, bucket) for bucket in OWNED}
    return found


def open_lots(connection: sa.Connection, member: str, limit: int = 50) -> list[OpenLot]:
    """Return lots with points in them, in the order in which they are spent."""
    return [OpenLot(*row) for row in _OPEN_LOTS(connection, [member], most=limit)]


def last_postings(
    connection: sa.Connection, member: str, limit: int = 10, *, before: int | None = None
) -> list[Listed]:
    """Return a member's newest postings, newest first; `before` is the `seq` of the last one seen."""
    query = sa.select(*_LISTED).where(posting.c.member == member).order_by(posting.c.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(posting.c.seq < before)
    return _listed(connection, query)


def posting_by(connection: sa.Connection, key: str) -> Listed | None:
    """Return the posting that was made under a key, or None."""
    return next(iter(_listed(connection, sa.select(*_LISTED).where(posting.c.key == key))), None)


def _listed(connection: sa.Connection, query: sa.Select[Any]) -> list[Listed]:
    rows = connection.execute(query).all()
    points: dict[str, dict[str, int]] = {row.id: {} for row in rows}
    changed = (
        sa.select(leg.c.posting, leg.c.wallet, sa.func.sum(leg.c.delta))
        .join(posting, posting.c.id == leg.c.posting)
        .where(leg.c.posting.in_(points), leg.c.owner == posting.c.member, leg.c.bucket.in_(OWNED))
        .group_by(leg.c.posting, leg.c.wallet)
    )
    for of, wallet, delta in connection.execute(changed):
        points[of][wallet] = int(delta)
    return [Listed(**row._asdict(), points=points[row.id]) for row in rows]


_WALLETS = Lookup(
    sa.select(*(balance.c[field] for field in WalletBalance.__dataclass_fields__)).order_by(balance.c.wallet),
    balance.c.member,
)
_OPEN_LOTS = Lookup(
    sa.select(*(lot.c[field] for field in OpenLot.__dataclass_fields__))
    .where(sa.text("pending + active + held > 0"))  # as the index says it
    .order_by(lot.c.wallet, lot.c.expires_at.is_(None), lot.c.expires_at, lot.c.available_at, lot.c.id)
    .limit(sa.bindparam("most", type_=sa.Integer())),
    lot.c.member,
)
_LISTED = [posting.c[field] for field in Listed.__dataclass_fields__ if field != "points"]
_OF_WALLET = Lookup(
    sa.select(balance.c.member, balance.c.wallet, *(balance.c[bucket] for bucket in OWNED)), balance.c.member
)
