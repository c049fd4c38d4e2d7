"""Reads what a batch of operations needs: a handful of set queries, however many members."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.ledger.records import OWNED, Account, Earning, Line, Lot, Refund
from hub.storage import Lookup
from hub.storage.tables import (
    PROGRAMME,
    Instant,
    award,
    balance,
    earning,
    event,
    leg,
    lot,
    lot_move,
    member,
    posting,
    refund,
)  # fmt: skip
from hub.values import Posted

LOT_COLUMNS = (
    lot.c.id, lot.c.member, lot.c.wallet, lot.c.posting, lot.c.amount, lot.c.available_at, lot.c.expires_at,
    lot.c.pending, lot.c.active, lot.c.held,
)  # fmt: skip


@dataclass(slots=True)
class Stored:
    """What was read.

    Attributes:
        earnings: of every origin asked for; None where there is none.
        answers: of every key asked for: what was asked with it (a hash) and what was posted; None where it is free.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    earnings: dict[str, Earning | None] = field(default_factory=dict)
    answers: dict[str, tuple[bytes, Posted] | None] = field(default_factory=dict)


def load(
    connection: sa.Connection,
    *,
    members: AbstractSet[str],
    origins: AbstractSet[str],
    keys: AbstractSet[str],
    now: datetime,
) -> Stored:
    """Read and lock `members` and whoever earned by `origins`, with what operations on them will touch."""
    stored = Stored(earnings=dict.fromkeys(origins), answers=dict.fromkeys(keys))
    found = _earnings(connection, origins)
    stored.earnings |= found
    reversed_ = {each.member for each in found.values()}
    stored.accounts = _accounts(connection, members | reversed_)
    lots = _lots(connection, stored.accounts, reversed_ & stored.accounts.keys(), now)
    if found:
        _lines(connection, found, lots)
        _refunds(connection, found)
    stored.answers |= _answers(connection, keys)
    return stored


def _accounts(connection: sa.Connection, members: AbstractSet[str]) -> dict[str, Account]:
    accounts: dict[str, Account] = {}
    for row in _MEMBERS(connection, members):
        accounts[row.id] = Account(row.id, row.seq, row.head or b"", row.posted_at)
    for row in _BALANCES(connection, accounts):
        accounts[row.member].balances[row.wallet] = dict(zip(OWNED, row[2:], strict=True))
    return accounts


_MEMBERS = Lookup(
    # In order, so that two transactions lock the members they share in the same one.
    sa.select(member.c.id, member.c.seq, member.c.head, member.c.posted_at)
    .order_by(member.c.id)
    .with_for_update(),
    member.c.id,
)
_BALANCES = Lookup(
    sa.select(balance.c.member, balance.c.wallet, *(balance.c[bucket] for bucket in OWNED)), balance.c.member
)


def complete(connection: sa.Connection, account: Account) -> None:
    """Read all open lots of a member; those at hand stay as they are."""
    for row in connection.execute(_OPEN_LOTS.where(lot.c.member == account.member)):
        account.lots.setdefault(row.id, _lot(row))
    account.complete = True


_OPEN_LOTS: sa.Select[Any] = sa.select(*LOT_COLUMNS).where(
    sa.text("pending + active + held > 0")
)  # as the index says it


def _lots(
    connection: sa.Connection, accounts: dict[str, Account], reversed_: AbstractSet[str], now: datetime
) -> dict[str, Lot]:
    """Read the lots that are due; of whom a reversal may take from, all open ones.

    An earning need not see a member's whole past.
    """
    lots: dict[str, Lot] = {}
    due_lots = _DUE_LOTS(connection, accounts.keys() - reversed_, now=now)
    for row in (*_LOTS(connection, reversed_), *due_lots):
        lots[row.id] = accounts[row.member].lots[row.id] = _lot(row)
    for member_id in reversed_:
        accounts[member_id].complete = True
    for row in _NAMES(connection, [each.id for each in lots.values() if each.due(now)]):
        lots[row.id].name = f"{row.key}#{row.n or 0}"
    return lots


_NOW = sa.bindparam("now", type_=Instant)
_BEGINS = sa.and_(lot.c.pending > 0, lot.c.available_at <= _NOW)
_LOTS = Lookup(_OPEN_LOTS, lot.c.member)
_DUE_LOTS = Lookup(_OPEN_LOTS.where(sa.or_(_BEGINS, lot.c.expires_at <= _NOW)), lot.c.member)
_NAMES = Lookup(
    sa.select(lot.c.id, posting.c.key, award.c.n)
    .join(posting, posting.c.id == lot.c.posting)
    .outerjoin(award, sa.and_(award.c.posting == lot.c.posting, award.c.lot == lot.c.id)),
    lot.c.id,
)


def _earnings(connection: sa.Connection, origins: AbstractSet[str]) -> dict[str, Earning]:
    return {row.fact: Earning(**row._asdict()) for row in _EARNINGS(connection, origins)}


_EARNINGS = Lookup(
    sa.select(earning, posting.c.occurred_at, event.c.data)
    .join(posting, posting.c.id == earning.c.posting)
    .outerjoin(event, event.c.id == earning.c.event),
    earning.c.fact,
)


def _lines(connection: sa.Connection, earnings: dict[str, Earning], lots: dict[str, Lot]) -> None:
    """Read what each earning gave and what was taken back since, with its lots and their past."""
    by_posting = {each.posting: each for each in earnings.values()}
    rows = _AWARDS(connection, by_posting)
    own: dict[str, Lot] = {}
    for row in sorted(rows, key=lambda row: (row.given_by != row.origin, row.given_by)):  # the earning first
        mine = own.setdefault(row.id, lots.get(row.id) or _lot(row))
        line = by_posting[row.origin].lines.setdefault(
            (row.rule, mine.wallet), Line(row.rule, mine.wallet, 0)
        )
        if row.given_by == row.origin:
            line.given += row.points
        else:
            line.taken -= row.points
        if mine not in line.lots:
            line.lots.append(mine)
    for row in _PAST(connection, own):
        setattr(own[row.lot], row.bucket, int(row.points))


_AWARDS = Lookup(
    sa.select(
        award.c.origin, award.c.posting.label("given_by"), award.c.rule, award.c.points, *LOT_COLUMNS
    ).join(lot, lot.c.id == award.c.lot),
    award.c.origin,
)
_PAST = Lookup(
    sa.select(lot_move.c.lot, lot_move.c.bucket, sa.func.sum(lot_move.c.delta).label("points"))
    .where(sa.text("lot_move.bucket in ('expired', 'waived')"))
    .group_by(lot_move.c.lot, lot_move.c.bucket),
    lot_move.c.lot,
)


def _lot(row: Any) -> Lot:
    return Lot(**{column.name: getattr(row, column.name) for column in LOT_COLUMNS})


def _refunds(connection: sa.Connection, earnings: dict[str, Earning]) -> None:
    for row in _REFUNDS(connection, earnings):
        told = Refund(**row._asdict())
        earnings[told.fact].refunds[told.source, told.refund_id] = told


_REFUNDS = Lookup(sa.select(refund), refund.c.fact)


def _answers(connection: sa.Connection, keys: AbstractSet[str]) -> dict[str, tuple[bytes, Posted]]:
    rows = _POSTINGS(connection, keys)
    points: dict[str, dict[str, int]] = {row.id: {} for row in rows}
    for row in _CHANGES(connection, points):
        points[row.posting][row.wallet] = int(row.points)
    return {
        row.key: (
            row.request_hash,
            Posted(
                id=row.id,
                member=row.member,
                kind=row.kind,
                key=row.key,
                points=points[row.id],
                event=row.event,
                occurred_at=row.occurred_at,
                posted_at=row.posted_at,
            ),
        )
        for row in rows
    }


_POSTINGS = Lookup(
    sa.select(
        posting.c.id, posting.c.key, posting.c.request_hash, posting.c.member, posting.c.kind, posting.c.event,
        posting.c.occurred_at, posting.c.posted_at,
    ),
    posting.c.key,
)  # fmt: skip
_CHANGES = Lookup(
    sa.select(leg.c.posting, leg.c.wallet, sa.func.sum(leg.c.delta).label("points"))
    .where(leg.c.owner != PROGRAMME)
    .group_by(leg.c.posting, leg.c.wallet),
    leg.c.posting,
)
