"""Migrate: the balance a member had before the hub kept it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from hub.ledger.chain import ask
from hub.storage.tables import to_us
from hub.values import Posted

if TYPE_CHECKING:
    from hub.ledger.book import Book


def migrate(
    book: Book,
    member: str,
    wallet: str,
    points: int,
    *,
    key: str,
    actor: str,
    reason: str,
    expires_at: datetime | None = None,
) -> Posted:
    """Credit an opening balance.

    Args:
        book: open for the member and the key.
        member: whose points.
        wallet: any.
        points: one or more.
        key: idempotency key: of the file and the line it stands in.
        actor: who brings it.
        reason: where it comes from.
        expires_at: the first instant at which the points can no longer be spent; None is never.

    Raises:
        KeyReused: the key stands for another balance.
        ValueError: no points, no actor, no reason, or an expiry that is over.
    """
    if points <= 0 or not (actor.strip() and reason.strip()):
        raise ValueError("an opening balance has one point or more, an actor and a reason")
    until = None if expires_at is None else to_us(expires_at)
    asked = ask(key, wallet=wallet, points=points, expires_at=until)
    if (answer := book.answered(member, asked)) is not None:
        return answer
    if expires_at is not None and expires_at <= book.now:
        raise ValueError("an opening balance that is over is none")
    draft = book.draft(book.catch_up(member), "migrate", asked, actor=actor, reason=reason)
    draft.add(wallet, "migrated", -points)
    draft.open_lot(wallet, points, book.now, expires_at, active=True)
    return book.post(draft)
