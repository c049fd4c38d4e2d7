"""Activate, expire, and release what was held too long: what the calendar alone does to points."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from hub.ledger import spend
from hub.ledger.chain import ask
from hub.ledger.draft import Draft
from hub.ledger.records import Account, Hold, Lot
from hub.storage.tables import hold as holds
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
    """Post that what is left of a lot, pending or active, is over. What is held of it stays held."""
    assert lot.expires_at is not None
    draft = _of(book, lot, "expire", lot.expires_at)
    points = lot.pending + lot.active
    draft.shift(lot, "pending", -lot.pending)
    draft.shift(lot, "active", -lot.active)
    draft.shift(lot, "expired", points)
    return book.post(draft)


def catch_up(book: Book, member: str) -> Account:
    """Post what the dates of a member's lots and holds ask for until now, in the order of these dates.

    Every operation on a member begins with it: points that are over must neither be spent nor lie beside a debt.
    """
    account = book.account(member)
    if account.up_to_date:
        return account
    account.up_to_date = True
    due: list[tuple[datetime, int, str, Callable[[Book, Any], object], Lot | Hold]] = []
    for lot in account.lots.values():
        if lot.expires_at is not None and lot.expires_at <= book.now:
            due.append((lot.expires_at, 0, lot.id, _over, lot))  # at one instant expiry comes first
        if lot.pending and lot.available_at <= book.now:
            due.append((lot.available_at, 2, lot.id, _begins, lot))
    due += [
        (hold.deadline, 1, hold.id, _too_long, hold)
        for hold in account.holds.values()
        if hold.deadline <= book.now
    ]
    for *_, happen, what in sorted(due, key=lambda entry: entry[:3]):
        happen(book, what)
    return account


def due(connection: sa.Connection, now: datetime, limit: int) -> list[str]:
    """Return up to `limit` members with something to activate, expire or release, the longest overdue first.

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
    releasing = (
        sa.select(holds.c.member)
        .where(sa.text("state = 'held'"), holds.c.deadline <= now)
        .order_by(holds.c.deadline)
        .limit(limit)
    )
    queries = (expiring, activating, releasing)
    members = [member for query in queries for member in connection.scalars(query)]
    return list(dict.fromkeys(members))[:limit]


def _over(book: Book, lot: Lot) -> None:
    if lot.pending + lot.active:
        expire(book, lot)


def _begins(book: Book, lot: Lot) -> None:
    if lot.pending:
        activate(book, lot)


def _too_long(book: Book, hold: Hold) -> None:
    if hold.state == "held":
        spend.release_overdue(book, hold)


def _of(book: Book, lot: Lot, kind: str, at: datetime) -> Draft:
    return Draft(
        book.account(lot.member),
        kind,
        ask(f"{kind}:{lot.name}"),
        occurred_at=at,
        program_version=book.program.hash,
    )
