"""Activate and expire: what a lot's own dates do to it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from hub.ledger.draft import Draft
from hub.ledger.records import Account, Lot
from hub.storage.tables import lot as lots
from hub.values import Posted

if TYPE_CHECKING:
    from hub.ledger.book import Book


def activate(book: Book, lot: Lot) -> Posted:
    """Post that a lot's pending points can be spent; they repay debt first."""
    draft = _of(book, lot, "activate", lot.available_at)
    points = lot.pending
    draft.shift(lot, "pending", -points)
    draft.fill(lot, points)
    return book.post(draft)


def expire(book: Book, lot: Lot) -> Posted:
    """Post that what is left of a lot, pending or active, is over."""
    assert lot.expires_at is not None
    draft = _of(book, lot, "expire", lot.expires_at)
    points = lot.pending + lot.active
    draft.shift(lot, "pending", -lot.pending)
    draft.shift(lot, "active", -lot.active)
    draft.shift(lot, "expired", points)
    return book.post(draft)


def catch_up(book: Book, member: str) -> Account:
    """Post what the dates of a member's lots ask for until now, in the order of these dates; return the account.

    Every operation on a member begins with it: points that are over must neither be spent nor lie beside a debt.
    """
    account = book.account(member)
    if account.up_to_date:
        return account
    account.up_to_date = True
    due: list[tuple[datetime, int, str, Lot]] = []
    for lot in account.lots.values():
        if lot.pending and lot.available_at <= book.now:
            due.append((lot.available_at, 1, lot.id, lot))
        if lot.expires_at is not None and lot.expires_at <= book.now:
            due.append((lot.expires_at, 0, lot.id, lot))  # at one instant expiry comes first
    for _, activates, _, lot in sorted(due, key=lambda entry: entry[:3]):
        if activates and lot.pending:
            activate(book, lot)
        elif not activates and lot.pending + lot.active:
            expire(book, lot)
    return account


def due(connection: sa.Connection, now: datetime, limit: int) -> list[str]:
    """Return up to `limit` members with lots to activate or expire, the longest overdue first.

    Open a book over them, `catch_up` each, and ask again until there are none.
    """
    expiring = (
        sa.select(lots.c.member)
        .where(sa.text("expires_at is not null and pending + active > 0"), lots.c.expires_at <= now)
        .order_by(lots.c.expires_at)
        .limit(limit)
    )
    activating = (
        sa.select(lots.c.member)
        .where(sa.text("pending > 0"), lots.c.available_at <= now)
        .order_by(lots.c.available_at)
        .limit(limit)
    )
    members = [*connection.scalars(expiring), *connection.scalars(activating)]
    return list(dict.fromkeys(members))[:limit]


def _of(book: Book, lot: Lot, kind: str, at: datetime) -> Draft:
    return Draft(
        book.account(lot.member),
        kind,
        f"{kind}:{lot.name}",
        occurred_at=at,
        program_version=book.program.hash,
    )
